"""A file that an earlier convd has made is opened, proved to the same bits, and goes on. Formats are kept, and so is the fold: a change of either that
this file does not survive needs a version of its own (docs/contributing.md)."""
import gzip
import re
from pathlib import Path

import numpy as np

from .cluster import images
from .daemon import ROOT, convd, convd_json, until

DIGEST = "2509ec7e8edec37d3b4fe7dafc306f2bc7d043cd6c3057dcd350b4bb768a1de8"


def kept(folder: Path) -> Path:
    """2,430 samples of 4 x 4 pixels, over 1,000 of two classes each; with every kind of event but baseline, and two edits."""
    path = folder / "kept.db"
    path.write_bytes(gzip.decompress((ROOT / "tests" / "fixtures" / "version-1.db.gz").read_bytes()))
    return path


def test_a_shared_log_of_before_nodes_told_all_of_themselves_goes_on(cluster, postgres):
    """Its owner gives table node the columns, and the rights that its role has are enough."""
    c = cluster()
    schema = (ROOT / "schema" / "postgres.sql").read_text()
    postgres.sql("ALTER TABLE convd.node DROP compared, DROP digest, DROP diverged; CREATE ROLE appends LOGIN;" + "".join(
        grant.replace(" TO convd;", " TO appends;") for grant in re.findall("GRANT .* TO convd;", schema)), c.name)
    c.log = c.log.replace("//convd@", "//appends@")
    a, b = c.node(), c.node()

    def told(node, of: str) -> tuple:
        seen = {each["name"]: each for each in node.get("/cluster").ok().get("nodes", [])}.get(of, {})
        return seen.get("revision"), seen.get("diverged"), seen.get("compared")
    with a.client() as client:
        until(lambda: client.post("/train?label=a", images(1).tobytes()) and a.model()["revision"] > 256, "there are so many")
    same = until(lambda: a.get("/cluster").ok()["same"], "it was compared")
    head = c.agree()["revision"]
    until(lambda: told(b, "a") == (head, None, None), "it tells where it is")
    assert b" behind; told " in convd("cluster", "status", "--url", b.url).stdout
    postgres.sql(re.search("ALTER TABLE convd.node ADD .*;", schema)[0], c.name)
    postgres.end()
    postgres.start()
    until(lambda: told(b, "a") == (head, False, same), "it tells all when it connects again")
    c.verified()


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
