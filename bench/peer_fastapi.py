#!/usr/bin/env python3
"""peer_fastapi.py MODEL.safetensors - what one would write instead of convd: FastAPI, uvicorn and PyTorch, in one process.

The same network with the weights of MODEL (which convd exported), the same raw body, the same fields in the answers:

    POST /predict            {"label", "confidence", "probabilities": {label: p}, "step"}
    POST /train?label=7      one step of plain gradient descent; {"accepted", "step", "loss", "correct"}

What it learns is gone when it ends: nothing is written anywhere. Prints "listening on http://127.0.0.1:PORT". Of the ways to write this that
were tried, the fastest is here (bench/NOTES.md has them): uvloop and httptools where they are installed, one thread of PyTorch, JSONResponse
instead of FastAPI's own encoder, the rate and the network of torch_worker.py.
"""
import json
import socket
import sys
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from torch.nn.functional import conv2d


class Model:
    def __init__(self, path: Path):
        data = path.read_bytes()
        n = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + n])
        metadata = header.pop("__metadata__")
        tensors = {}
        for name, entry in header.items():
            begin, end = (8 + n + at for at in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"]).copy()
        self.k, self.w01, self.w12 = (torch.tensor(tensors[name]).requires_grad_() for name in ("kernels", "w01", "w12"))
        self.parameters = (self.k, self.w01, self.w12)
        self.labels = json.loads(metadata["classes"])
        self.rate, self.mean, self.step = float(metadata["rate"]), float(metadata["mean"]), 0
        self.y = {label: row.reshape(1, -1) for label, row in zip(self.labels, torch.eye(len(self.labels)))}
        self.side = (1, self.k.shape[1], int(metadata["height"]), int(metadata["width"]))

    def input(self, body: bytes) -> torch.Tensor:
        return torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(self.side).float().div_(255).sub_(self.mean)

    def dense(self, l0: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.tanh(l0.view(1, -1) @ self.w01) @ self.w12, 1)

    def predict(self, body: bytes) -> dict:
        with torch.inference_mode():
            l2 = self.dense(torch.tanh(conv2d(self.input(body), self.k).amax(1))).view(-1).tolist()
        confidence = max(l2)
        return {"label": self.labels[l2.index(confidence)], "confidence": confidence, "probabilities": dict(zip(self.labels, l2)), "step": self.step}

    def train(self, body: bytes, label: str) -> dict:
        y = self.y[label]
        l2 = self.dense(torch.tanh(conv2d(self.input(body), self.k).max(1)[0]))
        loss = 0.5 * ((l2 - y) ** 2).sum()
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            torch._foreach_add_(self.parameters, gradients, alpha=-self.rate)
        self.step += 1
        correct = int(self.labels[int(l2.argmax())] == label)
        return {"accepted": 1, "step": self.step, "loss": loss.item(), "correct": correct}


app = FastAPI()
model: Model


@app.post("/predict")
async def predict(request: Request) -> JSONResponse:
    return JSONResponse(model.predict(await request.body()))


@app.post("/train")
async def train(request: Request, label: str) -> JSONResponse:
    return JSONResponse(model.train(await request.body(), label))


if __name__ == "__main__":
    torch.set_num_threads(1)
    model = Model(Path(sys.argv[1]))
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
