#!/usr/bin/env python3
"""numpy_model.py MODEL.npz PICTURE... - convd's network in numpy: prints each picture's class, as convd would.

    curl -O http://127.0.0.1:8080/model.npz
    examples/numpy_model.py model.npz examples/digits/7.png

Needs numpy and Pillow, and nothing of convd but the file. The equations are those of docs/network.md.
"""
import json
import sys

import numpy as np
from PIL import Image

from picture import fit


class Model:
    def __init__(self, path: str):
        with np.load(path) as file:
            self.kernels = file["kernels"] if "kernels" in file else None  # [N][channels][height][width]
            self.w01, self.w12 = file["w01"], file["w12"]
            self.metadata = json.loads(file["metadata"].item())
        self.classes = json.loads(self.metadata["classes"])
        self.mean, self.normalize = np.float32(self.metadata["mean"]), self.metadata["normalize"]

    def normalized(self, image: np.ndarray) -> np.ndarray:
        """By the setting `normalize`: as it is, or the image's mean, or its mean and standard deviation, made a fixed one."""
        centred = image if self.normalize == "none" else image - image.mean()
        return centred * 0.3 / max(image.std(), 8) if self.normalize == "std" else centred / 255

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """pixels: uint8 [channels][height][width]. Returns the classes' probabilities."""
        x = self.normalized(pixels.astype(np.float32)) - self.mean
        if self.kernels is None:
            l0 = x.ravel()
        else:
            stride = int(self.metadata["stride"])
            patches = np.lib.stride_tricks.sliding_window_view(x, self.kernels.shape[2:], axis=(1, 2))
            lc = np.einsum("cyxij,kcij->kyx", patches[:, ::stride, ::stride], self.kernels)
            l0 = np.tanh(lc.max(axis=0)).ravel()  # the max runs across kernels at each position
        l1 = np.tanh(l0 @ self.w01)
        l2 = np.exp(l1 @ self.w12)
        return l2 / l2.sum()

    def input_of(self, path: str) -> np.ndarray:
        width, height, channels = (int(self.metadata[name]) for name in ("width", "height", "channels"))
        return fit(Image.open(path), width, height, channels, self.metadata["fit"], self.metadata["invert"])


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    model = Model(sys.argv[1])
    for path in sys.argv[2:]:
        p = model.predict(model.input_of(path))
        best = int(p.argmax())
        print(json.dumps({"file": path, "label": model.classes[best], "probability": float(p[best]),
                          "probabilities": dict(zip(model.classes, map(float, p)))}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
