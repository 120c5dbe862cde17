"""What servers note of accounts in the master's records: no object, no history, no session ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from csp.master.load import Rows
from csp.model.account_notes import batch_of
from csp.model.accounts import AccountRecord, read_record
from csp.model.entry import parse_entry
from csp.model.image import json_of
from csp.process.own_options import OwnOptions
from csp.rules.accounts import SECTION
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

ACCOUNT_CLASS = 250
MD5 = hashlib.md5(b"old").hexdigest()


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    stage = Stage(seeded)
    yield stage
    stage.close()


def ann(stage: Stage, **more: object) -> int:
    words = {"tenantDBID": 1, "userName": "ann", "employeeID": "ann", "password": MD5}
    return stage.create("CfgPerson", **{**words, "passwordHashAlgorithm": 1, **more})


def record(stage: Stage, dbid: int) -> AccountRecord:
    image = stage.host.image(ACCOUNT_CLASS, dbid)
    assert image is not None
    return read_record(json_of(image))


def note(stage: Stage, dbid: int, **facts: object) -> None:
    """As it comes from a worker, and a while later."""
    credential = record(stage, dbid).credential
    stage.origin.note_accounts(batch_of([{"dbid": dbid, "credential": credential, **facts}]))
    stage.origin.watches()
    stage.origin.tick(10_000_000 + stage.host.published * 10_000)


def keep_logins(stage: Stage) -> None:
    values = {"last-login": True}
    own = OwnOptions(mode="master", app_name="confserv", values=values, log=None)
    stage.origin.take_options(own)


def test_a_note_changes_the_record_and_nothing_else(stage: Stage) -> None:
    dbid = ann(stage)
    person, before = stage.object("CfgPerson", dbid), record(stage, dbid)
    keep_logins(stage)
    note(stage, dbid, algorithm="argon2id", hash="$argon2id$x", login=5_000, locked=6_000)
    after = record(stage, dbid)
    assert (after.algorithm, after.hash) == ("argon2id", "$argon2id$x")
    assert (after.login_ms, after.locked_ms) == (5_000, 6_000)
    assert after.credential == before.credential
    assert after.revision == stage.host.published == before.revision + 1
    assert stage.object("CfgPerson", dbid) == person
    assert parse_entry(stage.host.entries[-1]).items == ()
    note(stage, dbid, login=4_000)
    assert stage.host.published == after.revision, "no news, no change"


def test_a_database_and_a_store_hold_the_same_record(stage: Stage) -> None:
    dbid = ann(stage)
    note(stage, dbid, locked=6_000)
    with stage.origin.database.reading() as connection:
        images = dict(Rows(connection).accounts())
    assert images[dbid] == stage.host.image(ACCOUNT_CLASS, dbid)


def test_a_master_that_keeps_no_sign_ins_takes_none(stage: Stage) -> None:
    dbid = ann(stage)
    revision = stage.host.published
    note(stage, dbid, login=5_000)
    assert (record(stage, dbid).login_ms, stage.host.published) == (0, revision)


def test_a_new_password_ends_a_lock_and_keeps_as_many_hashes_as_the_rule_says(
    stage: Stage,
) -> None:
    stage.update(
        "CfgTenant", 1, {"userProperties": {"changed": {SECTION: {"password-no-repeats": 3}}}}
    )
    dbid = ann(stage)
    keep_logins(stage)
    note(stage, dbid, locked=6_000, login=5_000)
    for number in range(4):
        stage.update("CfgPerson", dbid, {"changed": {"password": f"number {number}"}})
    found = record(stage, dbid)
    assert (found.locked_ms, found.login_ms) == (0, 5_000)
    assert found.credential == found.revision == stage.host.published
    assert [algorithm for algorithm, _ in found.earlier] == ["argon2id", "argon2id"]
    assert found.changed_ms > 0


def test_who_came_with_a_hash_may_get_a_password_in_words(stage: Stage) -> None:
    dbid = ann(stage)
    assert record(stage, dbid).algorithm == "imported-1"
    stage.update("CfgPerson", dbid, {"changed": {"password": "in words"}})
    assert record(stage, dbid).algorithm == "argon2id"
    stage.update("CfgPerson", dbid, {"changed": {"password": MD5}})
    assert record(stage, dbid).algorithm == "imported-1"
