"""Health, metrics, and what every route has in common: methods, HEAD, problems."""
import os
import re
from pathlib import Path

import pytest

from . import prometheus
from .daemon import Daemon, until

GETS = ["/model", "/model.safetensors", "/model.onnx", "/model.npz", "/model/kernels.png", "/classes", "/stats", "/snapshots", "/snapshots/1", "/snapshots/1/model.safetensors",
        "/jobs", "/healthz",
        "/readyz", "/metrics", "/", "/web/app.js"]
METHODS = {
    "/predict": {"POST"}, "/train": {"POST"}, "/model": {"GET", "HEAD", "PATCH"}, "/model.safetensors": {"GET", "HEAD"},
    "/model/kernels.png": {"GET", "HEAD"}, "/classes": {"GET", "HEAD", "POST", "PATCH"}, "/stats": {"GET", "HEAD"},
    "/model.onnx": {"GET", "HEAD"}, "/model.npz": {"GET", "HEAD"},
    "/snapshots": {"GET", "HEAD", "POST"}, "/snapshots/1": {"GET", "HEAD", "PATCH", "DELETE"}, "/snapshots/1/activate": {"POST"},
    "/snapshots/1/model.safetensors": {"GET", "HEAD"},
    "/rehearse": {"POST"}, "/jobs": {"GET", "HEAD"}, "/jobs/1": {"GET", "HEAD", "DELETE"},
    "/healthz": {"GET", "HEAD"}, "/readyz": {"GET", "HEAD"}, "/metrics": {"GET", "HEAD"}, "/": {"GET", "HEAD"},
    "/web/app.js": {"GET", "HEAD"},
}
REFUSED = [(path, method) for path, allowed in METHODS.items()
           for method in ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "BREW") if method not in allowed]


@pytest.mark.core
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_daemon_that_serves_is_healthy_and_ready(reader: Daemon, path):
    assert reader.get(path).status == 200


@pytest.mark.parametrize("path", GETS)
def test_head_gives_the_headers_of_get_without_the_body(reader: Daemon, path):
    get, head = reader.get(path), reader.request("HEAD", path)
    assert head.status == get.status == 200 and head.body == b""
    for name in ("Content-Type", "ETag", "Cache-Control"):
        assert head.header(name) == get.header(name)
    if path != "/metrics":  # its numbers move
        assert head.header("Content-Length") == str(len(get.body))


@pytest.mark.core
@pytest.mark.parametrize("path, method", REFUSED)
def test_a_wrong_method_is_told_the_right_ones(reader: Daemon, path, method):
    answer = reader.request(method, path)
    assert answer.status == 405
    if method != "HEAD":
        answer.problem(405, "method")
    allow = {word.strip() for word in answer.header("Allow").split(",")}
    assert allow - {"OPTIONS"} == METHODS[path]


@pytest.mark.parametrize("path", METHODS)
def test_options_tells_the_methods(reader: Daemon, path):
    answer = reader.request("OPTIONS", path)
    assert answer.status in (200, 204)
    assert {word.strip() for word in answer.header("Allow").split(",")} - {"OPTIONS"} == METHODS[path]


@pytest.mark.core
@pytest.mark.parametrize("path", ["/nothing", "/Predict", "/predict/", "/model/", "/model/kernels", "//", "/..",
                                  "/../etc/passwd",
                                  "/%2e%2e/", "/snapshots/1/", "/snapshots/1/activate/x", "/v1/predict",
                                  "/" + "x" * 5000])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_route_is_not_found(reader: Daemon, path, method):
    reader.request(method, path).problem((404, 414), None)


@pytest.mark.parametrize("path", ["/model%zz", "/model%", "/model%0", "/%00model", "/predict?top=%zz",
                                  "/predict?top=1&top=2"])
def test_a_malformed_target_is_refused(reader: Daemon, path):
    reader.post(path, b"x").problem((400, 404))


def test_no_answer_names_a_path_of_the_server_or_lets_other_sites_read(reader: Daemon):
    for path in GETS:
        answer = reader.get(path, headers={"Origin": "http://evil.example"})
        assert answer.header("Access-Control-Allow-Origin") is None
        assert str(reader.db.parent).encode() not in answer.body


# ---- metrics ----

def metrics(daemon: Daemon) -> dict[str, dict]:
    answer = daemon.get("/metrics")
    assert answer.status == 200 and answer.header("Content-Type").startswith("text/plain; version=0.0.4")
    return prometheus.parse(answer.body.decode())


@pytest.mark.core
def test_metrics_keep_to_the_conventions_of_prometheus(daemon: Daemon, seven):
    daemon.predict(seven.tobytes())
    daemon.train("7", seven.tobytes()).ok()
    daemon.get("/nothing").problem(404)
    families = metrics(daemon)
    assert len(families) > 10
    for name, family in families.items():
        assert family["type"] in ("counter", "gauge", "histogram") and family["help"]
        assert (family["type"] == "counter") == name.endswith("_total"), name
        assert name.startswith(("convd_", "process_")), name


@pytest.mark.core
def test_metrics_count_requests_by_route_method_and_status(daemon: Daemon, seven):
    def count(labels: str) -> float:
        return metrics(daemon)["convd_http_requests_total"]["samples"].get(("convd_http_requests_total", labels), 0)
    predicted = 'route="/predict",method="POST",code="200"'
    missing = 'route="other",method="GET",code="404"'
    before = count(predicted), count(missing)
    for _ in range(5):
        daemon.predict(seven.tobytes())
        daemon.get("/nothing").problem(404)
    # Counted when the last byte of the answer is out: maybe after the client has read that.
    until(lambda: (count(predicted), count(missing)) >= (before[0] + 5, before[1] + 5), "all of them counted")
    assert (count(predicted), count(missing)) == (before[0] + 5, before[1] + 5)


def test_metrics_have_histograms_that_add_up(daemon: Daemon, seven):
    for _ in range(20):
        daemon.predict(seven.tobytes())
    total = ("convd_http_request_duration_seconds_count", 'route="/predict"')
    samples = until(lambda: (s := metrics(daemon)["convd_http_request_duration_seconds"]["samples"])[total] >= 20 and s, "all of them counted")
    buckets = [(labels, v) for (name, labels),
               v in samples.items() if name.endswith("_bucket") and '"/predict"' in labels]
    values = [v for _, v in buckets]
    assert values == sorted(values) and 'le="+Inf"' in buckets[-1][0]
    assert values[-1] == samples[total] == 20
    assert samples["convd_http_request_duration_seconds_sum", 'route="/predict"'] > 0


def test_metrics_tell_the_model_and_the_process(daemon: Daemon, seven):
    daemon.train("7", seven.tobytes()).ok()
    families, model = metrics(daemon), daemon.model()
    assert prometheus.value(families, "convd_model_revision") == model["revision"]
    assert prometheus.value(families, "convd_model_step") == model["step"]
    assert prometheus.value(families, "convd_trainer_samples_total") == 1
    rss = prometheus.value(families, "process_resident_memory_bytes")
    assert rss == pytest.approx(daemon.rss_bytes(), rel=0.2)


def test_metrics_have_what_stock_dashboards_ask_of_every_process(daemon: Daemon):
    def told(name: str) -> float:
        return prometheus.metric(daemon, f"process_{name}")

    proc = Path(f"/proc/{daemon.process.pid}")
    hertz = os.sysconf("SC_CLK_TCK")

    def stat() -> list[str]:
        return (proc / "stat").read_text().rpartition(")")[2].split()
    booted = float(re.search(r"btime (\d+)", Path("/proc/stat").read_text())[1])
    assert told("start_time_seconds") == pytest.approx(booted + int(stat()[19]) / hertz, abs=30)
    before, spent = sum(map(int, stat()[11:13])) / hertz, told("cpu_seconds_total")
    assert spent >= before - 2 / hertz
    until(lambda: told("cpu_seconds_total") > spent, "more time")
    until(lambda: told("virtual_memory_bytes") == pytest.approx(int(stat()[20]), rel=0.2), "the same")  # a thread's first malloc() takes 64 MB
    assert told("virtual_memory_bytes") > told("resident_memory_bytes")
    limit = re.search(r"^Max open files +(\d+)", (proc / "limits").read_text(), re.MULTILINE)
    assert told("max_fds") == float(limit[1])
    crowd = [daemon.connect() for _ in range(20)]
    until(lambda: prometheus.metric(daemon, "convd_http_connections") >= 20, "the crowd")
    assert abs(told("open_fds") - daemon.descriptors()) <= 2  # one of the two who ask
    assert told("open_fds") >= 20
    for connection in crowd:
        connection.close()
