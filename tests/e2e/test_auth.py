"""Tokens: who may read, who may write, and who may nothing."""
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from .daemon import CONVD, Daemon, clean_environment, convd, convd_json, parse, read_to_end, status_of, until
from .pictures import EXAMPLES
from .prometheus import parse as parse_metrics

pytestmark = pytest.mark.core

READ, WRITE = "reading-0123456789abcdef", "writing-0123456789abcdef"
READS = [("GET", "/model"), ("GET", "/classes"), ("GET", "/stats"), ("GET", "/snapshots"), ("GET", "/snapshots/1"),
         ("GET", "/model.safetensors"), ("GET", "/model/kernels.png"), ("GET", "/metrics"), ("HEAD", "/model"),
         ("OPTIONS", "/model"), ("POST", "/predict"), ("GET", "/nothing-here"), ("GET", "/jobs")]
WRITES = [("POST", "/train?label=a"), ("PATCH", "/model"), ("POST", "/classes"), ("PATCH", "/classes"),
          ("POST", "/snapshots"), ("DELETE", "/snapshots/99"), ("POST", "/snapshots/99/activate"), ("PUT", "/model"),
          ("DELETE", "/"), ("POST", "/healthz"), ("POST", "/nothing-here")]
OPEN = [("GET", "/"), ("GET", "/healthz"), ("GET", "/readyz"), ("HEAD", "/healthz")]


def token_file(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def token_flags(directory: Path, read: str | None = READ, write: str | None = WRITE) -> list[str]:
    flags = []
    if read:
        flags += ["--read-token-file", str(token_file(directory, "read", read))]
    if write:
        flags += ["--write-token-file", str(token_file(directory, "write", write))]
    return flags


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.fixture(scope="module")
def guarded(shared_daemons) -> Daemon:
    return shared_daemons.start(shared_daemons.init(name="guarded.db"), *token_flags(shared_daemons.directory))


def ask(daemon: Daemon, method: str, path: str, token: str | None):
    return daemon.request(method, path, bytes(range(64)) if method == "POST" else None, bearer(token))


@pytest.mark.parametrize("method, path", OPEN)
def test_what_holds_nothing_of_the_model_is_open_to_all(guarded, method, path):
    assert ask(guarded, method, path, None).status == 200


def test_the_page_tells_the_model_s_figures_only_to_those_who_may_read(guarded):
    assert b"pixels" not in guarded.get("/").body
    assert b"pixels" in ask(guarded, "GET", "/", READ).body


@pytest.mark.parametrize("method, path", READS + WRITES)
def test_without_a_token_nothing_else_is_answered(guarded, method, path):
    for token in (None, "guessed-0123456789abcdef"):
        answer = ask(guarded, method, path, token)
        assert answer.status == 401
        assert answer.header("WWW-Authenticate").startswith("Bearer ")
        if method != "HEAD":
            answer.problem(401, "unauthorized")


@pytest.mark.parametrize("method, path", READS)
def test_either_token_reads(guarded, method, path):
    for token in (READ, WRITE):
        assert ask(guarded, method, path, token).status in (200, 204, 404)


@pytest.mark.parametrize("method, path", WRITES)
def test_the_reading_token_writes_nothing(guarded, method, path):
    answer = ask(guarded, method, path, READ)
    answer.problem(403, "forbidden")
    assert "insufficient_scope" in answer.header("WWW-Authenticate")


def test_the_writing_token_trains(daemons):
    daemon = daemons.start(daemons.init(), *token_flags(daemons.directory))
    assert ask(daemon, "POST", "/train?label=a", WRITE).ok()["revision"] == 2
    assert ask(daemon, "POST", "/train?label=a", READ).status == 403
    assert ask(daemon, "GET", "/model", READ).ok()["step"] == 1


def test_a_refused_request_is_not_read_and_its_client_can_read_why(guarded):
    big = 4 << 20
    head = f"POST /train?label=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {big}\r\n\r\n".encode()
    with guarded.connect() as connection:
        connection.sendall(head)
        answer = parse(read_to_end(connection))  # before a byte of the body was sent
    answer.problem(401, "unauthorized")
    assert status_of(guarded.raw(head + bytes(big))) == 401


def test_two_authorization_headers_are_refused(guarded):
    answer = guarded.raw(f"GET /model HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {READ}\r\n"
                         f"Authorization: Bearer {WRITE}\r\n\r\n".encode())
    assert status_of(answer) == 400


def test_a_kept_connection_gives_each_request_what_its_own_token_opens(guarded):
    with guarded.client() as client:
        for _ in range(3):
            assert client.get("/model", headers=bearer(READ)).status == 200
            assert client.get("/model").status == 401
            assert client.post("/train?label=a", b"", headers=bearer(READ)).status == 403
            assert client.get("/model", headers=bearer(WRITE)).status == 200


def test_the_host_and_origin_are_checked_whatever_the_token(guarded):
    head = f"Authorization: Bearer {WRITE}\r\nConnection: close\r\n\r\n"
    assert status_of(guarded.raw(f"GET /model HTTP/1.1\r\nHost: evil.example\r\n{head}".encode())) == 403
    headers = {**bearer(WRITE), "Origin": "http://evil.example"}
    guarded.request("POST", "/predict", bytes(64), headers).problem(403, "forbidden")


def test_refusals_are_counted_and_no_token_is_ever_written(guarded):
    ask(guarded, "GET", "/stats", None)
    text = until(lambda: 'code="401"' in (t := ask(guarded, "GET", "/metrics", READ).body.decode()) and t, "the refusal counted")
    parse_metrics(text)
    for secret in (READ, WRITE):
        assert secret not in text + guarded.stderr + guarded.out.read_text()
        assert secret not in Path(f"/proc/{guarded.process.pid}/cmdline").read_text()


# ---- where tokens come from ----

def test_credentials_of_systemd_are_taken_without_flags(daemons):
    token_file(daemons.directory, "convd-write-token", WRITE)
    daemon = daemons.start(daemons.init(), env={"CREDENTIALS_DIRECTORY": str(daemons.directory)})
    assert ask(daemon, "GET", "/model", None).status == 401
    assert ask(daemon, "GET", "/model", WRITE).status == 200


def test_flags_can_be_given_in_the_environment(daemons):
    path = token_file(daemons.directory, "w", WRITE)
    daemon = daemons.start(daemons.init(), env={"CONVD_WRITE_TOKEN_FILE": str(path)})
    assert ask(daemon, "GET", "/model", None).status == 401


@pytest.mark.parametrize("text, mode, word", [
    ("short", 0o600, "guessed"), (WRITE, 0o644, "chmod o="), ("with blanks in the middle", 0o600, "letters"),
    (READ, 0o600, "same token"), (None, 0, "cannot read")])
def test_a_bad_token_file_is_told_at_the_start(daemons, text, mode, word):
    flags = token_flags(daemons.directory, write=None)
    path = daemons.directory / "w"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    code, said = daemons.make(daemons.init(), *flags, "--write-token-file", path).fails_to_start()
    assert code == 2 and word in said and WRITE not in said


# ---- listening beyond loopback ----

def test_with_a_token_it_may_listen_anywhere_and_warns_that_it_is_in_clear(daemons):
    daemon = daemons.make(daemons.init(), "--listen", "0.0.0.0:0", *token_flags(daemons.directory))
    daemon.spawn()
    daemon.port = int(daemon.listening(r"http://0\.0\.0\.0:(\d+)")[1])
    daemon.logged("unencrypted")
    assert ask(daemon, "GET", "/model", None).status == 401
    assert ask(daemon, "GET", "/model", READ).status == 200
    answer = daemon.raw(f"GET /model HTTP/1.1\r\nHost: digits.example\r\nAuthorization: Bearer {READ}\r\n"
                        "Connection: close\r\n\r\n".encode())
    assert status_of(answer) == 200


# ---- SIGHUP ----

def test_sighup_reads_the_tokens_again_and_a_mistake_changes_nothing(daemons):
    daemon = daemons.start(daemons.init(), *token_flags(daemons.directory))
    renewed = "renewed-0123456789abcdef"
    token_file(daemons.directory, "write", renewed)
    assert ask(daemon, "GET", "/model", WRITE).status == 200
    daemon.process.send_signal(signal.SIGHUP)
    daemon.logged("tokens reloaded")
    assert ask(daemon, "GET", "/model", WRITE).status == 401
    assert ask(daemon, "GET", "/model", renewed).status == 200
    token_file(daemons.directory, "write", "short")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.logged("the old ones stay")
    assert ask(daemon, "GET", "/model", renewed).status == 200


def test_sighup_without_tokens_does_no_harm(small):
    small.process.send_signal(signal.SIGHUP)
    small.logged("no tokens")
    assert small.model()["revision"] == 1


def test_sighup_of_a_terminal_that_is_gone_stops_it_well(daemons):
    ours, theirs = pty.openpty()
    daemon = daemons.make(daemons.init())
    name = daemons.directory / "on-a-terminal"
    with name.with_suffix(".out").open("wb") as out:
        process = subprocess.Popen([str(CONVD), "serve", "--db", str(daemon.db), "--listen", "127.0.0.1:0"],
                                   stdin=theirs, stdout=out, stderr=theirs, env=clean_environment(),
                                   start_new_session=True)
    os.close(theirs)
    try:
        until(lambda: name.with_suffix(".out").read_text().endswith("\n"), "its address")
        process.send_signal(signal.SIGHUP)  # the terminal is there: it goes on
        said = b""
        while b"no tokens" not in said:
            said += os.read(ours, 4096)
        assert process.poll() is None
        os.close(ours)
        ours = -1
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
    finally:
        if ours >= 0:
            os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


# ---- the command line as a client ----

@pytest.mark.parametrize("how", ["flag", "variable", "file variable"])
def test_the_command_line_shows_its_token(guarded, tmp_path, how):
    path = token_file(tmp_path, "t", READ)
    flags = ["--token-file", path] if how == "flag" else []
    env = {"variable": {"CONVD_TOKEN": READ}, "file variable": {"CONVD_TOKEN_FILE": str(path)}}.get(how, {})
    done = convd("snapshots", "--url", guarded.url, *flags, env=env)
    assert b"create" in done.stdout


def test_the_command_line_says_when_its_token_is_missing_or_too_little(guarded, tmp_path):
    done = convd("snapshots", "--url", guarded.url, check=False)
    assert done.returncode == 1 and b"token is needed" in done.stderr
    done = convd("snapshots", "take", "--url", guarded.url, check=False, env={"CONVD_TOKEN": READ})
    assert done.returncode == 1 and b"this token is for reading" in done.stderr
    done = convd("predict", "--url", guarded.url, EXAMPLES, check=False)  # the token is at fault, and no picture
    assert done.returncode != 0 and b"skipped" not in done.stderr and done.stderr.count(b"\n") == 1
    done = convd("snapshots", "--url", guarded.url, check=False, env={"CONVD_TOKEN": "a\r\nHost: evil.example"})
    assert done.returncode == 2
    done = convd("snapshots", "--db", tmp_path / "x.db", "--token-file", token_file(tmp_path, "t", READ), check=False)
    assert done.returncode == 2 and b"--url" in done.stderr


def test_training_by_the_command_line_needs_the_writing_token(daemons, digits):
    daemon = daemons.start(daemons.copy(), *token_flags(daemons.directory))
    command = ["train", "--url", daemon.url, *digits.test_files, "--limit", "20", "--quiet"]
    done = convd(*command, check=False, env={"CONVD_TOKEN": READ})
    assert done.returncode == 1
    convd(*command, env={"CONVD_TOKEN": WRITE})
    before = ask(daemon, "GET", "/model", READ).ok()
    daemon.stop()
    assert convd_json("verify", "--db", daemon.db)["digest"] == before["digest"]
