"""Open Inference Protocol v2 as a client sees it: what answers must look like, and a small client with the binary extension.

The schemas say, as JSON Schema, what the protocol's own OpenAPI text (open_inference_rest.yaml of
github.com/kserve/open-inference-protocol) requires of answers: the same objects by the same names, with the same required
members and types. What the text of the extensions adds is said where it is used.
"""
from __future__ import annotations

import json
import struct

import jsonschema
import numpy as np

STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def array(items: dict) -> dict:
    return {"type": "array", "items": items}


def record(required: dict, optional: dict | None = None) -> dict:
    """Not closed: the protocol lets servers add members."""
    return {"type": "object", "required": sorted(required), "properties": required | (optional or {})}


PARAMETERS = {"type": "object"}
TENSOR_DATA = array({"type": ["number", "string", "boolean", "array"]})
METADATA_TENSOR = record({"name": STRING, "datatype": STRING, "shape": array(INTEGER)}, {"parameters": PARAMETERS})
DURATION = record({"count": INTEGER, "ns": INTEGER})
STAGES = {"compute_input": DURATION, "compute_infer": DURATION, "compute_output": DURATION}

SCHEMAS = {
    "metadata_server_response": record({"name": STRING, "version": STRING, "extensions": array(STRING)}),
    "metadata_model_response": record({"name": STRING, "platform": STRING},
                                      {"versions": array(STRING), "inputs": array(METADATA_TENSOR),
                                       "outputs": array(METADATA_TENSOR)}),
    "inference_response": record(
        {"model_name": STRING,
         "outputs": array(record({"name": STRING, "shape": array(INTEGER), "datatype": STRING},
                                 {"parameters": PARAMETERS, "data": TENSOR_DATA}))},
        {"model_version": STRING, "id": STRING, "parameters": PARAMETERS}),
    "repository_index_response": array(record({"name": STRING, "state": STRING, "reason": STRING}, {"version": STRING})),
    "error_response": record({"error": STRING}),
    "stats_model_response": record({"model_stats": array(record(
        {"name": STRING, "last_inference": INTEGER, "inference_count": INTEGER, "execution_count": INTEGER,
         "inference_stats": record({"success": DURATION, "fail": DURATION, "queue": DURATION, **STAGES}),
         "batch_stats": array(record({"batch_size": INTEGER, **STAGES}))}, {"version": STRING}))}),
}


def check(name: str, document) -> dict:
    jsonschema.validate(document, SCHEMAS[name], jsonschema.Draft202012Validator)
    return document


def tensor(images: np.ndarray, datatype: str = "UINT8", **parameters) -> dict:
    """The input with its values in JSON."""
    described = {"name": "pixels", "shape": list(images.shape), "datatype": datatype, "data": images.tolist()}
    return described | ({"parameters": parameters} if parameters else {})


def request(*inputs: dict, **members) -> dict:
    return {"inputs": list(inputs), **members}


def elements(items: list[bytes]) -> bytes:
    """A BYTES tensor in binary."""
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def split_elements(data: bytes) -> list[bytes]:
    items = []
    while data:
        n = struct.unpack("<I", data[:4])[0]
        items.append(data[4:4 + n])
        assert len(items[-1]) == n
        data = data[4 + n:]
    return items


def binary_request(datatype: str, shape: list[int], data: bytes, scale: float | None = None,
                   **members) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request whose tensor follows the JSON."""
    parameters = {"binary_data_size": len(data)} | ({} if scale is None else {"scale": scale})
    described = {"name": "pixels", "shape": shape, "datatype": datatype, "parameters": parameters}
    text = json.dumps(request(described, **members)).encode()
    return text + data, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}


def read_answer(answer) -> dict[str, np.ndarray | list]:
    """The outputs by name, whether they came in JSON or in binary, after checking the answer against the protocol."""
    assert answer.status == 200, answer
    length = answer.header("Inference-Header-Content-Length")
    text, binary = (answer.body, b"") if length is None else (answer.body[:int(length)], answer.body[int(length):])
    document = check("inference_response", json.loads(text))
    outputs = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        assert (size is None) == ("data" in output)
        if size is None:
            values = output["data"]
        else:
            data, binary = binary[:size], binary[size:]
            assert len(data) == size
            values = np.frombuffer(data, "<f4") if output["datatype"] == "FP32" else [e.decode() for e in split_elements(data)]
        assert len(values) == np.prod(output["shape"])
        outputs[output["name"]] = np.array(values).reshape(output["shape"])
    assert binary == b"", "bytes that belong to no tensor"
    return outputs
