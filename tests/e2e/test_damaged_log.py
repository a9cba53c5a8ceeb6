"""A damaged log stops training, not predicting: what can be proved is served, and whoever asks is told."""
import sqlite3
from pathlib import Path

import pytest

from .daemon import Daemon, convd

DATABASE_ERROR = 3


def execute(db: Path, sql: str) -> None:
    connection = sqlite3.connect(db)
    connection.executescript(sql)
    connection.commit()
    connection.close()


DAMAGES = [  # what is done to the last rows, and how many of the eight events stay
    ("UPDATE sample SET image = zeroblob(64) WHERE revision = 7", 6),
    ("UPDATE event SET created_us = 0 WHERE revision = 9", 8),
    ("DELETE FROM event WHERE revision = 8", 7),
    ("DELETE FROM event WHERE revision = 9", 8),
]


@pytest.mark.core
@pytest.mark.parametrize("sql, last", DAMAGES)
def test_a_damaged_log_is_served_up_to_the_damage_and_trains_no_more(small: Daemon, sql, last):
    said = {}
    for i in range(8):
        small.train("abc"[i % 3], bytes([i * 7, 255] * 32)).ok()
        model = small.model()
        said[model["revision"]] = (model["digest"], small.predict(bytes(range(64)))["probabilities"])
    small.kill()  # no snapshot of the end: a start replays
    execute(small.db, sql)
    before = small.db.read_bytes()

    small.start()
    model = small.model()
    assert model["revision"] == last
    answer = small.predict(bytes(range(64)))
    assert (model["digest"], answer["probabilities"]) == said[last]
    assert answer["revision"] == last

    small.train("a", bytes(63) + b"\1").problem(500, "database-corrupt")
    small.send_json("POST", "/classes", {"label": "d"}).problem(500, "database-corrupt")
    small.send_json("PATCH", "/model", {"rate": 0.1}).problem(500, "database-corrupt")
    small.post("/snapshots").problem(500, "database-corrupt")
    small.post("/snapshots/1/activate").problem(500, "database-corrupt")
    assert "revision" in small.get("/snapshots").ok()["snapshots"][0]
    assert "training" in small.get("/readyz").problem(503, "database-corrupt")["title"].lower()
    assert small.get("/healthz").ok() == {"status": "ok"}
    assert "convd_training_off 1\n" in small.get("/metrics").body.decode()
    assert f"revision {last}," in small.err.read_text() or f"revision {last + 1}" in small.err.read_text()
    assert small.model()["revision"] == last

    small.stop()  # a clean end, and nothing was written
    assert small.db.read_bytes() == before
    assert convd("verify", "--db", small.db, check=False).returncode == DATABASE_ERROR
