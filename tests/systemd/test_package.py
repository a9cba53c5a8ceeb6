"""The Debian package: built, looked at by lintian, and installed, upgraded, removed and purged in a machine of its own."""
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import package_driver
import pytest
from test_machine import boot, why_not
from test_units import ROOT, make


def packed() -> Path:
    make("deb")
    return max((ROOT / "build/deb").glob("convd_*.deb"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def package(tmp_path_factory, convd) -> Path:
    if convd != (ROOT / "build/convd").resolve():
        pytest.skip("only the release is packed")
    return Path(shutil.copy(packed(), tmp_path_factory.mktemp("package")))


def field(package: Path, name: str) -> str:
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


def test_lintian_has_nothing_to_say(package):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", package], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_library_that_the_program_loads_is_of_a_package_that_it_depends_on(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    needed = subprocess.run(["objdump", "-p", tmp_path / "usr/bin/convd"], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"NEEDED +(\S+)", needed)
    assert len(libraries) >= 8
    depends = set(re.findall(r"[a-z0-9.+-]+(?= \(|,|$)", field(package, "Depends")))
    owned = subprocess.run(["dpkg", "-S", *(f"*/{library}" for library in libraries)], capture_output=True, text=True, check=True).stdout
    for library in libraries:
        owners = {line.split(":")[0] for line in owned.splitlines() if line.endswith(f"/{library}")}
        assert owners & depends, f"{library}: {owners}"


def test_the_same_sources_give_the_same_package(package):
    assert hashlib.sha256(packed().read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


def test_it_can_be_packed_in_a_folder_with_blanks(package, tmp_path):
    out = tmp_path / "with blanks in it"
    out.mkdir()
    done = subprocess.run([ROOT / "scripts/make-deb", "build", out], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == package.read_bytes()


def test_every_file_is_under_usr_or_etc(package):
    listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    assert {line.split("./", 1)[1].split("/")[0] for line in listed.splitlines()} == {"", "etc", "usr"}


@pytest.fixture(scope="module")
def results(tmp_path_factory, package) -> dict[str, str]:
    if reason := why_not():
        pytest.skip(reason)
    stage, out = tmp_path_factory.mktemp("stage"), tmp_path_factory.mktemp("out")
    shutil.copy(package, out)
    return boot(stage, out, "package_driver.py")


@pytest.mark.parametrize("name", [function.__name__ for function in package_driver.SCENARIOS])
def test_the_package_in_a_machine(results, name):
    assert results.get(name, "was not played") == "ok", results.get(name)
