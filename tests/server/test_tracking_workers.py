"""CLIENT TRACKING on real servers: workers that die, connections that are killed, own writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw, command

CONNECTIONS = 16
SECONDS_MAX = 20.0


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("tracking"), workers=2) as master:
        yield master


@pytest.fixture(scope="module")
def dbid(master: Master) -> int:
    return created(master, "tracked")


def created(master: Master, name: str) -> int:
    with master.client() as client:
        text = json.dumps({"tenantDBID": 1, "name": name})
        made: int = client.execute_command("CFG.CREATE", "CfgSkill", text)[1]
    return made


class Conn:
    """One connection in RESP3, its worker and what it is told."""

    def __init__(self, master: Master) -> None:
        self.raw = Raw(master.port)
        self.raw.socket.settimeout(SECONDS_MAX)
        self.ask("HELLO", "3", "AUTH", "default", PASSWORD)
        self.id = self.ask("CLIENT", "ID")
        self.slot = self.id & 63

    def ask(self, *words: Any) -> Any:
        return self.raw.call(*words)

    def read(self) -> Any:
        return self.raw.read()


def on_both(master: Master) -> dict[int, list[Conn]]:
    """Connections by worker, some of each."""
    found: dict[int, list[Conn]] = {0: [], 1: []}
    while min(map(len, found.values())) < 2:
        one = Conn(master)
        found[one.slot].append(one)
        assert sum(map(len, found.values())) < CONNECTIONS
    return found


def kill_worker(master: Master, slot: int) -> None:
    child = master.child(f"worker {slot}")
    child.kill()
    wait_until(
        lambda: (now := master.children().get(f"worker {slot}")) and now.pid != child.pid,
        SECONDS_MAX,
        "another worker is there",
    )


@pytest.mark.parametrize("who", ["target", "reader"])
def test_a_worker_dies(master: Master, dbid: int, who: str) -> None:
    """The readers of a target hear that it is gone; the target of readers drops all."""
    conns = on_both(master)
    target, reader = conns[0][0], conns[1][0]
    assert reader.ask("CLIENT", "TRACKING", "ON", "REDIRECT", target.id) == "OK"
    assert reader.ask("GET", f"CfgSkill:{dbid}")
    if who == "target":
        kill_worker(master, 0)
        assert reader.read() == ["tracking-redir-broken", target.id]
    else:
        kill_worker(master, 1)
        assert target.read() == ["invalidate", None]


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("who", ["target", "reader"])
def test_a_connection_is_killed(master: Master, dbid: int, who: str, same: bool) -> None:
    conns = on_both(master)
    target, reader = conns[0][0], conns[0 if same else 1][1]
    assert reader.ask("CLIENT", "TRACKING", "ON", "REDIRECT", target.id) == "OK"
    assert reader.ask("GET", f"CfgSkill:{dbid}")
    with master.client() as admin:
        admin.client_kill_filter(_id=str(target.id if who == "target" else reader.id))
    if who == "target":
        assert reader.read() == ["tracking-redir-broken", target.id]
        with master.client() as admin:
            row = next(one for one in admin.client_list() if one["id"] == str(reader.id))
        assert (row["flags"], row["redir"]) == ("tR", str(target.id))
    else:
        assert target.read() == ["invalidate", None]


def test_no_such_target(master: Master) -> None:
    conns = on_both(master)
    gone = conns[0][0]
    gone.raw.close()
    with master.client() as admin:
        wait_until(
            lambda: all(one["id"] != str(gone.id) for one in admin.client_list()), 5, "it is gone"
        )
    for asks in (conns[0][1], conns[1][0]):
        refusal = asks.ask("CLIENT", "TRACKING", "ON", "REDIRECT", gone.id)
        assert refusal == "-ERR The client ID you want redirect to does not exist"


def test_own_writes_are_told_but_with_noloop(master: Master, dbid: int) -> None:
    """Whichever comes first, the change in the log or the reply to who made it."""
    key = f"CfgSkill:{dbid}"
    quiet, other = Conn(master), Conn(master)
    assert quiet.ask("CLIENT", "TRACKING", "ON", "NOLOOP") == "OK"
    assert other.ask("CLIENT", "TRACKING", "ON") == "OK"

    def delta(name: str) -> str:
        return json.dumps({"changed": {"name": name}})

    for turn in range(30):
        assert quiet.ask("GET", key)
        assert other.ask("GET", key)
        revision = quiet.ask("CFG.UPDATE", "CfgSkill", dbid, delta(f"quiet {turn}"))
        assert isinstance(revision, int)
        assert other.read() == ["invalidate", [key]]
        assert json.loads(quiet.ask("GET", key))["revision"] == revision
        # Its own writes together with another's, in one transaction and beside it.
        quiet.raw.send(
            command("MULTI")
            + command("CFG.UPDATE", "CfgSkill", dbid, delta(f"quiet {turn} again"))
            + command("GET", key)
            + command("EXEC")
        )
        assert [quiet.read() for _ in range(3)] == ["OK", "QUEUED", "QUEUED"]
        own, text = quiet.read()
        assert json.loads(text)["revision"] == own
        other.raw.send(command("CFG.UPDATE", "CfgSkill", dbid, delta(f"other {turn}")))
        assert quiet.read() == ["invalidate", [key]]
        assert isinstance(other.read(), int)
        assert quiet.ask("PING") == "PONG"


def test_reset_turns_it_off(master: Master, dbid: int) -> None:
    reader = Conn(master)
    assert reader.ask("CLIENT", "TRACKING", "ON") == "OK"
    assert reader.ask("GET", f"CfgSkill:{dbid}")
    assert reader.ask("RESET") == "RESET"
    assert reader.ask("AUTH", "default", PASSWORD) == "OK"
    assert reader.ask("CLIENT", "GETREDIR") == -1


def test_what_changes_while_an_exec_is_made_is_told_behind_its_reply(
    master: Master, dbid: int
) -> None:
    """It reads at one revision over many turns; the walk over the log is further on by then."""
    key = f"CfgSkill:{dbid}"
    reader, writer = Conn(master), Conn(master)
    assert reader.ask("CLIENT", "TRACKING", "ON") == "OK"
    overtaken = 0
    for turn in range(4):
        many = command("CFG.READ", "CfgSkill") * 1_000
        reader.raw.send(command("MULTI") + many + command("GET", key) + command("EXEC"))
        assert [reader.read() for _ in range(1_002)] == ["OK", *["QUEUED"] * 1_001]
        newest = 0
        for part in range(5):
            delta = json.dumps({"changed": {"name": f"turn {turn}, {part}"}})
            newest = writer.ask("CFG.UPDATE", "CfgSkill", dbid, delta)
        replies = reader.read()
        while isinstance(replies, list) and replies[:1] == ["invalidate"]:
            replies = reader.read()  # of what was read in the round before
        kept = json.loads(replies[-1])["revision"]
        reader.raw.send(command("EXISTS", "nothing"))
        told = []
        while (one := reader.read()) != 0:
            told.append(one)
        assert told == ([] if kept == newest else [["invalidate", [key]]])
        overtaken += kept != newest
        if kept == newest:
            assert reader.ask("CLIENT", "TRACKING", "OFF") == "OK"
            assert reader.ask("CLIENT", "TRACKING", "ON") == "OK"
    assert overtaken, "none of them took longer than a change"
