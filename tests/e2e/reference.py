"""The network once more, in float64 and as plainly as numpy allows: from the equations of docs/network.md.

    l^ci_p = sum_m k^i_m F_mp    l^0_p = tanh(max_i l^ci_p)    l^1 = tanh(l^0 w01)    l^2 = softmax(l^1 w12)
    e = 1/2 sum_p (l^2_p - y_p)^2
"""
from __future__ import annotations

import json
import struct

import numpy as np


def read_safetensors(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata. Every byte of the data must belong to exactly one tensor."""
    n = struct.unpack("<Q", data[:8])[0]
    assert n % 8 == 0, "the data are not aligned"
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__")
    assert all(isinstance(v, str) for v in metadata.values())
    body = data[8 + n:]
    tensors, at = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert entry["dtype"] == "F32" and begin == at and end - begin == 4 * np.prod(entry["shape"])
        tensors[name] = np.frombuffer(body[begin:end], "<f4").reshape(entry["shape"])
        at = end
    assert at == len(body)
    return tensors, metadata


def write_safetensors(tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    header, body = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        data = np.ascontiguousarray(tensor, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


class Network:
    """Parameters as exported, in float64. predict() and step() take [channels][height][width] of uint8."""

    def __init__(self, tensors: dict[str, np.ndarray], metadata: dict[str, str]):
        self.k = tensors["kernels"].astype(np.float64) if "kernels" in tensors else None
        self.w01 = tensors["w01"].astype(np.float64)
        self.w12 = tensors["w12"].astype(np.float64)
        self.mean, self.normalize = float(np.float32(metadata["mean"])), metadata["normalize"]
        self.rate, self.decay_steps = float(np.float32(metadata["rate"])), float(np.float32(metadata["decay_steps"]))
        self.steps = int(metadata["step"])
        self.gradient = metadata["gradient"]
        self.stride = int(metadata.get("stride", 1))
        self.classes = json.loads(metadata["classes"])

    def frames(self, x: np.ndarray) -> np.ndarray:
        """F [n_k][n_0]: column p is the patch at position p; rows run (channel, ky, kx), columns (oy, ox)."""
        _, _, kh, kw = self.k.shape
        _, height, width = x.shape
        columns = [x[:, y:y + kh, x0:x0 + kw].ravel()
                   for y in range(0, height - kh + 1, self.stride) for x0 in range(0, width - kw + 1, self.stride)]
        return np.array(columns).T

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        x = pixels.astype(np.float64)
        if self.normalize != "none":
            x = x - x.mean()
        x = (x * 0.3 / max(x.std(), 8) if self.normalize == "std" else x / 255) - self.mean
        if self.k is None:
            self.l0 = x.ravel()
        else:
            self.f = self.frames(x)
            lc = self.k.reshape(len(self.k), -1) @ self.f
            self.winner = lc.argmax(axis=0)
            self.l0 = np.tanh(lc.max(axis=0))
        self.l1 = np.tanh(self.l0 @ self.w01)
        z = self.l1 @ self.w12
        z = np.exp(z - z.max())
        self.l2 = z / z.sum()
        return self.l2

    predict = forward

    def loss(self, label: int) -> float:
        y = np.zeros_like(self.l2)
        y[label] = 1
        return 0.5 * float(((self.l2 - y) ** 2).sum())

    def step(self, pixels: np.ndarray, label: int) -> float:
        """One step of gradient descent; returns the loss before it."""
        self.forward(pixels)
        loss = self.loss(label)
        r = self.l2.copy()
        r[label] -= 1
        if self.gradient == "diagonal":
            d2 = r * self.l2 * (1 - self.l2)
        else:
            d2 = r @ (np.diag(self.l2) - np.outer(self.l2, self.l2))
        rate = self.rate / (1 + min(self.steps / self.decay_steps, 9)) if self.decay_steps > 0 else self.rate
        self.steps += 1
        d1 = (d2 @ self.w12.T) * (1 - self.l1 ** 2)
        g12 = np.outer(self.l1, d2)
        g01 = np.outer(self.l0, d1)
        if self.k is not None:
            d0 = (d1 @ self.w01.T) * (1 - self.l0 ** 2)
            flat = self.k.reshape(len(self.k), -1)
            for i in range(len(self.k)):
                flat[i] -= rate * (self.f[:, self.winner == i] @ d0[self.winner == i])
        self.w01 -= rate * g01
        self.w12 -= rate * g12
        return loss
