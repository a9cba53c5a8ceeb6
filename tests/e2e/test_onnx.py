"""GET /model.onnx and convd export --onnx: accepted by onnx's own checker, and computing what convd computes, by ONNX Runtime
and by numpy. ONNX Runtime comes from npm; where that cannot be had, its tests say so and are skipped."""
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from . import npm, onnx_numpy
from .daemon import Daemon, convd
from .reference import read_safetensors

GEOMETRIES = {
    "small": [],
    "colour": ["--channels", "3"],
    "oblong with stride 2": ["--width", "11", "--height", "7", "--kernel-width", "4", "--kernel-height", "2", "--stride", "2"],
    "one position": ["--width", "3", "--height", "3"],
    "without kernels": ["--kernels", "0", "--channels", "2", "--width", "5", "--height", "4"],
}
TOLERANCE = 1e-5


def answers(daemon: Daemon, images: np.ndarray) -> np.ndarray:
    """What convd says of raw images: [n][classes]."""
    predictions = []
    for part in np.array_split(images, max(1, len(images) // 250)):
        predictions += daemon.predict(part.tobytes() if len(part) > 1 else np.concatenate([part, part]).tobytes())["predictions"]
    return np.array([list(p["probabilities"].values()) for p in predictions])[:len(images)]


def trained(daemons, noise: np.random.Generator, flags: list[str]) -> tuple[Daemon, np.ndarray]:
    """A small daemon that has learned a little, and images to ask of it."""
    daemon = daemons.start(daemons.init(*flags))
    model = daemon.model()
    images = noise.integers(0, 256, (40, model["channels"], model["height"], model["width"]), np.uint8)
    for i, image in enumerate(images[:30]):
        daemon.train("abc"[i % 3], image.tobytes()).ok()
    return daemon, images


def load(daemon: Daemon) -> onnx.ModelProto:
    answer = daemon.get("/model.onnx")
    assert answer.status == 200 and answer.header("ETag") == f'"r{daemon.model()["revision"]}"'
    assert answer.header("Content-Disposition") == 'attachment; filename="model.onnx"'
    return onnx.load_model_from_string(answer.body)


def sides(value: onnx.ValueInfoProto) -> tuple[int, list]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [d.dim_param or d.dim_value for d in tensor.shape.dim]


# ---- the file ----

@pytest.mark.core
@pytest.mark.parametrize("flags", GEOMETRIES.values(), ids=GEOMETRIES)
def test_onnx_checks_the_model_and_infers_every_shape(daemons, noise, flags):
    daemon, images = trained(daemons, noise, flags)
    model, told = load(daemon), daemon.model()
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert sides(inferred.graph.input[0]) == (onnx.TensorProto.UINT8, ["batch", *images.shape[1:]])
    assert sides(inferred.graph.output[0]) == (onnx.TensorProto.FLOAT, ["batch", told["n_2"]])
    known = {v.name: sides(v)[1][1:] for v in inferred.graph.value_info}
    assert known["z1"] == [told["n_1"]] and known["z2"] == [told["n_2"]]
    assert {v.name for v in inferred.graph.value_info} >= {n.output[0] for n in model.graph.node} - {"probabilities"}


def test_the_file_names_classes_and_revision(reader: Daemon):
    model, told = load(reader), reader.model()
    metadata = {p.key: p.value for p in model.metadata_props}
    assert len(metadata) == len(model.metadata_props)
    assert json.loads(metadata["classes"]) == told["classes"]
    assert metadata["revision"] == str(told["revision"]) and model.model_version == told["revision"]
    assert metadata["digest"] == told["digest"]
    assert model.producer_name == "convd" and model.producer_version == told["convd"]
    assert model.ir_version == 7
    _, others = read_safetensors(reader.get("/model.safetensors").body)
    assert metadata == others


def test_labels_of_any_kind_survive(daemons):
    daemon = daemons.start(daemons.init("--classes", 'a "quoted" \\ one,été,猫'))
    metadata = {p.key: p.value for p in load(daemon).metadata_props}
    assert json.loads(metadata["classes"]) == ['a "quoted" \\ one', "été", "猫"]


def test_the_command_line_writes_the_same_file(daemons, tmp_path: Path):
    daemon = daemons.start(daemons.copy())
    over_http = daemon.get("/model.onnx").body
    convd("export", "--url", daemon.url, "--onnx", tmp_path / "url.onnx")
    daemon.stop()
    convd("export", "--db", daemon.db, "--onnx", tmp_path / "db.onnx")
    assert (tmp_path / "url.onnx").read_bytes() == (tmp_path / "db.onnx").read_bytes() == over_http


def test_an_unchanged_model_is_not_sent_again(reader: Daemon):
    etag = reader.get("/model.onnx").header("ETag")
    assert reader.get("/model.onnx", headers={"If-None-Match": etag}).status == 304


# ---- what it computes ----

def test_numpy_gets_convds_answers_from_the_graph_on_a_thousand_digits(reader: Daemon, digits):
    images = digits.test_images[:1000].reshape(-1, 1, 28, 28)
    assert len(images) == 1000
    difference = np.abs(onnx_numpy.run(load(reader), images) - answers(reader, images))
    assert difference.max() < TOLERANCE


@pytest.mark.parametrize("flags", GEOMETRIES.values(), ids=GEOMETRIES)
def test_numpy_gets_convds_answers_from_every_geometry(daemons, noise, flags):
    daemon, images = trained(daemons, noise, flags)
    computed = onnx_numpy.run(load(daemon), images)
    assert np.abs(computed - answers(daemon, images)).max() < TOLERANCE
    assert np.ptp(computed, axis=0).max() > 0.01, "all images look alike to this model: the comparison says nothing"


# ---- ONNX Runtime ----

def run(tmp_path: Path, model: bytes, images: np.ndarray) -> np.ndarray:
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "pixels").write_bytes(images.tobytes())
    told = json.loads(npm.run("onnxruntime", tmp_path / "model.onnx", json.dumps(images.shape), tmp_path / "pixels",
                              tmp_path / "answers"))
    assert (told["inputs"], told["outputs"], told["type"]) == (["pixels"], ["probabilities"], "float32")
    return np.fromfile(tmp_path / "answers", "<f4").reshape(told["shape"])


def test_onnxruntime_gets_convds_answers_on_a_thousand_digits(reader: Daemon, digits, tmp_path):
    images = digits.test_images[:1000].reshape(-1, 1, 28, 28)
    computed = run(tmp_path, reader.get("/model.onnx").body, images)
    assert computed.shape == (1000, 10)
    assert np.abs(computed - answers(reader, images)).max() < TOLERANCE


@pytest.mark.parametrize("flags", GEOMETRIES.values(), ids=GEOMETRIES)
def test_onnxruntime_gets_convds_answers_from_every_geometry(daemons, noise, tmp_path, flags):
    daemon, images = trained(daemons, noise, flags)
    computed = run(tmp_path, daemon.get("/model.onnx").body, images)
    assert np.abs(computed - answers(daemon, images)).max() < TOLERANCE


# ---- npz, the same parameters for numpy ----

@pytest.mark.core
@pytest.mark.parametrize("flags", GEOMETRIES.values(), ids=GEOMETRIES)
def test_numpy_loads_the_npz_with_the_tensors_of_safetensors(daemons, noise, tmp_path, flags):
    daemon, _ = trained(daemons, noise, flags)
    answer = daemon.get("/model.npz")
    assert answer.status == 200 and answer.header("Content-Disposition") == 'attachment; filename="model.npz"'
    (tmp_path / "model.npz").write_bytes(answer.body)
    tensors, metadata = read_safetensors(daemon.get("/model.safetensors").body)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as loaded:
        assert set(loaded) == {*tensors, "metadata"}
        assert json.loads(loaded["metadata"].item()) == metadata
        for name, tensor in tensors.items():
            assert loaded[name].dtype == np.float32 and np.array_equal(loaded[name], tensor)


def test_the_npz_is_a_sound_zip_of_aligned_arrays(reader: Daemon, tmp_path):
    data = reader.get("/model.npz").body
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None  # checks every CRC-32
    for info in archive.infolist():
        n_name, n_extra = (int.from_bytes(data[info.header_offset + at:][:2], "little") for at in (26, 28))
        assert (info.header_offset + 30 + n_name + n_extra) % 64 == 0
    convd("export", "--url", reader.url, "--npz", tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == data
