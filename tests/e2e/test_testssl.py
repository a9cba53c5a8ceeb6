"""testssl.sh, the scanner that Debian has, finds no weak version, cipher or known hole in convd's TLS.

    make hostile-test          forward secrecy and every hole that it knows, too: a minute
"""
import json
import os
import shutil
import subprocess

import pytest

from .test_tls import certificate, start

LONG = "HOSTILE_SECONDS" in os.environ
GRADES = {"OK", "INFO"}
# What the scanner has to say of itself and of the machine that it runs on.
# And it takes a connection that was closed for a renegotiation that was granted, now and then: test_tls.py asks after that.
ASIDE = {"scanTime", "engine_problem", "secure_client_renego"}


@pytest.mark.skipif(shutil.which("testssl") is None, reason="testssl is missing: scripts/deps test installs it (package testssl.sh)")
@pytest.mark.parametrize("kind", ["ec", "rsa"] if LONG else ["ec"])
def test_testssl_finds_nothing(daemons, capsys, kind):
    daemon = start(daemons, daemons.init(), *certificate(daemons.directory, kind=kind))
    report = daemons.directory / "testssl.json"
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", "one", "--jsonfile", report,
                    "-p", "-s", *(("-f", "-U") if LONG else ()), f"127.0.0.1:{daemon.port}"], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, timeout=600)
    found = [row for row in json.loads(report.read_text()) if row["id"] not in ASIDE]
    said = {row["id"]: row["finding"] for row in found}
    with capsys.disabled():
        print(f"testssl, {kind}: {len(found)} findings")
    assert "offered" in said["TLS1_2"] and "offered" in said["TLS1_3"] and len(found) > (30 if LONG else 12)
    cbc = "cipherlist_OBSOLETED" if "cipherlist_OBSOLETED" in said else "cipherlist_AVERAGE"  # as 3.0 calls it
    assert said[cbc] == said["TLS1_1"] == "not offered"
    assert not [row for row in found if row["severity"] not in GRADES], said
