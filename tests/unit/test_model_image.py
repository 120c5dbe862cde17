"""Record images and events: round trips, index keys of every kind, tenants, secrets."""

from __future__ import annotations

import struct
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.errors import TooBig
from csp.model.accounts import build_account_image
from csp.model.entry import Change, build_entry, event_json, parse_entry
from csp.model.extract import Nothing
from csp.model.image import (
    Key,
    build_image,
    check_crc,
    json_of,
    parse_header,
    parse_image,
    parse_keys,
    split_images,
    tenant_of,
)
from csp.model.keys import BY_ID, KEYS, SHOWN
from csp.model.objects import brief, check_object, complete, encode
from csp.model.places import tenants_of
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from tests.effort import examples
from tests.unit.model_strategies import objects


class Objects:
    """A lookup in a dict."""

    def __init__(self, *found: tuple[str, int, dict[str, Any]]) -> None:
        self.found = {(name, dbid): {"DBID": dbid, **obj} for name, dbid, obj in found}

    def get(self, class_name: str, dbid: int) -> dict[str, Any] | None:
        return self.found.get((class_name, dbid))


def keys_of(name: str, obj: dict[str, Any], look: Any = None) -> list[Key]:
    stated = {"DBID": 101, "revision": 1, **obj}
    return parse_keys(build_image(CLASSES[name], stated, 2, look or Nothing()))


def under(keys: list[Key], name: str) -> list[Key]:
    """The keys of one filter key, `Class.name`."""
    class_name, _, key = name.partition(".")
    return [one for one in keys if one.key_id == KEYS[class_name, key].key_id]


def dbids(keys: list[Key]) -> list[int]:
    return [struct.unpack("<I", key.value)[0] for key in keys]


@pytest.mark.parametrize("name", list(CLASSES))
@examples(12, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_image_gives_its_object_back(name: str, data: st.DataObject) -> None:
    cls = CLASSES[name]
    obj = {"DBID": 101, **check_object(cls, data.draw(objects(cls))).object}
    image = build_image(cls, obj, 48, Nothing())
    check_crc(image)
    header, found = parse_image(image)
    assert found == {**obj, "revision": 48}
    assert found is not None
    assert list(found)[:3] == ["class", "DBID", "revision"]
    assert header.size == len(image)
    keys = parse_keys(image)
    assert [(one.key_id, one.value) for one in keys] == sorted(
        {(one.key_id, one.value) for one in keys}
    )
    assert json_of(image) == encode(cls, found)
    assert {BY_ID[one.key_id].kind for one in keys} <= {"name", "list"}


def test_a_flipped_byte_is_found() -> None:
    image = bytearray(build_image(CLASSES["CfgSkill"], {"DBID": 1, "name": "x"}, 1, Nothing()))
    image[70] ^= 1
    with pytest.raises(ValueError, match="DBID 1: checksum"):
        check_crc(bytes(image))


def test_concatenated_images_come_apart() -> None:
    one = build_image(CLASSES["CfgSkill"], {"DBID": 1, "name": "x"}, 1, Nothing())
    two = build_image(CLASSES["CfgPlace"], {"DBID": 2, "name": "y"}, 1, Nothing())
    assert split_images(one + two) == [one, two]


def test_an_object_beyond_the_limit_is_refused() -> None:
    sections = {"s": {"k": {"base64": "A" * (17 << 20)}}}
    with pytest.raises(TooBig, match="CfgSkill:1 "):
        build_image(CLASSES["CfgSkill"], {"DBID": 1, "userProperties": sections}, 1, Nothing())


def test_a_persons_keys() -> None:
    info = {
        "placeDBID": 9,
        "skillLevels": [{"skillDBID": 6}, {"skillDBID": 5}],
        "agentLogins": [{"agentLoginDBID": 31}, {"agentLoginDBID": 32}],
    }
    look = Objects(
        ("CfgAgentLogin", 31, {"switchDBID": 77}), ("CfgAgentLogin", 32, {"switchDBID": 77})
    )
    keys = keys_of("CfgPerson", {"userName": "añn", "isAgent": True, "agentInfo": info}, look)
    assert under(keys, "CfgPerson.user_name")[0].value == "añn".encode()
    assert under(keys, "CfgPerson.is_agent")[0].value == b"true"
    assert dbids(under(keys, "CfgPerson.skill_dbid")) == [5, 6]
    assert dbids(under(keys, "CfgPerson.login_dbid")) == [31, 32]
    assert dbids(under(keys, "CfgPerson.switch_dbid")) == [77]
    assert not under(keys, "CfgPerson.no_login_dbid")
    assert not under(keys, "CfgPerson.no_place_dbid")
    assert under(keys, "CfgPlace.person_dbid")[0] == Key(
        KEYS["CfgPlace", "person_dbid"].key_id, struct.pack("<I", 101), (9,)
    )


def test_keys_for_what_is_not_there() -> None:
    keys = keys_of("CfgPerson", {"isAgent": False})
    assert under(keys, "CfgPerson.no_login_dbid")[0].value == b""
    assert under(keys, "CfgPerson.no_place_dbid")[0].value == b""
    assert under(keys, "CfgPerson.is_agent")[0].value == b"false"
    assert not under(keys, "CfgPlace.person_dbid")
    keys = keys_of("CfgPerson", {"agentInfo": {"placeDBID": 0}})
    assert under(keys, "CfgPerson.no_place_dbid")


def test_a_group_contributes_its_members() -> None:
    keys = keys_of("CfgAgentGroup", {"groupInfo": {"name": "g"}, "agentDBIDs": [9, 7, 8]})
    (one,) = under(keys, "CfgPerson.group_dbid")
    assert (one.value, one.members) == (struct.pack("<I", 101), (7, 8, 9))
    assert dbids(under(keys, "CfgAgentGroup.person_dbid")) == [7, 8, 9]


def test_a_pair_is_the_dbid_then_the_type() -> None:
    keys = keys_of("CfgFolder", {"ownerID": {"type": "switch", "DBID": 5}, "folderDBID": 0})
    assert under(keys, "CfgFolder.owner_dbid")[0].value == struct.pack("<II", 5, 1)
    assert under(keys, "CfgFolder.default_folder")[0].value == b"true"


def test_only_persons_count_among_a_groups_members() -> None:
    members = [{"type": "person", "DBID": 4}, {"type": "accessgroup", "DBID": 5}]
    keys = keys_of("CfgAccessGroup", {"groupInfo": {"name": "g"}, "memberIDs": members})
    assert dbids(under(keys, "CfgAccessGroup.person_dbid")) == [4]


def test_nested_groups_and_a_groups_type_have_keys_that_no_client_may_ask_by() -> None:
    members = [{"type": "person", "DBID": 4}, {"type": "accessgroup", "DBID": 5}]
    group = {"groupInfo": {"name": "g"}, "memberIDs": members, "type": "everyonegroup"}
    keys = keys_of("CfgAccessGroup", group)
    assert dbids(under(keys, "CfgAccessGroup.group_dbid")) == [5]
    assert under(keys, "CfgAccessGroup.type")[0].value == b"everyonegroup"
    assert not {("CfgAccessGroup", "group_dbid"), ("CfgAccessGroup", "type")} & set(SHOWN)


def test_an_applications_ports_and_connections() -> None:
    stated = {
        "serverInfo": {"hostDBID": 3, "backupServerDBID": 8},
        "portInfos": [{"id": "default", "port": "2020"}, {"id": "ha", "port": "2021"}],
        "appServerDBIDs": [{"appServerDBID": 99}],
    }
    keys = keys_of("CfgApplication", stated)
    assert [one.value for one in under(keys, "CfgApplication.port")] == [b"2020", b"2021"]
    same = [one.value for one in under(keys, "CfgApplication.same_host_and_port")]
    assert same == [b"3:2020", b"3:2021"]
    assert dbids(under(keys, "CfgApplication.server_dbid")) == [99]
    assert under(keys, "CfgApplication.primary_server_dbid")[0].members == (8,)


def test_tenants() -> None:
    look = Objects(
        ("CfgSwitch", 5, {"tenantDBID": 12}),
        ("CfgFolder", 6, {"ownerID": {"type": "switch", "DBID": 5}}),
    )
    folder, tenant = CLASSES["CfgFolder"], CLASSES["CfgTenant"]
    application, host = CLASSES["CfgApplication"], CLASSES["CfgHost"]
    assert tenant_of(folder, {"ownerID": {"type": "tenant", "DBID": 7}}, look) == 7
    assert tenant_of(folder, {"ownerID": {"type": "switch", "DBID": 5}}, look) == 12
    assert tenant_of(folder, {"ownerID": {"type": "folder", "DBID": 6}}, look) == 12
    assert tenant_of(tenant, {"DBID": 9}, look) == 9
    assert tenant_of(host, {"DBID": 9}, look) == 1
    assert tenants_of(application, {"DBID": 9, "tenantDBIDs": [4, 5]}, look) == {1, 4, 5}


def test_what_comes_from_other_objects_is_filled_in() -> None:
    look = Objects(
        ("CfgSwitch", 5, {"tenantDBID": 12}),
        ("CfgAppPrototype", 99, {"type": "configurationserver", "version": "1.0"}),
    )
    dn = complete(CLASSES["CfgDN"], {"switchDBID": 5, "type": "extension", "number": "1"}, look)
    assert list(dn) == ["switchDBID", "tenantDBID", "type", "number"]
    assert dn["tenantDBID"] == 12
    app = complete(CLASSES["CfgApplication"], {"appPrototypeDBID": 99, "version": "2"}, look)
    assert (app["type"], app["version"]) == ("configurationserver", "2")


def test_the_brief_form() -> None:
    stated = {"DBID": 1, "revision": 5, "folderDBID": 3, "agentDBIDs": [1]}
    group = {**stated, "groupInfo": {"tenantDBID": 4, "name": "g", "state": "enabled"}}
    assert orjson.loads(brief(CLASSES["CfgAgentGroup"], group)) == {
        "class": "CfgAgentGroup",
        "DBID": 1,
        "revision": 5,
        "state": "enabled",
        "tenantDBID": 4,
        "name": "g",
        "folderDBID": 3,
    }


def test_account_images_hold_what_the_servers_need() -> None:
    account = {"user": "ann", "algorithm": "argon2id", "hash": "…"}
    header, found = parse_image(build_account_image(101, account, 48))
    assert (header.class_id, header.dbid, header.revision) == (ACCOUNT_CLASS_ID, 101, 48)
    assert found == {**account, "dbid": 101, "revision": 48}
    assert (parse_header(build_account_image(1, account, 1)).keys_size) == 0


def event(change: Change, revision: int = 48) -> dict[str, Any]:
    image = b""
    if change.after is not None:
        image = build_image(change.cls, change.after, revision, Nothing())
    entry = build_entry(revision, 0, 1000, {"account": "CfgPerson:100"}, [change], [image])
    return event_json(parse_entry(entry).items[0])


def test_events_say_what_the_protocol_says() -> None:
    cls = CLASSES["CfgSkill"]
    old = {"class": "CfgSkill", "DBID": 101, "revision": 7, "tenantDBID": 4, "name": "a"}
    new = {**old, "name": "b"}
    common = {"class": "CfgSkill", "DBID": 101, "revision": 48, "time": 1000, "more": False}
    common["actor"] = {"account": "CfgPerson:100"}
    created = event(Change("create", cls, 101, None, old))
    assert created == {"op": "create", "object": {**old, "revision": 48}, **common}
    updated = event(Change("update", cls, 101, old, new))
    assert updated == {"op": "update", "base": 7, "delta": {"changed": {"name": "b"}}, **common}
    assert event(Change("delete", cls, 101, old)) == {"op": "delete", **common}


def test_no_event_shows_a_secret() -> None:
    old = {"class": "CfgPerson", "DBID": 101, "revision": 7, "userName": "a"}
    delta = {"changed": {"password": "hunter2", "firstName": "A"}}
    found = event(Change("update", CLASSES["CfgPerson"], 101, old, old, delta))
    assert found["delta"] == {"changed": {"firstName": "A"}}
