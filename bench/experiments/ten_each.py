"""ten_each.py - ten examples a class of the 8x8 digits, by convd's own commands, against scikit-learn's logistic regression.

A draw is ten images of each digit, in a drawn order; all the other 1,697 are the test. scikit-learn learns from the same hundred, its
pixels scaled to 0..1 as convd's are, and is tried as it comes (C = 1) as well as with the pixels as they are (0..16), which is the same as C =
256: what counts is the better of the two of each draw. convd gets what a person would type, INIT and TRAIN below, the same for every draw;
the mean and TRAIN were chosen on the draws 0 to 5, which are not among those that count.
"""
import json
import struct
import subprocess
import tempfile
from pathlib import Path

PYTHON_NEEDS = "python3-numpy and python3-sklearn"
INIT = "--width 8 --height 8 --kernel-width 3 --kernel-height 3 --normalize none --mean 0.4 --decay-steps 60000 --rehearsal 0 --output-rate 1 --imprint 0".split()
TRAIN = "--passes 300 --decay 0.99 --jitter 0.7 --rotation 15".split()


def convd(program: Path, verb: str, *arguments) -> dict:
    done = subprocess.run([program, verb, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"convd {verb} ended with status {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout) if "--json" in arguments else {}


def idx(path: Path, array) -> Path:
    path.write_bytes(struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())
    return path


FIRST = 100  # of the draws that count


def draws(n: int, first: int = FIRST):
    """n times (images to learn from, labels, images to test on, labels), uint8, 0..16."""
    import numpy
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images.astype(numpy.uint8), digits.target.astype(numpy.uint8)
    for seed in range(first, first + n):
        random = numpy.random.default_rng(seed)
        order = random.permutation(len(labels))
        chosen = numpy.concatenate([order[labels[order] == digit][:10] for digit in range(10)])
        chosen = chosen[random.permutation(len(chosen))]
        rest = numpy.setdiff1d(order, chosen)
        yield images[chosen], labels[chosen], images[rest], labels[rest]


def ours(program: Path, draw, init: list[str], train: list[str]) -> float:
    """Test accuracy in per cent."""
    import numpy

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = []
        for part, images, labels in (("train", draw[0], draw[1]), ("test", draw[2], draw[3])):
            files.append(idx(folder / f"{part}-images.idx", numpy.rint(images * (255 / 16)).astype(numpy.uint8)))
            files.append(idx(folder / f"{part}-labels.idx", labels))
        model = ("--db", folder / "digits.db")
        convd(program, "init", *model, *init)
        convd(program, "train", *model, *train, "--quiet", *files[:2])
        return 100 * convd(program, "evaluate", *model, "--quiet", "--json", *files[2:])["accuracy"]


def theirs(draw) -> float:
    from sklearn.linear_model import LogisticRegression

    def accuracy(scale: float) -> float:
        model = LogisticRegression(max_iter=10000).fit(draw[0].reshape(len(draw[0]), -1) * scale, draw[1])
        return 100 * float(model.score(draw[2].reshape(len(draw[2]), -1) * scale, draw[3]))

    return max(accuracy(1), accuracy(1 / 16))


def compare(program: Path, n: int, init: list[str] = INIT, train: list[str] = TRAIN) -> tuple[list[float], list[float]]:
    """Test accuracies of n draws: convd's and scikit-learn's."""
    program = program.resolve()
    pairs = [(ours(program, draw, init, train), theirs(draw)) for draw in draws(n)]
    return [a for a, _ in pairs], [b for _, b in pairs]
