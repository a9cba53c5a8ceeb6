"""How a node gets into PostgreSQL: by SCRAM, over TLS, with a password that no command line and no log has."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .cluster import Cluster, images, teach
from .daemon import convd, until
from .postgres import Postgres
from .tls import authority, issued

PASSWORD = "open:sesame"


class Guarded(Postgres):
    """It lets nobody in but by TLS and SCRAM; the test itself comes by a socket of its own folder."""

    def create(self, *flags: str) -> None:
        super().create(*flags)
        data = self.directory / "data"
        (data / "pg_hba.conf").write_text("local all convd trust\nhostssl all node 127.0.0.1/32 scram-sha-256\n")
        self.authority = authority(self.directory, "ca")
        self.certify("localhost")
        self.settings |= {"unix_socket_directories": str(self.directory), "ssl": "on", "password_encryption": "scram-sha-256"}

    def certify(self, host: str, by: tuple[Path, Path] | None = None) -> None:
        """A certificate for that name, from the next start on."""
        for path, name in zip(issued(self.directory, by or self.authority, host), ("server.crt", "server.key")):
            shutil.move(path, self.directory / "data" / name)
            if os.getuid() == 0:
                shutil.chown(self.directory / "data" / name, "nobody", "nogroup")

    def again(self) -> None:
        self.end()
        self.start()

    def url(self, name: str) -> str:
        return f"postgresql://convd@/{name}?host={self.directory}&port={self.port}"

    def from_afar(self, name: str, mode: str = "verify-full") -> str:
        return f"postgresql://node@localhost:{self.port}/{name}?sslmode={mode}"


@pytest.fixture
def guarded():
    server = Guarded()
    yield server
    server.close()


@pytest.fixture
def home(tmp_path, guarded):
    """Where libpq finds a node's password, and the authority that it believes."""
    (tmp_path / ".postgresql").mkdir()
    shutil.copy(guarded.authority[0], tmp_path / ".postgresql" / "root.crt")
    passwords = tmp_path / ".pgpass"
    passwords.write_text(f"localhost:{guarded.port}:*:node:{PASSWORD.replace(':', chr(92) + ':')}\n")
    passwords.chmod(0o600)
    return {"HOME": str(tmp_path)}


@pytest.fixture
def shared(daemons, guarded):
    """A log that the role node may append to: schema/postgres.sql has its rights."""
    c = Cluster(daemons, guarded, "guarded", daemons.init())
    schema = (Path(__file__).parents[2] / "schema" / "postgres.sql").read_text()
    rights = [line.removeprefix("--   ").replace("TO convd", "TO node") for line in schema.splitlines() if line.startswith("--   GRANT") and "TO convd" in line]
    guarded.sql(f"CREATE ROLE node LOGIN PASSWORD '{PASSWORD}'; " + " ".join(rights), "guarded")
    return c


def test_nodes_learn_over_tls_and_scram_also_after_the_connection_was_lost(shared, guarded, daemons, home, tmp_path):
    log = guarded.from_afar("guarded")
    a, b = (daemons.start(tmp_path / f"{name}.db", "--log", log, "--node", name, env=home) for name in "ab")
    shared.nodes += [a, b]
    teach(a, 1)
    shared.agree()
    assert guarded.sql("SELECT count(*) >= 2 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'node'",
                       "guarded") == "t"
    guarded.again()  # by now the sandbox is closed
    until(lambda: b.post("/train?label=a", images(3, 2).tobytes()).status == 200, "it trains again")
    shared.agree()
    a.send_json("POST", "/snapshots", {}).ok(201)
    for node in (a, b):
        assert PASSWORD not in node.stderr
        assert PASSWORD not in Path(f"/proc/{node.process.pid}/cmdline").read_text()
    convd("cluster", "join", "--db", tmp_path / "c.db", "--log", log, "--quiet", env=home)
    shared.verified(6)


def test_a_server_with_a_wrong_certificate_is_told_nothing(shared, guarded, daemons, home, tmp_path):
    log = guarded.from_afar("guarded")
    node = daemons.start(tmp_path / "a.db", "--log", log, "--node", "a", env=home)
    shared.nodes.append(node)
    teach(node, 1)
    head = guarded.sql("SELECT revision FROM convd.head", "guarded")
    for host, by in (("other.example", None), ("localhost", authority(guarded.directory, "stranger"))):
        guarded.certify(host, by)
        guarded.again()
        node.post("/train?label=a", images(3, 2).tobytes()).problem(503, "log-unreachable")
        until(lambda: "certificate" in node.get("/cluster").ok().get("error", ""), "it says why")
        late = convd("cluster", "join", "--db", tmp_path / "late.db", "--log", log, check=False, env=home)
        assert late.returncode != 0 and b"certificate" in late.stderr
        assert guarded.sql("SELECT revision FROM convd.head", "guarded") == head
        assert guarded.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'node'", "guarded") == "0"
    guarded.certify("localhost")
    guarded.again()
    until(lambda: node.post("/train?label=a", images(3, 2).tobytes()).status == 200, "it trains again")
    shared.verified(6)


def test_a_wrong_password_and_a_connection_without_tls_are_refused(shared, guarded, home, tmp_path):
    plain = convd("cluster", "join", "--db", tmp_path / "a.db", "--log", guarded.from_afar("guarded", "disable"), check=False, env=home)
    assert plain.returncode != 0 and b"no encryption" in plain.stderr
    (tmp_path / ".pgpass").write_text("*:*:*:*:other\n")
    wrong = convd("cluster", "join", "--db", tmp_path / "a.db", "--log", guarded.from_afar("guarded"), check=False, env=home)
    assert wrong.returncode != 0 and b"password authentication failed" in wrong.stderr and b"other" not in wrong.stderr
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("log", ["postgresql://node:sesame@localhost/guarded", "host=localhost password=sesame dbname=guarded"])
@pytest.mark.parametrize("verb", ["serve", "join", "init", "leave", "vacuum"])
def test_a_password_in_the_connection_string_is_refused_with_what_works_instead(daemons, verb, log):
    db = daemons.init()
    words = {"serve": ("serve", "--db", db, "--listen", "127.0.0.1:0"), "join": ("cluster", "join", "--db", str(db) + ".new"),
             "leave": ("cluster", "leave", "--db", db, "--node", "a")}.get(verb, ("cluster", verb, "--db", db))
    refused = convd(*words, "--log", log, check=False)
    assert refused.returncode == 2
    assert b"PGPASSFILE" in refused.stderr and b"~/.pgpass" in refused.stderr and b"sesame" not in refused.stderr + refused.stdout
