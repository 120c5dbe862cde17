"""Who asks for a change, what that lets him do, and for whom a server may speak."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from csp.errors import CspError, NoAuth, NoPerm
from csp.model.principal import ITSELF, Principal, message_of, principal_of
from csp.model.requests import Command, parse_command
from csp.rules.authorize import authorize
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

AGENT = Principal(101, address="192.0.2.7:1", application="desktop", groups=(7, 8))
ADMINISTRATOR = Principal(100, is_administrator=True)
OTHERS_PASSWORD = [b"CFG.PASSWORD", b"102", b"0", b"argon2id", b"$h"]
OWN_PASSWORD = [b"CFG.PASSWORD", b"101", b"0", b"argon2id", b"$h"]
DELETE = [b"CFG.DELETE", b"CfgSkill", b"1"]
GRANT = [b"CFG.GRANT", b"CfgSkill:1", b"CfgPerson:101", b"R"]


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


@pytest.mark.parametrize(
    ("principal", "words", "refusal"),
    [
        (ITSELF, OTHERS_PASSWORD, None),
        (ADMINISTRATOR, OTHERS_PASSWORD, None),
        (ADMINISTRATOR, GRANT, None),
        (AGENT, DELETE, None),
        (AGENT, OWN_PASSWORD, None),
        (AGENT, OTHERS_PASSWORD, NoPerm),
        (AGENT, GRANT, NoPerm),
        (Principal(), DELETE, NoAuth),
        (Principal(application="desktop"), OWN_PASSWORD, NoAuth),
    ],
)
def test_who_may_what(
    principal: Principal, words: list[bytes], refusal: type[CspError] | None
) -> None:
    command: Command = parse_command(words)[0]
    if refusal is None:
        authorize(principal, command)
    else:
        with pytest.raises(refusal):
            authorize(principal, command)


def test_who_may_not_changes_nothing(stage: Stage) -> None:
    skill = {"tenantDBID": 1, "name": "english"}
    stage.asks = message_of(Principal(address="192.0.2.7:1"), is_server=False)
    assert stage.refused("CFG.CREATE", "CfgSkill", skill).startswith("NOAUTH nobody is signed in")
    stage.asks = message_of(Principal(101), is_server=False)
    foreign = ("CFG.PASSWORD", 100, 0, "argon2id", "$argon2id$x")
    assert stage.refused(*foreign).startswith("NOPERM only an administrator")
    line = stage.refused_exec(("CFG.CREATE", "CfgSkill", skill), foreign)
    assert line.startswith("EXECABORT NOPERM command 2: only an administrator")
