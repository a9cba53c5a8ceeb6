"""convd samples: looked at, forgotten and relabelled from the command line, in a database and behind a daemon, with the same results."""
import json
import signal
import subprocess

import pytest

from .daemon import CONVD, PATIENCE_S, Daemon, clean_environment, convd, convd_json, until
from .test_edits import FLAGS, SLOWEST, Taught, is_exact, stands_in_the_files

FAILED, USAGE, DATABASE, INTERRUPTED = 1, 2, 3, 130


class Model:
    """A small model that was taught, offline or not; and the convd samples of it."""

    def __init__(self, daemons, offline: bool, flags=FLAGS, n: int = 120):
        self.daemon: Daemon = daemons.start(daemons.init(*flags))
        self.taught = Taught(self.daemon, n)
        self.place = ["--db", str(self.daemon.db)] if offline else ["--url", self.daemon.url]
        self.offline = offline
        if offline:
            self.daemon.stop()

    def samples(self, *args: str, check: bool = True):
        return convd("samples", *self.place, *args, check=check)

    def json(self, *args: str) -> dict:
        return convd_json("samples", *self.place, *args)

    def served(self) -> Daemon:
        return self.daemon.restart() if self.offline else self.daemon


@pytest.fixture(params=["offline", "url"])
def model(request, daemons) -> Model:
    return Model(daemons, request.param == "offline")


@pytest.mark.core
def test_what_is_edited_from_the_command_line_is_exact(daemons, model: Model):
    taught = model.taught
    assert stands_in_the_files(model.daemon, taught.images[57])
    done = model.json("forget", "57", "60-62")
    assert done.items() >= {"samples": 4, "changed": True, "step": 116 * 3}.items()
    assert not any(stands_in_the_files(model.daemon, taught.images[number]) for number in (57, 60, 61, 62))
    assert stands_in_the_files(model.daemon, taught.images[59])
    label = taught.other(31)
    told = model.samples("relabel", "31", "20", "--label", label).stdout.decode()
    assert told.startswith(f"2 samples are \"{label}\" now: revision {done['revision'] + 1}, step {116 * 3} (")
    again = model.json("relabel", "31", "--label", label)
    assert again.items() >= {"samples": 1, "changed": False, "revision": done["revision"] + 1}.items()
    gone = model.samples("show", "57", check=False)
    assert gone.returncode == FAILED and b"sample 57 was forgotten" in gone.stderr
    assert model.json("show", "31")["label"] == label
    is_exact(daemons, model.served())


def test_listing_and_showing_say_what_the_daemon_says(model: Model):
    asked = {(): "limit=20", ("list", "--limit", "3"): "limit=3", ("--wrong", "--label", "a"): "limit=20&wrong=1&label=a",
             ("--predicted", "b", "--before", "50"): "limit=20&predicted=b&cursor=50"}
    told = {args: model.json(*args) for args in asked}
    shown, image = model.json("show", "7"), model.samples("show", "7", "--image", "-", "--scale", "3").stdout
    table = model.samples("list", "--limit", "2").stdout.decode().splitlines()
    assert [line.split()[0] for line in table] == ["id", "120", "119", "there"] and table[-1].endswith("--before 119")
    daemon = model.served()
    for args, query in asked.items():
        assert told[args] == daemon.get(f"/samples?{query}").ok()
    assert [len(told[()]["samples"]), len(told[("list", "--limit", "3")]["samples"])] == [20, 3]
    assert shown == daemon.get("/samples/7").ok()
    assert image == daemon.get("/samples/7/image?scale=3").body and image.startswith(b"\x89PNG")


@pytest.mark.parametrize("args, code, says", [
    (["eat"], USAGE, "not one of list, show ID, forget ID..., relabel ID..."), (["forget"], USAGE, "takes the ids of samples"),
    (["show", "1", "2"], USAGE, "the id of one sample"), (["list", "1"], USAGE, "list takes no id"), (["forget", "0"], USAGE, "not a sample id"),
    (["forget", "7-3"], USAGE, "or a range"), (["forget", "1-20000"], USAGE, "the limit is 10000"), (["forget", "1", "--wrong"], USAGE, "belongs to list"),
    (["relabel", "1"], USAGE, "needs --label"), (["show", "121"], FAILED, "sample 121 does not exist"), (["forget", "5", "121"], FAILED, "sample 121 does not exist"),
    (["relabel", "5", "--label", "x"], FAILED, "unknown label \"x\""), (["list", "--label", "x"], FAILED, "\"x\"")])
def test_what_cannot_be_is_told_and_changes_nothing(small_models, args, code, says):
    for model in small_models:
        done = model.samples(*args, check=False)
        assert done.returncode == code and says in done.stderr.decode(), done.stderr
        assert model.json("show", "5")["id"] == 5


@pytest.fixture(scope="module")
def small_models(shared_daemons):
    """For what changes nothing: one offline, one behind a daemon."""
    online = Model(shared_daemons, False)
    convd("backup", shared_daemons.directory / "copy.db", "--url", online.daemon.url)
    offline = object.__new__(Model)
    offline.place = ["--db", str(shared_daemons.directory / "copy.db")]
    return offline, online


def test_a_pinned_snapshot_keeps_what_it_saw_until_it_may_go(model: Model):
    convd("snapshots", *model.place, "take", "--pin")
    kept = model.samples("forget", "9", check=False)
    assert kept.returncode == FAILED and b"--drop-pinned" in kept.stderr
    assert model.json("show", "9")["id"] == 9
    assert model.json("forget", "9", "--drop-pinned")["changed"] is True
    assert [s["reason"] for s in convd_json("snapshots", *model.place)["snapshots"]] == ["create", "edit"]


def test_a_database_that_a_daemon_has_is_not_touched(daemons):
    daemon = daemons.start(daemons.init())
    done = convd("samples", "forget", "1", "--db", daemon.db, check=False)
    assert done.returncode == DATABASE and b"convd" in done.stderr


def test_what_is_interrupted_stays_accepted_and_is_made_with_the_next(daemons):
    model = Model(daemons, True, SLOWEST, 200)
    wal = model.daemon.db.with_name(model.daemon.db.name + "-wal")
    with subprocess.Popen([CONVD, "samples", "forget", "2", *model.place], env=clean_environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        until(lambda: process.poll() is not None or (wal.exists() and wal.stat().st_size > 0), "its being accepted")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == INTERRUPTED, said
    assert b"it stays accepted" in said and stands_in_the_files(model.daemon, model.taught.images[2])
    assert model.json("forget", "5")["changed"] is True
    for number in (2, 5):
        assert not stands_in_the_files(model.daemon, model.taught.images[number])
    assert json.loads(convd("verify", *model.place, "--json").stdout)["samples"] >= 198
