"""/v2: the Open Inference Protocol, against its own text (oip.py) and against what /predict says of the same images."""
import base64
import json

import numpy as np
import pytest

from . import oip
from .daemon import Answer, Daemon, convd
from .pictures import jpeg, png

INFER = "/v2/models/digits/infer"


def expected(daemon: Daemon, images: np.ndarray) -> np.ndarray:
    body = np.concatenate([images, images[-1:]]).tobytes()  # two at least: one answer's form
    predictions = daemon.predict(body)["predictions"]
    return np.array([list(p["probabilities"].values()) for p in predictions])[:len(images)]


def infer(daemon: Daemon, *inputs: dict, **members) -> Answer:
    return daemon.send_json("POST", INFER, oip.request(*inputs, **members))


def infer_binary(daemon: Daemon, *args, **members) -> Answer:
    body, headers = oip.binary_request(*args, **members)
    return daemon.request("POST", INFER, body, headers)


def refused(answer: Answer, status: int, pointer: str | None = None) -> dict:
    """Its error is both: problem+json, and the protocol's."""
    problem = answer.problem(status, None, pointer)
    assert oip.check("error_response", problem)["error"] == problem["detail"]
    return problem


def near(a, b) -> bool:
    return np.abs(np.asarray(a, float) - np.asarray(b, float)).max() < 1e-6


@pytest.fixture
def eight(digits) -> np.ndarray:
    return digits.test_images[:8].reshape(-1, 1, 28, 28)


# ---- health and metadata ----

@pytest.mark.core
@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"])
def test_a_daemon_that_serves_is_live_and_ready(reader: Daemon, path):
    document = reader.get(path).ok()
    assert document["live" if "health" in path else "ready"] is True


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_names_itself_and_its_extensions(reader: Daemon, path):
    document = oip.check("metadata_server_response", reader.get(path).ok())
    assert document["name"] == "convd" and document["version"] == reader.model()["convd"]
    assert document["extensions"] == ["binary_tensor_data", "classification", "model_configuration", "statistics"]


def test_the_model_describes_its_tensors(reader: Daemon):
    document = oip.check("metadata_model_response", reader.get("/v2/models/digits").ok())
    assert document["name"] == "digits" and document["versions"] == ["1"]
    assert document["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 28, 28]}]
    assert document["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10],
                                    "parameters": {"labels": [str(i) for i in range(10)]}},
                                   {"name": "label", "datatype": "BYTES", "shape": [-1]}]


def test_a_class_that_is_added_is_in_the_metadata(daemon: Daemon):
    daemon.send_json("POST", "/classes", {"label": 'a "x"'}).ok(201)
    output = daemon.get("/v2/models/digits").ok()["outputs"][0]
    assert output["shape"] == [-1, 11] and output["parameters"]["labels"] == [*map(str, range(10)), 'a "x"']


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_the_configuration_is_what_tritons_perf_analyzer_reads(daemons, version):
    daemon = daemons.start(daemons.copy(), "--batch-images", "7")
    assert daemon.get(f"/v2/models/digits{version}/config").ok() == {
        "name": "digits", "platform": "convd", "backend": "convd", "max_batch_size": 7,
        "input": [{"name": "pixels", "data_type": "TYPE_UINT8", "format": "FORMAT_NCHW", "dims": [1, 28, 28]}],
        "output": [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]},
                   {"name": "label", "data_type": "TYPE_STRING", "dims": []}]}
    refused(daemon.get(f"/v2/models/nobody{version}/config"), 404)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}', b'{"ready": false}'])
def test_the_index_of_the_repository_has_the_one_model(reader: Daemon, body):
    index = oip.check("repository_index_response", reader.post("/v2/repository/index", body).ok())
    assert index == [{"name": "digits", "version": "1", "state": "READY", "reason": ""}]


@pytest.mark.parametrize("body, status, pointer", [(b'{"ready": 1}', 422, "/ready"), (b"[]", 422, None), (b"{", 400, None)])
def test_a_wrong_question_to_the_index_is_refused(reader: Daemon, body, status, pointer):
    refused(reader.post("/v2/repository/index", body), status, pointer)


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_a_name_that_is_given_is_the_models_and_its_old_ones_go_on(daemons, how):
    given = {"flags": ["--name", "zip é"]} if how == "flag" else {"env": {"CONVD_NAME": "zip é"}}
    daemon = daemons.start(daemons.copy("model.db"), *given.pop("flags", []), **given)
    for name in ("zip%20%C3%A9", "model", "convd"):
        assert daemon.get(f"/v2/models/{name}").ok()["name"] == "zip é"
    assert daemon.post("/v2/repository/index", b"").ok()[0]["name"] == "zip é"
    assert "zip é" in refused(daemon.get("/v2/models/digits"), 404)["detail"]


@pytest.mark.parametrize("name", ["a/b", "a\nb", "\udcff", "x" * 256], ids=["slash", "line", "latin 1", "long"])
def test_a_name_that_could_not_be_asked_for_is_refused(tmp_path, name):
    done = convd("serve", "--db", tmp_path / "x.db", "--name", name, check=False)
    assert done.returncode == 2 and b"--name must be" in done.stderr and not (tmp_path / "x.db").exists()


def test_the_model_has_its_databases_name_and_answers_to_convd(daemons, seven):
    daemon = daemons.start(daemons.copy("zip codes.v2.db"))
    assert daemon.get("/v2/models/zip%20codes.v2").ok()["name"] == "zip codes.v2"
    assert daemon.get("/v2/models/convd").ok()["name"] == "zip codes.v2"
    refused(daemon.get("/v2/models/digits"), 404)


@pytest.mark.parametrize("tail", ["", "/ready", "/config", "/stats", "/infer"])
def test_version_1_lasts_and_of_the_revisions_the_live_one_is_taken_for_it(daemon: Daemon, seven, tail):
    def ask(version: int) -> Answer:
        path = f"/v2/models/digits/versions/{version}{tail}"
        if tail != "/infer":
            return daemon.get(path)
        return daemon.send_json("POST", path, oip.request(oip.tensor(seven.reshape(1, 1, 28, 28))))
    live = daemon.model()["revision"]
    assert live > 2 and ask(1).status == ask(live).status == 200
    refused(ask(live - 1), 404)
    daemon.train("7", seven.tobytes()).ok()
    refused(ask(live), 404)
    assert ask(1).status == ask(live + 1).status == 200


# ---- infer: how images come in ----

@pytest.mark.core
@pytest.mark.parametrize("shape", [(8, 1, 28, 28), (8, 784), (8, 28, 28)])
def test_uint8_in_json_gives_what_predict_gives(reader: Daemon, eight, shape):
    answer = infer(reader, oip.tensor(eight.reshape(shape)))
    assert answer.header("ETag") == f'"r{reader.model()["revision"]}"'
    outputs = oip.read_answer(answer)
    assert outputs["probabilities"].shape == (8, 10) and near(outputs["probabilities"], expected(reader, eight))
    assert outputs["label"].tolist() == [str(i) for i in outputs["probabilities"].argmax(axis=1)]


@pytest.mark.parametrize("shape", [(1, 28, 28), (28, 28), (784,), (1, 1, 28, 28)])
def test_one_image_needs_no_batch(reader: Daemon, eight, shape):
    outputs = oip.read_answer(infer(reader, oip.tensor(eight[0].reshape(shape))))
    assert near(outputs["probabilities"], expected(reader, eight[:1]))


def test_data_may_be_flat_whatever_the_shape(reader: Daemon, eight):
    flat = {"name": "pixels", "shape": [8, 1, 28, 28], "datatype": "UINT8", "data": eight.ravel().tolist()}
    assert near(oip.read_answer(infer(reader, flat))["probabilities"], expected(reader, eight))


@pytest.mark.parametrize("binary", [False, True])
def test_fp32_says_its_range_itself_unless_a_scale_does(reader: Daemon, eight, binary):
    unit, dark = eight / 255, np.minimum(eight, 1)
    one_bright = np.where(np.arange(8)[:, None, None, None] == 3, eight, dark)
    for values, said, scale, pixels in [
            (eight, {}, 1, eight), (np.clip(eight + 0.3, 0, 255), {}, 1, eight), (one_bright, {}, 1, one_bright),
            (unit, {}, 255, eight), (unit, {"scale": 255}, 255, eight), (eight / 51, {"scale": 51}, 51, eight),
            (dark, {}, 255, 255 * dark), (dark, {"scale": 1}, 1, dark), (0 * eight, {}, 255, 0 * eight)]:
        values = values.astype("<f4")
        answer = (infer_binary(reader, "FP32", list(values.shape), values.tobytes(), **said) if binary
                  else infer(reader, oip.tensor(values, "FP32", **said)))
        assert answer.ok()["parameters"] == {"revision": reader.model()["revision"], "scale": scale} | ({"flat": True} if (pixels == pixels.flat[0]).all() else {})
        assert near(oip.read_answer(answer)["probabilities"], expected(reader, pixels.astype(np.uint8)))


def test_other_types_have_no_scale(reader: Daemon, eight):
    assert infer(reader, oip.tensor(eight)).ok()["parameters"].keys() == {"revision"}


@pytest.mark.parametrize("encode", [png, jpeg, lambda image: image.tobytes()], ids=["png", "jpeg", "raw"])
@pytest.mark.parametrize("nested", [False, True])
def test_pictures_come_as_base64_in_json(reader: Daemon, digits, encode, nested):
    pictures = [encode(digits.one(label)) for label in (3, 8)]
    data = [base64.b64encode(p).decode() for p in pictures]
    described = {"name": "pixels", "datatype": "BYTES", "shape": [2, 1] if nested else [2],
                 "data": [[d] for d in data] if nested else data}
    outputs = oip.read_answer(infer(reader, described))
    for i, picture in enumerate(pictures):
        assert near(outputs["probabilities"][i], list(reader.predict(picture)["probabilities"].values()))


def test_base64_comes_in_either_alphabet_with_and_without_padding(reader: Daemon, digits):
    picture = next(p for p in map(png, digits.test_images) if len(p) % 3 == 1)
    padded, other = base64.b64encode(picture).decode(), base64.urlsafe_b64encode(picture).decode()
    assert padded != other and padded.endswith("==")
    data = [padded, padded.rstrip("="), other, other.rstrip("=")]
    labels = oip.read_answer(infer(reader, {"name": "pixels", "datatype": "BYTES", "shape": [4], "data": data}))["label"]
    assert set(labels) == {reader.predict(picture)["label"]}


@pytest.mark.core
@pytest.mark.parametrize("datatype", ["UINT8", "FP32", "BYTES"])
def test_tensors_come_in_binary(reader: Daemon, eight, datatype):
    data = {"UINT8": eight.tobytes(), "FP32": eight.astype("<f4").tobytes(),
            "BYTES": oip.elements([png(image[0]) for image in eight])}[datatype]
    outputs = oip.read_answer(infer_binary(reader, datatype, [8] if datatype == "BYTES" else [8, 1, 28, 28], data))
    assert near(outputs["probabilities"], expected(reader, eight))


@pytest.mark.core
@pytest.mark.parametrize("base", ["/v2/models/digits", "/v2/models/digits/versions/1"])
def test_a_body_without_json_is_the_input_and_the_outputs_are_binary(reader: Daemon, eight, base):
    for body, n in ((eight.tobytes(), 8), (eight[0].tobytes(), 1), (png(eight[0, 0]), 1), (jpeg(eight[0, 0]), 1)):
        answer = reader.request("POST", base + "/infer", body,
                                {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"})
        outputs = oip.read_answer(answer)
        assert answer.body.endswith(outputs["label"][-1].encode()) and outputs["label"].shape == (n,)
        if n == 8 or body == eight[0].tobytes():
            assert near(outputs["probabilities"], expected(reader, eight[:n]))
        else:
            assert near(outputs["probabilities"][0], list(reader.predict(body)["probabilities"].values()))


@pytest.mark.parametrize("body, status", [(bytes(783), 422), (bytes(785), 422), (b"", 400), (b"GIF89a not a picture", 415),
                                          (json.dumps({"inputs": []}).encode(), (415, 422))])
def test_a_body_without_json_that_is_no_input_is_refused(reader: Daemon, body, status):
    problem = refused(reader.request("POST", INFER, body, {"Inference-Header-Content-Length": "0"}), status)
    assert not body or "Inference-Header-Content-Length is 0" in problem["detail"]


@pytest.mark.parametrize("datatype, works", [("INT8", "UINT8"), ("INT32", "UINT8"), ("INT64", "UINT8"), ("UINT16", "UINT8"),
                                             ("BOOL", "UINT8"), ("FP16", "FP32"), ("FP64", "FP32"), ("BF16", "FP32"),
                                             ("uint8", "UINT8"), ("STRING", "UINT8, FP32 or BYTES")])
def test_a_datatype_that_is_not_taken_is_named_with_what_works(reader: Daemon, datatype, works):
    detail = refused(infer(reader, ONE | {"datatype": datatype}), 422, "/inputs/0/datatype")["detail"]
    assert detail.startswith(f"datatype {datatype} ") and detail.endswith(works)


def test_a_colour_model_takes_planes(daemons, noise):
    daemon = daemons.start(daemons.init("--channels", "3", name="digits.db"))
    images = noise.integers(0, 256, (5, 3, 8, 8), np.uint8)
    outputs = oip.read_answer(infer_binary(daemon, "UINT8", [5, 3, 8, 8], images.tobytes()))
    assert near(outputs["probabilities"], expected(daemon, images))
    refused(infer_binary(daemon, "UINT8", [5, 8, 8, 3], images.tobytes()), 422, "/inputs/0/shape")


# ---- infer: what comes out ----

def test_the_id_comes_back_and_the_revision_is_told(reader: Daemon, eight):
    document = infer(reader, oip.tensor(eight), id='4"2').ok()
    assert document["id"] == '4"2' and document["model_name"] == "digits"
    assert document["model_version"] == "1" and document["parameters"]["revision"] == reader.model()["revision"]
    assert "id" not in infer(reader, oip.tensor(eight)).ok()


@pytest.mark.parametrize("names", [["label"], ["probabilities"], ["label", "probabilities"], ["probabilities", "label"]])
def test_only_requested_outputs_come_and_in_that_order(reader: Daemon, eight, names):
    document = infer(reader, oip.tensor(eight), outputs=[{"name": name} for name in names]).ok()
    assert [output["name"] for output in document["outputs"]] == names


@pytest.mark.parametrize("whole", [False, True], ids=["named", "binary_data_output"])
def test_outputs_come_in_binary_when_asked(reader: Daemon, eight, whole):
    asked = {"parameters": {"binary_data_output": True}} if whole else {
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ("probabilities", "label")]}
    answer = infer(reader, oip.tensor(eight), **asked)
    assert answer.header("Content-Type") == "application/octet-stream"
    assert answer.header("Inference-Header-Content-Length") is not None
    outputs = oip.read_answer(answer)
    assert near(outputs["probabilities"], expected(reader, eight))
    assert outputs["label"].tolist() == [str(i) for i in outputs["probabilities"].argmax(axis=1)]


def test_binary_and_json_outputs_mix_and_the_output_has_the_last_word(reader: Daemon, eight):
    answer = infer(reader, oip.tensor(eight), parameters={"binary_data_output": True},
                   outputs=[{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}])
    document = json.loads(answer.body[:int(answer.header("Inference-Header-Content-Length"))])
    assert "data" in document["outputs"][0] and document["outputs"][1]["parameters"] == {"binary_data_size": 8 * 10 * 4}
    assert near(oip.read_answer(answer)["probabilities"], expected(reader, eight))


def test_binary_probabilities_have_every_bit(reader: Daemon, eight):
    asked = {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]}
    one = oip.read_answer(infer(reader, oip.tensor(eight), **asked))["probabilities"]
    assert one.dtype == np.float32
    for i, image in enumerate(eight):  # a batch's bits are those of its images alone
        alone = oip.read_answer(infer(reader, oip.tensor(image[None]), **asked))["probabilities"]
        assert alone.tobytes() == one[i:i + 1].tobytes()


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("k, columns", [(1, 1), (3, 3), (10, 10), (1000, 10)])
def test_classification_gives_the_best_with_value_index_and_label(reader: Daemon, eight, k, columns, binary):
    answer = infer(reader, oip.tensor(eight), outputs=[
        {"name": "probabilities", "parameters": {"classification": k, "binary_data": binary}}])
    classes = oip.read_answer(answer)["probabilities"]
    assert classes.shape == (8, columns)
    for row, probabilities in zip(classes, expected(reader, eight)):
        best = np.argsort(-probabilities, kind="stable")[:columns]
        for entry, index in zip(row, best):
            value, number, label = entry.split(":", 2)
            assert (int(number), label) == (index, str(index)) and near(float(value), probabilities[index])


def test_labels_may_have_colons_and_other_scripts(daemons, noise):
    daemon = daemons.start(daemons.init("--classes", 'a:b,été,"', name="digits.db"))
    image = noise.integers(0, 256, (1, 1, 8, 8), np.uint8)
    outputs = oip.read_answer(infer(daemon, oip.tensor(image), outputs=[
        {"name": "probabilities", "parameters": {"classification": 3}}, {"name": "label"}]))
    named = {entry.split(":", 2)[1]: entry.split(":", 2)[2] for entry in outputs["probabilities"][0]}
    assert named == {"0": "a:b", "1": "été", "2": '"'}
    assert outputs["label"][0] == outputs["probabilities"][0][0].split(":", 2)[2]


def test_parameters_of_other_servers_are_skipped(reader: Daemon, eight):
    described = oip.tensor(eight, priority=1)
    outputs = oip.read_answer(infer(reader, described, parameters={"timeout": 5, "sequence_id": 7}, model_name="x"))
    assert near(outputs["probabilities"], expected(reader, eight))


# ---- what is refused ----

ONE = oip.tensor(np.zeros((1, 1, 28, 28), np.uint8))
BAD = {
    "no inputs": ({}, "/inputs"),
    "inputs of none": ({"inputs": []}, "/inputs"),
    "two inputs": ({"inputs": [ONE, ONE]}, "/inputs"),
    "an input that is a number": ({"inputs": [1]}, "/inputs/0"),
    "another name": ({"inputs": [ONE | {"name": "input0"}]}, "/inputs/0/name"),
    "no name": ({"inputs": [{k: v for k, v in ONE.items() if k != "name"}]}, "/inputs/0/name"),
    "another type": ({"inputs": [ONE | {"datatype": "INT64"}]}, "/inputs/0/datatype"),
    "no type": ({"inputs": [{k: v for k, v in ONE.items() if k != "datatype"}]}, "/inputs/0/datatype"),
    "another shape": ({"inputs": [ONE | {"shape": [1, 28, 27]}]}, "/inputs/0/shape"),
    "five sides": ({"inputs": [ONE | {"shape": [1, 1, 1, 28, 28]}]}, "/inputs/0/shape/4"),
    "a side that is negative": ({"inputs": [ONE | {"shape": [-1, 1, 28, 28]}]}, "/inputs/0/shape/0"),
    "no shape": ({"inputs": [{k: v for k, v in ONE.items() if k != "shape"}]}, "/inputs/0/shape"),
    "a shape that is a word": ({"inputs": [ONE | {"shape": "1"}]}, "/inputs/0/shape"),
    "fewer values": ({"inputs": [ONE | {"data": [0] * 783}]}, "/inputs/0/data"),
    "more values": ({"inputs": [ONE | {"data": [0] * 785}]}, "/inputs/0/data"),
    "more values by far": ({"inputs": [ONE | {"shape": [2, 1, 28, 28]}]}, "/inputs/0/data"),
    "a value over 255": ({"inputs": [ONE | {"data": [256] + [0] * 783}]}, "/inputs/0/data"),
    "a negative value": ({"inputs": [ONE | {"data": [-1] + [0] * 783}]}, "/inputs/0/data"),
    "half a value": ({"inputs": [ONE | {"data": [0.5] + [0] * 783}]}, "/inputs/0/data"),
    "a value that is a word": ({"inputs": [ONE | {"data": ["0"] + [0] * 783}]}, "/inputs/0/data"),
    "FP32 over 255": ({"inputs": [ONE | {"datatype": "FP32", "data": [255.1] + [0] * 783}]}, "/inputs/0/data"),
    "a scale of nothing": ({"inputs": [ONE | {"datatype": "FP32", "parameters": {"scale": 0}}]}, "/inputs/0/parameters/scale"),
    "a scale for whole numbers": ({"inputs": [ONE | {"parameters": {"scale": 255}}]}, "/inputs/0/parameters/scale"),
    "no data": ({"inputs": [{k: v for k, v in ONE.items() if k != "data"}]}, "/inputs/0"),
    "data that is a word": ({"inputs": [ONE | {"data": "x"}]}, "/inputs/0/data"),
    "binary that is not there": ({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 784],
                                              "parameters": {"binary_data_size": 784}}]}, "/inputs/0/parameters/binary_data_size"),
    "data twice": ({"inputs": [ONE | {"parameters": {"binary_data_size": 0}}]}, "/inputs/0/data"),
    "parameters that are a list": ({"inputs": [ONE | {"parameters": []}]}, "/inputs/0/parameters"),
    "a picture that is a number": ({"inputs": [ONE | {"datatype": "BYTES", "shape": [1], "data": [1]}]}, "/inputs/0/data/0"),
    "a picture too many": ({"inputs": [ONE | {"datatype": "BYTES", "shape": [1], "data": ["AAAA", "AAAA"]}]}, None),
    "pictures in rows of two": ({"inputs": [ONE | {"datatype": "BYTES", "shape": [1, 2], "data": []}]}, "/inputs/0/shape"),
    "another output": ({"inputs": [ONE], "outputs": [{"name": "label"}, {"name": "logits"}]}, "/outputs/1/name"),
    "an output twice": ({"inputs": [ONE], "outputs": [{"name": "label"}, {"name": "label"}]}, "/outputs/1/name"),
    "an output without a name": ({"inputs": [ONE], "outputs": [{}]}, "/outputs/0/name"),
    "outputs that are a word": ({"inputs": [ONE], "outputs": "label"}, "/outputs"),
    "classes of the label": ({"inputs": [ONE], "outputs": [{"name": "label", "parameters": {"classification": 1}}]},
                             "/outputs/0/parameters/classification"),
    "no classes": ({"inputs": [ONE], "outputs": [{"name": "probabilities", "parameters": {"classification": 0}}]},
                   "/outputs/0/parameters/classification"),
    "binary as a number": ({"inputs": [ONE], "outputs": [{"name": "label", "parameters": {"binary_data": 1}}]},
                           "/outputs/0/parameters/binary_data"),
    "binary_data_output as a word": ({"inputs": [ONE], "parameters": {"binary_data_output": "yes"}},
                                     "/parameters/binary_data_output"),
    "an id that is a number": ({"inputs": [ONE], "id": 42}, "/id"),
    "a list": ([ONE], None),
}


@pytest.mark.core
@pytest.mark.parametrize("document, pointer", BAD.values(), ids=BAD)
def test_a_request_that_is_wrong_is_refused_with_the_place(reader: Daemon, document, pointer):
    answer = reader.send_json("POST", INFER, document)
    refused(answer, (415, 422), pointer) if pointer is None else refused(answer, 422, pointer)


@pytest.mark.parametrize("data", ["not base64!", base64.b64encode(png(np.zeros((28, 28), np.uint8))[:60]).decode(), ""])
def test_a_broken_picture_is_named(reader: Daemon, digits, data):
    good = base64.b64encode(png(digits.one(1))).decode()
    described = {"name": "pixels", "datatype": "BYTES", "shape": [3], "data": [good, data, good]}
    assert refused(infer(reader, described), (400, 422))["pointer"] == "/inputs/0/data/1"


def test_no_image_is_too_few_and_too_many_are_too_many(daemons):
    daemon = daemons.start(daemons.copy(), "--batch-images", "4")
    for datatype, shape, data, status in (("UINT8", [0, 784], b"", 400), ("UINT8", [5, 784], bytes(5 * 784), 413),
                                          ("BYTES", [5], oip.elements([png(np.zeros((28, 28), np.uint8))] * 5), 413),
                                          ("FP32", [5, 784], bytes(5 * 784 * 4), 413)):
        refused(infer_binary(daemon, datatype, shape, data), status)
    refused(infer(daemon, {"name": "pixels", "datatype": "UINT8", "shape": [5, 784], "data": [0] * 5 * 784}), 413)
    assert infer_binary(daemon, "UINT8", [4, 784], bytes(4 * 784)).status == 200


def test_a_shape_cannot_make_the_daemon_take_memory_that_the_body_does_not_pay_for(daemons):
    daemon = daemons.start(daemons.init("--width", "512", "--height", "512", "--stride", "8", name="digits.db"))
    before = daemon.rss_bytes()
    for shape in ([4096, 1, 512, 512], [200, 1, 512, 512], [2 ** 53, 262144], [2 ** 40, 1, 512, 512]):
        described = {"name": "pixels", "datatype": "UINT8", "shape": shape, "data": [1, 2, 3]}
        refused(infer(daemon, described), (413, 422))
    assert daemon.rss_bytes() - before < 8 << 20


MISFITS = {
    "a byte too few": ("UINT8", bytes(783)), "a byte too many": ("UINT8", bytes(785)), "no byte": ("UINT8", b""),
    "a number cut": ("FP32", bytes(4 * 784 - 1)), "not a number": ("FP32", np.full(784, np.nan, "<f4").tobytes()),
    "infinity": ("FP32", np.full(784, np.inf, "<f4").tobytes()), "no element": ("BYTES", b""), "a length cut": ("BYTES", b"\1"),
    "a length over the end": ("BYTES", b"\xff\xff\xff\xffx"), "an element too many": ("BYTES", oip.elements([b"x", b"y"])),
    "an empty element": ("BYTES", oip.elements([b""])),
}


@pytest.mark.core
@pytest.mark.parametrize("datatype, data", MISFITS.values(), ids=MISFITS)
def test_binary_that_does_not_fit_its_shape_is_refused(reader: Daemon, datatype, data):
    refused(infer_binary(reader, datatype, [1] if datatype == "BYTES" else [1, 784], data), (400, 415, 422))


@pytest.mark.parametrize("length, status", [("x", 400), ("", 400), ("-1", 400), ("99999", 400), ("18446744073709551615", 400),
                                            ("99999999999999999999", 400), ("3", 400)])
def test_a_length_of_the_json_that_is_wrong_is_refused(reader: Daemon, length, status):
    body, headers = oip.binary_request("UINT8", [1, 784], bytes(784))
    refused(reader.request("POST", INFER, body, headers | {"Inference-Header-Content-Length": length}), status)


def test_bytes_after_the_json_that_no_tensor_claims_are_refused(reader: Daemon, seven):
    text = json.dumps(oip.request(oip.tensor(seven))).encode()
    answer = reader.request("POST", INFER, text + b"xyz", {"Inference-Header-Content-Length": str(len(text))})
    refused(answer, 422, "/inputs/0")


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/v2/nothing", 404), ("GET", "/v2/models", 404), ("GET", "/v2/models/", 404), ("GET", "/v2/models/x", 404),
    ("GET", "/v2/models/digits/versions/x", 404), ("GET", "/v2/models/digits/infer", 405), ("POST", "/v2/models/digits", 405),
    ("POST", "/v2/models/x/infer", 404), ("GET", "/v2/models/digits?x=1", 422), ("POST", INFER, 400)])
def test_every_error_under_v2_speaks_both_languages(reader: Daemon, method, path, status):
    refused(reader.request(method, path, b"" if method == "POST" else None), status)


def test_an_error_before_the_route_speaks_both_languages_too(daemons):
    daemon = daemons.start(daemons.copy(), "--body-bytes", "1000")
    refused(daemon.post(INFER, bytes(2000)), 413)
    refused(daemon.get("/v2", headers={"Host": "evil.example"}), 403)
    assert "error" not in daemon.post("/predict", bytes(2000)).problem(413)


# ---- statistics ----

def test_statistics_count_inferences_batches_and_failures(daemon: Daemon, eight):
    for n in (8, 8, 1):
        infer(daemon, oip.tensor(eight[:n])).ok()
    refused(infer(daemon, oip.tensor(eight), outputs=[{"name": "x"}]), 422)
    daemon.predict(eight.tobytes())  # not of this protocol
    stats = oip.check("stats_model_response", daemon.get("/v2/models/digits/stats").ok())["model_stats"]
    assert len(stats) == 1 and stats[0]["name"] == "digits" and stats[0]["version"] == "1"
    assert (stats[0]["inference_count"], stats[0]["execution_count"]) == (17, 3)
    times = stats[0]["inference_stats"]
    assert (times["success"]["count"], times["fail"]["count"]) == (3, 1)
    parts = ("compute_input", "compute_infer", "compute_output")
    assert [times[part]["count"] for part in parts] == [3, 3, 3] and min(times[part]["ns"] for part in parts) > 0
    assert times["queue"]["count"] == 3
    assert sum(times[part]["ns"] for part in ("queue", *parts)) == times["success"]["ns"]
    assert {b["batch_size"]: b["compute_infer"]["count"] for b in stats[0]["batch_stats"]} == {8: 2, 1: 1}
    assert daemon.get("/v2/models/stats").ok()["model_stats"][0] == stats[0]


# ---- somebody else's client ----

def test_nvidias_client_gets_predicts_answers(daemon: Daemon, eight):
    http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed (Debian has no package of it)")
    client = http.InferenceServerClient(f"127.0.0.1:{daemon.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("digits")
    assert client.get_server_metadata()["name"] == "convd"
    assert client.get_model_metadata("digits")["inputs"][0]["shape"] == [-1, 1, 28, 28]
    for datatype, values, binary in (("UINT8", eight, True), ("UINT8", eight, False), ("FP32", eight.astype(np.float32), True),
                                     ("BYTES", np.array([png(i[0]) for i in eight], object), True)):
        tensor = http.InferInput("pixels", list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        result = client.infer("digits", [tensor])
        assert near(result.as_numpy("probabilities"), expected(daemon, eight))
        assert result.as_numpy("label")[0].decode() == str(expected(daemon, eight)[0].argmax())
        top = client.infer("digits", [tensor], outputs=[http.InferRequestedOutput("probabilities", class_count=2)])
        assert top.as_numpy("probabilities").shape == (8, 2)
    assert client.get_inference_statistics("digits", "1")["model_stats"][0]["execution_count"] == 8
    assert client.get_model_config("digits", "1")["max_batch_size"] == 4096
    assert [model["name"] for model in client.get_model_repository_index()] == ["digits"]
    with pytest.raises(Exception, match="unknown model"):
        client.get_model_metadata("x")
