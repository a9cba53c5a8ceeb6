"""A file that an earlier convd has made is opened, proved to the same bits, and goes on. Formats are kept, and so is the fold: a change of either that
this file does not survive needs a version of its own (docs/contributing.md)."""
import gzip
from pathlib import Path

import numpy as np

from .daemon import ROOT, convd_json

DIGEST = "2509ec7e8edec37d3b4fe7dafc306f2bc7d043cd6c3057dcd350b4bb768a1de8"


def kept(folder: Path) -> Path:
    """2,430 samples of 4 x 4 pixels, over 1,000 of two classes each; with every kind of event but baseline, and two edits."""
    path = folder / "kept.db"
    path.write_bytes(gzip.decompress((ROOT / "tests" / "fixtures" / "version-1.db.gz").read_bytes()))
    return path


def test_a_file_of_version_1_is_proved_to_the_bit(tmp_path):
    verdict = convd_json("verify", "--db", kept(tmp_path), "--quiet")
    assert (verdict["digest"], verdict["revision"], verdict["samples"]) == (DIGEST, 23, 2430)


def test_a_file_of_version_1_goes_on(daemons, tmp_path):
    daemon = daemons.start(kept(tmp_path))
    model = daemon.model()
    assert (model["digest"], model["settings"]["rehearsal_buffer"]) == (DIGEST, 1000) and daemon.get("/readyz").status == 200
    daemon.post("/train?label=c", np.eye(4, dtype=np.uint8).tobytes()).ok()
    daemon.stop()
    assert convd_json("verify", "--db", daemon.db, "--quiet")["samples"] == 2431
