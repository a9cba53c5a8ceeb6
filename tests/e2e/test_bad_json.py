"""JSON and labels that are none, through real HTTP. The `reader` fixture proves after each that nothing changed."""
import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from .daemon import Daemon
from .pictures import CURL, FORM, form, pixel_list, png, to_json

pytestmark = pytest.mark.core

ROUTES = ["/predict", "/train", "/train?label=7"]


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", [b"{", b"}", b"[", b'{"image"', b'{"image":}', b"{'image': 1}",
                                  b'{"image": {"pixels": [1,]}}',
                                  b'{"image": 1} x', b'{"image": 1}{"image": 1}', b"nul", b"\xef\xbb\xbf{}",
                                  b'{"a": "\xff"}',
                                  b'{"a": "\xed\xa0\x80"}', b'{"a": "\x01"}', b'{"a": "\\x"}', b'{"a": "\\ud800"}',
                                  b'{"a": "\\u0000"}',
                                  b'{"a": 01}', b'{"a": 1.}', b'{"a": .5}', b'{"a": +1}', b'{"a": 0x10}', b"\0",
                                  b'{"a": 1}\0'])
def test_what_is_not_json_is_refused(reader: Daemon, route, body):
    reader.post(route, body, "application/json").problem((400, 422))


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_json_in_utf_16_is_told_to_be_utf_8(reader: Daemon, seven, coding):
    body = json.dumps({"image": pixel_list(seven), "label": "7"}).encode(coding)
    for kind in ("application/json", "application/x-ndjson"):
        for route in ("/predict", "/train"):
            assert "UTF-16" in reader.post(route, body, kind).problem(400, "syntax")["detail"]
    assert "UTF-16" in reader.post("/classes", body, "application/json").problem(400, "syntax")["detail"]
    assert "UTF-16" in reader.post("/v2/models/convd/infer", body, "application/json").problem(400, "syntax")["detail"]
    if not coding.startswith("utf-32") and coding != "utf-16-be":
        assert "JSON in UTF-16; send it in UTF-8" in reader.post("/predict", body, CURL).problem(415)["detail"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("number", ["NaN", "nan", "Infinity", "-Infinity", "1e999", "-1e999", "1e99999999999"])
def test_a_number_that_is_not_finite_is_refused(reader: Daemon, route, number):
    body = b'{"image": {"pixels": [' + number.encode() + b", 0" * 783 + b"]}}"
    reader.post(route, body, "application/json").problem((400, 422))


@pytest.mark.parametrize("number", ["NaN", "1e999", "-1e999"])
def test_a_setting_that_is_not_a_finite_number_is_refused(reader: Daemon, number):
    body = f'{{"rate": {number}}}'.encode()
    reader.request("PATCH", "/model", body, {"Content-Type": "application/json"}).problem((400, 422))


@pytest.mark.parametrize("route", [*ROUTES, "/classes", "/snapshots"])
@pytest.mark.parametrize("body", [nested(10000), nested(10000, '{"a":', "}").replace(b":}", b":0}"), b"[" * 1000000,
                                  b'{"image":' + nested(10000) + b"}"],
                                  ids=["arrays", "objects", "unclosed", "in image"])
def test_json_nested_ten_thousand_deep_is_refused(reader: Daemon, route, body):
    reader.post(route, body, "application/json").problem((400, 422))


def test_json_of_very_many_values_is_refused(reader: Daemon):
    body = b'{"images": [' + b"0," * 3000000 + b"0]}"
    reader.post("/predict", body, "application/json").problem((400, 413, 422))


def test_an_object_of_very_many_keys_is_no_trap(reader: Daemon):
    body = ("{" + ",".join(f'"k{i}": 0' for i in range(100000)) + "}").encode()
    reader.post("/predict", body, "application/json").problem((400, 422))


def test_a_key_that_comes_twice_is_refused(reader: Daemon, seven):
    pixels = json.dumps(pixel_list(seven))
    reader.post("/predict", f'{{"image": {pixels}, "image": {pixels}}}'.encode(),
                "application/json").problem((400, 422))


@pytest.mark.parametrize("document, pointer", [
    ({}, None), ({"image": 7}, "/image"), ({"image": None}, "/image"), ({"image": []}, "/image"),
    ({"image": {}}, "/image"),
    ({"image": {"pixels": 7}}, "/image/pixels"), ({"image": {"pixels": []}}, "/image/pixels"),
    ({"image": {"pixels": [0] * 783}}, "/image/pixels"), ({"image": {"pixels": [0] * 785}}, "/image/pixels"),
    ({"image": {"pixels": [0] * 783 + [-1]}}, "/image/pixels/783"),
    ({"image": {"pixels": [0.5] + [0] * 783}}, "/image/pixels/0"),
    ({"image": {"pixels": ["0"] * 784}}, "/image/pixels/0"), ({"image": {"pixels": [[0] * 28] * 27}}, "/image/pixels"),
    ({"image": {"pixels": [[0] * 28] * 27 + [[0] * 27]}}, "/image/pixels/27"), ({"image": {"b64": 7}}, "/image/b64"),
    ({"image": {"b64": "AA==", "pixels": []}}, "/image"), ({"image": {"pixels": [0] * 784}, "extra": 1}, "/extra"),
    ({"images": 7}, "/images"), ({"images": []}, "/images"), ({"images": {}}, "/images"),
    ({"images": [7]}, "/images/0")])
def test_an_image_of_another_form_is_refused_and_pointed_at(reader: Daemon, document, pointer):
    reader.post("/predict", to_json(document), "application/json").problem((400, 422), pointer=pointer)


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"x"', b"true"])
@pytest.mark.parametrize("route", ROUTES)
def test_json_that_is_no_object_is_refused(reader: Daemon, route, body):
    reader.post(route, body, "application/json").problem(422, "value")


@pytest.mark.parametrize("method, path", [("PATCH", "/model"), ("POST", "/classes"), ("PATCH", "/classes"),
                                          ("POST", "/snapshots")])
@pytest.mark.parametrize("body", [b"{", b"\xff", b"not json", b"{}{}"])
def test_a_broken_document_is_refused_by_every_route_that_takes_one(reader: Daemon, method, path, body):
    reader.request(method, path, body, {"Content-Type": "application/json"}).problem((400, 422))


@pytest.mark.parametrize("method, path", [("PATCH", "/model"), ("POST", "/classes"), ("PATCH", "/classes")])
def test_an_empty_document_is_refused(reader: Daemon, method, path):
    reader.request(method, path, b"").problem(400, "empty-body")


# ---- labels ----

NO_LABELS = {
    "empty": "", "65 bytes": "x" * 65, "33 times two bytes": "ä" * 33, "5000 bytes": "x" * 5000,
    "not UTF-8": b"\xff\xfe",
    "overlong": b"\xc0\xaf", "a surrogate": b"\xed\xa0\x80", "cut": b"\xc3", "beyond Unicode": b"\xf5\x80\x80\x80",
    "tab": "a\tb",
    "line feed": "a\nb", "delete": "\x7f", "C1": "\x85", "line separator": "\u2028", "a leading space": " a",
    "a trailing space": "a ",
}


@pytest.mark.parametrize("name", NO_LABELS)
def test_a_query_label_that_is_none_is_refused(reader: Daemon, seven, name):
    answer = reader.post("/train?label=" + quote(NO_LABELS[name], safe=""), seven.tobytes())
    answer.problem((400, 422), "label-invalid" if answer.status == 422 else None)


@pytest.mark.parametrize("name", [name for name, label in NO_LABELS.items() if isinstance(label, str)])
def test_a_json_label_that_is_none_is_refused_and_pointed_at(reader: Daemon, seven, name):
    document = {"samples": [{"label": "7", "image": pixel_list(seven)},
                            {"label": NO_LABELS[name], "image": pixel_list(seven)}]}
    reader.send_json("POST", "/train", document).problem(422, "label-invalid", "/samples/1/label")


@pytest.mark.parametrize("name", NO_LABELS)
def test_a_form_field_that_is_no_label_is_refused(reader: Daemon, seven, name):
    label = NO_LABELS[name]
    label = label if isinstance(label, bytes) else label.encode()
    body = form(("LABEL", "a.png", png(seven))).replace(b"LABEL", label)
    reader.post("/train", body, FORM).problem((400, 422))


@pytest.mark.parametrize("name", [name for name, label in NO_LABELS.items() if isinstance(label, str)])
def test_a_class_cannot_be_called_what_is_no_label(reader: Daemon, name):
    reader.send_json("POST", "/classes", {"label": NO_LABELS[name]}).problem(422, "label-invalid", "/label")
    reader.send_json("PATCH", "/classes", {"from": "7", "to": NO_LABELS[name]}).problem(422, "label-invalid", "/to")


@pytest.mark.parametrize("label", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_a_class_name_that_is_not_utf_8_is_refused(reader: Daemon, label):
    reader.post("/classes", b'{"label": "' + label + b'"}', "application/json").problem((400, 422))


@pytest.mark.parametrize("body, content_type", [("raw", "application/octet-stream"), ("png", "image/png"),
                                                ("json", "application/json"),
                                                ("ndjson", "application/x-ndjson")])
def test_training_without_a_label_is_refused(reader: Daemon, seven, body, content_type):
    data = {"raw": seven.tobytes(), "png": png(seven)}.get(body) or to_json({"image": pixel_list(seven)})
    reader.post("/train", data, content_type).problem(422, "label-missing")


def test_an_unknown_label_is_told_the_known_ones_and_how_to_add_one(reader: Daemon, seven):
    problem = reader.train("eleven", seven.tobytes()).problem(422, "label-unknown")
    assert "eleven" in problem["detail"] and "0, 1, 2" in problem["detail"] and "/classes" in problem["detail"]


@pytest.mark.parametrize("key", [None, "not known"])
def test_an_unknown_label_is_pointed_at_by_whatever_way_it_came(reader: Daemon, seven, key):
    good, bad = ({"label": label, "image": pixel_list(seven)} for label in ("7", "x"))
    raw = seven.tobytes()
    boxed = {"label": "x", "image": {"b64": b64encode(png(seven)).decode()}}
    lines = b"\n\n".join(to_json(one) for one in (good, good, boxed, bad))
    headers = {} if key is None else {"Idempotency-Key": key}
    for path, body, kind, words, pointer in (
            ("/train?label=x", raw * 2, None, "?label: ", ""),
            ("/train?labels=7,7,x,y", raw * 4, None, "label 2 of ?labels: ", "/images/2"),
            ("/train?labels=7,x", to_json({"images": [good["image"]] * 2}), None, "label 1 of ?labels: ", "/images/1"),
            ("/train", form(("7", "a.png", png(seven)), ("x", "b.png", png(seven))), FORM,
             "part 1 of the form (a field's name is the label: -F 7=@a.png): ", "/images/1"),
            ("/train", to_json(bad), None, "", "/label"),
            ("/train", to_json(boxed), "application/json", "", "/label"),
            ("/train", to_json({"samples": [good, good, bad, boxed]}), None, "sample 2: ", "/samples/2/label"),
            ("/train", to_json({"samples": [good, boxed, bad]}), None, "sample 1: ", "/samples/1/label"),
            ("/train", lines, "application/x-ndjson", "line 4: ", "/lines/4/label")):
        problem = reader.post(path, body, kind, headers=headers).problem(422, "label-unknown", pointer or None)
        assert problem["detail"].startswith(words + 'unknown label "x": the model\'s classes are 0, 1, '), problem


def test_more_labels_than_a_model_may_have_classes_are_refused(reader: Daemon, noise):
    labels = ",".join(str(i) for i in range(1025))
    reader.post(f"/train?labels={labels}", noise.bytes(1025 * 784)).problem(422, "limit", "/images/1024")


@pytest.mark.parametrize("label", [7, None, True, ["7"], {"a": "7"}, 7.5])
def test_a_json_label_that_is_no_string_is_refused(reader: Daemon, seven, label):
    document = {"label": label, "image": pixel_list(seven)}
    reader.send_json("POST", "/train", document).problem(422, pointer="/label")


def test_a_misspelt_label_parameter_trains_nothing(reader: Daemon, seven):
    problem = reader.post("/train?lable=7", seven.tobytes()).problem(422)
    assert problem["detail"] == 'unknown query parameter "lable"; the route\'s are: label, labels, flat'
