"""A master's connections to a real PostgreSQL by TLS: what libpq is told of it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.effort import parametrize_few
from tests.neighbours import secrets
from tests.neighbours.certificates import Authority
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.needs("postgres")
USER, SECRET = "csp", "the password of csp"
secrets.note(SECRET)
SKILL = json.dumps({"name": "French", "tenantDBID": 1})


@pytest.fixture(scope="module")
def postgres(authority: Authority) -> Iterator[Postgres]:
    server = Postgres()
    server.secure(authority.issue(), ca=authority.root)
    with server:
        server.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{SECRET}'")
        yield server


@pytest.fixture
def database(postgres: Postgres) -> str:
    name = postgres.new_database()
    postgres.execute(f"ALTER DATABASE {name} OWNER TO {USER}")
    return name


class Link:
    """How the master is told to connect, and who it is."""

    def __init__(self, postgres: Postgres, database: str, authority: Authority) -> None:
        own = authority.issue("the master")
        self.host = "127.0.0.1"
        self.port = postgres.port
        self.database = database
        self.words = {
            "sslmode": "verify-full",
            "sslrootcert": str(authority.root),
            "sslcert": str(own.certificate),
            "sslkey": str(own.key),
        }

    @property
    def url(self) -> str:
        words = "&".join(f"{name}={value}" for name, value in self.words.items() if value)
        return f"postgresql://{USER}@{self.host}:{self.port}/{self.database}?{words}"

    def master(self, folder: Path) -> Master:
        return Master(folder, url=self.url, environment={"PGPASSWORD": SECRET})


@pytest.fixture
def link(postgres: Postgres, database: str, authority: Authority) -> Link:
    return Link(postgres, database, authority)


def test_a_master_keeps_its_configuration_by_tls(
    tmp_path: Path, postgres: Postgres, link: Link
) -> None:
    with link.master(tmp_path) as master, master.client() as client:
        client.execute_command("CFG.CREATE", "CfgSkill", SKILL)
        rows = postgres.execute(
            "SELECT DISTINCT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a"
            f" USING (pid) WHERE a.usename = '{USER}' AND a.datname = '{link.database}'"
        )
        assert rows == [(True, "TLSv1.3")]


def test_a_database_by_tls_that_was_lost_is_found_again(
    tmp_path: Path, postgres: Postgres, link: Link
) -> None:
    with link.master(tmp_path) as master, master.client() as client:
        assert postgres.cut_off(link.database) > 0

        def written() -> bool:
            done = master.cli("create", "CfgSkill", SKILL, "--id", "again")
            return done.returncode == 0

        wait_until(written, 20, "a write is taken again")
        assert client.execute_command("CFG.COUNT", "CfgSkill") == 1


@parametrize_few("kind", ["other CA", "other name", "no certificate", "no TLS"], quick=1)
def test_what_is_not_trusted_is_refused_in_words_without_secrets(
    tmp_path: Path, authority: Authority, link: Link, kind: str
) -> None:
    if kind == "other CA":
        link.words["sslrootcert"] = str(Authority(tmp_path / "other").root)
        words = "certificate verify failed"
    elif kind == "other name":
        # The name that is asked for, not the address that is connected to.
        link.words["hostaddr"] = link.host
        link.host = "database.example"
        words = "does not match host name"
    elif kind == "no certificate":
        link.words |= {"sslcert": "", "sslkey": ""}
        words = "client certificate"
    else:
        link.words = {"sslmode": "disable"}
        words = "no pg_hba.conf entry"
    master = link.master(tmp_path).start(ready=False)
    assert master.process is not None
    assert master.process.wait(30) == 3
    text = master.log_text()
    assert words in text
    assert SECRET not in text
    assert "Traceback" not in text
    with master:
        pass


@pytest.mark.long
def test_a_database_that_comes_back_untrusted_is_not_taken_and_it_is_said_why(
    tmp_path: Path, authority: Authority
) -> None:
    """The server comes back with another authority's certificate, later with its own."""
    server = Postgres()
    server.secure(authority.issue(), ca=authority.root)
    with server:
        server.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{SECRET}'")
        name = server.new_database()
        server.execute(f"ALTER DATABASE {name} OWNER TO {USER}")
        link = Link(server, name, authority)
        with link.master(tmp_path) as master, master.client() as client:
            server.kill()
            server.secure(Authority(tmp_path / "other").issue(), ca=authority.root)
            server.start()
            words = "certificate verify failed"
            wait_until(lambda: words in master.log_text(), 20, "the reason is in the log")
            assert "database lost" in master.alarms()
            with pytest.raises(redis.ResponseError, match=f"not there: .*{words}") as refused:
                client.execute_command("CFG.CREATE", "CfgSkill", SKILL)
            assert SECRET not in str(refused.value) + str(master.alarms()) + master.log_text()
            assert client.execute_command("CFG.COUNT", "CfgTenant") == 1
            server.kill()
            server.secure(authority.issue(), ca=authority.root)
            server.start()
            wait_until(lambda: not master.alarms(), 20, "it is over")
