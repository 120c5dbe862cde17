"""Deltas: each rule of the protocol, and that making and applying are each other's inverse."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.errors import BadValue, CspError, Immutable, Mandatory, NoRef, Unique
from csp.model.delta import PATHS, apply_delta, make_delta
from csp.model.objects import check_object
from csp.model.types import CLASSES
from tests.effort import examples
from tests.unit.model_strategies import objects

PERSON = CLASSES["CfgPerson"]
GROUP = CLASSES["CfgAgentGroup"]


def person(**more: Any) -> dict[str, Any]:
    stated = {
        "tenantDBID": 1,
        "employeeID": "7",
        "userName": "ann",
        "firstName": "Ann",
        "isAgent": True,
        "agentInfo": {
            "placeDBID": 101,
            "skillLevels": [{"skillDBID": 101, "level": 1}, {"skillDBID": 102, "level": 2}],
        },
        "userProperties": {"s": {"a": "1", "b": 2}, "t": {"c": "x"}},
        **more,
    }
    found = check_object(PERSON, stated).object
    return {"class": "CfgPerson", "DBID": 110, "revision": 5, **found}


def changed(delta: dict[str, Any], obj: dict[str, Any] | None = None) -> dict[str, Any]:
    before = obj or person()
    kept = copy.deepcopy(before)
    after = apply_delta(PERSON, before, delta).object
    assert before == kept, "the object that a delta is applied to stays as it is"
    return after


def refused(delta: Any, error: type[CspError], cls: str = "CfgPerson", **more: Any) -> str:
    with pytest.raises(error) as caught:
        apply_delta(CLASSES[cls], person(**more), delta)
    return caught.value.text


@pytest.mark.parametrize("name", list(CLASSES))
@examples(15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_delta_between_two_objects_leads_from_one_to_the_other(
    name: str, data: st.DataObject
) -> None:
    cls = CLASSES[name]
    old = check_object(cls, data.draw(objects(cls))).object
    new = check_object(cls, data.draw(objects(cls))).object
    old = {"class": name, "DBID": 101, "revision": 1, **old}
    new = {"class": name, "DBID": 101, "revision": 1, **new}
    for path, step in PATHS[name].items():
        top = path.partition(".")[0]
        if step.fixed and "." not in path:
            new = {k: v for k, v in new.items() if k != top}
            if top in old:
                new[top] = old[top]
        elif step.fixed and old.get(top) is not None and new.get(top) is not None:
            new[top][path.partition(".")[2]] = old[top][path.partition(".")[2]]
    if cls is PERSON:
        new.pop("agentInfo", None)
        if "agentInfo" in old:
            new["agentInfo"] = data.draw(st.just(old["agentInfo"]))
    for members in cls.fixed_while.values():
        old.pop(members, None)
    delta = make_delta(cls, old, new)
    assert apply_delta(cls, old, delta).object == new
    assert (delta == {}) == (old == new)


def test_a_path_reaches_into_a_part() -> None:
    assert changed({"changed": {"agentInfo.placeDBID": 7}})["agentInfo"]["placeDBID"] == 7


def test_a_part_is_merged_not_replaced() -> None:
    info = changed({"changed": {"agentInfo": {"siteDBID": 3}}})["agentInfo"]
    assert (info["placeDBID"], info["siteDBID"]) == (101, 3)


def test_zero_and_the_empty_string_are_values() -> None:
    after = changed({"changed": {"agentInfo.placeDBID": 0, "firstName": ""}})
    assert (after["agentInfo"]["placeDBID"], after["firstName"]) == (0, "")


def test_what_is_not_stated_stays() -> None:
    assert changed({}) == person()


def test_members_of_a_keyed_list_are_merged_by_key() -> None:
    delta = {"changed": {"agentInfo.skillLevels": [{"skillDBID": 102, "level": 9}]}}
    assert changed(delta)["agentInfo"]["skillLevels"] == [
        {"skillDBID": 101, "level": 1},
        {"skillDBID": 102, "level": 9},
    ]


def test_a_keyed_list_inside_a_changed_part_is_merged_too() -> None:
    delta = {"changed": {"agentInfo": {"skillLevels": [{"skillDBID": 101, "level": 8}]}}}
    assert changed(delta)["agentInfo"]["skillLevels"][0] == {"skillDBID": 101, "level": 8}


def test_members_are_added_whole_and_deleted_by_key() -> None:
    delta = {
        "added": {"agentInfo.skillLevels": [{"skillDBID": 103, "level": 3}]},
        "deleted": {"agentInfo.skillLevels": [101, {"skillDBID": 102}]},
    }
    assert changed(delta)["agentInfo"]["skillLevels"] == [{"skillDBID": 103, "level": 3}]


def test_adding_a_member_that_is_there_is_refused() -> None:
    delta = {"added": {"agentInfo.skillLevels": [{"skillDBID": 101, "level": 3}]}}
    assert "skillDBID 101" in refused(delta, Unique)


def test_adding_a_plain_value_that_is_there_is_no_change() -> None:
    before = person(assignedTenantDBIDs=[1, 2])
    after = changed({"added": {"assignedTenantDBIDs": [2, 3]}}, before)
    assert after["assignedTenantDBIDs"] == [1, 2, 3]


@pytest.mark.parametrize(
    "delta",
    [
        {"changed": {"agentInfo.skillLevels": [{"skillDBID": 199, "level": 3}]}},
        {"deleted": {"agentInfo.skillLevels": [199]}},
        {"deleted": {"assignedTenantDBIDs": [4]}},
        {"changed": {"assignedTenantDBIDs": [4]}},
        {"changed": {"nothing": 1}},
        {"changed": {"agentInfo.nothing": 1}},
        {"changed": {"firstName": 7}},
        {"added": {"firstName": ["x"]}},
        {"more": {}},
        {"changed": []},
        [],
        {"userProperties": {"deleted": {"nowhere": None}}},
        {"userProperties": {"deleted": {"s": ["z"]}}},
        {"userProperties": {"changed": {"nowhere": None}}},
        {"userProperties": {"added": {"s": {}}}},
        {"changed": {"userProperties": {"s": {}}}},
    ],
)
def test_what_is_absent_or_malformed_is_refused(delta: Any) -> None:
    assert refused(delta, BadValue)


def test_annex_keys_and_sections() -> None:
    delta = {
        "userProperties": {
            "changed": {"s": {"a": "9"}, "u": {"n": 1}, "empty": {}},
            "deleted": {"s": ["b"], "t": None},
        }
    }
    assert changed(delta)["userProperties"] == {"s": {"a": "9"}, "u": {"n": 1}, "empty": {}}


@pytest.mark.parametrize("nothing", [None, []])
def test_null_or_an_empty_list_deletes_a_section(nothing: Any) -> None:
    assert "s" not in changed({"userProperties": {"deleted": {"s": nothing}}})["userProperties"]
    assert "s" not in changed({"userProperties": {"changed": {"s": nothing}}})["userProperties"]


def test_an_annex_without_sections_is_absent() -> None:
    delta = {"userProperties": {"deleted": {"s": None, "t": []}}}
    assert "userProperties" not in changed(delta)


def test_a_groups_annex_is_reached_by_both_names() -> None:
    group = check_object(GROUP, {"groupInfo": {"tenantDBID": 1, "name": "g"}}).object
    for name in ("userProperties", "groupInfo.userProperties"):
        after = apply_delta(GROUP, group, {name: {"changed": {"s": {"k": "v"}}}}).object
        assert after["groupInfo"]["userProperties"] == {"s": {"k": "v"}}


@pytest.mark.parametrize(
    "path", ["tenantDBID", "isAgent", "DBID", "revision", "class", "agentInfo.nothing"]
)
def test_fixed_attributes_are_refused_unless_they_stay(path: str) -> None:
    now = person()
    if path in now:
        assert changed({"changed": {path: now[path]}}) == now
        other: Any = {"class": "CfgSkill", "isAgent": False}.get(path, 99)
        assert refused({"changed": {path: other}}, Immutable)
    else:
        assert refused({"changed": {path: 1}}, BadValue)


def test_a_group_keeps_its_name_while_it_has_members() -> None:
    stated = {"groupInfo": {"tenantDBID": 1, "name": "g"}, "agentDBIDs": [101]}
    group = check_object(GROUP, stated).object
    with pytest.raises(Immutable, match="agentDBIDs has members"):
        apply_delta(GROUP, group, {"changed": {"groupInfo.name": "h"}})
    emptied = apply_delta(GROUP, group, {"deleted": {"agentDBIDs": [101]}}).object
    renamed = apply_delta(GROUP, emptied, {"changed": {"groupInfo.name": "h"}}).object
    assert renamed["groupInfo"]["name"] == "h"


def test_null_takes_an_optional_attribute_away() -> None:
    assert "firstName" not in changed({"changed": {"firstName": None}})
    assert refused({"changed": {"userName": None}}, Mandatory)
    assert refused({"changed": {"userName": ""}}, Mandatory)
    assert refused({"changed": {"agentInfo": None}}, Mandatory)


def test_secrets_are_set_and_never_shown() -> None:
    applied = apply_delta(PERSON, person(), {"changed": {"password": "hunter2"}})
    assert applied.secrets == {"password": "hunter2"}
    assert "password" not in applied.object
    assert "hunter2" not in refused({"changed": {"password": ["hunter2"]}}, BadValue)


def test_references_may_name_commands_of_the_transaction() -> None:
    delta = {
        "changed": {"agentInfo.placeDBID": "@1"},
        "added": {"agentInfo.skillLevels": [{"skillDBID": "@2", "level": 1}]},
    }
    after = apply_delta(PERSON, person(), delta, created={1: 501, 2: 502}).object
    assert after["agentInfo"]["placeDBID"] == 501
    assert after["agentInfo"]["skillLevels"][-1]["skillDBID"] == 502
    with pytest.raises(NoRef):
        apply_delta(PERSON, person(), delta, created={1: 501})


def test_a_members_order_can_change() -> None:
    old, new = person(assignedTenantDBIDs=[1, 2, 3]), person(assignedTenantDBIDs=[3, 1, 2])
    assert apply_delta(PERSON, old, make_delta(PERSON, old, new)).object == new
