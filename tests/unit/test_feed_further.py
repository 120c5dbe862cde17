"""Which servers a proxy may follow beside its master: those of its Application's connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from csp.feed.above import AVOIDED_MS, FURTHER_MAX, Above
from csp.feed.phase import Phase
from csp.model.feed import request_words
from csp.model.keys import KEYS
from csp.model.types import CLASSES
from csp.process.connections import Listed, servers_above
from csp.process.context import Upstream
from csp.resp import Value, request
from csp.secure import Tls
from tests.unit.fake_reader import FakeReader
from tests.unit.feed_stage import FakeMaster, Stage

OWN = 110  # the proxy's Application
HOST = 7


def store(*connections: dict[str, Any]) -> FakeReader:
    """A configuration in which the proxy has these connections."""
    reader = FakeReader()
    reader.put("CfgHost", HOST, name="127.0.0.1")
    reader.put("CfgApplication", OWN, name="proxy1", appServerDBIDs=list(connections))
    reader.finds[KEYS["CfgApplication", "name"].key_id, b"proxy1"] = [OWN]
    return reader


def put_server(reader: FakeReader, dbid: int, port: int | str, **more: Any) -> None:
    ports = [{"id": "default", "port": str(port)}, *more.pop("ports", [])]
    stated = {"type": "configurationserver", "serverInfo": {"hostDBID": HOST}} | more
    reader.put("CfgApplication", dbid, name=f"server {dbid}", portInfos=ports, **stated)


def up(dbid: int, **more: Any) -> dict[str, Any]:
    return {"appServerDBID": dbid, **more}


def found(reader: FakeReader, *, secured: bool = False) -> list[tuple[int, str]]:
    own = reader.objects[CLASSES["CfgApplication"].id, OWN][1] | {"DBID": OWN}
    return [tuple(one) for one in servers_above(reader, own, secured=secured)]


def test_connections_to_servers_lead_on_in_their_order() -> None:
    reader = store(up(3), up(1), up(2), up(OWN), up(4), up(5), up(77))
    for dbid in (1, 2, 3):
        put_server(reader, dbid, 2000 + dbid)
    put_server(reader, 4, 2004, type="stat")
    put_server(reader, 5, 2005, state="disabled")
    assert found(reader) == [(3, "127.0.0.1:2003"), (1, "127.0.0.1:2001"), (2, "127.0.0.1:2002")]


def test_a_connection_may_name_the_port() -> None:
    other = {"id": "up", "port": "3001"}
    reader = store(up(1, id="up"), up(2, id="other"))
    put_server(reader, 1, 2001, ports=[other])
    put_server(reader, 2, 2002)
    assert found(reader) == [(1, "127.0.0.1:3001"), (2, "127.0.0.1:2002")]


def test_who_speaks_tls_is_led_to_ports_for_it() -> None:
    secured = {"id": "secured", "port": "3001", "transportParams": "tls=1"}
    reader = store(up(1), up(2))
    put_server(reader, 1, 2001, ports=[secured])
    put_server(reader, 2, 2002)
    assert found(reader, secured=True) == [(1, "127.0.0.1:3001")]


def test_without_host_or_port_nothing_is_known() -> None:
    reader = store(up(1), up(2))
    put_server(reader, 1, "")
    put_server(reader, 2, 2002, serverInfo={"hostDBID": 0})
    assert found(reader) == []


# ---- in which order they are tried


def above(*listed: Listed, folder: str = "") -> Above:
    return Above(
        Upstream("127.0.0.1", 2020, "default", "x", "", Tls(ca="a")), folder, lambda: listed
    )


def ways(found: Above, now_ms: int = 0) -> list[tuple[str, int]]:
    found.begin(now_ms)
    return [(str(one), one.rank) for one in found.take(now_ms) or ()]


def test_they_come_behind_the_master_and_its_backup() -> None:
    here = above(Listed(1, "127.0.0.1:2021"), Listed(2, "127.0.0.1:2022"))
    here.learn([b"backup", b"127.0.0.1:2030"])
    assert ways(here) == [
        *(("127.0.0.1:2020", 0), ("127.0.0.1:2030", 0)),
        *(("127.0.0.1:2021", 1), ("127.0.0.1:2022", 2)),
    ]
    assert all(one.tls for one in here.take(0) or ())


def test_the_one_that_the_command_line_leads_to_is_not_tried_by_another_way() -> None:
    """It may be reached by a balancer, by an address that others can't use, or by a tunnel."""
    here = above(Listed(1, "127.0.0.1:2021"), Listed(2, "127.0.0.1:2020"), Listed(3, "127.0.0.1:1"))
    here.learn([b"server_dbid", 1])
    assert ways(here) == [("127.0.0.1:2020", 0), ("127.0.0.1:1", 1)]


def test_who_has_refused_is_tried_last_for_a_while() -> None:
    here = above(Listed(1, "127.0.0.1:2021"), Listed(2, "127.0.0.1:2022"))
    here.avoid(1, 0)
    assert [rank for _, rank in ways(here)] == [0, 2, 1]
    assert [rank for _, rank in ways(here, AVOIDED_MS)] == [0, 1, 2]


def test_there_is_a_most_of_them() -> None:
    here = above(*(Listed(one, f"127.0.0.1:{3000 + one}") for one in range(1, 100)))
    assert len(ways(here)) == 1 + FURTHER_MAX


def test_what_can_t_be_looked_up_holds_nobody_up() -> None:
    here = above(Listed(1, "no.such.host.invalid:2021"), Listed(2, "127.0.0.1:2022"))
    assert [rank for _, rank in ways(here)] == [0, 2]


# ---- a proxy that loses its master


@pytest.fixture
def stage() -> Iterator[Stage]:
    playing = Stage()
    yield playing
    playing.close()


@pytest.fixture
def others(stage: Stage) -> Iterator[list[FakeMaster]]:
    made = [FakeMaster(stage.history) for _ in range(2)]
    yield made
    for one in made:
        one.close()


def begin(stage: Stage, others: list[FakeMaster]) -> None:
    """The proxy follows its master, and has connections to the others."""
    reader = store(up(1), up(2))
    for dbid, other in enumerate(others, 1):
        put_server(reader, dbid, other.port)
    stage.host.finder = reader
    stage.resume_from(stage.history, 10)
    stage.start()
    stage.play(lambda: stage.master.feeds(), "the feed is asked for")
    stage.master.greet(stage.master.feeds()[0], snapshot=False)
    stage.play(lambda: stage.origin.phase is Phase.FOLLOWING, "it follows")


def play(stage: Stage, others: list[FakeMaster], until: Callable[[], object], what: str) -> None:
    def reached() -> bool:
        for other in others:
            other.turn()
        stage.now_ms += 10
        return bool(until())

    stage.play(reached, what)


def test_who_loses_its_master_goes_on_at_the_next_without_a_load(
    stage: Stage, others: list[FakeMaster]
) -> None:
    begin(stage, others)
    stage.master.close()
    play(stage, others, others[0].feeds, "the next one is asked for the feed")
    others[0].greet(others[0].feeds()[0], snapshot=False)
    play(stage, others, lambda: stage.origin.phase is Phase.FOLLOWING, "it follows that one")
    assert not others[1].guests
    (register,) = (one for one in others[0].guests[0].commands if one[0] == b"CFG.REGISTER")
    assert register[-2:] == [b"MINREV", b"10"]  # one that is behind would take it back
    assert "begin" not in stage.host.calls


def test_one_that_refuses_is_passed_over(stage: Stage, others: list[FakeMaster]) -> None:
    begin(stage, others)
    others[0].register_reply = b"-STALE revision 10 is not here yet; at 9\r\n"
    stage.master.close()
    play(stage, others, others[1].feeds, "the one behind it is asked")
    expected: list[Value] = [b"CFG.FEED", *(str(one).encode() for one in request_words_of(stage))]
    assert others[1].feeds()[0].feed == expected


def request_words_of(stage: Stage) -> list[str | int]:
    return list(request_words(stage.origin._position()))


def test_a_server_that_follows_this_one_is_passed_over(
    stage: Stage, others: list[FakeMaster]
) -> None:
    begin(stage, others)
    stage.master.close()
    play(stage, others, others[0].feeds, "the next one is asked")
    others[0].greet(others[0].feeds()[0], snapshot=False)
    others[0].feeds()[0].socket.sendall(request("+chain", "x", stage.origin._own))
    play(stage, others, others[1].feeds, "it is a circle, and the one behind it is asked")
