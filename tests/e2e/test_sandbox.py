"""The daemon gives up what it has no use for: it says what holds, the kernel says so too, and a way out of its folders is none."""
import os
import re
import signal
from pathlib import Path

import pytest

from .daemon import SANITIZED, Daemon
from .test_auth import READ, WRITE, ask, token_file, token_flags


def of_threads(daemon: Daemon, field: str) -> set[str]:
    texts = [path.read_text() for path in Path(f"/proc/{daemon.process.pid}/task").glob("*/status")]
    assert len(texts) >= 4
    return {re.search(rf"^{field}:\s*(\d+)$", text, re.M)[1] for text in texts}


pytestmark = pytest.mark.skipif(SANITIZED, reason="off under sanitizers, whose runtimes need more")


def restricted(daemon: Daemon, part: str) -> None:
    """Says why not, where the kernel or the build has no such part."""
    line = re.search(r"sandbox: .*", daemon.stderr)[0]
    if part not in line:
        pytest.skip(line)


def test_every_thread_is_under_it_and_the_log_says_so(daemons):
    daemon = daemons.start(daemons.init())
    assert re.search(r"sandbox: files (by Landlock \d+|not restricted), system calls (by seccomp|not restricted)", daemon.stderr)
    restricted(daemon, "by seccomp")
    daemon.train("a", bytes(63) + b"\1").ok()
    assert of_threads(daemon, "Seccomp") == {"2"} and of_threads(daemon, "NoNewPrivs") == {"1"}


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_it_can_be_left_off(daemons, how):
    daemon = daemons.make(daemons.init(), *(["--sandbox", "off"] if how == "flag" else []))
    if how == "variable":
        daemon.env = {"CONVD_SANDBOX": "off"}
    daemon.start()
    assert "sandbox: off" in daemon.stderr and of_threads(daemon, "Seccomp") == {"0"}


def test_another_word_is_refused(daemons):
    code, text = daemons.make(daemons.init(), "--sandbox", "maybe").fails_to_start()
    assert code == 2 and "must be on or off" in text


@pytest.mark.parametrize("flags", [(), ("--sandbox", "off")], ids=["on", "off"])
def test_a_token_is_read_from_its_folder_alone(daemons, tmp_path_factory, flags):
    """Who can make a link in the folder of the tokens cannot have the daemon read a file elsewhere by it."""
    tokens = daemons.directory / "tokens"
    tokens.mkdir()
    daemon = daemons.start(daemons.init(), *token_flags(tokens), *flags)
    if not flags:
        restricted(daemon, "by Landlock")
    renewed = "renewed-0123456789abcdef"
    (tokens / "write").unlink()
    (tokens / "write").symlink_to(token_file(tmp_path_factory.mktemp("elsewhere"), "token", renewed))
    daemon.process.send_signal(signal.SIGHUP)
    if flags:
        daemon.logged("tokens reloaded")
        assert ask(daemon, "GET", "/model", renewed).status == 200
    else:
        daemon.logged("Permission denied")
        assert ask(daemon, "GET", "/model", renewed).status == 401
        assert ask(daemon, "GET", "/model", WRITE).status == 200
        os.replace(token_file(tokens, "next", renewed), tokens / "write")  # a new file in the folder is read
        daemon.process.send_signal(signal.SIGHUP)
        daemon.logged("tokens reloaded")
        assert ask(daemon, "GET", "/model", renewed).status == 200
    assert ask(daemon, "GET", "/model", READ).status == 200


def test_a_model_behind_a_link_is_served_where_it_is(daemons, tmp_path_factory):
    db = daemons.init()
    link = tmp_path_factory.mktemp("links") / "link.db"
    link.symlink_to(db)
    daemon = daemons.start(link)
    assert daemon.train("a", bytes(63) + b"\1").ok()["revision"] == 2
    daemon.restart()
    assert daemon.model()["revision"] == 2
    assert daemon.get("/backup").status == 200
