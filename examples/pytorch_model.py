#!/usr/bin/env python3
"""pytorch_model.py MODEL.safetensors PICTURE... - convd's network in PyTorch: prints each picture's class, as convd would.

    curl -O http://127.0.0.1:8080/model.safetensors
    examples/pytorch_model.py model.safetensors examples/digits/7.png

Needs PyTorch, numpy and Pillow. Model is an ordinary torch.nn.Module, so it can be trained further, exported or put into
another network; write_safetensors() makes a file of it for `convd init --from`.
"""
import json
import struct
import sys

import numpy as np
import torch
from PIL import Image

from picture import fit


def read_safetensors(path: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = torch.from_numpy(np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"]).copy())
    return tensors, metadata


def write_safetensors(path: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    header, parts, at = {"__metadata__": metadata}, [], 0
    for name, tensor in tensors.items():
        parts.append(tensor.detach().cpu().contiguous().numpy().astype("<f4").tobytes())
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


class Model(torch.nn.Module):
    def __init__(self, path: str):
        super().__init__()
        tensors, self.metadata = read_safetensors(path)
        for name, tensor in tensors.items():  # kernels [N][channels][height][width] (not when N = 0), w01, w12
            self.register_parameter(name, torch.nn.Parameter(tensor))
        self.classes = json.loads(self.metadata["classes"])
        self.mean, self.normalize = float(self.metadata["mean"]), self.metadata["normalize"]

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """By the setting `normalize`: as they are, or each one's mean, or its mean and standard deviation, made a fixed one."""
        sides = (1, 2, 3)
        centred = images if self.normalize == "none" else images - images.mean(sides, keepdim=True)
        if self.normalize != "std":
            return centred / 255
        return centred * 0.3 / centred.square().mean(sides, keepdim=True).sqrt().clamp(min=8)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """pixels: uint8 [n][channels][height][width]. Returns probabilities [n][classes]."""
        x = self.normalized(pixels.float()) - self.mean
        if hasattr(self, "kernels"):
            lc = torch.nn.functional.conv2d(x, self.kernels, stride=int(self.metadata["stride"]))
            x = torch.tanh(lc.amax(dim=1))  # the max runs across kernels at each position
        l1 = torch.tanh(x.flatten(1) @ self.w01)
        return torch.softmax(l1 @ self.w12, dim=1)

    def input_of(self, path: str) -> torch.Tensor:
        width, height, channels = (int(self.metadata[name]) for name in ("width", "height", "channels"))
        pixels = fit(Image.open(path), width, height, channels, self.metadata["fit"], self.metadata["invert"])
        return torch.from_numpy(np.ascontiguousarray(pixels))


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    model = Model(sys.argv[1])
    with torch.no_grad():
        answers = model(torch.stack([model.input_of(path) for path in sys.argv[2:]]))
    for path, p in zip(sys.argv[2:], answers):
        best = int(p.argmax())
        print(json.dumps({"file": path, "label": model.classes[best], "probability": float(p[best]),
                          "probabilities": dict(zip(model.classes, map(float, p)))}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
