"""Writes of one connection, sent without waiting: done together, answered in order."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from csp.resp import Decoder, request
from tests.neighbours.server import PASSWORD, Master

SKILLS = 40
REPLY_SECONDS_MAX = 20


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("pipelines"), workers=2) as server:
        yield server


@pytest.fixture
def conversation(master: Master) -> Iterator[Conversation]:
    with Conversation(master) as found:
        assert found.say(("AUTH", "default", PASSWORD)) == ["OK"]
        yield found


class Conversation:
    """One connection on which everything is said at once."""

    def __init__(self, master: Master) -> None:
        self._socket = socket.create_connection(("127.0.0.1", master.port), REPLY_SECONDS_MAX)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, *commands: tuple[str | int, ...]) -> list[Any]:
        """What the commands are answered, errors as they are."""
        self._socket.sendall(b"".join(request(*words) for words in commands))
        decoder = Decoder()
        found: list[Any] = []
        while len(found) < len(commands):
            decoder.feed(self._socket.recv(1 << 16))
            found += list(decoder)
        return found


def create(name: str) -> tuple[str, ...]:
    return "CFG.CREATE", "CfgSkill", f'{{"tenantDBID":1,"name":"{name}"}}'


def test_writes_in_a_row_are_answered_in_order(conversation: Conversation) -> None:
    made = conversation.say(*(create(f"row {number}") for number in range(SKILLS)))
    revisions = [pair[0] for pair in made]
    dbids = [pair[1] for pair in made]
    assert revisions == list(range(revisions[0], revisions[0] + SKILLS))
    assert dbids == list(range(dbids[0], dbids[0] + SKILLS))


def test_a_read_between_writes_sees_those_before_and_none_behind(
    conversation: Conversation,
) -> None:
    ((_, dbid),) = conversation.say(create("between"))
    renamed = [
        ("CFG.UPDATE", "CfgSkill", dbid, f'{{"changed":{{"name":"between {number}"}}}}')
        for number in range(6)
    ]
    key = f"CfgSkill:{dbid}"
    said = conversation.say(*renamed[:3], ("GET", key), *renamed[3:], ("GET", key), ("PING",))
    assert b'"name":"between 2"' in said[3]
    assert b'"name":"between 5"' in said[7]
    revisions = said[:3] + said[4:7]
    assert revisions == sorted(revisions)
    assert said[8] == "PONG"


def test_what_is_refused_in_a_row_is_told_in_its_place(conversation: Conversation) -> None:
    said = conversation.say(
        create("refused"), create("refused"), ("CFG.UPDATE", "CfgNothing", 1, "{}"),
        ("CFG.DELETE", "CfgSkill", 99_999), ("CFG.DELETE", "CfgSkill"), create("taken on"),
        ("MULTI",), create("in multi"), ("EXEC",), create("in multi"), ("NOTHING",),
    )  # fmt: skip
    words = [str(one).split()[0] for one in said]
    assert isinstance(said[0], list)
    assert words[1:5] == ["UNIQUE", "BADCLASS", "BADKEY", "ERR"]
    assert isinstance(said[5], list)
    assert said[6:8] == ["OK", "QUEUED"]
    assert isinstance(said[8], list)
    assert words[9:] == ["UNIQUE", "ERR"]


def test_a_row_before_sign_in_is_refused_one_by_one(master: Master) -> None:
    with Conversation(master) as unsigned:
        said = unsigned.say(
            create("no"), create("no"), ("AUTH", "default", PASSWORD), create("yes")
        )
        assert [str(one).split()[0] for one in said[:3]] == ["NOAUTH", "NOAUTH", "OK"]
        assert isinstance(said[3], list)
