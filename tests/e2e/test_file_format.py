"""The file of a model is what docs/file-format.md says: a reader of two hundred lines, which knows nothing of convd, finds in it what convd
finds, and every changed byte of the log, of its edits and of the snapshot."""
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .daemon import ROOT, Daemon, convd, convd_json
from .reference import read_safetensors
from .test_edits import edit
from .test_rehearse import ended, rehearse
from .test_upgrade import OTHER

READER = ROOT / "tests" / "format" / "reader.py"
FLAGS = ("--rehearsal", "2", "--jitter", "1", "--rotation", "5")


def run_reader(path: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(READER), str(path)], capture_output=True, text=True)


def reads_the_same(daemon: Daemon) -> dict:
    """What the reader finds in a copy is what the daemon answers and `convd verify` proves. Returns it."""
    daemon.post("/snapshots", b"", None).ok(201)
    copy = daemon.directory / "copy.db"
    copy.unlink(missing_ok=True)
    convd("backup", copy, "--url", daemon.url, "--quiet")
    done = run_reader(copy)
    assert done.returncode == 0, done.stderr
    found, model, stats = json.loads(done.stdout), daemon.model(), daemon.get("/stats").ok()
    verdict = convd_json("verify", "--db", copy)
    assert verdict["ok"] is True
    for name in ("digest", "revision", "step", "samples"):
        assert found[name] == verdict[name], name
    assert found["snapshot"] == found["revision"] == model["revision"] and found["digest"] == model["digest"]
    assert found["settings"]["rate"] == pytest.approx(model["settings"]["rate"], rel=1e-6)
    assert found["classes"] == [row["label"] for row in stats["classes"]]
    tally = found["tally"]
    assert tally["samples"] == stats["samples"] and tally["confusion"] == stats["confusion"]
    assert tally["correct"] == round(stats["accuracy"] * stats["samples"]) == np.trace(stats["confusion"])
    assert tally["loss_sum"] / tally["samples"] == pytest.approx(stats["loss"], abs=1e-9)
    recent = stats["recent"]
    assert tally["recent"] == {"samples": recent["samples"], "correct": round(recent["accuracy"] * recent["samples"])}
    assert tally["alarms"] == {"n": stats["drift"]["alarms"], "recent": stats["drift"]["recent_alarms"]}
    assert found["refused"] == stats["refused"]
    tensors, _ = read_safetensors(daemon.get("/model.safetensors").body)
    assert sorted(found["tensors"]) == sorted(tensors)
    for name, tensor in tensors.items():
        rows = len(tensor)
        assert found["tensors"][name]["shape"] == [rows, tensor.size // rows]
        assert found["tensors"][name]["sum"] == float(tensor.reshape(rows, -1).sum(dtype=np.float64))
    return found


class Life:
    """What is done to a model, so that each kind of event and of edit is in its log."""

    def __init__(self, daemon: Daemon, seed: int = 3):
        self.daemon, self.chance = daemon, np.random.default_rng(seed)

    def learn(self, n: int, labels: str, key: str | None = None) -> None:
        drawn = ",".join(labels[i] for i in self.chance.integers(0, len(labels), n))
        images = self.chance.integers(0, 256, (n, 64), np.uint8)
        self.daemon.post("/train?labels=" + drawn, images.tobytes(), headers={"Idempotency-Key": key} if key else None).ok()

    def add(self, label: str) -> None:
        self.daemon.send_json("POST", "/classes", {"label": label}).ok(201)

    def events(self) -> None:
        """Every kind but edits (and `baseline`, for which it takes two binaries)."""
        for i in range(6):
            self.learn(20, "abc", f"key {i}")
        self.add("d")
        self.learn(30, "abcd")
        self.daemon.send_json("PATCH", "/classes", {"from": "d", "to": "Ö"}).ok()
        self.daemon.send_json("PATCH", "/model", {"rate": 0.03, "gradient": "jacobian", "decay_steps": 1000}).ok()
        ended(self.daemon, rehearse(self.daemon, passes=2, rate=0.02, jitter=1, rotation=10).ok(202)["id"])
        taken = self.daemon.post("/snapshots", b"", None).ok(201)
        self.learn(10, "ab")
        self.daemon.post(f"/snapshots/{taken['id']}/activate", b"", None).ok()
        self.learn(10, "bc")

    def edits(self) -> None:
        edit(self.daemon, "PATCH", "/samples/5", {"label": "Ö"}).ok()
        for path in ("/samples/5", "/samples/7", "/samples/8", "/samples/130"):
            edit(self.daemon, "DELETE", path).ok()

    def removals(self) -> None:
        edit(self.daemon, "PATCH", "/classes", {"from": "b", "into": "Ö"}).ok()
        self.add("e")
        self.learn(8, "aec")
        edit(self.daemon, "PATCH", "/classes", {"delete": "e"}).ok()
        self.learn(5, "ac")


@pytest.mark.core
def test_a_reader_that_knows_only_the_format_finds_what_convd_finds(daemons):
    daemon = daemons.start(daemons.init(*FLAGS))
    life = Life(daemon)
    life.learn(1, "a")
    reads_the_same(daemon)
    life.events()
    found = reads_the_same(daemon)
    assert found["classes"] == ["a", "b", "c", "Ö"] and found["tally"]["samples"] < found["samples"]
    life.edits()
    reads_the_same(daemon)
    life.removals()
    assert reads_the_same(daemon)["classes"] == ["a", "c", "Ö"]
    daemon.stop()
    assert json.loads(run_reader(daemon.db).stdout)["digest"] == convd_json("verify", "--db", daemon.db)["digest"]


@pytest.mark.parametrize("flags", [("--kernels", "0"), ("--width", "5", "--height", "3", "--channels", "4"),
                                   ("--classes", ",".join(map(str, range(40)))), ("--rehearsal-buffer", "7")])
def test_it_reads_models_of_every_shape(daemons, flags):
    daemon = daemons.start(daemons.init(*FLAGS, *flags))
    shape = daemon.model()
    n_input = shape["channels"] * shape["height"] * shape["width"]
    images = np.random.default_rng(4).integers(0, 256, (70, n_input), np.uint8)
    labels = [row["label"] for row in daemon.get("/classes").ok()["classes"]]
    daemon.post("/train?labels=" + ",".join(labels[i % len(labels)] for i in range(70)), images.tobytes()).ok()
    reads_the_same(daemon)


def test_it_reads_a_replay_buffer_that_has_overflowed_and_a_thousand_outcomes(daemons):
    daemon = daemons.start(daemons.init(*FLAGS))
    life = Life(daemon)
    for _ in range(4):
        life.learn(1000, "aaab")
    found = reads_the_same(daemon)
    assert found["tally"]["recent"]["samples"] == 1000 and sum(found["tally"]["confusion"][0]) > 2000


def test_the_page_names_every_table_column_index_view_and_kind_of_event(lived: Path):
    page = (ROOT / "docs" / "file-format.md").read_text()
    db = sqlite3.connect(f"file:{lived}?mode=ro&immutable=1", uri=True)
    names = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    columns = [row[1] for kind, name in names if kind == "table" for row in db.execute(f"PRAGMA table_info({name})")]
    bodies = {(kind, member) for kind, body in db.execute("SELECT kind, body FROM event") for member in json.loads(body)}
    assert len(names) > 15 and len(columns) > 40 and len({kind for kind, _ in bodies}) == 7
    missing = {name for _, name in names if not re.search(rf"\b{name}\b", page)}
    missing |= {name for name in columns if f"`{name}`" not in page}
    missing |= {kind for kind, member in bodies if f"**{kind}**" not in page or f'"{member}":' not in page}
    assert not missing
    db.close()


# ---- damage ----

@pytest.mark.skipif(not OTHER.exists(), reason=f"{OTHER} is not there: make other")
def test_it_reads_a_log_that_another_arithmetic_took_over(daemons):
    daemon = daemons.start(daemons.init(*FLAGS))
    Life(daemon).learn(30, "abc")
    daemon.stop()
    upgraded = daemons.start(daemon.db, command=[str(OTHER)])
    Life(upgraded).learn(30, "abc")
    upgraded.stop()
    found = json.loads(run_reader(daemon.db).stdout)
    verdict = json.loads(convd("verify", "--db", daemon.db, "--json", binary=OTHER).stdout)
    assert verdict["baseline"] == 3 and found["snapshot"] == 4
    assert {name: found[name] for name in ("digest", "revision", "samples")} == {
        name: verdict[name] for name in ("digest", "revision", "samples")}


@pytest.fixture(scope="module")
def lived(shared_daemons) -> Path:
    """The file of a model to which all of that was done."""
    daemon = shared_daemons.start(shared_daemons.init(*FLAGS, name="lived.db"))
    life = Life(daemon)
    life.events()
    life.edits()
    life.removals()
    daemon.stop()
    assert run_reader(daemon.db).returncode == 0
    return daemon.db


@pytest.mark.parametrize("change", [
    "UPDATE event SET created_us = created_us + 1 WHERE revision = 1",
    "UPDATE event SET kind = 'tune' WHERE kind = 'class'",
    "UPDATE event SET body = replace(body, '0.03', '0.04') WHERE kind = 'tune'",
    "UPDATE event SET chain = zeroblob(32) WHERE revision = 4",
    "DELETE FROM event WHERE revision = 4",
    "DELETE FROM event WHERE revision = (SELECT max(revision) FROM event)",
    "UPDATE sample SET label = (label + 1) % 2 WHERE id = 40",
    "INSERT INTO outcome VALUES (100000, 1, 0, 0.5, 0)",
    "UPDATE sample SET image = turn(image, 0) WHERE id = 41",
    "UPDATE sample SET image = turn(image, 62) WHERE id = 8",
    "UPDATE sample SET label = -1, image = zeroblob(63) WHERE id = 40",
    "UPDATE sample SET revision = revision + 1 WHERE id = 20",
    "DELETE FROM sample WHERE id = 40",
    "UPDATE edit SET was = was + 1 WHERE sample = 7",
    "DELETE FROM edit WHERE sample = 8",
    "UPDATE edit SET label = 0 WHERE sample = 5 AND label >= 0",
    "UPDATE edit SET number = number + 9 WHERE sample = 8",
    "INSERT INTO edit VALUES (40, 9, 0, 1)",
    "INSERT INTO edit_work VALUES (1, NULL, 0)",
    "UPDATE edited SET hash = zeroblob(32) WHERE revision = (SELECT revision FROM sample WHERE id = 130)",
    "DELETE FROM edited",
    "UPDATE class_removed SET merged_into = 0 WHERE merged_into IS NOT NULL",
    "UPDATE snapshot SET digest = zeroblob(32)",
    "UPDATE snapshot SET chain = zeroblob(32)",
    "UPDATE snapshot SET step = step + 1",
    "UPDATE snapshot SET state = substr(state, 1, length(state) - 1)",
    "UPDATE snapshot SET state = more(state)",
    "UPDATE snapshot SET state = turn(state, 300)",
    "UPDATE tensor SET data = turn(data, 9) WHERE name = 'w01'",
    "DELETE FROM tensor WHERE name = 'kernels'",
])
def test_the_reader_finds_what_was_changed(lived: Path, tmp_path: Path, change: str):
    copy = tmp_path / "changed.db"
    shutil.copyfile(lived, copy)
    db = sqlite3.connect(copy)
    db.create_function("turn", 2, lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    db.create_function("more", 1, lambda data: data + b"\0")
    assert db.execute(change).rowcount > 0
    db.commit()
    db.close()
    done = run_reader(copy)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith(f"{copy}: "), done
    assert "Traceback" not in done.stderr


def test_the_reader_finds_a_bit_that_turned_in_an_image(lived: Path, tmp_path: Path):
    db = sqlite3.connect(f"file:{lived}?mode=ro", uri=True)
    image = db.execute("SELECT image FROM sample WHERE id = 90").fetchone()[0]
    db.close()
    data = bytearray(lived.read_bytes())
    assert data.count(image) == 1
    data[data.index(image) + 63] ^= 1
    copy = tmp_path / "turned.db"
    copy.write_bytes(data)
    done = run_reader(copy)
    assert done.returncode == 1 and "its chain does not match" in done.stderr
