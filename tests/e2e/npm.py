"""Programs from npm that tests run as a second opinion. Each has a folder of tests/ with package.json, package-lock.json and
run.mjs, and is installed once, under build/. Where npm or its registry cannot be had, the test says so and is skipped."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .daemon import ROOT

UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ERR_SOCKET_TIMEOUT")


def install(name: str) -> Path:
    """The folder under build/ with what tests/NAME/package-lock.json names."""
    source, folder = ROOT / "tests" / name, ROOT / "build" / "npm" / name
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"node and npm are not installed, so {name} from npm cannot be had")
    lock, installed = (source / "package-lock.json").read_bytes(), folder / "installed"
    if not installed.exists() or installed.read_bytes() != lock:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
                               "--fetch-timeout=60000"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=600)
        if done.returncode != 0 and any(word in done.stderr for word in UNREACHABLE):
            pytest.skip(f"npm reaches no registry, so {name} cannot be had")
        assert done.returncode == 0, done.stderr
        installed.write_bytes(lock)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


def run(name: str, *args: str | Path) -> str:
    """What run.mjs prints."""
    done = subprocess.run(["node", install(name) / "run.mjs", *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
