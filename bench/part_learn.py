"""part_learn.py - learning by the shipped commands: one durable pass over MNIST, and twelve with a falling rate.

Each run is a fresh model in a fresh file on a real disk. Seconds are of the whole process `convd train`, from its start to its end,
median of three; as the arithmetic promises the same bits, the three models must have one digest.
"""
import json
import subprocess
import tempfile
import time
from pathlib import Path

from procs import ENVIRONMENT, BenchError
from report import Report, at_least, at_most, median

RUNS = 3
MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DIGITS = ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "test-images.idx3-ubyte", "test-labels.idx1-ubyte")
FALLING = ("--passes", "12", "--decay", "0.75", "--rate", "0.073")


def find(folder: Path, names: tuple[str, ...]) -> list[Path] | None:
    files = [next((f for f in (folder / name, folder / f"{name}.gz") if f.exists()), None) for name in names]
    return None if None in files else files


def convd(build: Path, verb: str, *arguments: str | Path) -> tuple[dict, float]:
    """The JSON that it printed (if any), and the seconds that the process took."""
    start = time.perf_counter()
    done = subprocess.run([build / "convd", verb, *arguments], capture_output=True, text=True, env=ENVIRONMENT)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise BenchError(f"convd {verb} ended with status {done.returncode}: {done.stderr}")
    return (json.loads(done.stdout) if "--json" in arguments else {}), seconds


def train(build: Path, folder: Path, files: list[Path], *flags: str) -> dict:
    db = folder / "model.db"
    convd(build, "init", "--db", db)
    trained, seconds = convd(build, "train", "--db", db, *flags, "--json", "--quiet", *files[:2])
    tested, _ = convd(build, "evaluate", "--db", db, "--json", "--quiet", *files[2:])
    for path in folder.glob("model.db*"):
        path.unlink()
    return {
        "seconds": seconds, "samples": trained["samples"], "steps": trained["steps"], "accuracy": 100 * trained["accuracy"],
        "test_accuracy": 100 * tested["accuracy"], "test_errors": tested["errors"], "digest": tested["digest"],
    }


def measure(report: Report, build: Path, out: Path, mnist: Path) -> None:
    files = find(mnist, MNIST)
    judged, note, data = files is not None, "", "MNIST"
    if files is None:
        files, data = find(Path("examples/digits"), DIGITS), "examples/digits"
        note = "no MNIST there (MNIST=DIR): timed on examples/digits, goal not judged"
        report.lack("MNIST's files: make bench MNIST=DIR")
    if files is None:
        raise BenchError(f"neither {mnist} nor examples/digits has digits to learn from")
    with tempfile.TemporaryDirectory(dir=out) as folder:
        runs = [train(build, Path(folder), files) for _ in range(RUNS)]
        if len({run["digest"] for run in runs}) != 1:
            raise BenchError(f"the same pass gave different models: {[run['digest'] for run in runs]}")
        falling = train(build, Path(folder), files, *FALLING)
    once, n = runs[0], f"{runs[0]['samples']:,}"
    common = {"note": note, "judged": judged}
    seconds = median([run["seconds"] for run in runs])
    report.add("learn-seconds", f"one durable pass, {data}'s {n} images", "s", seconds, goal=at_most(3), **common)
    report.add("learn-online", "  its test-then-train accuracy, defaults", "%", once["accuracy"], goal=at_least(93, "value"), **common)
    report.add("learn-test", "  its test accuracy", "%", once["test_accuracy"], note=f"{once['test_errors']} errors")
    report.add("learn-12", "12 passes, falling rate: test accuracy", "%", falling["test_accuracy"],
               goal=at_least(97.9, "value"), note=note or f"{falling['test_errors']} errors, {falling['seconds']:.1f} s", judged=judged)
    report.raw["learn"] = {"data": data, "runs": runs, "falling": falling}
