#!/usr/bin/python3
"""geometry.py [--convd PROGRAM] [--data DIR] [--seeds 42,43,..] [--sizes 16,28,..] [--hidden 32,..] [--kernels 4x3,16x5,..] [--train N] [--sets NAME,..] - whether a new model
of any geometry learns more than the commonest class.

Sets of grey and of colour pictures (fashion-28, clothes-colour-32), scaled to each size, one pass of `convd train` over at most N training images, `convd evaluate` on
the test part; nothing set but the geometry. Printed: a row for each geometry, accuracy of each seed beside the share of the commonest class; in
the end, those at most 5 points above it. Exit 1 where there are such.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.dont_write_bytecode = True
from pictures import ENVIRONMENT, Set, scaled, write  # noqa: E402

ABOVE = 5.0


def run(convd: str, s: Set, side: int, kernels: str, hidden: int, seed: int, n: int) -> float:
    number, width = kernels.split("x")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        files = [write(Path(folder) / name, array) for name, array in
                 (("x", scaled(s.x[:n], side)), ("y", s.y[:n]), ("t", scaled(s.t, side)), ("u", s.u))]
        db = Path(folder) / "model.db"

        def call(*words) -> dict:
            return json.loads(subprocess.run([convd, *map(str, words), "--json"], env=ENVIRONMENT, check=True, capture_output=True).stdout)
        call("init", "--db", db, "--width", side, "--height", side, "--channels", s.x.shape[1] if s.x.ndim == 4 else 1, "--kernels", number,
             "--kernel-width", width, "--kernel-height", width, "--hidden", hidden, "--seed", seed,
             "--classes", ",".join(map(str, range(max(s.classes) + 1))))
        call("train", "--db", db, files[0], files[1])
        return 100 * call("evaluate", "--db", db, files[2], files[3])["accuracy"]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--convd", default="build/convd")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/pictures"))
    for name, default in (("seeds", "42,43,44,45,46"), ("sizes", "16,28,48,128"), ("hidden", "32,128,512"), ("kernels", "4x3,16x5,64x7")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--train", type=int, default=600)
    parser.add_argument("--sets", default="fashion-28,clothes-colour-32")
    a = parser.parse_args()
    bad = []
    for name in a.sets.split(","):
        s = Set(a.data, name, False)
        commonest = 100 * np.bincount(s.u).max() / len(s.u)
        for side in map(int, a.sizes.split(",")):
            for kernels in a.kernels.split(","):
                for hidden in map(int, a.hidden.split(",")):
                    found = [run(a.convd, s, side, kernels, hidden, int(seed), a.train) for seed in a.seeds.split(",")]
                    row = f"{name}, {side}x{side}, {kernels}x{kernels.split('x')[1]}, hidden {hidden}: " + ", ".join(f"{x:.1f}" for x in found)
                    print(f"{row}; the commonest {commonest:.1f}", flush=True)
                    if min(found) < commonest + ABOVE:
                        bad.append(row)
    print("\nat chance:", *(bad or ["none"]), sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
