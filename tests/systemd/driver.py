"""Runs inside the machine that machine.sh boots, as root: drives systemctl, and writes what came of each scenario to /out.

Each scenario is a function whose name is a sentence; test_machine.py turns each into a test.
"""
import contextlib
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def systemctl(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["systemctl", "--no-pager", *arguments], capture_output=True, text=True)
    assert done.returncode == 0 or not check, f"systemctl {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def show(unit: str, what: str) -> str:
    return systemctl("show", "--property", what, "--value", unit)


def request(path: str, body: bytes | None = None, port: int = 8080, method: str | None = None) -> dict:
    query = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, method=method)
    query.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(query, timeout=30) as answer:
        return json.loads(answer.read())


def first_request() -> None:
    """Starts the daemon, on a new model. From then on it learns what it is taught, and nothing when idle: revisions are told below."""
    assert request("/predict", bytes(784))["revision"] == 1
    assert request("/model", b'{"rehearsal_idle": 0}', method="PATCH")["revision"] == 2


def wait_for(what: str, test, timeout_s: float = 120):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := test():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s} s")


def drop_in(unit: str, text: str) -> None:
    folder = Path("/etc/systemd/system") / f"{unit}.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.conf").write_text(text)
    systemctl("daemon-reload")


def main_pid(unit: str) -> int:
    return int(show(unit, "MainPID"))


DIGITS = "convd@digits.service"
DB = Path("/var/lib/convd/digits/model.db")


@scenario
def the_socket_listens_before_the_daemon_runs_and_the_first_request_starts_it():
    systemctl("start", "convd@digits.socket")
    assert show(DIGITS, "ActiveState") == "inactive"
    first_request()
    assert show(DIGITS, "ActiveState") == "active"


@scenario
def the_model_is_called_after_its_unit():
    assert request("/v2/models/digits")["name"] == "digits"


@scenario
def the_daemon_runs_as_nobody_in_particular_with_nothing_in_its_hands():
    pid = main_pid(DIGITS)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    uid = int(status["Uid"].split()[0])
    assert 61184 <= uid <= 65519, f"uid {uid} is not a dynamic user's"
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for namespace in ("net", "mnt", "user"):
        assert os.readlink(f"/proc/{pid}/ns/{namespace}") != os.readlink(f"/proc/1/ns/{namespace}"), namespace
    assert DB.stat().st_uid == uid and DB.parent.stat().st_mode & 0o777 == 0o700


@scenario
def a_stop_takes_a_snapshot_and_the_next_request_starts_it_with_what_it_learned():
    assert request("/train?label=3", bytes(783) + b"\1")["revision"] == 3
    digest = request("/model")["digest"]
    systemctl("stop", DIGITS)
    assert (show(DIGITS, "Result"), show(DIGITS, "ExecMainStatus")) == ("success", "0")
    with contextlib.closing(sqlite3.connect(f"file:{DB}?mode=ro", uri=True)) as connection:
        reasons = [row[0] for row in connection.execute("SELECT reason FROM snapshot ORDER BY id")]
    assert reasons == ["create", "shutdown"], reasons
    model = request("/model")
    assert (model["revision"], model["digest"]) == (3, digest)


@scenario
def a_killed_daemon_is_started_again_and_clients_wait_instead_of_being_refused():
    digest = request("/model")["digest"]
    os.kill(main_pid(DIGITS), signal.SIGKILL)
    wait_for("the manager noticed", lambda: show(DIGITS, "SubState") != "running" or int(show(DIGITS, "NRestarts")) > 0)
    assert request("/model")["digest"] == digest
    assert int(show(DIGITS, "NRestarts")) == 1


@scenario
def a_daemon_that_hangs_is_ended_by_the_watchdog_and_started_again():
    drop_in(DIGITS, "[Service]\nWatchdogSec=5s\nTimeoutAbortSec=1s\n")
    systemctl("restart", DIGITS)
    assert request("/model")["revision"] == 3
    time.sleep(8)  # longer than the watchdog waits
    pid = main_pid(DIGITS)
    assert int(show(DIGITS, "NRestarts")) == 0, "a healthy daemon was ended"
    os.kill(pid, signal.SIGSTOP)
    wait_for("the watchdog bit", lambda: int(show(DIGITS, "NRestarts")) == 1)
    assert request("/model")["revision"] == 3
    assert main_pid(DIGITS) not in (0, pid)


@scenario
def a_wrong_setting_fails_the_start_and_is_not_tried_again():
    systemctl("stop", DIGITS, "convd@digits.socket")
    Path("/etc/convd").mkdir(exist_ok=True)
    env = Path("/etc/convd/digits.env")
    env.write_text("CONVD_THREADS=many\n")
    systemctl("start", DIGITS, check=False)
    assert (show(DIGITS, "Result"), show(DIGITS, "ExecMainStatus"), show(DIGITS, "NRestarts")) == ("exit-code", "2", "0")
    time.sleep(2)
    assert show(DIGITS, "ActiveState") == "failed"
    env.unlink()
    systemctl("reset-failed")


@scenario
def the_service_brings_its_socket_along():
    systemctl("stop", "convd@digits.socket")
    assert show("convd@digits.socket", "ActiveState") == "inactive"
    systemctl("start", DIGITS)
    assert show("convd@digits.socket", "ActiveState") == "active"
    assert request("/model")["revision"] == 3


@scenario
def a_second_model_has_an_address_and_a_directory_of_its_own_and_sees_no_other():
    drop_in("convd@faces.socket", "[Socket]\nListenStream=\nListenStream=127.0.0.1:8081\n")
    systemctl("start", "convd@faces.socket")
    assert request("/model", port=8081)["revision"] == 1
    assert request("/model")["revision"] == 3
    for port in (8080, 8081):
        assert request("/train?label=1", bytes(783) + b"\1", port)["accepted"] == 1
    assert sorted(p.name for p in Path("/var/lib/private/convd").iterdir()) == ["digits", "faces"]
    for model in ("digits", "faces"):
        seen = Path(f"/proc/{main_pid(f'convd@{model}.service')}/root/var/lib/private/convd")
        assert [p.name for p in seen.iterdir()] == [model]


@scenario
def each_request_is_in_the_journal_with_its_id_and_priority_between_sigusr1_and_sigusr2():
    def journal(word: str) -> list[dict]:
        subprocess.run(["journalctl", "--sync"], check=True)
        lines = subprocess.run(["journalctl", "-u", DIGITS, "-o", "json", "--no-pager"], capture_output=True, text=True).stdout.splitlines()
        return [line for line in map(json.loads, lines) if word in line["MESSAGE"]]

    def ask(name: str) -> None:
        query = urllib.request.Request("http://127.0.0.1:8080/model", headers={"X-Request-Id": name})
        urllib.request.urlopen(query, timeout=30).read()

    def signal_main(name: str) -> None:
        systemctl("kill", f"--signal={name}", DIGITS)
        wait_for(name, lambda: journal(f"{name}: logging"))

    ask("quiet-before")
    signal_main("SIGUSR1")
    ask("scan-81")
    line = wait_for("its line", lambda: journal("request scan-81: GET /model: 200"))[0]
    assert (line["PRIORITY"], line["SYSLOG_IDENTIFIER"]) == ("7", "convd@digits"), line
    signal_main("SIGUSR2")
    ask("quiet-after")
    assert not journal("quiet-")
    assert journal("replayed")[0]["PRIORITY"] == "6"


@scenario
def tokens_and_tls_come_as_credentials_and_work_under_the_filter():
    Path("/etc/convd").mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", "/etc/convd/safe.key", "-out", "/etc/convd/safe.crt", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    for kind in ("read", "write"):
        Path(f"/etc/convd/safe.{kind}-token").write_text(f"{kind}-0123456789abcdef\n")
    for path in Path("/etc/convd").glob("safe.*"):
        path.chmod(0o600)
    # the example of the unit itself
    text = Path(systemctl("show", "--property", "FragmentPath", "--value", DIGITS)).read_text()
    example = [line[6:] for line in text.splitlines() if line.startswith("#     ")]
    example = [line for line in example if line.startswith(("[Service]", "LoadCredential=", "Environment="))]
    assert len(example) == 6, example
    drop_in("convd@safe.service", "\n".join(example) + "\nWatchdogSec=5s\n")
    # an address beyond loopback: with tokens that is allowed
    drop_in("convd@safe.socket", "[Socket]\nListenStream=\nListenStream=0.0.0.0:8443\n")
    systemctl("start", "convd@safe.socket")

    def ask(path: str, token: str | None, body: bytes | None = None) -> int:
        context = ssl.create_default_context(cafile="/etc/convd/safe.crt")
        query = urllib.request.Request(f"https://127.0.0.1:8443{path}", data=body)
        query.add_header("Content-Type", "application/octet-stream")
        if token:
            query.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(query, timeout=30, context=context) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert ask("/healthz", None) == 200
    assert [ask("/model", None), ask("/model", "read-0123456789abcdef")] == [401, 200]
    assert ask("/train?label=1", "read-0123456789abcdef", bytes(783) + b"\1") == 403
    assert ask("/train?label=1", "write-0123456789abcdef", bytes(783) + b"\1") == 200
    pid = main_pid("convd@safe.service")
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status
    time.sleep(8)  # longer than the watchdog waits
    assert main_pid("convd@safe.service") == pid, "the watchdog ended a healthy daemon"
    systemctl("stop", "convd@safe.service", "convd@safe.socket")
    assert show("convd@safe.service", "Result") == "success"


@scenario
def without_tokens_an_address_that_others_can_reach_is_refused():
    drop_in("convd@open.socket", "[Socket]\nListenStream=\nListenStream=0.0.0.0:8082\n")
    systemctl("start", "convd@open.service", check=False)
    assert (show("convd@open.service", "Result"), show("convd@open.service", "ExecMainStatus")) == ("exit-code", "2")
    systemctl("stop", "convd@open.socket")
    systemctl("reset-failed")


@scenario
def a_unix_socket_of_the_socket_unit_is_served():
    drop_in("convd@near.socket", "[Socket]\nListenStream=\nListenStream=/run/convd/near.sock\nSocketMode=0660\n")
    systemctl("start", "convd@near.socket")
    done = subprocess.run(["curl", "-sS", "--max-time", "30", "--unix-socket", "/run/convd/near.sock", "http://localhost/model"],
                          capture_output=True, text=True)
    assert json.loads(done.stdout)["revision"] == 1, done.stderr
    assert Path("/run/convd/near.sock").stat().st_mode & 0o777 == 0o660
    systemctl("stop", "convd@near.service", "convd@near.socket")


@scenario
def disabled_units_leave_nothing_behind():
    systemctl("enable", DIGITS)
    wanted = Path("/etc/systemd/system")
    links = {p.relative_to(wanted).as_posix() for p in wanted.rglob("*digits*") if p.is_symlink()}
    assert links == {"multi-user.target.wants/convd@digits.service", "sockets.target.wants/convd@digits.socket"}, links
    systemctl("disable", DIGITS)
    assert not [p for p in wanted.rglob("*digits*") if p.is_symlink()]


def main(scenarios: list = SCENARIOS) -> None:
    results = {}
    for function in scenarios:
        try:
            function()
            results[function.__name__] = "ok"
        except urllib.error.HTTPError as error:
            results[function.__name__] = f"{traceback.format_exc()}\n{error.read().decode()}"
        except Exception:
            results[function.__name__] = traceback.format_exc()
        Path("/out/results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
