"""Writes at the master: what they answer, what they leave, what they refuse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, event, text

from csp import errors
from csp.master.database import Database, Head
from csp.master.reading import accounts
from csp.master.sqlite_file import DatabaseFile
from csp.model.entry import ENTRY_BYTES_MAX
from csp.model.types import TYPE_WORDS
from csp.resp.decode import BULK_SIZE_MAX
from csp.rules.names import UniqueName
from csp.store.control import LINK_DOWN
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


def person(name: str, **more: object) -> dict[str, object]:
    return {"tenantDBID": 1, "userName": name, "employeeID": f"e-{name}", **more}


def test_a_new_database_holds_what_the_original_installs(stage: Stage) -> None:
    assert stage.object("CfgTenant", 1)["name"] == "Environment"
    assert stage.object("CfgPerson", 100)["userName"] == "default"
    assert stage.object("CfgApplication", 99)["name"] == "confserv"
    assert stage.object("CfgApplication", 100)["name"] == "default"
    assert stage.object("CfgAppPrototype", 99)["type"] == "configurationserver"
    assert stage.object("CfgAppPrototype", 100)["type"] == "sce"
    folders = [
        obj
        for (cls, dbid), _ in stage.host.records.items()
        if cls == 22 and (obj := stage.object("CfgFolder", dbid))
    ]
    kinds = [folder["type"] for folder in folders]
    assert sorted(kinds) == sorted(set(TYPE_WORDS[1:44]) - {"folder"})
    groups = {
        stage.object("CfgAccessGroup", dbid)["groupInfo"]["name"]
        for cls, dbid in stage.host.records
        if cls == 21
    }
    assert groups == {"EVERYONE", "Users", "Administrators", "Super Administrators"}


def test_create_gives_revision_and_dbid_from_101(stage: Stage) -> None:
    first = stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "English"})
    second = stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "German"})
    assert (first.revision, first.results) == (2, (101,))
    assert (second.revision, second.results) == (3, (102,))
    assert stage.object("CfgSkill", 101)["revision"] == 2


def test_a_number_is_never_given_twice(stage: Stage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    stage.delete("CfgSkill", skill)
    stage.close()
    stage.origin = stage.open()
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == skill + 1


@pytest.mark.parametrize("write_id", ["", "w"])
def test_a_number_of_what_its_own_transaction_deleted_was_given(
    stage: Stage, write_id: str
) -> None:
    created = ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "a"})
    outcome = stage.exec(created, ("CFG.DELETE", "CfgSkill", "@1"), write_id=write_id)
    assert (outcome.revision, outcome.results) == (1, (101, 0))
    stage.close()
    stage.origin = stage.open()
    assert stage.create("CfgSkill", tenantDBID=1, name="a") == 102


def test_a_new_tenant_gets_its_folders_and_groups_in_the_same_revision(stage: Stage) -> None:
    outcome = stage.write("CFG.CREATE", "CfgTenant", {"name": "North"})
    tenant = outcome.results[0]
    folder = stage.host.named("CfgFolder", "ownerID", {"type": "tenant", "DBID": tenant})
    assert folder["revision"] == outcome.revision
    skill = stage.create("CfgSkill", tenantDBID=tenant, name="English")
    home = stage.object("CfgFolder", stage.object("CfgSkill", skill)["folderDBID"])
    assert home["ownerID"] == {"type": "tenant", "DBID": tenant}
    assert home["type"] == "skill"
    groups = [
        one
        for cls, one in stage.host.records
        if cls == 21 and stage.object("CfgAccessGroup", one)["groupInfo"]["tenantDBID"] == tenant
    ]
    assert len(groups) == 3
    stage.delete("CfgSkill", skill)
    stage.delete("CfgTenant", tenant)
    with pytest.raises(KeyError):
        stage.host.named("CfgFolder", "ownerID", {"type": "tenant", "DBID": tenant})


def test_forward_and_circular_references_in_one_transaction(stage: Stage) -> None:
    outcome = stage.exec(
        (
            "CFG.CREATE",
            "CfgPerson",
            person("ann", tenantDBID="@3", isAgent=True, agentInfo={"placeDBID": "@2"}),
        ),
        ("CFG.CREATE", "CfgPlace", {"tenantDBID": "@3", "name": "@3"}),
        ("CFG.CREATE", "CfgTenant", {"name": "North", "parentTenantDBID": 1}),
        ("CFG.UPDATE", "CfgTenant", "@3", {"changed": {"chargeableNumber": "7"}}),
    )
    assert outcome.error is None
    ann, place, tenant, nothing = outcome.results
    assert nothing == 0
    assert stage.object("CfgPerson", ann)["agentInfo"]["placeDBID"] == place
    assert stage.object("CfgPlace", place)["name"] == "@3"
    assert stage.object("CfgTenant", tenant)["chargeableNumber"] == "7"
    assert stage.host.published == outcome.revision == 2


def test_a_forward_reference_must_name_an_object_of_the_right_class(stage: Stage) -> None:
    line = stage.refused_exec(
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "English"}),
        ("CFG.CREATE", "CfgPerson", person("ann", isAgent=True, agentInfo={"placeDBID": "@1"})),
    )
    assert line.startswith("EXECABORT NOREF command 2: ")
    assert "placeDBID" in line
    line = stage.refused_exec(
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": "@9", "name": "English"}),
    )
    assert line.startswith("EXECABORT NOREF command 1: tenantDBID: @9")


def test_the_same_id_gives_the_same_answer_and_changes_nothing(stage: Stage) -> None:
    command = ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "English"})
    first = stage.write(*command, write_id="w-1")
    again = stage.write(*command, write_id="w-1")
    assert first == again
    assert stage.host.published == first.revision
    assert stage.outcome("w-1") == f"committed {first.revision}"
    stage.close()
    stage.origin = stage.open()
    assert stage.write(*command, write_id="w-1") == first


def test_an_id_that_was_called_rejected_can_never_commit(stage: Stage) -> None:
    assert stage.outcome("w-2") == "rejected"
    outcome = stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "E"}, write_id="w-2")
    assert outcome.error is not None
    assert outcome.error.line.startswith("BADVALUE ID w-2")
    assert stage.outcome("w-2") == "rejected"


def test_a_write_that_changes_nothing_takes_no_revision(stage: Stage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    revision = stage.host.published
    outcome = stage.write(
        "CFG.UPDATE", "CfgSkill", skill, {"changed": {"name": "English"}}, write_id="w-3"
    )
    assert (outcome.error, outcome.revision) == (None, revision)
    assert stage.host.published == revision
    assert stage.outcome("w-3") == f"committed {revision}"


def test_if_revision(stage: Stage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    created = stage.host.published
    stage.update("CfgSkill", skill, {"changed": {"name": "British English"}})
    delta = {"changed": {"name": "German"}}
    line = stage.refused("CFG.UPDATE", "CfgSkill", skill, delta, "IF", created)
    assert line.startswith("CONFLICT CfgSkill:101")
    line = stage.refused("CFG.UPDATE", "CfgSkill", skill, delta, "IF", 99)
    assert line.startswith("BADVALUE IF 99")
    line = stage.refused("CFG.DELETE", "CfgSkill", 999, "IF", created)
    assert line.startswith("CONFLICT CfgSkill:999 is gone")
    outcome = stage.write("CFG.DELETE", "CfgSkill", skill, "IF", created + 1)
    assert outcome.error is None


def test_changes_of_those_that_refer_come_first_and_the_deletion_last(stage: Stage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    place = stage.create("CfgPlace", tenantDBID=1, name="Desk 1")
    ann = stage.create(
        "CfgPerson",
        **person(
            "ann",
            isAgent=True,
            agentInfo={"placeDBID": place, "skillLevels": [{"skillDBID": skill, "level": 3}]},
        ),
    )
    group = stage.create(
        "CfgAgentGroup", groupInfo={"tenantDBID": 1, "name": "Sales"}, agentDBIDs=[ann]
    )
    from csp.model.entry import parse_entry

    revision = stage.delete("CfgSkill", skill)
    items = parse_entry(stage.host.entries[-1]).items
    assert [(one.op, one.class_id, one.dbid) for one in items] == [
        ("update", 3, ann),
        ("delete", 13, skill),
    ]
    assert "skillLevels" not in stage.object("CfgPerson", ann)["agentInfo"]
    assert stage.object("CfgPerson", ann)["revision"] == revision
    stage.delete("CfgPlace", place)
    assert stage.object("CfgPerson", ann)["agentInfo"]["placeDBID"] == 0
    stage.delete("CfgPerson", ann)
    assert "agentDBIDs" not in stage.object("CfgAgentGroup", group)


def test_a_needed_object_is_in_use_and_at_most_ten_are_named(stage: Stage) -> None:
    tenant = stage.create("CfgTenant", name="North")
    for number in range(12):
        stage.create("CfgSkill", tenantDBID=tenant, name=f"skill {number}")
    line = stage.refused("CFG.DELETE", "CfgTenant", tenant)
    assert line.startswith(f"INUSE CfgTenant:{tenant} is needed by CfgSkill:101 (tenantDBID)")
    assert line.count("CfgSkill:") == 10
    assert line.endswith("and others")


def test_deleting_both_ends_of_a_needed_reference_in_one_transaction(stage: Stage) -> None:
    office = stage.create("CfgPhysicalSwitch", name="Office", type="sipswitch")
    switch = stage.create("CfgSwitch", tenantDBID=1, physSwitchDBID=office, name="SIP")
    login = stage.create("CfgAgentLogin", switchDBID=switch, loginCode="5001")
    assert stage.object("CfgAgentLogin", login)["tenantDBID"] == 1
    assert stage.refused("CFG.DELETE", "CfgPhysicalSwitch", office).startswith("INUSE")
    outcome = stage.exec(
        ("CFG.DELETE", "CfgPhysicalSwitch", office),
        ("CFG.DELETE", "CfgSwitch", switch),
        ("CFG.DELETE", "CfgAgentLogin", login),
    )
    assert outcome.error is None
    from csp.model.entry import parse_entry

    items = parse_entry(stage.host.entries[-1]).items
    assert [one.class_id for one in items] == [15, 1, 11]


def test_names_may_move_within_one_transaction(stage: Stage) -> None:
    one = stage.create("CfgSkill", tenantDBID=1, name="one")
    two = stage.create("CfgSkill", tenantDBID=1, name="two")
    outcome = stage.exec(
        ("CFG.UPDATE", "CfgSkill", one, {"changed": {"name": "two"}}),
        ("CFG.UPDATE", "CfgSkill", two, {"changed": {"name": "one"}}),
    )
    assert outcome.error is None
    line = stage.refused_exec(
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "three"}),
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "three"}),
    )
    assert line.startswith('EXECABORT UNIQUE command 2: name "three" with tenantDBID 1')


def test_secrets_are_stored_as_hashes_only(stage: Stage) -> None:
    ann = stage.create("CfgPerson", **person("ann", password="open sesame"))
    stage.create("CfgPerson", **person("bob", password="0a1b", passwordHashAlgorithm=1))
    stage.update("CfgPerson", ann, {"changed": {"password": "open barley"}})
    with stage.origin.database.reading() as connection:
        rows = {row.user_name: row for row in accounts(connection)}
    assert rows["ann"].hash.startswith("$argon2id$")
    assert (rows["bob"].algorithm, rows["bob"].hash) == ("imported-1", "0a1b")
    stage.close()
    for file in stage.place.files():
        data = file.read_bytes()
        assert b"open sesame" not in data
        assert b"open barley" not in data
    assert all(b"open " not in image for image in stage.host.records.values())
    assert all(b"open " not in entry for entry in stage.host.entries)


def test_the_account_record_follows_its_person(stage: Stage) -> None:
    from csp.model.image import parse_image

    ann = stage.create("CfgPerson", **person("ann", password="open sesame"))
    stage.update("CfgPerson", ann, {"changed": {"userName": "anna"}})
    image = stage.host.image(250, ann)
    assert image is not None
    header, account = parse_image(image)
    assert account is not None
    assert (account["user"], account["algorithm"]) == ("anna", "argon2id")
    assert header.revision == stage.host.published
    stage.delete("CfgPerson", ann)
    assert stage.host.image(250, ann) is None


def test_many_passwords_do_not_hold_the_writer_up(stage: Stage) -> None:
    outcome = stage.exec(
        *[
            ("CFG.CREATE", "CfgPerson", person(f"u{number}", password=f"p{number}"))
            for number in range(20)
        ]
    )
    assert outcome.error is None
    with stage.origin.database.reading() as connection:
        kinds = [row.algorithm for row in accounts(connection)]
    assert kinds.count("argon2id") == 5  # `default` and the first four
    assert kinds.count("scrypt-bulk") == 16


def test_a_full_store_refuses_growth_before_the_database_commits(stage: Stage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    stage.host.room = 0
    line = stage.refused("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "German"})
    assert line.startswith("BUSY the store is full")
    assert stage.origin.database.head().revision == stage.host.published
    stage.delete("CfgSkill", skill)


def test_a_change_too_large_for_an_entry_is_refused_before_the_commit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stage.host.published
    monkeypatch.setattr("csp.model.entry.ENTRY_BYTES_MAX", 3_000)
    many = [("CFG.CREATE", "CfgSkill", {"name": f"skill {n}", "tenantDBID": 1}) for n in range(9)]
    outcome = stage.exec(*many)
    assert isinstance(outcome.error, errors.TooBig)
    assert "change less at once" in outcome.error.line
    assert stage.host.published == before
    monkeypatch.undo()
    assert stage.exec(*many).error is None


def test_no_entry_is_longer_than_a_proxy_takes() -> None:
    assert ENTRY_BYTES_MAX <= BULK_SIZE_MAX


def test_a_master_that_was_replaced_writes_no_more(stage: Stage) -> None:
    raise_fence(stage)
    line = stage.refused("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "English"})
    assert line.startswith("MASTERDOWN another master has taken this database over")
    assert stage.refused("CFG.DELETE", "CfgSkill", 101).startswith("MASTERDOWN")


def raise_fence(stage: Stage) -> None:
    """As another master does that takes the database."""
    other = Database(stage.address)
    with other.connection.begin():
        other.connection.execute(text("UPDATE head SET fence = fence + 1"))
    other.close()


@pytest.mark.parametrize("has_noticed", [True, False], ids=["noticed", "unnoticed"])
def test_a_replaced_masters_writer_comes_back_without_the_database(
    stage: Stage, has_noticed: bool
) -> None:
    """Only a start of the whole server takes the database back."""
    if stage.origin.database.is_shared:
        pytest.skip("there it stands by: test_master_lease.py")
    raise_fence(stage)
    if has_noticed:
        stage.refused("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "German"})
    stage.close()
    stage.origin = stage.open()
    line = stage.refused("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "German"})
    assert line.startswith("MASTERDOWN another master has taken this database over")
    assert list(stage.host.alarms) == ["another master writes"]
    assert stage.host.link[0] == LINK_DOWN
    stage.close()
    stage.host.fence = 0  # the server is started anew
    stage.origin = stage.open()
    assert stage.host.alarms == {}
    assert stage.create("CfgSkill", tenantDBID=1, name="German") == 101


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_writer_killed_while_it_takes_the_database_was_not_replaced(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its successor finds a number that it may not have been told of, and is the master still."""

    class Killed(BaseException):
        """Nothing of the process runs after it."""

    def killed(connection: Connection) -> None:
        if moment == "after the commit":
            connection.connection.commit()
        connection.invalidate()  # as the end of a process closes it
        raise Killed

    seen = Database.head_seen_by

    def read(connection: Connection) -> Head:
        event.listen(connection, "commit", killed)  # of the taking: nobody reads it before
        return seen(connection)

    stage.close()
    with monkeypatch.context() as patched:
        patched.setattr(Database, "head_seen_by", staticmethod(read))
        patched.setattr(DatabaseFile, "take", lambda _: True)  # its lock ends with its process
        with pytest.raises(Killed):
            stage.open()
    stage.origin = stage.open()
    assert stage.host.alarms == {}
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101


def test_a_cascade_over_many_objects_and_its_limit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    info = {"skillLevels": [{"skillDBID": skill, "level": 1}]}
    outcome = stage.exec(
        *[
            ("CFG.CREATE", "CfgPerson", person(f"u{number}", isAgent=True, agentInfo=info))
            for number in range(150)
        ]
    )
    assert outcome.error is None
    monkeypatch.setattr("csp.rules.transaction.CHANGED_OBJECTS_MAX", 150)
    line = stage.refused("CFG.DELETE", "CfgSkill", skill)
    assert line.startswith("TOOBIG a transaction changes at most 150 objects")
    monkeypatch.setattr("csp.rules.transaction.CHANGED_OBJECTS_MAX", 151)
    stage.delete("CfgSkill", skill)
    assert stage.object("CfgPerson", 101)["agentInfo"] == {}
    assert stage.origin.database.referrers(13, skill, 10) == []
    outcome = stage.exec(*[("CFG.DELETE", "CfgPerson", dbid) for dbid in range(101, 251)])
    assert outcome.error is None
    assert stage.origin.database.name_owners([UniqueName(3, 0, "", "u7")]) == {}


def test_what_a_restarted_writer_missed_is_applied(stage: Stage) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="English")
    behind = dict(stage.host.records), stage.host.published, stage.host.mark
    stage.create("CfgPerson", **person("ann", password="open sesame"))
    stage.create("CfgSkill", tenantDBID=1, name="German")
    ahead = dict(stage.host.records)
    stage.close()
    stage.host.records, stage.host.published, stage.host.mark = behind
    stage.origin = stage.open()
    assert stage.host.loads == 1
    assert stage.host.records == ahead


def test_another_database_under_the_store_means_a_new_load(stage: Stage) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="English")
    stage.close()
    stage.place.back_up()
    stage.origin = stage.open()
    stage.create("CfgSkill", tenantDBID=1, name="German")
    stage.close()
    stage.place.put_back()
    stage.origin = stage.open()  # the store is ahead of the database
    assert stage.host.loads == 2
    assert stage.host.object("CfgSkill", 102) is None
    stage.create("CfgSkill", tenantDBID=1, name="French")
    stage.host.mark ^= 1  # the same revision of another history
    stage.close()
    stage.origin = stage.open()
    assert stage.host.loads == 3


def test_sums_are_those_of_the_published_records(stage: Stage) -> None:
    from csp._fastpath import record_hash

    stage.create("CfgPerson", **person("ann", password="open sesame"))
    for number in range(10):
        stage.create("CfgSkill", tenantDBID=1, name=f"skill {number}")
    *_, sums = stage.records.sums(None, 1, 2**32 - 1)
    assert sums is not None
    assert sums.revision == stage.host.published
    expected: dict[int, tuple[int, int]] = {}
    for (class_id, _), image in stage.host.records.items():
        count, total = expected.get(class_id, (0, 0))
        expected[class_id] = count + 1, (total + record_hash(image)) % 2**64
    assert {one: pair for one, pair in sums.classes.items() if pair[0]} == expected
    *_, some = stage.records.sums(13, 103, 105)
    assert some is not None
    assert some.classes[13][0] == 3
