"""Nodes on one log in PostgreSQL, as the tests of clusters start them: fixtures `postgres` and `cluster` of conftest.py."""
import sqlite3
from pathlib import Path

import numpy as np

from .daemon import Daemon, convd, until
from .postgres import Postgres


class Cluster:
    """A model whose log is shared, and its nodes."""

    def __init__(self, daemons, postgres: Postgres, name: str, db: Path):
        self.daemons, self.postgres, self.name = daemons, postgres, name
        self.log = postgres.database(name)
        self.first = db
        convd("cluster", "init", "--db", db, "--log", self.log, "--quiet")
        self.nodes: list[Daemon] = []

    def node(self, db: Path | None = None) -> Daemon:
        """One more: on that file, or one that joins."""
        letter = "abcdef"[len(self.nodes)]
        node = self.daemons.start(db or self.first.parent / f"{letter}.db", "--log", self.log, "--node", letter)
        self.nodes.append(node)
        return node

    def agree(self) -> dict:
        """All nodes have all of the log; what they say of the model."""
        head = int(self.postgres.sql("SELECT revision FROM convd.head", self.name))

        def all_of_it() -> bool:
            return all(node.model()["revision"] >= head for node in self.nodes)
        until(all_of_it, "all nodes are where the log is")
        models = [{k: node.model()[k] for k in ("revision", "step", "digest", "classes")} for node in self.nodes]
        assert all(model == models[0] for model in models), models
        return models[0]

    def verified(self, samples: int | None = None) -> None:
        """Each file is what was learned, bit for bit, and none differs from the others."""
        self.agree()
        logs = set()
        for node in self.nodes:
            node.stop()
            convd("verify", "--db", node.db, "--quiet")
            with sqlite3.connect(node.db) as db:
                ids = [row[0] for row in db.execute("SELECT id FROM sample ORDER BY id")]
                assert ids == list(range(1, len(ids) + 1))
                assert samples is None or len(ids) == samples
                logs.add(db.execute("SELECT revision, chain FROM event ORDER BY revision DESC LIMIT 1").fetchone())
        assert len(logs) == 1


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8), np.uint8)


def teach(node: Daemon, seed: int, n: int = 3, label: str = "a", **headers) -> dict:
    return node.post(f"/train?label={label}", images(n, seed).tobytes(), headers=headers).ok()
