"""An ONNX graph, evaluated by numpy in float32: a second opinion beside ONNX Runtime, and the only one where that is not to be had.

Each operator is written from its text in ONNX's Operators.md, for the operator set that the model names; attributes that it
does not know are an error, so that nothing in a graph is passed over.
"""
from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper


def cast(x, to):
    assert to == TensorProto.FLOAT
    return x.astype(np.float32)


def conv(x, w, kernel_shape, strides):
    assert tuple(kernel_shape) == w.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel_shape, axis=(2, 3))[:, :, ::strides[0], ::strides[1]]
    return np.einsum("bcyxij,ncij->bnyx", windows, w, dtype=np.float32, optimize=True)


def reduce_max(x, axes, keepdims=1):
    return x.max(axis=tuple(axes), keepdims=bool(keepdims))


def reduce_mean(x, axes, keepdims=1):
    return x.mean(axis=tuple(axes), keepdims=bool(keepdims))


def reshape(x, target):
    sides = [x.shape[i] if side == 0 else side for i, side in enumerate(target.tolist())]
    return x.reshape(sides)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


OPERATORS = {"Cast": cast, "Mul": np.multiply, "Sub": np.subtract, "Conv": conv, "ReduceMax": reduce_max, "ReduceMean": reduce_mean, "Sqrt": np.sqrt, "Max": np.maximum, "Div": np.divide, "Tanh": np.tanh,
             "Reshape": reshape, "MatMul": np.matmul, "Softmax": softmax}


def run(model: ModelProto, pixels: np.ndarray) -> np.ndarray:
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)]
    graph = model.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values[graph.input[0].name] = pixels
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        assert len(node.output) == 1 and node.output[0] not in values
        values[node.output[0]] = OPERATORS[node.op_type](*[values[name] for name in node.input], **attributes)
    return values[graph.output[0].name]
