#!/usr/bin/python3
"""ceilings.py [--convd PROGRAM] [--data DIR] [--seeds 42,43,..] [--sets NAME,..] [TABLE ..] - what other learners reach on the same images, where a goal is missed.

Draws, classes and images are those of pictures.py, so rows can be read beside its own. Others are scikit-learn's, on pixels / 255: RBF-SVM (C = 10) and, of
few images, logistic regression (C = 0.01 on standardised pixels), which learn from all images at once. Tables (all without TABLE):

  hand     three classes, five images of each: balanced accuracy
  added    all images of the other classes and five of one more: its recall, the points that the others lose against a learner that never saw it;
           and the *best recall*: the largest where the others lose at most 3, of all numbers that can be added to the score of that class
  chance   expected calibration error of n predictions by chance, though confidence is exactly right: of a convd model's own confidences

Printed: mean over the seeds / the worst of them. Needs python3-sklearn for the others; without it convd's rows alone are printed.
"""
import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.dont_write_bytecode = True
from pictures import Model, Set, calibration_error  # noqa: E402

try:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
except ImportError:
    SVC = None

MOST_LOST = 3.0
DRAWS = 1000


def others() -> dict:
    """By name, a function that makes a learner: `weight` None or "balanced"."""
    if SVC is None:
        print("(no scikit-learn: convd alone; install python3-sklearn)")
        return {}
    return {"RBF-SVM": lambda weight: SVC(C=10, class_weight=weight),
            "logistic regression": lambda weight: make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, class_weight=weight))}


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


def scores(predictions: list[dict], classes: list) -> np.ndarray:
    return np.log(np.maximum([[p["probabilities"][str(c)] for c in classes] for p in predictions], 1e-30))


def best_recall(old: np.ndarray, labels: np.ndarray, new: np.ndarray, column: int, before: float) -> float:
    """Of the scores of images of the others and of the class at `column`."""
    rest = [k for k in range(old.shape[1]) if k != column]
    needs_old, needs_new = (s[:, rest].max(axis=1) - s[:, column] for s in (old, new))  # an addend above it names the class
    right = np.array(rest)[old[:, rest].argmax(axis=1)] == labels
    return max((100 * (needs_new < b).mean() for b in np.r_[needs_old, needs_new, needs_new + 1e-9]
                if 100 * (before - (right & (needs_old >= b)).mean()) <= MOST_LOST), default=0.0)


def figures(old: np.ndarray, labels: np.ndarray, new: np.ndarray, column: int, before: float) -> dict[str, float]:
    return {"recall": 100 * (new.argmax(axis=1) == column).mean(), "others lose": 100 * (before - (old.argmax(axis=1) == labels).mean()),
            "best recall": best_recall(old, labels, new, column, before)}


# ---- the tables: of a set and a seed, by learner the figures by name ----

def hand(program: Path, s: Set, seed: int) -> dict[str, dict[str, float]]:
    found: dict[str, list] = {}
    for draw in range(4):
        random = np.random.default_rng(1000 * seed + draw)
        three = random.choice(s.classes, 3, replace=False)
        chosen = np.concatenate([random.permutation(np.flatnonzero(s.y == c))[:5] for c in three])
        for name, make in others().items():
            learner = make(None).fit(flat(s.x[chosen]), s.y[chosen])
            found.setdefault(name, []).append(np.mean([learner.score(flat(s.t[s.u == c]), s.u[s.u == c]) for c in three]))
    return {name: {"balanced accuracy": 100 * float(np.mean(values))} for name, values in found.items()}


class Added:
    """One class that comes later: what is learned from and looked at, with the classes numbered, that one last."""

    def __init__(self, s: Set, c: int):
        self.classes = [k for k in s.classes if k != c] + [c]
        number = np.array([self.classes.index(k) if k in self.classes else -1 for k in range(max(s.classes) + 1)])
        self.x, self.y = s.x[s.y != c], number[s.y[s.y != c]]
        self.five = s.x[s.y == c][:5]
        self.old, self.labels, self.new = s.t[s.u != c][:400], number[s.u[s.u != c]][:400], s.t[s.u == c]
        self.all_x = np.concatenate([self.x, self.five])
        self.all_y = np.concatenate([self.y, np.full(len(self.five), len(self.classes) - 1)])


def told(model: Model, a: Added, n: int, before: float) -> dict[str, float]:
    labels = [str(k) for k in range(len(a.classes))]
    return figures(scores(model.predict(a.old), labels), a.labels, scores(model.predict(a.new), labels), n, before)


def by_convd(program: Path, s: Set, a: Added, seed: int) -> dict[str, dict[str, float]]:
    n, out = len(a.classes) - 1, {}
    with Model(program, s.init(seed), list(range(n)), a.x, a.y.astype(np.uint8)) as model:
        before = np.mean([p["label"] == str(k) for p, k in zip(model.predict(a.old), a.labels)])
        model.ask("/classes", {"label": str(n)})
        for image in a.five:
            model.ask(f"/train?label={n}", image.tobytes())
        out["convd, at once"] = told(model, a, n, before)
        time.sleep(2.5)
        out["convd, when idle is over"] = told(model, a, n, before)
    order = np.random.default_rng(seed).permutation(len(a.all_y))
    with Model(program, s.init(seed), list(range(n + 1)), a.all_x[order], a.all_y[order].astype(np.uint8)) as model:
        out["convd, the five among all others"] = told(model, a, n, before)
    return out


def added(program: Path, s: Set, seed: int) -> dict[str, dict[str, float]]:
    found: dict[str, list] = {}
    for c in s.classes[seed % 3::3][:4]:
        a = Added(s, c)
        n = len(a.classes) - 1
        for name, row in by_convd(program, s, a, seed).items():
            found.setdefault(name, []).append(row)
        if "RBF-SVM" in others():
            make = others()["RBF-SVM"]
            before = make(None).fit(flat(a.x), a.y).score(flat(a.old), a.labels)
            for weight in (None, "balanced"):
                learner = make(weight).fit(flat(a.all_x), a.all_y)
                row = figures(learner.decision_function(flat(a.old)), a.labels, learner.decision_function(flat(a.new)), n, before)
                found.setdefault(f"RBF-SVM, {weight or 'as they are'}", []).append(row)
    return {name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} for name, rows in found.items()}


def chance(program: Path, s: Set, seed: int) -> dict[str, dict[str, float]]:
    with Model(program, s.init(seed), s.classes, s.x, s.y) as model:
        predictions = model.predict(s.t)
    confidence = np.array([p["confidence"] for p in predictions])
    hit = np.array([p["label"] == str(k) for p, k in zip(predictions, s.u)])
    random = np.random.default_rng(seed)
    by_chance = [calibration_error(confidence, random.random(len(hit)) < confidence) for _ in range(DRAWS)]
    return {f"{len(hit)} test images": {"error": 100 * calibration_error(confidence, hit), "error by chance": 100 * float(np.mean(by_chance)),
                                        "error by chance, one of twenty above": 100 * float(np.quantile(by_chance, 0.95))}}


TABLES = {f.__name__: f for f in (hand, added, chance)}


def row(rows: list[dict[str, float]]) -> str:
    out = []
    for name in rows[0]:
        values = [r[name] for r in rows]
        out.append(f"{name} {statistics.mean(values):.1f} / {(max if 'lose' in name or 'error' in name else min)(values):.1f}")
    return "; ".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--convd", type=Path, default=Path("build/convd"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/pictures"))
    parser.add_argument("--seeds", default="42,43,44,45,46")
    parser.add_argument("--sets", default="clothes-colour-32,clothes-grey-48,fashion-28,letters-28,omniglot20-28")
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []])
    args = parser.parse_args()
    for table in args.tables or TABLES:
        print(f"\n{table}\n")
        for name in args.sets.split(","):
            s = Set(args.data, name, False)
            found = [TABLES[table](args.convd, s, int(seed)) for seed in args.seeds.split(",")]
            for learner in found[0]:
                print(f"{name}, {learner}: {row([f[learner] for f in found])}", flush=True)


if __name__ == "__main__":
    main()
