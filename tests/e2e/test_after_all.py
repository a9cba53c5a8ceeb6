"""One daemon that is sent bad things of all kinds in a row, and is afterwards what it was before."""
import threading

import pytest

from .daemon import ROOT, Daemon
from .pictures import png
from .test_bad_http import GARBAGE, TWO_READINGS
from .test_bad_json import nested


@pytest.mark.core
def test_after_all_bad_input_at_once_the_daemon_still_predicts_learns_and_has_leaked_nothing(daemon: Daemon, seven):
    before, prediction = daemon.model(), daemon.predict(seven.tobytes())
    files = [path.read_bytes() for path in sorted((ROOT / "tests" / "fixtures" / "images").iterdir())]
    assert len(files) > 40

    def pictures() -> None:
        with daemon.client() as client:
            for data in files:
                client.post("/predict", data, "image/png")
                client.post("/train", data, "image/png")

    def documents() -> None:
        with daemon.client() as client:
            for body in (nested(10000), b"{", b'{"image": {"pixels": [1e999]}}', b"\xff" * 784000):
                client.post("/train", body, "application/json")

    def sockets() -> None:
        for data in [*GARBAGE.values(), *TWO_READINGS.values()]:
            with daemon.connect() as connection:
                try:
                    connection.sendall(data)
                except OSError:
                    pass

    for _ in range(3):
        threads = [threading.Thread(target=job) for job in (pictures, documents, sockets, pictures)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert daemon.model() == before
    assert daemon.predict(png(seven), "image/png") == prediction
    daemon.train("7", seven.tobytes()).ok()
