"""Runs inside the machine that machine.sh boots, as root: installs, upgrades, removes and purges the package that lies in /out."""
import os
import subprocess
from pathlib import Path

from driver import DB, DIGITS, drop_in, first_request, main, main_pid, request, show, systemctl

SCENARIOS = []
SOCKET = "convd@digits.socket"
ENABLED = Path("/etc/systemd/system/sockets.target.wants") / SOCKET


def scenario(function):
    SCENARIOS.append(function)
    return function


def dpkg(*arguments: str) -> str:
    done = subprocess.run(["dpkg", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, f"dpkg {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def install() -> str:
    return dpkg("--force-unsafe-io", "-i", str(next(Path("/out").glob("convd_*.deb"))))


def left() -> list[str]:
    """What is there of convd outside dpkg's own records."""
    places = ("/usr/bin", "/usr/lib/systemd/system", "/usr/share/doc", "/usr/share/man/man1", "/usr/share/man/man8", "/etc", "/var/lib",
              "/var/lib/private", "/usr/share/bash-completion/completions", "/usr/share/zsh/vendor-completions",
              "/usr/share/fish/vendor_completions.d", "/usr/share/lintian/overrides")
    found = [str(p) for place in places for p in Path(place).glob("*convd*")]
    return found + [str(p) for p in Path("/etc/systemd/system").rglob("convd@*")]


@scenario
def after_the_installation_the_socket_listens_and_is_enabled_and_no_daemon_runs():
    assert left() == []
    install()
    assert systemctl("is-enabled", SOCKET) == "enabled"
    assert (show(SOCKET, "ActiveState"), show(DIGITS, "ActiveState")) == ("active", "inactive")
    assert dpkg("--verify", "convd") == ""


@scenario
def the_first_request_starts_the_installed_daemon():
    first_request()
    assert os.readlink(f"/proc/{main_pid(DIGITS)}/exe") == "/usr/bin/convd"
    assert request("/train?label=3", bytes(783) + b"\1")["revision"] == 3


@scenario
def the_command_its_pages_and_the_completion_are_where_they_are_looked_for():
    version = subprocess.run(["convd", "--version"], capture_output=True, text=True, check=True).stdout.split()[1].rstrip(",")
    assert dpkg("-s", "convd").split("Version: ")[1].splitlines()[0] == version
    for section in ("1", "8"):
        assert subprocess.run(["man", "-w", section, "convd"], capture_output=True, text=True).stdout.strip().endswith(f"convd.{section}.gz")
    assert "complete -F" in Path("/usr/share/bash-completion/completions/convd").read_text()
    assert Path("/usr/share/zsh/vendor-completions/_convd").read_text().startswith("#compdef convd\n")
    assert "complete -c convd" in Path("/usr/share/fish/vendor_completions.d/convd.fish").read_text()


@scenario
def a_setting_in_the_environment_file_is_taken_and_survives_an_upgrade():
    settings = Path("/etc/convd/digits.env")
    settings.write_text(settings.read_text() + "CONVD_BATCH_IMAGES=3\n")
    install()
    assert settings.read_text().endswith("CONVD_BATCH_IMAGES=3\n")
    body = bytes(4 * 784)
    try:
        request("/predict", body)
    except OSError as error:  # an HTTPError is one
        assert getattr(error, "code", None) in (413, 422), error
    else:
        raise AssertionError("four images were taken where three are the most")


@scenario
def an_upgrade_restarts_a_running_daemon_with_what_it_learned():
    before, digest = main_pid(DIGITS), request("/model")["digest"]
    socket_since = show(SOCKET, "ActiveEnterTimestampMonotonic")
    install()
    assert main_pid(DIGITS) not in (0, before)
    assert request("/model")["digest"] == digest
    assert show(SOCKET, "ActiveEnterTimestampMonotonic") == socket_since, "the socket was closed"


@scenario
def a_removal_stops_everything_and_keeps_models_and_settings():
    drop_in("convd@faces.socket", "[Socket]\nListenStream=\nListenStream=127.0.0.1:8081\n")
    systemctl("start", "convd@faces.socket")
    assert request("/model", port=8081)["revision"] == 1
    dpkg("-r", "convd")
    running = subprocess.run(["systemctl", "--no-pager", "--no-legend", "list-units", "--state=active", "convd@*"], capture_output=True, text=True)
    assert running.stdout == "", running.stdout
    assert not Path("/usr/bin/convd").exists()
    assert DB.exists() and Path("/etc/convd/digits.env").exists()


@scenario
def an_installation_after_a_removal_has_the_model_again():
    install()
    assert show(SOCKET, "ActiveState") == "active"
    assert request("/model")["revision"] == 3


@scenario
def a_socket_that_was_disabled_stays_so():
    systemctl("disable", "--now", SOCKET)
    install()
    assert show(SOCKET, "ActiveState") == "inactive" and not ENABLED.exists()
    systemctl("enable", "--now", SOCKET)


@scenario
def a_purge_leaves_nothing_behind_but_what_others_put_there():
    token = Path("/etc/convd/digits.write-token")
    token.write_text("somebody's\n")
    dpkg("--purge", "convd")
    assert left() == ["/etc/convd", "/etc/systemd/system/convd@faces.socket.d"], left()
    assert [p.name for p in Path("/etc/convd").iterdir()] == [token.name]
    assert systemctl("list-unit-files", "--no-legend", "convd@*", check=False) == ""


@scenario
def where_the_address_is_taken_the_installation_says_so_and_succeeds():
    import socket
    with socket.create_server(("127.0.0.1", 8080)):
        said = install()
    assert "is 127.0.0.1:8080 taken?" in said
    assert systemctl("is-enabled", SOCKET) == "enabled"
    dpkg("--purge", "convd")


if __name__ == "__main__":
    # Images of containers forbid that packages start anything; this machine is none. Nor is an index of all pages needed.
    Path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
    Path("/var/lib/man-db/auto-update").unlink(missing_ok=True)
    main(SCENARIOS)
