"""A database from elsewhere: what somebody wrote into its schema is named, and never runs, whichever command opens it."""
import sqlite3
import subprocess

import pytest

from .daemon import CONVD, clean_environment

DATABASE_ERROR = 3
ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"

SCHEMAS = {
    "a trigger that flips labels": (
        "CREATE TRIGGER flip AFTER INSERT ON sample BEGIN UPDATE sample SET label = 0 WHERE id = new.id; END", "trigger flip"),
    "a view of its own": (f"CREATE VIEW aside AS {ENDLESS} SELECT x FROM n", "view aside"),
    "a view in the place of ours": (
        f"DROP VIEW sample_now; CREATE VIEW sample_now (id, revision, label, predicted, loss, image) AS {ENDLESS}"
        " SELECT x, 1, 0, 0, 0.0, x'' FROM n", "view sample_now"),
    "a trigger in the place of a table's row": (
        "CREATE TRIGGER lose BEFORE DELETE ON snapshot BEGIN SELECT raise(IGNORE); END", "trigger lose"),
}


def hostile(daemons, what: str):
    db = daemons.copy()
    connection = sqlite3.connect(db)
    connection.executescript(SCHEMAS[what][0])
    connection.close()
    return db


COMMANDS = {
    "serve": ("serve", "--db", "{db}", "--listen", "127.0.0.1:0"),
    "verify": ("verify", "--db", "{db}"),
    "backup": ("backup", "{other}", "--db", "{db}"),
    "export": ("export", "--db", "{db}", "--safetensors", "{other}"),
    "samples": ("samples", "list", "--db", "{db}"),
    "snapshots": ("snapshots", "list", "--db", "{db}"),
}


@pytest.mark.parametrize("what", SCHEMAS)
@pytest.mark.parametrize("verb", COMMANDS)
def test_what_is_foreign_in_the_schema_is_named_by_every_command(daemons, verb, what):
    db, other = hostile(daemons, what), daemons.directory / "other"
    before = db.read_bytes()
    words = [word.format(db=db, other=other) for word in COMMANDS[verb]]
    run = subprocess.run([CONVD, *words], env=clean_environment(), capture_output=True, text=True, timeout=30)
    assert run.returncode == DATABASE_ERROR, run.stderr
    assert SCHEMAS[what][1] in run.stderr
    assert db.read_bytes() == before and not other.exists()


def test_it_is_served_once_the_foreign_part_is_dropped(daemons):
    db = hostile(daemons, "a trigger that flips labels")
    code, text = daemons.make(db).fails_to_start()
    assert code == DATABASE_ERROR and "drop it" in text
    connection = sqlite3.connect(db)
    connection.execute("DROP TRIGGER flip")
    connection.close()
    daemon = daemons.start(db)
    daemon.train("7", bytes(783) + b"\1").ok()


def test_a_revision_after_which_none_comes_is_told_and_what_is_before_it_served(daemons):
    db = daemons.copy()
    connection = sqlite3.connect(db)
    connection.execute("UPDATE event SET revision = 9223372036854775807 WHERE revision = (SELECT max(revision) FROM event)")
    connection.commit()
    connection.close()
    run = subprocess.run([CONVD, "verify", "--db", db], env=clean_environment(), capture_output=True, text=True, timeout=30)
    assert run.returncode == DATABASE_ERROR and "2^53 - 1" in run.stderr
    daemon = daemons.start(db)
    daemon.predict(bytes(784))
    daemon.train("7", bytes(783) + b"\1").problem(500, "database-corrupt")
