#!/usr/bin/env python3
"""reader.py FILE - reads the file of a model (a stopped daemon's, or a copy by `convd backup`) without convd, as docs/file-format.md describes it.

Every link of the log's chain and every edit's rows are checked, then the newest snapshot of the live lineage: its digest, over state and tensors, and
the images that its replay buffer remembers. It prints what the file holds, as JSON; exit status 1: it is not as it was written, a line on stderr says what.
"""
import hashlib
import json
import os
import sqlite3
import struct
import sys
from types import SimpleNamespace

import numpy as np

FORGOTTEN = 0xffffffff  # hashed in place of a class, where a table has NULL or -1


class Damaged(Exception):
    """Its text says what is not as it was written."""


def need(condition: bool, what: str) -> None:
    if not condition:
        raise Damaged(what)

# ---- the log ----

def sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data

# Of a row of an edit that was made; another one is being written down, and means nothing yet.
MADE = "number IS NOT (SELECT number FROM edit_work WHERE event IS NULL)"


def sample_bytes(number: int, forgotten: bool, swept: bool, label: int, image: bytes) -> bytes:
    """Where a sample was forgotten, nothing but its id is left: once the edit that forgot it has got there."""
    need(forgotten or label != -1, f"sample {number} is gone, but no edit says so")
    need(not forgotten or not swept or label == -1 and not any(image), f"sample {number} was forgotten, but something of it is left")
    return struct.pack("<qII", number, FORGOTTEN, 0) if forgotten else struct.pack("<qI", number, label) + sized(image)


def check_log(db: sqlite3.Connection) -> SimpleNamespace:
    """Walks the log, from revision 1 or from where it is kept. Returns its end."""
    begin = first_kept(db)
    chain, n_samples, revision = bytes(32), 0, 0
    if begin > 0:
        (chain,) = db.execute("SELECT chain FROM event WHERE revision = ?", (begin,)).fetchone()
    for revision, (row, kind, created_us, body, stored) in enumerate(
            db.execute("SELECT revision, kind, created_us, body, chain FROM event WHERE revision > ? ORDER BY revision", (begin,)), begin + 1):
        need(row == revision, f"revision {revision} is missing")
        samples = db.execute(f"""SELECT id, EXISTS (SELECT 1 FROM edit WHERE edit.sample = id AND edit.label = -1 AND {MADE}),
            id < ifnull((SELECT next FROM edit_work WHERE event IS NOT NULL), id + 1), label, image
            FROM sample WHERE revision = ? ORDER BY id""", (revision,)).fetchall()
        link = hashlib.sha256(chain + struct.pack("<Qq", revision, created_us) + sized(kind.encode()) +
                              sized(body.encode()) + struct.pack("<I", len(samples)))
        for sample in samples:
            link.update(sample_bytes(*sample))
        # Where some are forgotten the link cannot be made again; what is left has a hash of its own.
        left = db.execute(f"SELECT hash FROM edited WHERE revision = ? AND {MADE} ORDER BY number DESC LIMIT 1",
                          (revision,)).fetchone() if any(sample[1] for sample in samples) else (stored,)
        need(left is not None and link.digest() == left[0], f"revision {revision}: its chain does not match")
        check_event(db, revision, kind, json.loads(body), [sample[0] for sample in samples])
        chain, n_samples = stored, n_samples + len(samples)
    counts = db.execute("""SELECT (SELECT count(*) FROM sample WHERE revision > ?), (SELECT count(*) FROM outcome JOIN sample ON sample = id),
                           count(*) FROM outcome""", (begin,))
    all_samples, told, outcomes = counts.fetchone()
    need(all_samples == n_samples and told == outcomes, "there are samples of no event, or outcomes of no sample")
    numbers = {number for number, in db.execute("SELECT body ->> '$.number' FROM event WHERE kind = 'edit'")}
    written = {number for number, in db.execute(f"SELECT number FROM edit WHERE {MADE} UNION SELECT number FROM edited WHERE {MADE}")}
    need(written <= numbers and all((event is None) == (number not in numbers) for number, event in db.execute(
        "SELECT number, event FROM edit_work")), "table edit_work was changed, or there are rows of an edit of no event")
    return SimpleNamespace(revision=revision, samples=n_samples, chain=chain)


def first_kept(db: sqlite3.Connection) -> int:
    """The revision after which the log has every row."""
    kept = 0
    for (body,) in db.execute("SELECT body FROM event WHERE kind = 'baseline' ORDER BY revision"):
        kept = json.loads(body)["from"] if "samples" in json.loads(body) else kept
    for (body,) in db.execute("SELECT body FROM event WHERE kind = 'rehearse' AND revision > ?", (kept,)).fetchall() if kept else []:
        row = db.execute("SELECT revision FROM sample WHERE id >= ? ORDER BY id LIMIT 1", (json.loads(body)["first"],)).fetchone()
        kept = min(kept, row[0] - 1) if row else kept
    return kept


def check_event(db: sqlite3.Connection, revision: int, kind: str, body: dict, samples: list[int]) -> None:
    need((kind == "create") == (revision == 1), f"revision {revision}: its kind is {kind}")
    named = list(range(body["first"], body["first"] + body["n"])) if kind == "train" else []
    need(samples == named, f"revision {revision}: its samples are not those that it names")
    if kind != "edit":
        return
    edits = db.execute("SELECT sample, was, label FROM edit WHERE number = ? ORDER BY sample", (body["number"],)).fetchall()
    left = db.execute("SELECT revision, hash FROM edited WHERE number = ? ORDER BY revision", (body["number"],)).fetchall()
    removed = db.execute("SELECT -1, id, ifnull(merged_into, -1) FROM class_removed WHERE event = ?", (revision,)).fetchall()
    parts = ([struct.pack("<qIi", *row) for row in edits], [struct.pack("<Q", train) + hashed for train, hashed in left],
             [struct.pack("<qIi", *row) for row in removed])
    rows = hashlib.sha256(b"".join(hashlib.sha256(b"".join(part)).digest() for part in parts))
    need(len(edits) == body["samples"] and rows.hexdigest() == body["rows"], f"revision {revision}: its rows were changed")


# ---- a snapshot ----

class Source:
    """Little-endian values, one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def get(self, form: str):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def text(self) -> str:
        return self.get(f"{self.get('B')}s").decode()

    def array(self, kind: str, n: int) -> np.ndarray:
        values = np.frombuffer(self.data[self.at:], kind, n) if n > 0 else np.empty(0, kind)
        self.at += values.nbytes
        return values


def read_state(data: bytes) -> SimpleNamespace:
    """Column `state` of table snapshot."""
    s, state = Source(data), SimpleNamespace()
    need(s.get("I") == 1, "the state is of another form")
    sides = ("width", "height", "channels", "kernels", "kernel_width", "kernel_height", "stride", "hidden")
    state.shape = dict(zip(sides, s.get("8I")))
    state.settings = {s.text(): s.get("d") for _ in range(s.get("I"))}
    state.step, state.refused = s.get("QQ")
    state.classes = [s.text() for _ in range(s.get("I"))]
    n = len(state.classes)
    state.tally = dict(zip(("samples", "correct", "loss_sum"), s.get("QQd")))
    recent = s.array("<u2, <u2, <f4, <f4", s.get("I"))  # label, predicted, loss, p
    state.tally["recent"] = {"samples": len(recent), "correct": int((recent["f0"] == recent["f1"]).sum())}
    state.tally["confusion"] = s.array("<u4", n * n).reshape(n, n).tolist()  # row: label; column: predicted
    _, _, _, _, alarms = s.get("QdddQ")  # of the drift detector
    state.tally["alarms"] = {"n": alarms, "recent": s.array("<u8", min(alarms, 16)).tolist()}
    state.looked = s.get("Q")  # step at which the next look at its health is due
    state.warnings = [s.get("QII") for _ in range(5)]  # since, share, class
    # The replay buffer: each class has `share` slots, the first of them used.
    state.n_input = state.shape["channels"] * state.shape["height"] * state.shape["width"]
    size = int(state.settings.get("rehearsal_buffer", 1000))
    share = min(size, size * (16 << 20) // 1000 // (state.n_input + 16) >> (n - 1).bit_length())
    used = [min(int(seen), share) for seen in s.array("<u8", n)]
    state.slots = [(c, slot) for c in range(n) for slot in range(used[c])]
    state.sum = s.array("<u8", 4)
    s.array("u1", len(state.slots))  # how uncertain the model was of each
    state.covered = data[:s.at]  # by the digest
    state.ids = s.array("<i8", len(state.slots)).tolist()
    need(s.at == len(data), "the state is longer than it says")
    return state


GOLDEN = np.uint64(0x9e3779b97f4a7c15)


def mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
    return x ^ x >> np.uint64(31)


def check_buffer(db: sqlite3.Connection, state: SimpleNamespace) -> None:
    """The sum of the fingerprints of the images that it remembers: all slots side by side."""
    pixels = np.zeros((len(state.ids), -(-state.n_input // 32) * 32), np.uint8)
    for i, number in enumerate(state.ids):
        image = db.execute("SELECT image FROM sample WHERE id = ?", (number,)).fetchone()
        need(image is not None and len(image[0]) == state.n_input, f"sample {number}, which the snapshot remembers, is missing")
        pixels[i, :state.n_input] = np.frombuffer(image[0], np.uint8)
    key = np.array([c << 32 | slot for c, slot in state.slots], np.uint64)
    h = mix(mix(key + GOLDEN)[:, None] + GOLDEN * np.arange(4, dtype=np.uint64))
    for words in pixels.view("<u8").reshape(len(pixels), pixels.shape[1] // 32, 4).transpose(1, 0, 2):
        h = ((h ^ words) << np.uint64(29) | (h ^ words) >> np.uint64(35)) * GOLDEN
    need((mix(h).sum(axis=0, dtype=np.uint64) == state.sum).all(), "the images that the snapshot remembers are others")


def read_snapshot(db: sqlite3.Connection) -> tuple[int, SimpleNamespace, dict[str, np.ndarray], str]:
    """The newest of the live lineage: its revision, state, tensors and digest."""
    row = db.execute("""SELECT s.id, s.revision, s.step, s.samples, s.correct, s.digest, s.state, s.chain = event.chain
                        FROM live_span JOIN event ON event.revision BETWEEN live_span.first AND live_span.last
                        JOIN snapshot AS s USING (revision) WHERE NOT s.gone ORDER BY s.revision DESC, s.id DESC LIMIT 1""").fetchone()
    need(row is not None, "there is no snapshot of the live lineage")
    number, revision, step, samples, correct, digest, data, chained = row
    need(chained, f"snapshot {number}: its chain is not that of the log")
    state = read_state(data)
    tensors = {name: np.frombuffer(values, "<f4").reshape(rows, columns) for name, rows, columns, values in db.execute(
        "SELECT name, rows, columns, data FROM tensor WHERE snapshot = ? ORDER BY name", (number,))}  # kernels, w01, w12
    need(hashlib.sha256(state.covered + b"".join(t.tobytes() for t in tensors.values())).digest() == digest and
         (step, samples, correct) == (state.step, state.tally["samples"], state.tally["correct"]),
         f"snapshot {number}: its digest does not match")
    check_buffer(db, state)
    return revision, state, tensors, digest.hex()


def read(path: str) -> dict:
    need(not os.path.exists(path + "-wal"), "there is a -wal beside it: a daemon has it open, or did not end well")
    db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)  # without immutable, a -shm would be left behind
    need(db.execute("PRAGMA application_id").fetchone()[0] == 0x636f6e76, "it is no file of convd")
    need(db.execute("PRAGMA user_version").fetchone()[0] == 1, "it is of another version")
    end = check_log(db)
    revision, state, tensors, digest = read_snapshot(db)
    told = {name: {"shape": t.shape, "sum": float(t.sum(dtype=np.float64)), "sha256": hashlib.sha256(t.tobytes()).hexdigest()}
            for name, t in tensors.items()}
    return {"revision": end.revision, "samples": end.samples, "chain": end.chain.hex(), "snapshot": revision, "digest": digest,
            "step": state.step, "refused": state.refused, "shape": state.shape, "settings": state.settings,
            "classes": state.classes, "tally": state.tally, "tensors": told}


if __name__ == "__main__":
    try:
        print(json.dumps(read(sys.argv[1])))
    except (Damaged, sqlite3.Error, struct.error, ValueError, OverflowError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
