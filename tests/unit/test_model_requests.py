"""Keys as people write them, and write requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.errors import BadClass, BadKey, BadValue, CspError, TooBig, from_line
from csp.model.requests import (
    Create,
    Delete,
    Grant,
    Update,
    check_write_id,
    parse_command,
    parse_request,
)
from csp.model.rights import SYSTEM, grant_of
from csp.model.symbolic import parse_key, parse_symbolic
from csp.model.types import CLASSES


def test_keys_with_a_dbid() -> None:
    assert parse_key("CfgPerson:00101") == (CLASSES["CfgPerson"], 101)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("CfgPerson", BadKey),
        ("CfgPerson:", BadKey),
        ("CfgPerson:0", BadKey),
        ("CfgPerson:-1", BadKey),
        ("CfgPerson:1x", BadKey),
        ("CfgPerson:2147483648", BadKey),
        ("CfgPerson:" + "9" * 400, BadKey),
        ("cfgperson:1", BadClass),
        ("CfgNothing:1", BadClass),
        ("CfgPerson/user_name", BadKey),
        ("CfgPerson/nothing=1", BadValue),
        ("CfgNothing/name=1", BadClass),
    ],
)
def test_malformed_keys_are_refused(text: str, error: type[CspError]) -> None:
    with pytest.raises(error):
        parse_symbolic(text)


def test_symbolic_keys() -> None:
    found = parse_symbolic("CfgDN/dn_number=1,switch_dbid=101")
    assert (found.cls.name, found.dbid) == ("CfgDN", 0)
    assert found.filters == (("dn_number", "1"), ("switch_dbid", "101"))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_a_symbolic_key_holds_any_text(values: list[str]) -> None:
    filters = tuple(zip(("user_name", "employee_id", "state"), values, strict=False))
    escaped = (value.replace("\\", "\\\\").replace(",", "\\,") for value in values)
    fields = ",".join(f"{key}={value}" for (key, _), value in zip(filters, escaped, strict=True))
    assert parse_symbolic(f"CfgPerson/{fields}") == (CLASSES["CfgPerson"], 0, filters)


def test_write_commands() -> None:
    skill = CLASSES["CfgSkill"]
    create = [b"cfg.create", b"CfgSkill", b'{"name":"x"}', b"id", b"w-1"]
    assert parse_command(create) == (Create(skill, {"name": "x"}), "w-1")
    update = [b"CFG.UPDATE", b"CfgSkill", b"101", b"{}", b"IF", b"7", b"ID", b"w-2"]
    assert parse_command(update) == (Update(skill, 101, {}, 7), "w-2")
    assert parse_command([b"CFG.DELETE", b"CfgSkill", b"@2"]) == (Delete(skill, 0, None, 2), "")
    grant = [b"CFG.GRANT", b"CfgSkill:101", b"CfgPerson:100", b"R,X,propagate"]
    account = (CLASSES["CfgPerson"].id, 100)
    given = grant_of("R,X,propagate")
    assert parse_command(grant) == (Grant(skill, 101, account, given), "")
    replace = [*grant, b"replace", b"ID", b"w-3"]
    assert parse_command(replace) == (Grant(skill, 101, account, given, replace=True), "w-3")
    system = [b"CFG.REVOKE", b"CfgSkill:@2", b"SYSTEM", b"ID", b"w-4"]
    assert parse_command(system) == (Grant(skill, 0, SYSTEM, command=2), "w-4")
    forward = [b"CFG.REVOKE", b"CfgSkill:101", b"CfgPerson:@3"]
    assert parse_command(forward) == (Grant(skill, 101, (3, 0), account_command=3), "")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([b"CFG.CREATE", b"CfgSkill"], CspError),
        ([b"CFG.CREATE", b"CfgSkil", b"{}"], BadClass),
        ([b"CFG.CREATE", b"CfgSkill", b"{"], BadValue),
        ([b"CFG.CREATE", b"CfgSkill", b"{}", b"IF", b"1"], BadValue),
        ([b"CFG.CREATE", b"CfgSkill", b"{}", b"ID"], BadValue),
        ([b"CFG.CREATE", b"CfgSkill", b"{}", b"ID", b"x" * 37], TooBig),
        ([b"CFG.UPDATE", b"CfgSkill", b"x", b"{}"], BadKey),
        ([b"CFG.UPDATE", b"CfgSkill", b"1", b"{}", b"IF", b"x"], BadValue),
        ([b"CFG.GRANT", b"CfgSkill:1", b"CfgPerson:1", b"Q"], BadValue),
        ([b"GET", b"CfgSkill:1"], BadKey),
        ([b"CFG.DELETE", b"\xff", b"1"], BadValue),
    ],
)
def test_malformed_writes_are_refused(args: list[bytes], error: type[CspError]) -> None:
    with pytest.raises(error):
        parse_command(args)


def test_a_transaction_names_the_command_that_is_wrong() -> None:
    commands = [[b"CFG.DELETE", b"CfgSkill", b"1"], [b"CFG.DELETE", b"CfgNo", b"1"]]
    with pytest.raises(BadClass, match="there is no class") as caught:
        parse_request(1, b"{}", b"", b"exec", commands)
    assert caught.value.line.startswith("BADCLASS command 2: ")
    request = parse_request(1, b'{"account":100}', b"w", b"exec", commands[:1])
    assert (request.write_id, request.principal.account) == ("w", "CfgPerson:100")


def test_an_error_survives_the_wire() -> None:
    error = from_line(BadValue("no\r\nsuch thing").line)
    assert isinstance(error, BadValue)
    assert error.line == "BADVALUE no  such thing"
    assert from_line("WHAT is this").line == "ERR WHAT is this"


def test_a_write_id_with_a_nul_is_refused_in_words() -> None:
    with pytest.raises(BadValue, match="ID: holds a NUL"):
        check_write_id(b"a\0b")
