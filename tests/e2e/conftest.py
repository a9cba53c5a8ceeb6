"""End-to-end tests: the built binary, over real HTTP, against what the documentation promises.

    /usr/bin/python3 -m pytest -q tests/e2e               build/convd
    CONVD=build/asan/convd ... -m pytest -q tests/e2e     sanitized: only tests marked `core`, unless -m says else

Every daemon listens on a free port of 127.0.0.1, writes to a temporary directory, and must end well (exit 0, no report
of a sanitizer) or the test that started it fails.
"""
from __future__ import annotations

import functools
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from .cluster import Cluster
from .daemon import CONVD, PLAIN, SANITIZED, Daemon, convd, words
from .pictures import EXAMPLES, read_idx
from .postgres import Postgres

DATABASES = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "core: the subset that sanitized builds run too")
    config.addinivalue_line("markers", "slow: takes seconds")


def pytest_report_header(config: pytest.Config) -> str:
    return f"convd: {CONVD}" + (" (sanitized: core tests only, unless -m says else)" if SANITIZED else "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not SANITIZED or config.getoption("-m"):
        return
    here = Path(__file__).parent
    left_out = [item for item in items if here in Path(item.fspath).parents and "core" not in item.keywords]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    assert CONVD.exists(), f"{CONVD} is not there: run make first"


class Digits:
    """The digits that come with the source: [n][28][28] of uint8, and their labels."""

    def __init__(self):
        self.train_files = EXAMPLES / "train-images.idx3-ubyte.gz", EXAMPLES / "train-labels.idx1-ubyte.gz"
        self.test_files = EXAMPLES / "test-images.idx3-ubyte.gz", EXAMPLES / "test-labels.idx1-ubyte.gz"
        self.images, self.labels = map(read_idx, self.train_files)
        self.test_images, self.test_labels = map(read_idx, self.test_files)

    def one(self, label: int, nth: int = 0) -> np.ndarray:
        """The nth test image of that digit."""
        return self.test_images[np.flatnonzero(self.test_labels == label)[nth]]


@pytest.fixture(scope="session")
def digits() -> Digits:
    return Digits()


@pytest.fixture(scope="session")
def seven(digits: Digits) -> np.ndarray:
    return digits.one(7)


@pytest.fixture(scope="session")
def trained_db(tmp_path_factory: pytest.TempPathFactory, digits: Digits) -> Path:
    """A model that has seen the examples once. Not to be written: copies() hands out copies."""
    path = tmp_path_factory.mktemp("trained") / "digits.db"
    convd("init", "--db", path, *words(PLAIN))
    convd("train", "--db", path, *digits.train_files, "--limit", "500" if SANITIZED else "1000000", "--quiet")
    return path


@pytest.fixture(scope="session")
def new_db(tmp_path_factory: pytest.TempPathFactory):
    """new_db(flags) - a model that `convd init` makes so. Not to be written: init() hands out copies."""
    @functools.cache
    def made(flags: tuple[str, ...]) -> Path:
        path = tmp_path_factory.mktemp("new") / "new.db"
        convd("init", "--db", path, *flags)
        return path
    return made


class Daemons:
    """Starts daemons and sees to it that each ends well."""

    def __init__(self, directory: Path, trained_db: Path, new_db):
        self.directory, self.trained_db, self.new_db = directory, trained_db, new_db
        self.all: list[Daemon] = []

    def copy(self, name: str = "digits.db") -> Path:
        """A trained model of one's own."""
        path = self.directory / name
        shutil.copyfile(self.trained_db, path)
        return path

    def init(self, *flags: str, name: str = "small.db") -> Path:
        """A new model, small and plain unless flags say else: 8 x 8 pixels, 3 kernels of 3 x 3, 12 hidden, classes a, b, c."""
        small = {"--width": "8", "--height": "8", "--kernels": "3", "--kernel-width": "3", "--kernel-height": "3",
                 "--hidden": "12", "--classes": "a,b,c"} | PLAIN
        small.update(zip(flags[::2], flags[1::2]))
        return Path(shutil.copy(self.new_db(tuple(words(small))), self.directory / name))

    def make(self, db: Path, *flags: str | Path, **kwargs) -> Daemon:
        """Not started yet."""
        self.all.append(Daemon(self.directory, db, *flags, **kwargs))
        return self.all[-1]

    def start(self, db: Path, *flags: str | Path, **kwargs) -> Daemon:
        return self.make(db, *flags, **kwargs).start()

    def close(self) -> None:
        try:
            for daemon in self.all:
                daemon.check()
                if daemon.process is not None:
                    daemon.stop()
                    daemon.check()
        finally:
            for daemon in self.all:
                if daemon.process is not None and daemon.process.poll() is None:
                    daemon.kill()


@pytest.fixture
def daemons(tmp_path: Path, trained_db: Path, new_db):
    """For tests that need more than one daemon, or one with flags."""
    made = Daemons(tmp_path, trained_db, new_db)
    yield made
    made.close()


@pytest.fixture
def daemon(daemons: Daemons) -> Daemon:
    """A daemon of the test's own, on a copy of the trained model."""
    return daemons.start(daemons.copy())


@pytest.fixture
def small(daemons: Daemons) -> Daemon:
    """A daemon of the test's own, on a small new model: 8 x 8 pixels, classes a, b, c."""
    return daemons.start(daemons.init())


@pytest.fixture(scope="module")
def shared_daemons(tmp_path_factory: pytest.TempPathFactory, trained_db: Path, new_db):
    made = Daemons(tmp_path_factory.mktemp("shared"), trained_db, new_db)
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_daemon(shared_daemons: Daemons) -> Daemon:
    return shared_daemons.start(shared_daemons.copy())


@pytest.fixture
def reader(module_daemon: Daemon) -> Daemon:
    """A daemon on the trained model that a whole module shares, for tests that may change nothing: that they did not is
    checked after each."""
    before = module_daemon.model()
    yield module_daemon
    module_daemon.check()
    assert module_daemon.model() == before, "this test changed the model that it shares with others"


@pytest.fixture
def noise() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture(scope="module")
def postgres():
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def cluster(daemons, postgres):
    """Of a database, or of a new model's: a log in PostgreSQL that nodes may share."""
    return lambda db=None: Cluster(daemons, postgres, f"log{next(DATABASES)}", db or daemons.init())
