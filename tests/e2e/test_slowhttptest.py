"""slowhttptest, the simulator of slow clients that Debian has, in its four modes: new good clients are served meanwhile.

    make hostile-test          1,000 connections, each mode for HOSTILE_SECONDS
"""
import os
import subprocess
import time

import pytest

from .daemon import Daemon, until
from .prometheus import metric

LONG = "HOSTILE_SECONDS" in os.environ
CONNECTIONS, RATE, SECONDS = (1000, 200, int(float(os.environ["HOSTILE_SECONDS"]) + 1)) if LONG else (300, 100, 5)
MODES = {
    "slow headers": ("-H",),
    "slow body": ("-B", "-s", "8192", "-t", "POST"),
    "ranges": ("-R", "-a", "5", "-b", "2000"),
    "slow read": ("-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "10"),
}


def asks(daemon: Daemon) -> bool:
    """A new client predicts; whether it was served."""
    try:
        with daemon.client(timeout_s=10) as client:
            return client.post("/predict", bytes(64)).status == 200
    except OSError:
        return False


@pytest.mark.parametrize("mode", MODES)
def test_of_new_clients_at_most_one_in_a_hundred_is_refused_meanwhile(daemons, capsys, mode):
    """The attack is begun again until two hundred have come: a busy machine takes longer for them."""
    daemon = daemons.start(daemons.init())
    path = "/openapi.json" if mode in ("slow read", "ranges") else "/predict"
    attacks = attackers = served = refused = 0
    while served + refused < 200:
        attacks += 1
        begun = metric(daemon, "convd_http_connections_total") - served - refused
        attack = subprocess.Popen(["slowhttptest", *MODES[mode], "-c", str(CONNECTIONS), "-r", str(RATE), "-i", "1", "-l", str(SECONDS),
                                   "-u", daemon.url + path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, env=os.environ | {"TERM": "dumb"})
        try:
            until(lambda: metric(daemon, "convd_http_connections_total") - served - refused > begun + 100 or attack.poll() is not None,
                  "the attack")
            while attack.poll() is None:
                if asks(daemon):
                    served += 1
                else:
                    refused += 1
                time.sleep(0.002)
        finally:
            if attack.poll() is None:
                attack.kill()
            said = attack.communicate()[0].decode(errors="replace")
        came = metric(daemon, "convd_http_connections_total") - served - refused - begun
        assert came >= CONNECTIONS * 0.9, said
        attackers += came
    line = (f"{mode:14} {attackers:6.0f} connections in {attacks} attacks, {served + refused:6} new good clients, {refused} refused, "
            f"{metric(daemon, 'convd_http_connections_displaced_total'):.0f} displaced")
    if LONG:
        with capsys.disabled():
            print("\n" + line, end="")
    else:
        print(line)
    assert refused <= (served + refused) / 100
