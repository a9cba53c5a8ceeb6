"""Content-Encoding: bodies that a client has compressed are what they were, within the same limits."""
import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest

from . import oip
from .daemon import SANITIZED, Daemon, parse, until
from .pictures import BODY_KINDS, FORM, form, pixel_list, png, to_json
from .prometheus import metric

pytestmark = pytest.mark.core


def alone(data: bytes) -> bytes:
    """Deflate without zlib's header: not what HTTP means, but what many send."""
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    return press.compress(data) + press.flush()


CODINGS = {"gzip": ("gzip", gzip.compress), "x-gzip": ("x-gzip", gzip.compress), "deflate": ("deflate", zlib.compress),
           "deflate alone": ("Deflate", alone), "none": ("identity", bytes)}


def post(daemon: Daemon, path: str, data: bytes, content_type: str | None, coding: str = "gzip", **headers: str):
    name, compress = CODINGS[coding]
    return daemon.post(path, compress(data), content_type, headers={"Content-Encoding": name, **headers})


def nothing_is_held(daemon: Daemon) -> None:
    until(lambda: metric(daemon, "convd_http_body_bytes") == 0, "the end of the bodies")


@pytest.mark.parametrize("coding", CODINGS)
def test_every_kind_of_body_is_the_same_when_it_is_compressed(reader: Daemon, seven, coding):
    for content_type, body in BODY_KINDS.values():
        data = body(seven)
        assert post(reader, "/predict", data, content_type, coding).ok() == reader.post("/predict", data, content_type).ok()


@pytest.mark.parametrize("coding", CODINGS)
def test_every_kind_of_body_is_trained_on(daemon: Daemon, seven, coding):
    for content_type, body in BODY_KINDS.values():
        query = "" if content_type == FORM else "?label=7"
        assert post(daemon, "/train" + query, body(seven), content_type, coding).ok()["accepted"] == 1


@pytest.mark.parametrize("coding", CODINGS)
def test_tensors_come_compressed_as_tritonclient_sends_them(reader: Daemon, digits, coding):
    images = digits.test_images[:8].reshape(8, 1, 28, 28)
    plain = to_json({"inputs": [oip.tensor(images)]})
    assert post(reader, "/v2/models/digits/infer", plain, "application/json", coding).ok() == reader.post("/v2/models/digits/infer", plain).ok()
    head = to_json({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [8, 1, 28, 28], "parameters": {"binary_data_size": 8 * 784}}]})
    length = {"Inference-Header-Content-Length": str(len(head))}  # of what was not compressed
    answer = post(reader, "/v2/models/digits/infer", head + images.tobytes(), "application/octet-stream", coding, **length)
    assert answer.ok() == reader.post("/v2/models/digits/infer", plain).ok()


def test_other_routes_take_a_compressed_body_too(daemon: Daemon):
    assert post(daemon, "/classes", b'{"label": "x"}', "application/json").ok(201)["label"] == "x"
    assert post(daemon, "/snapshots", b'{"note": "y"}', "application/json", "deflate").ok(201)
    headers = {"Content-Encoding": "gzip"}
    assert daemon.request("PATCH", "/model", gzip.compress(b'{"rate": 0.25}'), headers).ok()["settings"]["rate"] == 0.25
    assert daemon.request("POST", "/snapshots", b"", headers).status == 201  # nothing is nothing in any coding
    assert daemon.request("GET", "/model", None, {"Content-Encoding": "br"}).ok()


def test_a_retry_is_one_whatever_its_coding(daemon: Daemon, seven):
    first = post(daemon, "/train?label=7", png(seven), "image/png", "gzip", **{"Idempotency-Key": "k"}).ok()
    for coding in CODINGS:
        assert post(daemon, "/train?label=7", png(seven), "image/png", coding, **{"Idempotency-Key": "k"}).ok() == first
    other = post(daemon, "/train?label=7", png(seven.T.copy()), "image/png", "gzip", **{"Idempotency-Key": "k"})
    other.problem(422, "key-reused")


def test_a_compressed_body_may_come_in_chunks(reader: Daemon, seven):
    data = gzip.compress(png(seven))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 100]), data[i:i + 100]) for i in range(0, len(data), 100))
    answer = parse(reader.raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
                              b"Content-Encoding: gzip\r\n\r\n" + chunks + b"0\r\n\r\n"))
    assert answer.ok() == reader.predict(png(seven))


@pytest.mark.parametrize("coding, threads", [("gzip", "1"), ("gzip", "2"), ("deflate", "1"), ("deflate alone", "2")])
def test_many_images_in_a_small_body_are_read_by_a_thread_of_the_pool(daemons, digits, coding, threads):
    daemon = daemons.start(daemons.copy(), "--threads", threads)
    many = np.repeat(digits.test_images[:4], 500, axis=0)
    body = form(*(("7", "a.png", png(image)) for image in digits.test_images[:400]))
    for data, kind in ((many.tobytes(), None), (to_json({"images": [pixel_list(image) for image in many[:1200]]}), None), (body, FORM)):
        before = metric(daemon, "convd_heavy_requests_total")
        answer = post(daemon, "/predict", data, kind, coding).ok()
        assert metric(daemon, "convd_heavy_requests_total") == before + 1
        assert answer == daemon.post("/predict", data, kind).ok()
    assert post(daemon, "/train?label=7", many.tobytes(), None, coding).ok()["accepted"] == 2000
    nothing_is_held(daemon)


# ---- refused ----

@pytest.mark.parametrize("path", ["/predict", "/train?label=7", "/v2/models/digits/infer", "/classes"])
@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, identity", "", "gzip;q=1"])
def test_another_coding_is_refused_with_those_there_are(reader: Daemon, seven, path, coding):
    answer = reader.post(path, png(seven), "image/png", headers={"Content-Encoding": coding})
    problem = answer.problem(415, "media-type")
    assert answer.header("Accept-Encoding") == "gzip, deflate"
    assert f'"{coding}"' in problem["detail"] and "send gzip, deflate or none" in problem["detail"]


def test_codings_in_two_headers_are_two_readings(reader: Daemon):
    answer = reader.raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 784\r\nContent-Encoding: gzip\r\n"
                        b"Content-Encoding: gzip\r\n\r\n" + bytes(784))
    parse(answer).problem(400, "syntax")


def test_another_media_type_has_no_accept_encoding(reader: Daemon):
    answer = reader.post("/predict", b"GIF89a" + bytes(100), "image/gif")
    answer.problem(415, "media-type")
    assert answer.header("Accept-Encoding") is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate alone"])
@pytest.mark.parametrize("path", ["/predict", "/train?label=7", "/classes"])
def test_a_compressed_body_that_is_cut_or_damaged_is_refused(reader: Daemon, seven, coding, path):
    name, compress = CODINGS[coding]
    whole = compress(png(seven))
    for data, word in ((whole[:-1], "cut"), (whole[:20], "cut"), (whole + b"x", ""), (whole[:30] + bytes(60) + whole[90:], ""),
                       (png(seven), "damaged"), (b"x", "")):
        problem = reader.post(path, data, "image/png", headers={"Content-Encoding": name}).problem(400, "syntax")
        assert name.lower() in problem["detail"] and word in problem["detail"], problem


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate alone"])
def test_a_bomb_is_refused_at_the_limit_of_a_body(daemons, coding):
    daemon = daemons.start(daemons.copy(), "--threads", "1")
    name, compress = CODINGS[coding]
    for n in ((16 << 20) + 1, 50 << 20):
        bomb = compress(bytes(n))
        for path in ("/predict", "/train?label=7", "/classes"):
            problem = daemon.post(path, bomb, "application/json", headers={"Content-Encoding": name}).problem(413, "too-large")
            assert "when it is decoded; the limit is 16777216 bytes" in problem["detail"]
    nothing_is_held(daemon)
    small = daemons.start(daemons.copy("small.db"), "--body-bytes", "1000")
    post(small, "/predict", bytes(784), None, coding).ok()
    post(small, "/predict", bytes(2 * 784), None, coding).problem(413, "too-large")


def test_a_crowd_of_bombs_leaves_memory_and_others_alone(daemons, seven):
    """Each is 16 KB and would be 16 MB: they are decoded beside the one HTTP thread, within the budget of bodies. Sanitizers, under which
    memory is another, have a quarter of it."""
    daemon = daemons.start(daemons.copy(), "--threads", "1")
    bomb, headers, picture = gzip.compress(bytes((4 if SANITIZED else 16) << 20)), {"Content-Encoding": "gzip"}, png(seven)
    assert len(bomb) < 20000
    daemon.post("/predict", bomb, "application/json", headers=headers)
    before, expected = daemon.rss_bytes(), daemon.predict(picture)
    with ThreadPoolExecutor(16) as pool:
        crowd = [pool.submit(daemon.post, "/predict", bomb, "application/json", headers=headers) for _ in range(16 if SANITIZED else 48)]
        n = 0
        while wait(crowd, timeout=0.01).not_done:
            assert daemon.predict(picture) == expected
            n += 1
    assert n > 0
    assert {one.result().status for one in crowd} <= {400, 503}
    assert SANITIZED or daemon.rss_bytes() - before < 96 << 20
    nothing_is_held(daemon)


def test_what_is_compressed_twice_is_no_picture(reader: Daemon, seven):
    data = gzip.compress(png(seven))
    assert "gzip data" in post(reader, "/predict", data, "image/png").problem(415, "media-type")["detail"]
    assert "gzip data" in reader.post("/predict", data, "image/png").problem(415, "media-type")["detail"]
