"""Databases of every format that main ever had, as their convd left them after kill -9: tests/fixtures/db/make.py made them."""
import json
import re
import sqlite3
import tarfile
from pathlib import Path

import pytest

from .daemon import ROOT, convd, convd_json

FIXTURES = ROOT / "tests" / "fixtures" / "db"
MODELS = json.loads((FIXTURES / "models.json").read_text())
PROBE = bytes(range(0, 256, 4))
FORMAT = len(list((ROOT / "schema").glob("0*.sql")))
# The digest of format 1 did not cover the pool of past samples, which it did not have; that of 2 another pool, in snapshots of a form
# that no released convd has written: they are passed over, and the state is replayed from the log.
SAME_DIGEST = ("3", "4")
SOUND_SNAPSHOTS = ("1", "3", "4")


def unpack(version: str, folder: Path) -> Path:
    with tarfile.open(FIXTURES / f"version-{version}.tar.gz") as packed:
        packed.extractall(folder)
    return folder / "m.db"


def format_of(db: Path) -> int:
    connection = sqlite3.connect(db)
    [version] = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return version


def test_there_is_a_database_of_every_format():
    assert set(MODELS) == {str(n) for n in range(1, FORMAT + 1)}, "make one of the new format with tests/fixtures/db/make.py"


@pytest.mark.parametrize("version", MODELS)
def test_an_older_database_is_brought_up_to_date_and_is_the_same_model(daemons, version):
    was = MODELS[version]
    daemon = daemons.start(unpack(version, daemons.directory), "--snapshot-samples", "0")
    model = daemon.model()
    assert {name: model[name] for name in ("revision", "step", "classes")} == {name: was[name] for name in ("revision", "step", "classes")}
    assert daemon.predict(PROBE)["probabilities"] == was["probabilities"]
    assert (model["digest"] == was["digest"]) == (version in SAME_DIGEST)
    daemon.train("d", PROBE * 3).ok()
    live = daemon.model()
    daemon.kill()
    daemon.start()
    assert daemon.model() == live
    assert daemon.post(f"/predict?revision={was['revision']}", PROBE).ok()["probabilities"] == was["probabilities"]
    daemon.stop()
    assert format_of(daemon.db) == FORMAT
    if version in SOUND_SNAPSHOTS:
        assert convd_json("verify", "--db", daemon.db)["digest"] == live["digest"]
    connection = sqlite3.connect(daemon.db)
    kinds = dict(connection.execute("SELECT kind, count(*) FROM event GROUP BY kind"))
    connection.close()
    assert kinds == was["kinds"] | {"train": was["kinds"]["train"] + 1}


def test_who_only_reads_is_told_to_open_an_older_database_for_writing(tmp_path):
    done = convd("verify", "--db", unpack("3", tmp_path), check=False)
    assert done.returncode == 3 and re.search(rb"older format|open it once", done.stderr)
