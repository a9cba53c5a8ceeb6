"""The short form of `make soak`: the same load for some seconds, in which memory still finds its size; descriptors must be
right to the last one."""
import pytest

from tests.soak import soak

from .daemon import SANITIZED

SECONDS = 8


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own memory hides the program's")
def test_under_mixed_load_memory_and_descriptors_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "GROWTH_MIB", 8.0)  # while it warms up; thirty minutes may add 2
    report = soak.run(SECONDS, tmp_path)
    print(soak.text(report))
    assert report["wrong"] == []
    assert min(report["counts"].values()) > 20


def test_growing_memory_is_noticed():
    report = {"memory": [10 + 0.1 * i for i in range(100)], "wrong": []}
    soak.judge(report)
    assert report["wrong"] and report["growth"] > soak.GROWTH_MIB
