"""Warnings: a model that cannot learn says so in /stats, /metrics, /events and the log, with what to do, and says when it can again."""
import numpy as np
import pytest

from .daemon import Daemon, convd, convd_json
from .prometheus import parse, value
from .test_events import Reader


def teach(daemon: Daemon, noise, n: int, told: bool) -> None:
    """n images of a and b, three to two; told: which is which can be seen."""
    for _ in range(0, n, 50):
        labels = ["a" if x < 0.6 else "b" for x in noise.random(50)]
        images = noise.integers(0, 256, (50, 8, 8), np.uint8)
        if told:
            for image, label in zip(images, labels):
                image[:, :4] //= 1 if label == "a" else 16
                image[:, 4:] //= 16 if label == "a" else 1
        daemon.post("/train?labels=" + ",".join(labels), images.tobytes()).ok()


def metrics(daemon: Daemon) -> dict[str, float]:
    families = parse(daemon.get("/metrics").body.decode())
    return {labels.removeprefix('code="').removesuffix('"'): raised for (_, labels), raised in families["convd_warning"]["samples"].items()}


@pytest.mark.core
def test_what_cannot_be_learned_is_told_everywhere_alike_until_it_can(small: Daemon, noise):
    assert small.get("/stats").ok()["warnings"] == []
    assert set(metrics(small).values()) == {0}
    with Reader(small) as reader:
        teach(small, noise, 400, told=False)
        while (event := reader.next("warning"))["code"] != "below_commonest":
            pass
        [warning] = [w for w in small.get("/stats").ok()["warnings"] if w["code"] == "below_commonest"]
        assert warning["text"].startswith("accuracy: ") and warning["text"].endswith('the answer were always "a": set rehearsal to 8')
        assert 200 <= warning["since"] <= 400
        assert event["text"].startswith("accuracy: ") and event["sample"] >= warning["since"]
        assert metrics(small)["below_commonest"] == 1
        small.logged("no more than if the answer were always")
        small.kill()
        assert warning in small.start().get("/stats").ok()["warnings"]
        small.logged("no more than if the answer were always")
    with Reader(small) as reader:
        small.send_json("PATCH", "/model", {"rehearsal": 8}).ok()
        teach(small, noise, 1500, told=True)
        while (event := reader.next("warning"))["text"] is not None or event["code"] != "below_commonest":
            pass
    stats = small.get("/stats").ok()
    assert stats["warnings"] == [] and stats["recent"]["accuracy"] > 0.9
    assert set(metrics(small).values()) == {0}
    small.logged("the warning below_commonest is cleared")
    small.stop()
    convd_json("verify", "--db", small.db)


def test_forgetting_the_samples_takes_the_warning_away(small: Daemon, noise):
    teach(small, noise, 400, told=False)
    assert small.get("/stats").ok()["warnings"] != []
    ids = ",".join(str(i) for i in range(1, 251))
    small.request("DELETE", "/samples", ('{"ids": [' + ids + "]}").encode(),
                  {"Content-Type": "application/json", "Prefer": "wait=25"}).ok()
    assert small.get("/stats").ok()["warnings"] == []
    assert metrics(small)["below_commonest"] == 0
    small.logged("the warning below_commonest is cleared")


@pytest.mark.parametrize("where", ["offline", "url"])
def test_the_command_line_tells_in_the_end(daemons, tmp_path, noise, where):
    db = daemons.init("--classes", "0,1")
    place = ["--db", db] if where == "offline" else ["--url", daemons.start(db).url]
    images, labels = noise.integers(0, 256, (400, 8, 8), np.uint8), (noise.random(400) < 0.4).astype(np.uint8)
    (tmp_path / "images.idx").write_bytes(b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes())
    (tmp_path / "labels.idx").write_bytes(b"\0\0\x08\x01" + np.array(labels.shape, ">u4").tobytes() + labels.tobytes())
    said = convd("train", *place, tmp_path / "images.idx", tmp_path / "labels.idx", "--quiet")
    assert "convd: warning: accuracy: " in said.stderr.decode()
    assert 'no more than if the answer were always "0": set rehearsal to 8\n' in said.stderr.decode()
