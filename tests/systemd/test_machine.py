"""The installed units under a real systemd: machine.sh boots one, driver.py plays the scenarios in it, each is a test here."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import driver
import pytest
from test_units import make

HERE = Path(__file__).resolve().parent


def why_not() -> str | None:
    """What keeps this machine from booting another, or None."""
    if os.geteuid() != 0:
        return "booting a machine needs root"
    probe = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/g && mount -t cgroup2 cgroup2 /mnt/g && mkdir /mnt/g/convd-probe-$$ && rmdir /mnt/g/convd-probe-$$"
    done = subprocess.run(["unshare", "--cgroup", "--fork", "--pid", "--mount", "--net", "sh", "-c", probe], capture_output=True, text=True)
    return None if done.returncode == 0 else f"no namespaces or control groups here: {done.stderr.strip()}"


def boot(stage: Path, out: Path, driver_name: str = "driver.py") -> dict[str, str]:
    """Boots a machine that plays /out's driver; what came of each scenario."""
    for source in HERE.glob("*driver.py"):
        shutil.copy(source, out)
    done = subprocess.run(["bash", HERE / "machine.sh", stage, out, driver_name], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=900)
    said = {name: (out / name).read_text(errors="replace")[-6000:] if (out / name).exists() else "-" for name in ("console", "driver.log", "journal")}
    story = f"exit {done.returncode}\n{done.stdout}{done.stderr}\n" + "\n".join(f"--- {name}\n{text}" for name, text in said.items())
    assert (out / "results.json").exists(), story
    print(story)
    return json.loads((out / "results.json").read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory, convd) -> dict[str, str]:
    if reason := why_not():
        pytest.skip(reason)
    stage, out = tmp_path_factory.mktemp("stage"), tmp_path_factory.mktemp("out")
    make("install", f"DESTDIR={stage}", "PREFIX=/usr/local")
    return boot(stage, out)


@pytest.mark.parametrize("name", [function.__name__ for function in driver.SCENARIOS])
def test_under_systemd(results, name):
    assert results.get(name, "was not played") == "ok", results.get(name)
