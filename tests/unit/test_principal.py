"""Who asks for a change, and for whom a server may speak."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from csp.errors import NoPerm
from csp.model.principal import Principal, message_of, principal_in, principal_of, words_of
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

AGENT = Principal(101, address="192.0.2.7:1", application="desktop")
ADMINISTRATOR = Principal(100)


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


def test_a_principal_survives_the_channel() -> None:
    assert principal_of(message_of(AGENT, is_server=False)) == AGENT
    assert principal_of(message_of(Principal(), is_server=False)) == Principal()
    assert AGENT.actor == {
        "account": "CfgPerson:101",
        "application": "desktop",
        "address": "192.0.2.7:1",
    }


def test_a_registered_server_writes_for_its_clients() -> None:
    asked = message_of(ADMINISTRATOR, is_server=True, behalf=AGENT)
    assert principal_of(asked) == AGENT, "with the client's rights, not with its own"


def test_nobody_else_writes_for_others() -> None:
    asked = message_of(ADMINISTRATOR, is_server=False, behalf=AGENT)
    with pytest.raises(NoPerm, match="only a registered server"):
        principal_of(asked)
    forged = orjson.dumps({"account": 101, "server": 1, "behalf": {"account": 100}})
    with pytest.raises(NoPerm):
        principal_of(forged)


def test_a_message_says_nothing_of_groups_or_rights() -> None:
    """An older server sends them, and a forged one would: the master has its own."""
    said = {"account": 101, "administrator": True, "groups": [1, 2], "application": "desktop"}
    assert principal_in(orjson.dumps(said)) == Principal(101, application="desktop")
    assert b"groups" not in words_of(message_of(AGENT, is_server=False))


def test_who_may_not_changes_nothing(stage: Stage) -> None:
    skill = {"tenantDBID": 1, "name": "english"}
    stage.asks = message_of(Principal(address="192.0.2.7:1"), is_server=False)
    assert stage.refused("CFG.CREATE", "CfgSkill", skill).startswith("NOAUTH nobody is signed in")
    stage.asks = message_of(Principal(101), is_server=False)
    assert stage.refused("CFG.CREATE", "CfgSkill", skill).startswith("NOAUTH the account")
