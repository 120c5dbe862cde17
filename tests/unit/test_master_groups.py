"""Groups of writes at the master: one database transaction, each write as if it were alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from csp.errors import MasterDown
from csp.master.database import Database
from csp.master.reading import accounts
from csp.master.rows import ChangeRows
from csp.model.entry import mark_of, parse_entry, why_not_continues
from csp.rules.complete import fill_in
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


class Commits:
    """Counts the database's transactions, and may refuse some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.refuse: Exception | None = None
        commit = Database.commit

        def counted(database: Database, changes: Sequence[ChangeRows]) -> None:
            self.sizes.append(len(changes))
            if self.refuse is not None:
                raise self.refuse
            commit(database, changes)

        monkeypatch.setattr(Database, "commit", counted)


@pytest.fixture
def commits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Commits:
    return Commits(monkeypatch)


def skill(name: str, tenant: int = 1) -> tuple[Any, ...]:
    return "CFG.CREATE", "CfgSkill", {"tenantDBID": tenant, "name": name}


def renamed(dbid: int, name: str, *options: Any) -> tuple[Any, ...]:
    return "CFG.UPDATE", "CfgSkill", dbid, {"changed": {"name": name}}, *options


def words(outcomes: Sequence[Any]) -> list[str]:
    """What each was answered: its revision, or its error's first words."""
    return [one.error.line if one.error else str(one.revision) for one in outcomes]


def check_history(stage: Stage) -> None:
    """Each change has its own revision and mark, in a chain, and a restart finds the same."""
    for before, entry in itertools.pairwise(stage.host.entries):
        assert why_not_continues(entry, mark_of(before)) is None
    records, mark = dict(stage.host.records), stage.host.mark
    stage.close()
    stage.host.stream = b""
    stage.origin = stage.open()
    assert (stage.host.records, stage.host.mark) == (records, mark)


def test_a_group_is_one_transaction_with_a_revision_for_each(
    stage: Stage, commits: Commits
) -> None:
    outcomes = stage.group(skill("a"), skill("b"), [skill("c"), skill("d")])
    assert [(one.revision, one.results) for one in outcomes] == [
        (2, (101,)), (3, (102,)), (4, (103, 104))
    ]  # fmt: skip
    assert commits.sizes == [3]
    assert stage.host.published == 4
    check_history(stage)


def test_each_is_built_on_those_before_it(stage: Stage, commits: Commits) -> None:
    outcomes = stage.group(
        skill("a"), renamed(101, "b"), skill("a"), renamed(102, "c"), renamed(101, "a"),
        ("CFG.DELETE", "CfgSkill", 101), skill("a"), renamed(101, "x"),
    )  # fmt: skip
    assert words(outcomes)[:7] == ["2", "3", "4", "5", "6", "7", "8"]
    assert words(outcomes)[7] == "BADKEY there is no CfgSkill:101"
    assert commits.sizes == [7]
    assert stage.object("CfgSkill", 102)["name"] == "c"
    assert stage.object("CfgSkill", 103)["name"] == "a"
    (last,) = parse_entry(stage.host.entries[-3]).items  # the last but two: a again
    assert (last.op, last.dbid) == ("update", 101)
    assert b'"base":3' in last.event
    check_history(stage)


def test_what_is_refused_takes_nothing_with_it(stage: Stage, commits: Commits) -> None:
    """And gives no number away."""
    outcomes = stage.group(
        skill("a"), skill("a"), ("CFG.DELETE", "CfgTenant", 1), skill("b", 999), skill("b")
    )
    assert [line.split()[0] for line in words(outcomes)] == [
        "2",
        "UNIQUE",
        "IMMUTABLE",
        "NOREF",
        "3",
    ]
    assert "is taken by CfgSkill:101" in words(outcomes)[1]
    assert outcomes[4].results == (102,)
    assert commits.sizes == [2]
    check_history(stage)


def test_a_name_held_before_is_found_before_the_commit(stage: Stage, commits: Commits) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="a")
    outcomes = stage.group(skill("b"), skill("a"), [skill("c"), skill("a")], skill("d"))
    assert [line.split()[0] for line in words(outcomes)] == ["3", "UNIQUE", "EXECABORT", "4"]
    assert words(outcomes)[2].startswith("EXECABORT UNIQUE command 2: ")
    assert commits.sizes == [1, 2]
    check_history(stage)


def test_cascades_see_what_the_group_changed(stage: Stage) -> None:
    info = {"skillLevels": [{"skillDBID": 101, "level": 3}]}
    person = {"tenantDBID": 1, "userName": "ann", "employeeID": "1", "isAgent": True}
    outcomes = stage.group(
        skill("a"),
        ("CFG.CREATE", "CfgPerson", {**person, "agentInfo": info}),
        ("CFG.CREATE", "CfgPerson", {**person, "userName": "bob", "employeeID": "2",
                                       "agentInfo": {}}),
        ("CFG.UPDATE", "CfgPerson", 101, {"deleted": {"agentInfo.skillLevels": [101]}}),
        ("CFG.UPDATE", "CfgPerson", 102, {"added": {"agentInfo.skillLevels": [
            {"skillDBID": 101, "level": 1}]}}),
        ("CFG.DELETE", "CfgSkill", 101),
    )  # fmt: skip
    assert words(outcomes) == ["2", "3", "4", "5", "6", "7"]
    items = parse_entry(stage.host.entries[-1]).items
    assert [(one.op, one.class_id, one.dbid) for one in items] == [
        ("update", 3, 102), ("delete", 13, 101)
    ]  # fmt: skip
    assert "skillLevels" not in stage.object("CfgPerson", 102)["agentInfo"]
    assert stage.origin.database.referrers(13, 101, 10) == []
    check_history(stage)


def test_a_tenant_and_what_it_holds_in_one_group(stage: Stage) -> None:
    outcomes = stage.group(
        ("CFG.CREATE", "CfgTenant", {"name": "North"}), skill("a", 101), skill("a", 1),
        ("CFG.DELETE", "CfgSkill", 101), ("CFG.DELETE", "CfgTenant", 101), skill("b", 101),
    )  # fmt: skip
    assert [line.split()[0] for line in words(outcomes)] == ["2", "3", "4", "5", "6", "NOREF"]
    check_history(stage)


def test_passwords_follow_their_persons_through_a_group(stage: Stage) -> None:
    person = {"tenantDBID": 1, "userName": "ann", "employeeID": "1", "password": "one"}
    outcomes = stage.group(
        ("CFG.CREATE", "CfgPerson", person),
        ("CFG.UPDATE", "CfgPerson", 101, {"changed": {"userName": "anna"}}),
        ("CFG.CREATE", "CfgPerson", {**person, "employeeID": "2"}),
        ("CFG.DELETE", "CfgPerson", 102),
        ("CFG.UPDATE", "CfgPerson", 101, {"changed": {"password": "two"}}),
        ("CFG.UPDATE", "CfgPerson", 101, {"changed": {"userName": "annie"}}),
    )
    assert words(outcomes) == ["2", "3", "4", "5", "6", "7"]
    with stage.origin.database.reading() as connection:
        rows = {row.dbid: row for row in accounts(connection)}
    assert set(rows) == {100, 101}
    assert (rows[101].user_name, rows[101].revision) == ("annie", 7)
    assert stage.host.image(250, 102) is None
    check_history(stage)


def test_if_and_watches_hold_against_what_the_group_changed(stage: Stage) -> None:
    made = stage.create("CfgSkill", tenantDBID=1, name="a")
    revision = stage.host.published
    outcomes = stage.group(
        renamed(made, "b", "IF", revision), renamed(made, "c", "IF", revision),
        [renamed(made, "d"), ("CFG.EXPECT", "CfgSkill", made, revision)],
        renamed(made, "e", "IF", revision + 1),
    )  # fmt: skip
    assert words(outcomes)[0] == "3"
    assert words(outcomes)[1].startswith("CONFLICT CfgSkill:101 is at revision 3")
    assert words(outcomes)[2].startswith("CONFLICT watched")
    assert words(outcomes)[3] == "4"


def test_a_change_that_changes_nothing_any_more(stage: Stage, commits: Commits) -> None:
    outcomes = stage.group(skill("a"), renamed(101, "a"), renamed(101, "b"), renamed(101, "b"))
    assert words(outcomes) == ["2", "2", "3", "3"]
    assert commits.sizes == [2]


# -- ids ------------------------------------------------------------------------------------------


def test_an_id_twice_in_a_group(stage: Stage) -> None:
    outcomes = stage.group(
        skill("a"), skill("a"), skill("b"), ("CFG.OUTCOME", "w"), ("CFG.OUTCOME", "v"),
        write_ids=["w", "w", "w"],
    )  # fmt: skip
    assert outcomes[0] == outcomes[1]
    assert words(outcomes)[2].startswith("BADVALUE ID w: was given to another command")
    assert outcomes[3].text == "committed 2"
    assert outcomes[4].text == "rejected"
    assert stage.host.published == 2
    assert stage.write(*skill("c"), write_id="v").error is not None


def test_asking_for_an_id_goes_in_turn(stage: Stage) -> None:
    asked, written, again = stage.group(
        ("CFG.OUTCOME", "w"), skill("a"), ("CFG.OUTCOME", "w"), write_ids=["", "w"]
    )
    assert (asked.text, again.text) == ("rejected", "rejected")
    assert written.error is not None
    assert stage.host.published == 1


def test_an_id_belongs_to_its_account(stage: Stage) -> None:
    assert stage.write(*skill("a"), write_id="w").revision == 2
    other = stage.create("CfgPerson", tenantDBID=1, userName="o", employeeID="o", isAgent=False)
    may = ("CFG.GRANT", "CfgTenant:1", f"CfgPerson:{other}", "R,C,propagate")
    assert stage.write(*may).revision == 4
    stage.asks = b'{"account":%d}' % other
    assert stage.write(*skill("b"), write_id="w").revision == 5
    assert stage.outcome("w") == "committed 5"
    assert stage.outcome("mine") == "rejected"
    stage.asks = b'{"account":100}'
    assert stage.outcome("w") == "committed 2"
    assert stage.write(*skill("c"), write_id="mine").revision == 6


def test_an_id_with_another_command_is_refused(stage: Stage) -> None:
    made = stage.write(*skill("a"), write_id="w")
    for command in (skill("b"), ("CFG.DELETE", "CfgSkill", 101), renamed(101, "b")):
        error = stage.write(*command, write_id="w").error
        assert error is not None
        assert error.line.startswith("BADVALUE ID w: was given to another command")
    assert stage.exec(skill("a"), write_id="w").error is None  # the same words
    assert stage.write(*skill("a"), write_id="w") == made
    assert stage.host.published == 2


def test_what_is_watched_is_no_part_of_the_command(stage: Stage) -> None:
    watched = ("CFG.EXPECT", "CfgSkill", 101, 0)
    first = stage.exec(skill("a"), watched, write_id="w")
    assert stage.exec(skill("a"), ("CFG.EXPECT", "CfgSkill", 101, 2), write_id="w") == first


def test_a_digest_tells_nothing_to_whoever_reads_the_table(stage: Stage) -> None:
    """It has a key: else a dictionary of passwords would find the one that was set."""
    from csp.master.outcome import Outcomes
    from csp.model.requests import parse_request

    kept = stage.origin.database.digest_key()
    assert len(kept) == 32
    raw = [[b"CFG.DELETE", b"CfgSkill", b"1"]]
    request = parse_request(1, stage.asks, b"w", b"one", raw)
    digests = {Outcomes(stage.origin.database, key)._digest(request) for key in (kept, b"other")}
    assert len(digests) == 2


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_group_that_the_database_refuses_goes_one_by_one(
    stage: Stage, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a clash that was not found before; the one that clashes is refused alone."""
    stage.create("CfgSkill", tenantDBID=1, name="taken")
    monkeypatch.setattr("csp.master.group.refuse_taken", lambda *_: None)
    outcomes = stage.group(skill("a"), skill("taken"), skill("b"))
    assert [line.split()[0] for line in words(outcomes)] == ["3", "UNIQUE", "4"]
    assert commits.sizes == [1, 3, 1, 1, 1]
    check_history(stage)


def test_a_fault_of_one_harms_no_other(
    stage: Stage, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(tx: Any, touched: Any) -> None:
        if touched.after.get("name") == "bad":
            raise RecursionError("too deep")
        fill_in(tx, touched)

    monkeypatch.setattr("csp.rules.assemble.fill_in", broken)
    outcomes = stage.group(skill("a"), skill("bad"), skill("b"))
    assert [line.split()[0] for line in words(outcomes)] == ["2", "ERR", "3"]
    assert commits.sizes == [2]


def test_a_lock_that_is_not_to_be_had_is_waited_for_once(stage: Stage, commits: Commits) -> None:
    """Else the waits of one turn would add up, and the supervisor call the writer hung."""
    commits.refuse = OperationalError("a change", None, Exception("database is locked"))
    large = [skill(f"s{number}") for number in range(101)]
    outcomes = stage.group(skill("a"), skill("b"), large, skill("c"), renamed(999, "x"))
    assert all(isinstance(one.error, MasterDown) for one in outcomes)
    assert len(commits.sizes) == 1
    commits.refuse = None
    assert stage.create("CfgSkill", tenantDBID=1, name="a") == 101


def test_a_commit_that_was_lost_is_unknown_for_all_of_the_group(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But who was refused was refused: by rules alone, or for a change that may not be there."""
    stage.create("CfgSkill", tenantDBID=1, name="there")

    def lost(database: Database, _: Sequence[ChangeRows]) -> None:
        error = OperationalError("a change", None, Exception("server closed the connection"))
        database.is_committing = True
        database.note_loss(error)
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Database, "commit", lost)
        outcomes = stage.group(
            ("CFG.DELETE", "CfgSkill", 999), skill("a"), renamed(101, "b"), renamed(101, "b"),
            skill("a"), ("CFG.OUTCOME", "w"),
        )  # fmt: skip
    assert [line.split()[0] for line in words(outcomes)[:5]] == [
        "BADKEY", "UNKNOWNOUTCOME", "UNKNOWNOUTCOME", "UNKNOWNOUTCOME", "MASTERDOWN"
    ]  # fmt: skip
    assert outcomes[5].text == "unknown"
    assert "ask for the outcome" in words(outcomes)[1]


def test_what_another_master_wrote_is_not_written_over(stage: Stage) -> None:
    """Same fence, but the head has moved: somebody wrote past the fence, or a backup came back."""
    with stage.origin.database.connection.begin():
        stage.origin.database.connection.exec_driver_sql("UPDATE head SET revision = revision + 1")
    line = stage.refused(*skill("a"))
    assert line.startswith("MASTERDOWN another master has taken this database over")
    assert stage.origin.database.head().revision == stage.host.published + 1


def test_what_was_prepared_is_given_back_when_the_database_refuses(
    stage: Stage, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[int] = []
    monkeypatch.setattr(stage.host, "prepare", lambda changes: prepared.append(len(changes)))
    monkeypatch.setattr(stage.host, "abandon", prepared.clear)
    commits.refuse = OperationalError("a change", None, Exception("disk full"))
    for commands in ([skill("a")], [skill("a"), skill("b")]):
        assert all(one.error for one in stage.group(*commands))
        assert not prepared
    commits.refuse = None
    stage.group(skill("a"), skill("b"))
    assert prepared == [2]


def test_without_ample_room_each_takes_its_own(stage: Stage, commits: Commits) -> None:
    made = stage.create("CfgSkill", tenantDBID=1, name="a")
    stage.host.room = 0
    outcomes = stage.group(skill("b"), ("CFG.DELETE", "CfgSkill", made), skill("c"))
    assert [line.split()[0] for line in words(outcomes)] == ["BUSY", "3", "BUSY"]
    assert commits.sizes == [1, 1]
