#!/usr/bin/python3
"""photographs.py CONVD [--digits tune|test] [--n N] [--fit WORD] [--invert WORD] [--keep DIR] - digits on photographs that are made here: how many are read.

The model is that of `make run` (examples/digits, three passes) with another `fit` and `invert`. A photograph is a digit of MNIST, drawn as ink on paper
by its shape at a large size, at a share of the picture's width and a place; light falls off across it, the sensor has noise, the paper and the
pen have colours, JPEG has its blocks. What was chosen was chosen on `tune`, digits of MNIST's training half that the model has not seen
(MNIST=DIR); `test` is examples/digits' test half, and what docs report.
"""
import argparse
import gzip
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
DIGITS = ROOT / "examples" / "digits"
# Share of the width, off the middle by at most (of the free room), portrait or not, pen's grey, paper's, fall of light, noise, pen's width
FRAMINGS = {
    "0.7 of the width, centred": dict(share=.7, off=0),
    "1/2, centred": dict(share=.5, off=0),
    "1/3, centred": dict(share=.35, off=0),
    "1/2, off centre": dict(share=.5, off=.8),
    "1/3, off centre": dict(share=.33, off=.8),
    "1/3, off centre, landscape": dict(share=.33, off=.8, size=(1200, 900)),
    "1/5, off centre": dict(share=.2, off=.8),
    "1/3, strong light": dict(share=.33, off=.8, light=120, noise=8),
    "1/3, pencil": dict(share=.33, off=.8, pen=(120, 120, 125), light=60, noise=6),
    "1/3, chalk on a board": dict(share=.33, off=.8, paper=(40, 70, 55), pen=(220, 220, 210)),
    "1/3, thin pen": dict(share=.33, off=.8, thin=True),
}


def idx(path: Path) -> np.ndarray:
    data = gzip.open(path).read()
    shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def digits(which: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    if which == "test":
        return idx(DIGITS / "test-images.idx3-ubyte.gz")[:n], idx(DIGITS / "test-labels.idx1-ubyte.gz")[:n]
    mnist = Path(os.environ.get("MNIST", ROOT / ".." / "shared" / "data" / "mnist"))
    images, labels = idx(mnist / "train-images-idx3-ubyte.gz"), idx(mnist / "train-labels-idx1-ubyte.gz")
    seen = {image.tobytes() for image in idx(DIGITS / "train-images.idx3-ubyte.gz")}
    fresh = [i for i in range(30000, 30000 + 2 * n) if images[i].tobytes() not in seen][:n]
    return images[fresh], labels[fresh]


def thinner(shape: np.ndarray, rounds: int) -> np.ndarray:
    """Ink of half the width, about: a pixel stays where all of its neighbours are ink, so many times."""
    for _ in range(rounds):
        padded = np.pad(shape, 1)
        shape = np.minimum.reduce([padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    return shape


def photograph(digit: np.ndarray, random, share, off, size=(900, 1200), paper=(235, 228, 210), pen=(45, 50, 90), light=40, noise=4,
               thin=False) -> Image.Image:
    w, h = size
    side = int(w * share * 28 / 20)  # the digit's box of 20 x 20 is `share` of the width
    ink = np.asarray(Image.fromarray(digit).resize((side, side), Image.BICUBIC)).astype(float) / 255
    ink = np.clip(ink * 3 - 1, 0, 1)  # a pen's edge is sharp
    if thin:
        ink = thinner(ink, max(1, round(side / 28 * .7)))
    room_x, room_y = w - side, h - side
    x = room_x / 2 + random.uniform(-off, off) * max(room_x, 0) / 2
    y = room_y / 2 + random.uniform(-off, off) * max(room_y, 0) / 2
    mask = np.zeros((h, w, 1))
    x, y = int(x), int(y)
    mask[max(y, 0):y + side, max(x, 0):x + side, 0] = ink[max(-y, 0):max(-y, 0) + h, max(-x, 0):max(-x, 0) + w]
    angle = random.uniform(0, 2 * np.pi)
    fall = np.linspace(-.5, .5, w)[None, :, None] * np.cos(angle) + np.linspace(-.5, .5, h)[:, None, None] * np.sin(angle)
    picture = (np.array(paper) * (1 - mask) + np.array(pen) * mask) * (1 - light / 255 * (.5 + fall))
    picture += random.normal(0, noise, (h, w, 3))
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("convd", type=Path)
    parser.add_argument("--digits", choices=("tune", "test"), default="test")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--fit", default="content")
    parser.add_argument("--invert", default="auto")
    parser.add_argument("--keep", type=Path, help="keeps models and photographs, and takes those that are there")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / f"{args.fit}-{args.invert}.db"
        if not model.exists():
            subprocess.run([args.convd, "init", "--db", model, "--fit", args.fit, "--invert", args.invert], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([args.convd, "train", "--db", model, "--passes", "3", "--quiet", DIGITS / "train-images.idx3-ubyte.gz",
                            DIGITS / "train-labels.idx1-ubyte.gz"], check=True, stdout=subprocess.DEVNULL)
        images, labels = digits(args.digits, args.n)
        print(f"| {args.digits}, {len(images)} digits | right, % |\n|---|---|")
        for number, (name, how) in enumerate(FRAMINGS.items()):
            if args.only not in name:
                continue
            photographs = folder / f"{args.digits}-{number}-{args.n}"
            if not photographs.exists():
                random = np.random.default_rng(number + 100 * (args.digits == "test"))
                for i, (image, label) in enumerate(zip(images, labels)):
                    path = photographs / str(label) / f"{i}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    photograph(image, random, **how).save(path, quality=88)
            done = subprocess.run([args.convd, "evaluate", "--db", model, "--json", "--quiet", photographs], check=True, capture_output=True)
            print(f"| {name} | {100 * json.loads(done.stdout)['accuracy']:.1f} |", flush=True)


main()
