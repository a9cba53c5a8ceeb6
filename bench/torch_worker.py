#!/usr/bin/env python3
"""torch_worker.py EXCHANGE - the same network, loss and step in PyTorch, one thread, one sample at a time.

Reads what bench_core wrote to EXCHANGE (bench_core.c says what that is) and first proves that it computes the same thing: the
probabilities of all images at the given weights, and the weights after one step on each. Then prints "ready VERSION" and answers

    forward N     nanoseconds for each of N forward passes, under torch.inference_mode()
    batch N       nanoseconds for each image of N forward passes over all images as one batch
    step N        nanoseconds for each of N steps: forward, backward, update by plain gradient descent

Time is processor time of the process, as in bench_core. Tensors of the images and one-hot labels are made before the clock starts
(convd's figure includes its conversion from bytes). Of the ways to write this that were tried, the fastest is here: bench/NOTES.md
has them.
"""
import ctypes
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import conv2d

WARM = 8  # passes before the clock starts
TOLERANCE = 1e-4  # of the largest value of a tensor; float32, sums in another order, 64 steps


class Net:
    def __init__(self, k: np.ndarray, w01: np.ndarray, w12: np.ndarray):
        self.k, self.w01, self.w12 = (torch.tensor(a).requires_grad_() for a in (k.reshape(16, 1, 5, 5), w01, w12))
        self.parameters = (self.k, self.w01, self.w12)

    def dense(self, l0: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.tanh(l0.flatten(1) @ self.w01) @ self.w12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.tanh(conv2d(x, self.k).amax(1)))

    def forward_batch(self, x: torch.Tensor) -> torch.Tensor:
        # in pieces that stay in the caches: all 64 at once take twice as long
        return self.dense(torch.tanh(torch.cat([conv2d(piece, self.k).amax(1) for piece in x.split(16)])))

    def step(self, x: torch.Tensor, y: torch.Tensor, rate: float) -> None:
        r = self.dense(torch.tanh(conv2d(x, self.k).max(1)[0])) - y  # its gradient is cheaper than amax's
        gradients = torch.autograd.grad(0.5 * (r * r).sum(), self.parameters)
        with torch.no_grad():
            torch._foreach_add_(self.parameters, gradients, alpha=-rate)


class Exchange:
    """The file, in order."""

    def __init__(self, path: Path):
        self.bytes, self.at = path.read_bytes(), 0
        n, classes = self.take((2,), "<u4")
        mean, self.rate = (float(f) for f in self.take((2,)))
        pixels, labels = self.take((n, 1, 1, 28, 28), "u1"), self.take((n,), "<u4")
        self.before = self.take_net(classes)
        self.l2 = self.take((n, classes))
        self.after = self.take_net(classes)
        if self.at != len(self.bytes):
            raise SystemExit(f"torch_worker: {path} is longer than expected")
        self.x = [torch.tensor(p.astype(np.float32) / np.float32(255) - np.float32(mean)) for p in pixels]
        self.batch = torch.cat([x.reshape(1, 1, 28, 28) for x in self.x])
        self.y = [torch.eye(int(classes))[int(label)].reshape(1, -1) for label in labels]

    def take(self, shape: tuple, dtype: str = "<f4") -> np.ndarray:
        array = np.frombuffer(self.bytes, dtype, int(np.prod(shape)), self.at).reshape(shape)
        self.at += array.nbytes
        return array

    def take_net(self, classes: int) -> tuple[np.ndarray, ...]:
        return tuple(np.array(self.take(shape)) for shape in ((16, 25), (576, 128), (128, int(classes))))


def differs(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.detach().numpy().reshape(theirs.shape) - theirs).max() / np.abs(theirs).max())


def prove(exchange: Exchange) -> None:
    net = Net(*exchange.before)
    with torch.inference_mode():
        worst = {"l2": max(differs(net.forward(x), l2) for x, l2 in zip(exchange.x, exchange.l2))}
    for x, y in zip(exchange.x, exchange.y):
        net.step(x, y, exchange.rate)
    with torch.inference_mode():
        worst["l2 of the batch"] = differs(Net(*exchange.before).forward_batch(exchange.batch), exchange.l2)
    for name, ours, theirs in zip(("k", "w01", "w12"), net.parameters, exchange.after):
        worst[name] = differs(ours, theirs)
    print("torch_worker: largest difference from convd's core:", worst, file=sys.stderr)
    if max(worst.values()) > TOLERANCE:
        raise SystemExit("torch_worker: PyTorch and convd's core do not compute the same thing")


def run(exchange: Exchange, verb: str, n: int) -> float:
    net, xs, ys = Net(*exchange.before), exchange.x, exchange.y
    images = len(xs)
    if verb == "forward":
        with torch.inference_mode():
            for x in xs[:WARM]:
                net.forward(x)
            start = time.process_time_ns()
            for i in range(n):
                net.forward(xs[i % images])
            return (time.process_time_ns() - start) / n
    if verb == "batch":
        with torch.inference_mode():
            net.forward_batch(exchange.batch)
            start = time.process_time_ns()
            for _ in range(n):
                net.forward_batch(exchange.batch)
            return (time.process_time_ns() - start) / (n * images)
    for x, y in zip(xs[:WARM], ys):
        net.step(x, y, exchange.rate)
    start = time.process_time_ns()
    for i in range(n):
        net.step(xs[i % images], ys[i % images], exchange.rate)
    return (time.process_time_ns() - start) / n


def keep_memory() -> None:
    """glibc gives large blocks back to the kernel and takes them anew, page by page: half the time of a batch."""
    libc = ctypes.CDLL(None)
    for option in (-1, -2, -3):  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
        libc.mallopt(option, 64 << 20)


def main() -> None:
    keep_memory()
    torch.set_num_threads(1)
    exchange = Exchange(Path(sys.argv[1]))
    prove(exchange)
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        verb, n = line.split()
        if verb not in ("forward", "step", "batch"):
            raise SystemExit(f"torch_worker: cannot answer {line!r}")
        print(f"{run(exchange, verb, int(n)):.3f}", flush=True)


if __name__ == "__main__":
    main()
