"""What operators load into Prometheus and Grafana fits what the daemon tells: metrics, alert rules, dashboard."""
from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from .conftest import Daemons
from .prometheus import parse

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "examples/prometheus/convd.rules.yml"
TESTS = ROOT / "examples/prometheus/convd.rules.test.yml"
DASHBOARD = ROOT / "examples/grafana/convd.json"
METRIC = re.compile(r"\b((?:convd|process)_[a-z_]+|up)\b")


@pytest.fixture(scope="module")
def promtool():
    path = ROOT / "build/promtool"
    subprocess.run([ROOT / "scripts/deps-promtool", path], check=True, stdin=subprocess.DEVNULL)

    def run(*arguments: object, text: str | None = None) -> str:
        done = subprocess.run([path / "promtool", *map(str, arguments)], input=text or "", capture_output=True, text=True, cwd=RULES.parent)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def metrics(tmp_path_factory, trained_db, new_db) -> str:
    """Of a daemon that has answered and learned: what has not happened yet is not told of some things."""
    daemons = Daemons(tmp_path_factory.mktemp("metrics"), trained_db, new_db)
    try:
        daemon = daemons.start(daemons.init())
        daemon.predict(bytes(64))
        daemon.train("a", bytes(63) + b"\1").ok()
        return daemon.get("/metrics").body.decode()
    finally:
        daemons.close()


@pytest.fixture(scope="module")
def families(metrics) -> dict[str, str]:
    """Every name that a query may use: its kind."""
    kinds = {"up": "gauge"}
    for name, family in parse(metrics).items():
        if family["type"] == "histogram":
            kinds |= {name + suffix: "counter" for suffix in ("_bucket", "_sum", "_count")}
        else:
            kinds[name] = family["type"]
    return kinds


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """All of the dashboard's, as Prometheus gets them from Grafana."""
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [mark["expr"] for mark in board["annotations"]["list"]]
    return [q.replace("$__rate_interval", "1m").replace("$job", "convd").replace("$instance", ".*") for q in found]


def check_names(query: str, families: dict[str, str]) -> None:
    names = METRIC.findall(re.sub(r'"[^"]*"', '""', query))
    assert names, query
    for name in names:
        assert name in families, f"{name} is no metric: {query}"
    # a rate of what may fall is nonsense, and so is a counter's own value in a threshold
    for function, name in re.findall(r"\b(rate|increase|delta|changes)\((\w+)", query):
        assert (families[name] == "counter") == (function in ("rate", "increase")), query


def test_promtool_finds_nothing_to_say_about_the_metrics(promtool, metrics):
    assert promtool("check", "metrics", text=metrics) == ""


def test_promtool_would_say_something(promtool, metrics):
    with pytest.raises(AssertionError, match="_total"):
        promtool("check", "metrics", text=metrics.replace("convd_events_total", "convd_events"))


def test_the_configuration_and_the_rules_are_valid(promtool):
    assert f"{len(rules())} rules found" in promtool("check", "config", "prometheus.yml")


def test_the_rules_do_what_their_tests_say(promtool):
    assert "SUCCESS" in promtool("test", "rules", TESTS.name)


def test_every_alert_is_tried_where_it_must_fire_and_where_it_must_not():
    cases = yaml.safe_load(TESTS.read_text())["tests"]
    quiet = {t["alertname"] for case in cases for t in case.get("alert_rule_test", []) if t["exp_alerts"] == []}
    fires = {re.search(r'alertname="(\w+)"', t["expr"])[1] for case in cases for t in case.get("promql_expr_test", []) if t["exp_samples"]}
    alerts = {rule["alert"] for rule in rules()}
    assert len(alerts) == len(rules()) >= 10
    assert alerts == quiet == fires


def test_every_alert_names_only_metrics_that_the_daemon_has_and_says_what_to_do(families):
    for rule in rules():
        check_names(rule["expr"], families)
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"] and len(rule["annotations"]["description"]) > 40


def test_every_query_of_the_dashboard_names_only_metrics_that_the_daemon_has(families):
    assert len(queries()) > 20
    for query in queries():
        check_names(query, families)


def test_every_query_of_the_dashboard_is_valid(promtool, tmp_path):
    """promtool checks rules, so each query becomes one."""
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": [
        {"record": f"query:number{i}", "expr": query} for i, query in enumerate(queries())]}]}))
    assert f"{len(queries())} rules found" in promtool("check", "rules", path)


def test_the_panels_of_the_dashboard_do_not_overlap_and_have_names_of_their_own():
    cells = [(x, y) for p in panels() for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
             for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24
    for key in ("id", "title"):
        assert len({p[key] for p in panels()}) == len(panels())


def test_whatever_an_alert_looks_at_is_in_the_dashboard_too():
    shown = {name for query in queries() for name in METRIC.findall(query)}
    assert {name for rule in rules() for name in METRIC.findall(re.sub(r'"[^"]*"', '""', rule["expr"]))} <= shown
