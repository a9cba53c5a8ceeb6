"""part_learn.py - learning by the shipped commands: what issue 3's table of learning asks for.

Each run is a fresh model in a fresh file on a real disk, `convd init`, `train`, `evaluate`. Seconds of the pass are of the whole process
`convd train`, from its start to its end, median of three; as the arithmetic promises the same bits, the three models must have one digest.
Ten seeds of the pass tell how much is luck. The best settings take a minute of processor time: with `--long` only. They were chosen
without the test images (bench/defaults.md).
"""
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from procs import ENVIRONMENT, HERE, INIT_PLAIN, BenchError
from report import Report, at_least, at_most, median

sys.path.append(str(HERE / "experiments"))
import ten_each

RUNS = 3
SEEDS = range(1, 11)
DRAWS = 10
MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DIGITS = ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "test-images.idx3-ubyte", "test-labels.idx1-ubyte")
DECAYING = ("--passes", "12", "--decay", "0.75", "--rate", "0.073")
REHEARSED = (*INIT_PLAIN, "--rehearsal", "4", "--jitter", "1")
BEST = ("--passes", "52", "--decay", "0.914", "--jitter", "1.5", "--rotation", "12", "--rate", "0.07")
NO_MNIST = "no MNIST there (MNIST=DIR): on examples/digits, goal not judged"
NO_PEER = f"peer not there: install {ten_each.PYTHON_NEEDS}"


def find(folder: Path, names: tuple[str, ...]) -> list[Path] | None:
    files = [next((f for f in (folder / name, folder / f"{name}.gz") if f.exists()), None) for name in names]
    return None if None in files else files


def convd(build: Path, verb: str, *arguments: str | Path) -> tuple[dict, float, float]:
    """The JSON that it printed (if any), and the seconds that the process took: on the wall, and of processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([build / "convd", verb, *arguments], capture_output=True, text=True, env=ENVIRONMENT)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise BenchError(f"convd {verb} ended with status {done.returncode}: {done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (json.loads(done.stdout) if "--json" in arguments else {}), seconds, cpu


class Model:
    """One database in `folder`, which is removed at the end."""

    def __init__(self, build: Path, folder: Path, *init: str):
        self.build, self.db = build, folder / "model.db"
        convd(build, "init", "--db", self.db, *init)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for path in self.db.parent.glob(self.db.name + "*"):
            path.unlink()

    def train(self, files: list[Path], *flags: str) -> dict:
        trained, seconds, cpu = convd(self.build, "train", "--db", self.db, *flags, "--json", "--quiet", *files[:2])
        return {"seconds": seconds, "cpu": cpu, "samples": trained["samples"], "steps": trained["steps"], "accuracy": 100 * trained["accuracy"]}

    def test(self, files: list[Path]) -> dict:
        tested, _, _ = convd(self.build, "evaluate", "--db", self.db, "--json", "--quiet", *files[-2:])
        return {"test_accuracy": 100 * tested["accuracy"], "test_errors": tested["errors"], "digest": tested["digest"]}


def run(build: Path, folder: Path, files: list[Path], init: tuple[str, ...] = INIT_PLAIN, flags: tuple[str, ...] = ()) -> dict:
    with Model(build, folder, *init) as model:
        return model.train(files, *flags) | model.test(files)


# ---- class by class ----

def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def only(classes: range, files: list[Path], folder: Path, name: str) -> list[Path]:
    """The images of those classes, and their labels, as two new files."""
    images, labels = (unpacked(path) for path in files)
    side = int.from_bytes(images[8:12], "big") * int.from_bytes(images[12:16], "big")
    chosen = [i for i, label in enumerate(labels[8:]) if label in classes]
    n = len(chosen).to_bytes(4, "big")
    out = [folder / f"{name}-images", folder / f"{name}-labels"]
    out[0].write_bytes(images[:4] + n + images[8:16] + b"".join(images[16 + i * side : 16 + (i + 1) * side] for i in chosen))
    out[1].write_bytes(labels[:4] + n + bytes(labels[8 + i] for i in chosen))
    return out


def class_by_class(build: Path, folder: Path, files: list[Path], init: tuple[str, ...]) -> float:
    """Test accuracy on 0-4 after these were taught first, and then only 5-9."""
    with Model(build, folder, *init) as model:
        for classes in (range(5), range(5, 10)):
            model.train(only(classes, files[:2], folder, "taught"))
        return model.test(only(range(5), files[2:], folder, "old"))["test_accuracy"]


# ---- the rows ----

def online(report: Report, build: Path, folder: Path, files: list[Path], data: str, common: dict) -> None:
    runs = [run(build, folder, files) for _ in range(RUNS)]
    if len({r["digest"] for r in runs}) != 1:
        raise BenchError(f"the same pass gave different models: {[r['digest'] for r in runs]}")
    falling = run(build, folder, files, flags=DECAYING)
    once, seconds = runs[0], median([r["seconds"] for r in runs])
    report.add("learn-seconds", f"one durable pass without rehearsal, {data}'s {once['samples']:,} images", "s", seconds, goal=at_most(3), **common)
    report.add("learn-online", "  its test-then-train accuracy", "%", once["accuracy"], goal=at_least(93.5, "value"), **common)
    report.add("learn-test", "  its test accuracy", "%", once["test_accuracy"], note=f"{once['test_errors']} errors")
    seeds = [run(build, folder, files, (*INIT_PLAIN, "--seed", str(seed)))["accuracy"] for seed in SEEDS]
    report.add("learn-seeds", f"  worst of {len(seeds)} seeds below the best, points", "", max(seeds) - min(seeds), goal=at_most(1.5),
               note=common["note"] or f"{min(seeds):.2f} to {max(seeds):.2f} %", judged=common["judged"])
    report.add("learn-12", "12 passes, falling rate: test accuracy", "%", falling["test_accuracy"], goal=at_least(97.9, "value"),
               note=common["note"] or f"{falling['test_errors']} errors, {falling['seconds']:.1f} s", judged=common["judged"])
    report.raw["learn"] = {"data": data, "runs": runs, "falling": falling, "seeds": seeds}


def rehearsed(report: Report, build: Path, folder: Path, files: list[Path], common: dict) -> None:
    whole = run(build, folder, files, REHEARSED)
    early = run(build, folder, files, REHEARSED, ("--limit", "1000"))["test_accuracy"]
    plain = run(build, folder, files, INIT_PLAIN, ("--limit", "1000"))["test_accuracy"]
    report.add("learn-rehearsal", "one pass, rehearsal 4, jitter 1: test-then-train", "%", whole["accuracy"], goal=at_least(96.5, "value"), **common)
    report.add("learn-rehearsal-test", "  its test accuracy", "%", whole["test_accuracy"], goal=at_least(97.9, "value"), **common)
    report.add("learn-early", "  test accuracy after its first 1,000 samples", "%", early, goal=at_least(87, "value"),
               note=common["note"] or f"{plain:.1f} % without rehearsal", judged=common["judged"])
    with_it, without = (class_by_class(build, folder, files, init) for init in (REHEARSED, INIT_PLAIN))
    report.add("learn-forgetting", "0-4 first, then only 5-9, the same: test on 0-4", "%", with_it, goal=at_least(97.5, "value"),
               note=common["note"] or f"{without:.1f} % without rehearsal", judged=common["judged"])
    report.raw["learn"] |= {"rehearsed": whole, "early": early, "forgetting": [with_it, without]}


def as_it_comes(report: Report, build: Path, folder: Path, files: list[Path], common: dict) -> None:
    new = run(build, folder, files, ())
    report.add("learn-new", f"one pass, a new model as it comes: test-then-train, {new['seconds']:.1f} s", "%", new["accuracy"],
               goal=at_least(96.7, "value"), **common)
    report.add("learn-new-test", "  its test accuracy", "%", new["test_accuracy"], goal=at_least(98.1, "value"), **common)
    old = class_by_class(build, folder, files, ())
    report.add("learn-new-forgetting", "  0-4 first, then only 5-9: test on 0-4", "%", old, goal=at_least(97.5, "value"), **common)
    report.raw["learn"] |= {"new": new, "new forgetting": old}


def by_hand(report: Report, build: Path) -> None:
    what = "ten each of the 8x8 digits, test accuracy"
    try:
        ours, theirs = ten_each.compare((build / "convd").resolve(), DRAWS)
    except ImportError:
        report.lack(NO_PEER)
        report.add("learn-ten", what, "%", None, goal=at_least(1), note=NO_PEER)
        return
    a, b = sum(ours) / DRAWS, sum(theirs) / DRAWS
    report.add("learn-ten", what, "%", a, "scikit-learn", b, a / b, at_least(1), note=f"better in {sum(x > y for x, y in zip(ours, theirs))} of {DRAWS} draws")
    report.raw["learn"]["ten"] = {"convd": ours, "logistic regression": theirs}


def best(report: Report, build: Path, folder: Path, files: list[Path], common: dict) -> None:
    found = run(build, folder, files, INIT_PLAIN, BEST)
    report.add("learn-best", f"{BEST[1]} passes, jitter, rotation, falling rate: test errors", "", found["test_errors"], "Vowpal Wabbit's demo", 166,
               166 / max(found["test_errors"], 1), goal=at_most(110), **common)
    report.add("learn-best-seconds", "  its processor time", "s", found["cpu"], goal=at_most(60), **common)
    report.raw["learn"]["best"] = found


def measure(report: Report, build: Path, out: Path, mnist: Path, long: bool = False) -> None:
    files, data = find(mnist, MNIST), "MNIST"
    common = {"note": "", "judged": files is not None}
    if files is None:
        files, data = find(Path("examples/digits"), DIGITS), "examples/digits"
        common["note"] = NO_MNIST
        report.lack("MNIST's files: make bench MNIST=DIR")
    if files is None:
        raise BenchError(f"neither {mnist} nor examples/digits has digits to learn from")
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        online(report, build, folder, files, data, common)
        as_it_comes(report, build, folder, files, common)
        rehearsed(report, build, folder, files, common)
        by_hand(report, build)
        if long:
            best(report, build, folder, files, common)
