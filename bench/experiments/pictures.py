#!/usr/bin/python3
"""pictures.py [--convd PROGRAM] [--data DIR] [--held] [--seeds 42,43,..] [--sets NAME,..] [--init FLAGS] [TABLE ..] - how a new model learns pictures, as tables.

By convd's own commands and routes, with nothing set but the size and what --init has: what docs/learning.md tells. DIR has NAME-{train,test}-{images,labels}.idx.gz.
Tables: accuracy, calibration, unknown, added, hand (all without TABLE). Printed: mean over the seeds / the worst of them. --held: the last
quarter of each training part is the test, for whoever chooses settings; the test parts are for what is told in the end.
"""
import argparse
import gzip
import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from procs import ENVIRONMENT, Server  # noqa: E402

BINS = 10


def idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack(f">{data[3]}I", data[4:4 + 4 * data[3]])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def write(path: Path, array: np.ndarray) -> Path:
    path.write_bytes(struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())
    return path


class Set:
    """x, y: to learn from; t, u: to test on."""
    flags: list[str] = []  # of convd init, beside the size

    def __init__(self, data: Path, name: str, held: bool):
        part = {f"{a}-{b}": idx(data / f"{name}-{a}-{b}.idx.gz") for a in ("train", "test") for b in ("images", "labels")}
        self.name, self.x, self.y = name, part["train-images"], part["train-labels"]
        self.t, self.u = part["test-images"], part["test-labels"]
        if held:
            n = len(self.y) * 3 // 4
            self.x, self.y, self.t, self.u = self.x[:n], self.y[:n], self.x[n:], self.y[n:]
        self.classes = sorted(set(self.y.tolist()))
        self.shape = self.x.shape[1:]

    def init(self, seed: int) -> list[str]:
        channels = self.shape[0] if len(self.shape) == 3 else 1
        return ["--width", str(self.shape[-1]), "--height", str(self.shape[-2]), "--channels", str(channels), "--seed", str(seed), *Set.flags]


class Digits(Set):
    """MNIST, of which `n` images are learned from."""

    def __init__(self, folder: Path, n: int):
        self.name, self.classes = "MNIST", list(range(10))
        self.x, self.y, self.t, self.u = (idx(folder / f"{a}-ubyte.gz") for a in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"))
        self.x, self.y, self.shape = self.x[:n], self.y[:n], self.x.shape[1:]


def scaled(images: np.ndarray, side: int) -> np.ndarray:
    """Each new pixel is the mean of a patch, or the nearest one where pictures grow."""
    n = images.shape[-1]
    at = [np.unique(np.linspace(i * n / side, max((i + 1) * n / side - 1e-9, i * n / side), 8).astype(int)) for i in range(side)]
    rows = np.stack([images[..., k, :].mean(axis=-2) for k in at], axis=-2)
    return np.stack([rows[..., k].mean(axis=-1) for k in at], axis=-1).round().astype(np.uint8)


def fitted(images: np.ndarray, shape: tuple) -> np.ndarray:
    """Scaled to that shape; grey in colour, colour in grey."""
    images = scaled(images, shape[-1])
    if images.ndim == 4 and len(shape) == 2:
        return images.mean(axis=1).round().astype(np.uint8)
    return np.repeat(images[:, None], 3, axis=1) if images.ndim == 3 and len(shape) == 3 else images


class Model:
    """A new model in a folder of its own, and a daemon that has it."""

    def __init__(self, program: Path, init: list[str], classes: list, x=None, y=None):
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.server = None
        db = Path(self.folder.name) / "model.db"
        self.run(program, "init", "--db", db, *init, "--classes", ",".join(map(str, classes)))
        if x is not None:
            files = [write(db.with_name(f"{name}.idx"), array) for name, array in (("images", x), ("labels", y))]
            self.run(program, "train", "--db", db, "--quiet", *files)
        self.server = Server(program, "serve", "--db", db, "--listen", "127.0.0.1:0")

    def run(self, *command) -> None:
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)

    def ask(self, path: str, body=None, method=None) -> dict:
        kind = "application/json" if isinstance(body, dict) else "application/octet-stream"
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.server.url + path, data, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    def predict(self, images: np.ndarray, query: str = "") -> list[dict]:
        out = []
        for i in range(0, len(images), 64):
            answer = self.ask("/predict" + query, images[i:i + 64].tobytes())
            out += answer.get("predictions", [answer])
        return out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server is not None:
            self.server.process.terminate()
            self.server.process.wait(30)
        self.folder.cleanup()


def right(predictions: list[dict], labels: np.ndarray) -> np.ndarray:
    return np.array([p["label"] == str(label) for p, label in zip(predictions, labels)])


def calibration_error(confidence: np.ndarray, hit: np.ndarray) -> float:
    """Expected calibration error: core/learner/calibration.h."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return sum(abs(confidence[place == b].sum() - hit[place == b].sum()) for b in range(BINS)) / len(hit)


def auroc(known: list[float], unknown: list[float]) -> float:
    """The share of pairs of which the known one is the nearer."""
    a, b = np.array(known)[:, None], np.array(unknown)[None, :]
    return float(((a > b) + 0.5 * (a == b)).mean())


# ---- the tables: of a set and a seed, the figures by name ----

def accuracy(program: Path, s: Set, seed: int, _: list[Set]) -> dict[str, float]:
    with Model(program, s.init(seed), s.classes, s.x, s.y) as model:
        hit = right(model.predict(s.t), s.u)
        return {"test": 100 * hit.mean(), "test-then-train": 100 * model.ask("/stats")["accuracy"]}


def calibration(program: Path, s: Set, seed: int, _: list[Set]) -> dict[str, float]:
    with Model(program, s.init(seed), s.classes, s.x, s.y) as model:
        predictions = model.predict(s.t)
        hit = right(predictions, s.u)
        sure = model.ask("/stats")["calibration"]["sure"]
        confidence = np.array([p["confidence"] for p in predictions])
        above = confidence >= (2 if sure["confidence"] is None else sure["confidence"])
        return {"error of confidence": 100 * calibration_error(confidence, hit),
                "of the largest probability": 100 * calibration_error(np.array([max(p["probabilities"].values()) for p in predictions]), hit),
                "sure": 100 * above.mean(), "right where sure": 100 * hit[above].mean() if above.any() else float("nan")}


def unknown(program: Path, s: Set, seed: int, sets: list[Set]) -> dict[str, float]:
    random = np.random.default_rng(seed)
    strange = {"noise": random.integers(0, 256, (200, *s.shape), dtype=np.uint8)}
    strange |= {o.name: fitted(o.t[:300], s.shape) for o in sets if o.name != s.name}
    with Model(program, s.init(seed), s.classes, s.x, s.y) as model:
        def known(images):
            return [p["known"] for p in model.predict(images, "?known=1&top=1")]
        own = known(s.t[:300])
        return {f"on {name}": auroc(own, known(images)) for name, images in strange.items()}


def added(program: Path, s: Set, seed: int, _: list[Set]) -> dict[str, float]:
    """Some classes in turn: taught to a model of the others; 400 images of those are looked at."""
    figures = []
    for c in s.classes[seed % 3::3][:4]:
        others, test = s.y != c, s.u != c
        rest = [k for k in s.classes if k != c]
        with Model(program, s.init(seed), rest, s.x[others], s.y[others]) as model:
            images, labels = s.t[test][:400], s.u[test][:400]
            before = right(model.predict(images), labels).mean()
            model.ask("/classes", {"label": str(c)})
            takes = np.mean([p["label"] == str(c) for p in model.predict(images)])
            for image in s.x[s.y == c][:5]:
                model.ask(f"/train?label={c}", image.tobytes())
            recall = right(model.predict(s.t[~test]), s.u[~test]).mean()
            after = right(model.predict(images), labels).mean()
            time.sleep(1)
            later = right(model.predict(images), labels).mean()
            figures.append((100 * takes, 100 * recall, 100 * (before - after), 100 * (before - later),
                            100 * right(model.predict(s.t[~test]), s.u[~test]).mean()))
    return dict(zip(("takes", "recall", "others lose", "a second later", "recall then"), np.mean(figures, axis=0)))


def hand(program: Path, s: Set, seed: int, _: list[Set]) -> dict[str, float]:
    """Three drawn classes, five drawn images of each, one class after the other; balanced accuracy two seconds after the last."""
    out = []
    for draw in range(4):
        random = np.random.default_rng(1000 * seed + draw)
        three = random.choice(s.classes, 3, replace=False)
        with Model(program, s.init(seed), three.tolist()) as model:
            for c in three:
                for i in random.permutation(np.flatnonzero(s.y == c))[:5]:
                    model.ask(f"/train?label={c}", s.x[i].tobytes())
            time.sleep(2)
            out.append(np.mean([right(model.predict(s.t[s.u == c]), s.u[s.u == c]).mean() for c in three]))
    return {"balanced accuracy": 100 * float(np.mean(out))}


TABLES = {f.__name__: f for f in (accuracy, calibration, unknown, added, hand)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--convd", type=Path, default=Path("build/convd"))
    arguments.add_argument("--data", type=Path, default=Path("../shared/data/pictures"))
    arguments.add_argument("--held", action="store_true")
    arguments.add_argument("--seeds", default="42,43,44,45,46")
    arguments.add_argument("--sets", default="")
    arguments.add_argument("--mnist", type=Path, help="folder of MNIST's files, one more set")
    arguments.add_argument("--mnist-images", type=int, default=60000, help="of it, to learn from")
    arguments.add_argument("--init", default="", help="more flags for convd init")
    arguments.add_argument("tables", nargs="*", choices=[*TABLES, []])
    args = arguments.parse_args()
    Set.flags = args.init.split()
    names = sorted(p.name.removesuffix("-train-images.idx.gz") for p in args.data.glob("*-train-images.idx.gz"))
    if not names:
        sys.exit(f"pictures.py: no sets in {args.data}: --data DIR")
    sets = [Set(args.data, name, args.held) for name in names]
    if args.mnist:
        sets.append(Digits(args.mnist, args.mnist_images))
    for table in args.tables or TABLES:
        print(f"\n{table}\n")
        for s in sets:
            if args.sets and s.name not in args.sets.split(","):
                continue
            rows = [TABLES[table](args.convd, s, int(seed), sets) for seed in args.seeds.split(",")]
            told = []
            for name in rows[0]:
                values = [row[name] for row in rows]
                low = name in ("takes", "others lose", "a second later") or "error" in name or "of the" in name
                told.append(f"{name} {statistics.mean(values):.2f} / {(max if low else min)(values):.2f}")
            print(f"{s.name}: " + "; ".join(told), flush=True)


if __name__ == "__main__":
    main()
