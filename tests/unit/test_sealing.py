"""Secret options are sealed: they open with the master's key, at their own place alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.errors import BadValue
from csp.model.history import HistoryQuestion
from csp.model.image import json_of
from csp.model.sealing import PREFIX, NoSealer, Sealed, Sealer, open_options, seal_object
from csp.model.token_keys import KEYS_DBID, read_keys, read_sealing
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

APPLICATION = CLASSES["CfgApplication"]
PLACE = Sealed("CfgApplication", 101, "gauth_ldap", "password")
SEALER = Sealer(b"k" * 64)
SECRET = "bind-Pa55word"


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens_again_and_is_not_in_the_seal(text: str) -> None:
    sealed = SEALER.seal(PLACE, text)
    assert SEALER.open(PLACE, sealed) == text
    assert SEALER.seal(PLACE, text) == sealed
    assert SEALER.seal(PLACE, sealed) == sealed


def test_texts_of_other_lengths_look_alike() -> None:
    assert len(SEALER.seal(PLACE, "a")) == len(SEALER.seal(PLACE, "a" * 31))
    assert SEALER.seal(PLACE, "a") != SEALER.seal(PLACE, "b")


@pytest.mark.parametrize(
    "elsewhere",
    [
        PLACE._replace(class_name="CfgPerson"),
        PLACE._replace(dbid=102),
        PLACE._replace(section="gauth_ldap_1"),
        PLACE._replace(name="other"),
    ],
)
def test_a_seal_is_worth_nothing_elsewhere(elsewhere: Sealed) -> None:
    with pytest.raises(ValueError, match="state it anew") as raised:
        SEALER.open(elsewhere, SEALER.seal(PLACE, SECRET))
    assert SECRET not in str(raised.value)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_seal_that_was_changed_does_not_open(at: int, by: int) -> None:
    from base64 import urlsafe_b64decode, urlsafe_b64encode

    kept = bytearray(urlsafe_b64decode(SEALER.seal(PLACE, SECRET).removeprefix(PREFIX)))
    kept[at % len(kept)] ^= by
    with pytest.raises(ValueError, match="state it anew"):
        SEALER.open(PLACE, PREFIX + urlsafe_b64encode(bytes(kept)).decode())


@pytest.mark.parametrize("junk", ["", "=", "AAAA", "not base64 at all"])
def test_junk_does_not_open(junk: str) -> None:
    with pytest.raises(ValueError, match="state it anew"):
        SEALER.open(PLACE, PREFIX + junk)


def test_another_master_can_not_open_it() -> None:
    with pytest.raises(ValueError, match="another master"):
        Sealer(b"j" * 64).open(PLACE, SEALER.seal(PLACE, SECRET))


def test_without_a_key_nothing_secret_is_taken() -> None:
    obj = {"options": {"gauth_ldap": {"password": SECRET}}}
    with pytest.raises(BadValue, match="no key"):
        seal_object(NoSealer(), APPLICATION, 101, obj)
    with pytest.raises(ValueError, match="has not come yet"):
        NoSealer().open(PLACE, SEALER.seal(PLACE, SECRET))


def test_only_what_the_table_calls_secret_is_sealed_and_what_is_stored_stays() -> None:
    options = {"gauth_ldap_2": {"password": 12345, "ldap-url": "ldap://x"}, "log": {"all": "y"}}
    obj = {"options": options, "name": "a"}
    sealed = seal_object(SEALER, APPLICATION, 101, obj)
    assert obj["options"] is options and options["gauth_ldap_2"]["password"] == 12345  # noqa: PT018
    assert sealed["options"]["log"] is options["log"]
    assert sealed["options"]["gauth_ldap_2"]["password"].startswith(PREFIX)
    opened = open_options(SEALER, "CfgApplication", 101, sealed["options"])
    assert opened == {
        "gauth_ldap_2": {"password": "12345", "ldap-url": "ldap://x"},
        "log": {"all": "y"},
    }
    assert seal_object(SEALER, APPLICATION, 101, sealed) is sealed


def test_a_secret_is_a_text() -> None:
    obj = {"options": {"gauth_ldap": {"password": {"base64": "eHg="}}}}
    with pytest.raises(BadValue, match=r"options.gauth_ldap.password: a secret is a string"):
        seal_object(SEALER, APPLICATION, 101, obj)


# ---------------------------------------------------------------- at a master


def key_of(stage: Stage) -> Sealer:
    """As a server reads it beside the keys of tokens."""
    record = json_of(stage.host.records[ACCOUNT_CLASS_ID, KEYS_DBID])
    assert read_keys(record)
    key = read_sealing(record)
    assert key is not None
    return Sealer(key)


def test_neither_object_nor_event_nor_history_shows_what_a_command_states(stage: Stage) -> None:
    annex = {"gauth_ldap": {"password": SECRET, "ldap-url": "ldap://x"}}
    dbid = stage.create(
        "CfgPerson", userName="ann", employeeID="1", tenantDBID=1, userProperties=annex
    )
    other = "another-Pa55"
    delta = {"userProperties": {"changed": {"gauth_ldap_1": {"password": other}}}}
    stage.update("CfgPerson", dbid, delta)
    obj = stage.object("CfgPerson", dbid)
    opened = open_options(key_of(stage), "CfgPerson", dbid, obj["userProperties"])
    assert opened["gauth_ldap"] == {"password": SECRET, "ldap-url": "ldap://x"}
    assert opened["gauth_ldap_1"] == {"password": other}
    seen = b"".join(stage.host.entries) + json.dumps(obj).encode()
    *_, page = stage.records.history(HistoryQuestion(since=0, limit=10))
    seen += repr(page).encode()
    for secret in (SECRET, other):
        assert secret.encode() not in seen
    assert seen.count(PREFIX.encode()) >= 4


def test_stating_it_anew_changes_nothing_and_another_one_does(stage: Stage) -> None:
    words = {"userName": "ann", "employeeID": "1", "tenantDBID": 1}
    dbid = stage.create("CfgPerson", **words, userProperties={"gauth_ldap": {"password": SECRET}})
    before = stage.host.published
    delta = {"userProperties": {"changed": {"gauth_ldap": {"password": SECRET}}}}
    stage.write("CFG.UPDATE", "CfgPerson", dbid, delta)
    assert stage.host.published == before
    delta["userProperties"]["changed"]["gauth_ldap"]["password"] = SECRET + "!"
    assert stage.update("CfgPerson", dbid, delta) == before + 1


def test_the_key_stays_over_starts_and_new_keys_of_tokens(stage: Stage) -> None:
    sealed = key_of(stage).seal(PLACE, SECRET)
    stage.close()
    stage.origin = stage.open()
    assert key_of(stage).open(PLACE, sealed) == SECRET
