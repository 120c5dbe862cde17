"""csp.client restores its session by itself: token, MINREV, the backup's address, counted gaps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.client import Change, Client, Credentials, Gap, Session
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.server.feed_helpers import DESK, create_desk, create_skills, status, wait_level

NAMES = itertools.count()


class Estate:
    """A master, a proxy whose Application names the master's as its backup, and a link to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master = Master(folder)

    def __enter__(self) -> Estate:
        self.master.start()
        self.above = CuttingLink(self.master.port)
        self.proxy = Proxy(self.folder, self.above.port).start()
        self.link = CuttingLink(self.proxy.port)
        create_desk(self.master)
        with self.master.client() as client:
            own = client.execute_command("CFG.FIND", "CfgApplication", "name", "proxy1")
            host = {"name": "127.0.0.1", "type": "networkserver"}
            _, host_dbid = client.execute_command("CFG.CREATE", "CfgHost", json.dumps(host))
            listens = {"hostDBID": host_dbid, "port": str(self.master.port)}
            second = json.loads(own) | {"name": "second", "serverInfo": listens}
            kept = ("name", "appPrototypeDBID", "isServer", "tenantDBIDs", "serverInfo")
            needed = {"workDirectory": ".", "commandLine": "-"}
            backup = json.dumps({name: second[name] for name in kept} | needed)
            _, dbid = client.execute_command("CFG.CREATE", "CfgApplication", backup)
            delta = {"serverInfo.backupServerDBID": dbid, "redundancyType": "htwarmstanby"}
            self._change(client, json.loads(own)["DBID"], delta)
        wait_level(self.master, self.proxy)
        return self

    @staticmethod
    def _change(client: object, dbid: int, changed: dict[str, object]) -> None:
        delta = json.dumps({"changed": changed})
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, delta)  # type: ignore[attr-defined]

    def __exit__(self, *problem: object) -> None:
        self.link.close()
        self.proxy.__exit__(*problem)
        self.above.close()
        self.master.__exit__(*problem)

    def client(self, **options: object) -> Client:
        credentials = Credentials("default", PASSWORD)
        return Client(("127.0.0.1", self.link.port), credentials, **options)  # type: ignore[arg-type]

    def change(self) -> int:
        create_skills(self.master, [f"s{next(NAMES)}"])
        return int(status(self.master)["revision"])


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with Estate(tmp_path_factory.mktemp("session")) as estate:
        yield estate


def next_change(changes: object) -> int:
    event = changes.next(10)  # type: ignore[attr-defined]
    assert isinstance(event, Change), event
    return event.revision


def test_it_comes_back_by_token_and_misses_nothing(estate: Estate) -> None:
    with estate.client(application=DESK) as client, client.subscribe("cfg:CfgSkill") as changes:
        assert client.status()["role"]
        assert client.session.token.startswith("csp1.")
        assert (client.session.restored, client.session.rereads) == (1, 0), "the second connection"
        revision = estate.change()
        assert next_change(changes) == revision
        for _ in range(2):
            estate.link.cut()
            missed = [estate.change(), estate.change()]
            assert [next_change(changes) for _ in missed] == missed
        assert client.session.restored >= 3
        assert client.session.rereads == 0
        assert client.session.seen >= missed[-1]


def test_a_refused_token_means_the_password(estate: Estate) -> None:
    with estate.client(application=DESK) as client:
        client.status()
        good = client.session.token
        client.session.token = good[:-1] + ("A" if good[-1] != "A" else "B")
        client.close()
        client.status()
        assert client.session.token.startswith("csp1.")
        assert client.session.restored == 0


def test_a_server_that_is_behind_what_was_seen_is_not_used(estate: Estate) -> None:
    """Its first address is the proxy; the master, the proxy's backup, it learns by registering."""
    with estate.client(application=DESK) as client:
        assert client.count("CfgSkill") >= 0
        assert [str(one) for one in client._core.addresses] == [
            f"127.0.0.1:{estate.link.port}",
            f"127.0.0.1:{estate.master.port}",
        ]
        estate.above.refuses = True
        estate.above.cut()
        revision = estate.change()
        client.session.saw(revision)
        client.close()
        page = client.page("CfgSkill")
        assert page.revision >= revision
        assert client.address.port == estate.master.port
        estate.above.refuses = False
    wait_level(estate.master, estate.proxy)


def test_what_has_to_be_read_anew_is_told_and_counted(estate: Estate) -> None:
    with estate.client() as client, client.subscribe("cfg:CfgSkill") as changes:
        changes._watching._place.begin(1, "0" * 16)  # as if another history had been followed
        estate.link.cut()
        event = changes.next(10)
        assert isinstance(event, Gap)
        assert client.session.rereads == 1


def test_clients_of_one_user_may_share_a_session(estate: Estate) -> None:
    session = Session(DESK)
    with estate.client(session=session) as one, estate.client(session=session) as other:
        one.status()
        other.status()
        assert session.restored == 1
