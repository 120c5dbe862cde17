"""Whole objects: each rule of shape, words, lengths and presence, at its limit and one beyond."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.errors import BadValue, CspError, Immutable, Mandatory, NoRef, TooBig
from csp.model.objects import check_object, complete, decode
from csp.model.types import CLASSES
from csp.model.values import MAX_OPTION_VALUE
from tests.effort import examples
from tests.unit.model_strategies import objects
from tests.unit.test_model_image import Objects

PERSON = {"tenantDBID": 1, "employeeID": "7", "userName": "ann"}
SKILL = {"tenantDBID": 1, "name": "French"}


def checked(name: str, stated: Any, **more: Any) -> dict[str, Any]:
    return check_object(CLASSES[name], stated, **more).object


def refused(name: str, stated: Any, error: type[CspError]) -> str:
    with pytest.raises(error) as caught:
        check_object(CLASSES[name], stated)
    return caught.value.text


@pytest.mark.parametrize("name", list(CLASSES))
@examples(12, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_canonical_object_stays_as_it_is(name: str, data: st.DataObject) -> None:
    once = checked(name, data.draw(objects(CLASSES[name])))
    assert checked(name, once) == once
    assert list(checked(name, once)) == list(once)


def test_attributes_come_in_table_order_with_defaults() -> None:
    found = checked("CfgPerson", {"userName": "ann", "employeeID": "7", "tenantDBID": 1})
    assert list(found) == ["class", "tenantDBID", "employeeID", "userName", "isAgent", "state"]
    assert (found["isAgent"], found["state"]) == (False, "enabled")


def test_what_is_empty_is_left_out() -> None:
    found = checked("CfgPerson", {**PERSON, "appRanks": [], "userProperties": {}, "phones": None})
    assert not {"appRanks", "userProperties", "phones"} & set(found)


def test_secrets_are_taken_apart() -> None:
    found = check_object(CLASSES["CfgPerson"], {**PERSON, "password": "hunter2"})
    assert found.secrets == {"password": "hunter2"}
    assert "hunter2" not in str(found.object)


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"employeeID": ""}, Mandatory, "CfgPerson.employeeID"),
        ({"tenantDBID": 0}, Mandatory, "CfgPerson.tenantDBID"),
        ({"isAgent": True}, Mandatory, "CfgPerson.agentInfo"),
        ({"agentInfo": {}}, BadValue, "CfgPerson.agentInfo"),
        ({"nothing": 1}, BadValue, "'nothing'"),
        ({"firstName": 1}, BadValue, "firstName: 1"),
        ({"firstName": "a\0b"}, BadValue, "NUL"),
        ({"firstName": "\ud800"}, BadValue, "UTF-8"),
        ({"firstName": "é" * 256}, TooBig, "256 characters"),
        ({"isAdmin": 1}, BadValue, "isAdmin"),
        ({"state": "gone"}, BadValue, "'gone'"),
        ({"tenantDBID": "1"}, BadValue, "'1'"),
        ({"tenantDBID": True}, BadValue, "true is not a DBID"),
        ({"tenantDBID": 2**31}, BadValue, "2147483648"),
        ({"tenantDBID": "@1"}, BadValue, "'@1'"),
        ({"passwordHashAlgorithm": 2**31}, BadValue, "32-bit"),
        ({"assignedTenantDBIDs": [4, 4]}, BadValue, "4 is there twice"),
        ({"assignedTenantDBIDs": [0]}, BadValue, "0"),
        ({"assignedTenantDBIDs": 4}, BadValue, "list"),
        ({"appRanks": [{"appRank": "user"}]}, Mandatory, "appRanks.appType"),
        ({"appRanks": [{"appType": "sce"}, {"appType": "sce"}]}, BadValue, "twice"),
        ({"appRanks": [7]}, BadValue, "appRanks"),
        ({"class": "CfgSkill"}, BadValue, "CfgSkill"),
        ({"userProperties": {"s": 1}}, BadValue, "userProperties.s"),
        ({"userProperties": {"s": {"k": 1.5}}}, BadValue, "userProperties.s.k"),
        ({"userProperties": {"s": {"k": True}}}, BadValue, "userProperties.s.k"),
        ({"userProperties": {"s": {"k": {"base64": "?"}}}}, BadValue, "base64"),
        ({"userProperties": {"s": {"k" * 256: 1}}}, TooBig, "256"),
        ({"userProperties": {"s" * 256: {}}}, TooBig, "256"),
    ],
)
def test_an_error_names_attribute_and_value(
    more: dict[str, Any], error: type[CspError], says: str
) -> None:
    assert says in refused("CfgPerson", {**PERSON, **more}, error)


def test_limits_are_taken_exactly() -> None:
    assert checked("CfgPerson", {**PERSON, "firstName": "é" * 255})
    fits = {"s": {"k" * 255: "x" * MAX_OPTION_VALUE}}
    assert checked("CfgPerson", {**PERSON, "userProperties": fits})
    beyond = {"s": {"k": "é" * (MAX_OPTION_VALUE // 2) + "x"}}
    assert "65537 bytes" in refused("CfgPerson", {**PERSON, "userProperties": beyond}, TooBig)
    binary = base64.b64encode(bytes((16 << 20) + 1)).decode()
    stated = {**PERSON, "userProperties": {"s": {"k": {"base64": binary}}}}
    assert "16777217 bytes" in refused("CfgPerson", stated, TooBig)


def test_strings_are_kept_as_sent() -> None:
    for text in ("", " ", "Å", "A\u030a", "עברית", "🛰", "a\nb"):
        assert checked("CfgPerson", {**PERSON, "firstName": text})["firstName"] == text


def test_published_numbers_become_words() -> None:
    dn = {"switchDBID": 101, "type": 1, "number": "1", "state": 2}
    assert checked("CfgDN", dn)["type"] == "extension"
    assert checked("CfgDN", dn)["state"] == "disabled"


def test_an_unknown_word_of_an_open_list_is_kept_with_one_warning() -> None:
    warnings: list[str] = []
    found = checked("CfgPhysicalSwitch", {"name": "s", "type": "novelswitch"}, warnings=warnings)
    assert found["type"] == "novelswitch"
    assert len(warnings) == 1
    assert "'novelswitch'" in warnings[0]
    with pytest.raises(BadValue):
        checked("CfgPhysicalSwitch", {"name": "s", "type": "novelswitch"}, strict=True)


def test_references_may_name_commands_of_the_transaction() -> None:
    assert checked("CfgSkill", {**SKILL, "tenantDBID": "@2"}, created={2: 501})["tenantDBID"] == 501
    with pytest.raises(NoRef, match="@3"):
        checked("CfgSkill", {**SKILL, "tenantDBID": "@3"}, created={2: 501})


def test_a_groups_part_gets_its_defaults_and_its_rules() -> None:
    found = checked("CfgAgentGroup", {"groupInfo": {"name": "g", "tenantDBID": 1}})
    assert found["groupInfo"] == {"tenantDBID": 1, "name": "g", "state": "enabled"}
    assert "groupInfo.name" in refused("CfgAgentGroup", {"groupInfo": {"tenantDBID": 1}}, Mandatory)
    assert "groupInfo" in refused("CfgAgentGroup", {}, Mandatory)


def test_a_stated_value_must_be_what_it_follows() -> None:
    look = Objects(("CfgSwitch", 5, {"tenantDBID": 12}))
    stated = checked("CfgDN", {"switchDBID": 5, "type": 1, "number": "1", "tenantDBID": 13})
    with pytest.raises(Immutable, match=r"CfgDN\.tenantDBID follows switchDBID"):
        complete(CLASSES["CfgDN"], stated, look)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b'{"a":\xff}', b'{"a":1}x'])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(BadValue):
        decode(text)
