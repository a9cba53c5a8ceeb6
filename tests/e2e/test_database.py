"""The database file: missing, foreign, newer, owned by another, read-only, damaged. What is not ours stays as it is."""
import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from .daemon import CONVD, Daemon, clean_environment, convd, convd_json, until
from .reference import read_safetensors

NOBODY = 65534
DATABASE_ERROR = 3


def digest_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def execute(db: Path, sql: str, *args) -> None:
    connection = sqlite3.connect(db)
    connection.execute(sql, args)
    connection.commit()
    connection.close()


@pytest.mark.core
def test_a_missing_file_becomes_a_default_model(daemons):
    db = daemons.directory / "new.db"
    daemon = daemons.start(db)
    model = daemon.model()
    assert (model["width"], model["kernels"], model["hidden"], model["step"], model["revision"]) == (28, 16, 128, 0, 1)
    daemon.train("7", bytes(783) + b"\1").ok()
    daemon.restart()
    assert daemon.get("/stats").ok()["samples"] == 1


def test_the_default_model_is_the_one_that_init_makes(daemons):
    db = daemons.directory / "made.db"
    convd("init", "--db", db)
    assert daemons.start(db).digest() == daemons.start(daemons.directory / "new.db").digest()


def test_a_missing_directory_is_told(daemons):
    db = daemons.directory / "no" / "such" / "place.db"
    code, text = daemons.make(db).fails_to_start()
    assert code == DATABASE_ERROR and "place.db" in text
    assert not db.parent.exists()


def test_a_directory_in_place_of_the_file_is_told(daemons):
    code, text = daemons.make(daemons.directory).fails_to_start()
    assert code == DATABASE_ERROR and str(daemons.directory) in text


def test_whatever_holds_the_model_is_its_owners_alone_whatever_the_umask(daemons):
    before = os.umask(0)
    try:
        db = daemons.init()
        daemon = daemons.start(db)
        daemon.train("a", bytes(63) + b"\1").ok()
        convd("backup", daemons.directory / "copy.db", "--url", daemon.url)
        convd("export", "--url", daemon.url, "--safetensors", daemons.directory / "out.safetensors")
        modes = {path.name: path.stat().st_mode & 0o777 for path in daemons.directory.iterdir() if path.name[0] in "sco"}
    finally:
        os.umask(before)
    assert {"small.db", "small.db-wal", "copy.db", "out.safetensors"} <= set(modes), modes
    assert {name: mode for name, mode in modes.items() if mode != 0o600} == {}


@pytest.mark.core
@pytest.mark.parametrize("content", [b"this is a letter, not a database\n" * 100, b"\x00" * 8192,
                                     b"SQLite format 3\x00" + bytes(8000),
                                     b"x"], ids=["text", "zeros", "a broken header", "one byte"])
def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(daemons, content):
    db = daemons.directory / "letter.db"
    db.write_bytes(content)
    code, text = daemons.make(db).fails_to_start()
    assert code == DATABASE_ERROR and "letter.db" in text
    assert db.read_bytes() == content


@pytest.mark.core
def test_another_programs_database_is_refused_and_left_alone(daemons):
    db = daemons.directory / "foreign.db"
    execute(db, "CREATE TABLE precious (x)")
    execute(db, "PRAGMA application_id = 1234")
    before = digest_of_file(db)
    code, text = daemons.make(db).fails_to_start()
    assert code == DATABASE_ERROR and "foreign.db" in text
    assert digest_of_file(db) == before


def test_another_programs_database_without_application_id_is_refused_and_left_alone(daemons):
    db = daemons.directory / "foreign.db"
    execute(db, "CREATE TABLE precious (x)")
    before = digest_of_file(db)
    assert daemons.make(db).fails_to_start()[0] == DATABASE_ERROR
    assert digest_of_file(db) == before


@pytest.mark.core
def test_a_database_of_a_newer_version_is_refused_and_left_alone(daemons):
    db = daemons.copy()
    execute(db, "PRAGMA user_version = 4711")
    before = digest_of_file(db)
    code, text = daemons.make(db).fails_to_start()
    assert code == DATABASE_ERROR and "4711" in text and "newer" in text
    assert digest_of_file(db) == before


@pytest.mark.core
def test_a_database_that_another_daemon_owns_is_refused_and_the_owner_serves_on(daemons, daemon: Daemon, seven):
    code, text = daemons.make(daemon.db).fails_to_start()
    assert code == DATABASE_ERROR and daemon.db.name in text
    daemon.train("7", seven.tobytes()).ok()
    daemon.kill()
    daemon.start()
    daemon.train("7", seven.tobytes()).ok()


@pytest.mark.parametrize("verb", [["verify"], ["evaluate"], ["train"], ["export", "--safetensors", "-"], ["snapshots"],
                                  ["predict"]])
def test_an_offline_verb_on_a_daemons_database_points_to_url(daemon: Daemon, digits, verb):
    files = {"evaluate": digits.test_files, "train": digits.test_files, "predict": ["x.png"]}.get(verb[0], [])
    done = convd(verb[0], "--db", daemon.db, *verb[1:], *files, check=False)
    assert done.returncode == DATABASE_ERROR
    if verb[0] != "verify":
        assert b"--url" in done.stderr


# ---- read-only ----

@pytest.fixture
def public(trained_db: Path):
    """A directory that everybody can enter, with a trained model and the binary: root would write anyway."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    directory = Path(tempfile.mkdtemp(prefix="convd-e2e-"))
    directory.chmod(0o755)
    shutil.copyfile(trained_db, directory / "digits.db")
    shutil.copy(CONVD, directory / "convd")
    yield directory
    shutil.rmtree(directory)


AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@pytest.mark.parametrize("file_mode, directory_mode", [(0o444, 0o755), (0o666, 0o755), (0o444, 0o777)],
                         ids=["both", "directory", "file"])
def test_a_model_that_cannot_be_written_is_not_served(daemons, public, file_mode, directory_mode):
    db = public / "digits.db"
    db.chmod(file_mode)
    public.chmod(directory_mode)
    before = digest_of_file(db)
    daemon = daemons.make(db, popen=AS_NOBODY, command=[str(public / "convd")])
    code, text = daemon.fails_to_start()
    assert code == DATABASE_ERROR and "digits.db" in text
    assert digest_of_file(db) == before


@pytest.mark.parametrize("verb", [["verify"], ["evaluate", "images", "labels"], ["snapshots"],
                                  ["export", "--safetensors", "-"]],
                         ids=lambda verb: verb[0])
def test_a_model_that_cannot_be_written_can_be_read_offline(public, digits, verb):
    db = public / "digits.db"
    for path, name in zip(digits.test_files, ("images", "labels")):
        shutil.copyfile(path, public / name)
    db.chmod(0o444)
    public.chmod(0o555)
    before = digest_of_file(db)
    done = subprocess.run([str(public / "convd"), verb[0], "--db", str(db), *verb[1:]], capture_output=True,
                          timeout=300,
                          stdin=subprocess.DEVNULL, cwd=public, env=clean_environment(), **AS_NOBODY)
    assert done.returncode == 0 and done.stdout, done.stderr
    assert digest_of_file(db) == before
    assert sorted(path.name for path in public.iterdir()) == ["convd", "digits.db", "images", "labels"]


def test_a_model_that_may_not_even_be_read_is_told(daemons, public):
    db = public / "digits.db"
    db.chmod(0o000)
    code, text = daemons.make(db, popen=AS_NOBODY, command=[str(public / "convd")]).fails_to_start()
    assert code == DATABASE_ERROR and "digits.db" in text


# ---- damaged ----

def newest_snapshot(db: Path) -> int:
    connection = sqlite3.connect(db)
    [(number,)] = connection.execute("SELECT max(id) FROM snapshot").fetchall()
    connection.close()
    return number


@pytest.mark.core
@pytest.mark.parametrize("sql", ["UPDATE tensor SET data = zeroblob(length(data)) WHERE name = 'w01' AND snapshot = ?",
                                 "DELETE FROM tensor WHERE name = 'kernels' AND snapshot = ?",
                                 "UPDATE snapshot SET digest = zeroblob(32) WHERE id = ?",
                                 "UPDATE snapshot SET state = zeroblob(10) WHERE id = ?"])
def test_a_damaged_snapshot_is_skipped_with_a_warning_and_the_state_is_the_same(small: Daemon, sql):
    for i in range(30):
        small.train("abc"[i % 3], bytes([i, 255] * 32)).ok()
    before = small.model()
    small.stop()
    execute(small.db, sql, newest_snapshot(small.db))
    small.start()
    assert small.model() == before
    assert "snapshot" in small.err.read_text()


@pytest.mark.parametrize("sql", ["UPDATE sample SET label = 1 - label WHERE id = 2", "DELETE FROM sample WHERE id = 2",
                                 "UPDATE sample SET image = zeroblob(64) WHERE id = 2",
                                 "UPDATE event SET created_us = 0 WHERE revision = 2",
                                 "UPDATE event SET chain = zeroblob(32) WHERE revision = 3",
                                 "DELETE FROM event WHERE revision = 3",
                                 "UPDATE outcome SET predicted = 1 - predicted WHERE sample = 2", "DELETE FROM outcome WHERE sample = 2"])
def test_a_changed_or_lost_row_of_the_log_is_found_by_verify(small: Daemon, sql):
    for i in range(5):
        small.train("ab"[i % 2], bytes([i * 10, 255] * 32)).ok()
    small.stop()
    assert convd_json("verify", "--db", small.db)["ok"] is True
    execute(small.db, sql)
    done = convd("verify", "--db", small.db, "--json", check=False)
    assert done.returncode == DATABASE_ERROR
    assert b'"ok":' in done.stdout and b"true" not in done.stdout
    assert done.stderr


def test_a_log_whose_last_rows_were_cut_is_not_served(small: Daemon):
    for i in range(5):
        small.train("a", bytes([i, 255] * 32)).ok()
    small.stop()
    execute(small.db, "DELETE FROM sample WHERE revision = 6")
    execute(small.db, "DELETE FROM event WHERE revision = 6")
    assert daemon_refuses_or_warns(small)


def daemon_refuses_or_warns(daemon: Daemon) -> bool:
    """The newest snapshot is of a revision that the log does not reach: it must not be silently believed."""
    daemon.spawn()
    until(lambda: "listening" in daemon.out.read_text() or daemon.process.poll() is not None, "its address or its end")
    if daemon.process.poll() is not None:
        code, daemon.process = daemon.process.returncode, None
        return code == DATABASE_ERROR
    return "snapshot" in daemon.err.read_text()


def test_a_page_of_rubbish_in_the_middle_of_the_file_is_told_and_no_crash(daemons):
    db = daemons.copy()
    data = bytearray(db.read_bytes())
    for at in range(8192 * 3, len(data), 8192 * 7):
        data[at:at + 64] = os.urandom(64)
    db.write_bytes(data)
    done = convd("verify", "--db", db, check=False)
    assert done.returncode == DATABASE_ERROR and done.stderr


@pytest.mark.parametrize("size", [100, 4096, 8192, 20000])
def test_a_file_that_was_cut_is_refused(daemons, size):
    db = daemons.copy()
    os.truncate(db, size)
    code, text = daemons.make(db).fails_to_start()
    assert code == DATABASE_ERROR and "digits.db" in text


# ---- what people can look at ----

def test_the_sqlite_shell_reads_the_weights_by_name(daemon: Daemon):
    daemon.train("7", bytes(783) + b"\1").ok()
    tensors, _ = read_safetensors(daemon.get("/model.safetensors").body)
    daemon.stop()
    connection = sqlite3.connect(daemon.db)
    found = connection.execute("SELECT name, rows, columns, data FROM tensor "
                               "WHERE snapshot = (SELECT max(id) FROM snapshot)").fetchall()
    [(mode,)] = connection.execute("PRAGMA journal_mode").fetchall()
    [(application,)] = connection.execute("PRAGMA application_id").fetchall()
    connection.close()
    shapes = {name: (rows, columns) for name, rows, columns, _ in found}
    assert shapes == {"kernels": (16, 25), "w01": (576, 128), "w12": (128, 10)}
    for name, rows, columns, data in found:
        assert (np.frombuffer(data, "<f4") == tensors[name].ravel()).all(), name
    assert mode == "wal" and application == 0x636F6E76
