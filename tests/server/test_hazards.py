"""What goes wrong in systems of this kind, at a master and a proxy whose link a test can spoil."""

from __future__ import annotations

import base64
import itertools
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import SteadyWriter, create_skills, status, wait_level
from tests.server.hot_stage import Raw, command

NAMES = itertools.count()


class Estate:
    """A master, a proxy that follows it over a link, and what tests change."""

    def __init__(self, folder: Path) -> None:
        self.master = Master(folder).start()
        self.link = CuttingLink(self.master.port)
        self.proxy = Proxy(folder, self.link.port).start()

    def close(self) -> None:
        self.proxy.__exit__()
        self.link.close()
        self.master.__exit__()

    def write(self, *words: Any) -> Any:
        with self.master.client() as client:
            return client.execute_command(*words)

    def create(self, class_name: str, **content: Any) -> int:
        return int(self.write("CFG.CREATE", class_name, json.dumps({"tenantDBID": 1} | content))[1])

    def update(self, class_name: str, dbid: int, **delta: Any) -> int:
        return int(self.write("CFG.UPDATE", class_name, dbid, json.dumps(delta)))

    def rename(self, dbid: int) -> int:
        return self.update("CfgSkill", dbid, changed={"name": f"hazard {next(NAMES)}"})

    def skill(self) -> int:
        return self.create("CfgSkill", name=f"hazard {next(NAMES)}")

    def wait_level(self) -> int:
        return wait_level(self.master, self.proxy)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The master is away for the proxy."""
        self.link.refuses = True
        self.link.cut()
        wait_until(lambda: status(self.proxy)["link"] == "down", 20, "the link is down")
        yield
        self.link.go_on()

    @contextmanager
    def stopped(self, role: str) -> Iterator[psutil.Process]:
        """A process of the proxy that stands still."""
        victim = self.proxy.child(role)
        victim.send_signal(signal.SIGSTOP)
        yield victim
        victim.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    estate = Estate(tmp_path_factory.mktemp("hazards"))
    yield estate
    estate.close()


def connect(server: Server) -> Raw:
    raw = Raw(server.port)
    assert raw.call("HELLO", 3, "AUTH", "default", PASSWORD)["proto"] == 3
    return raw


def follow(raw: Raw, revision: int | str, *channels: str) -> None:
    """Subscribes to what comes after a revision."""
    raw.send(command("CFG.FROM", revision, "SUBS", len(channels)) + command("SUBSCRIBE", *channels))
    assert raw.read()[0] == "cfg.from"
    assert [raw.read()[0] for _ in channels] == ["subscribe"] * len(channels)


def told(raw: Raw, last: int) -> list[dict[str, Any]]:
    """All changes up to a revision, notices left out."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["revision"] < last or found[-1]["more"]:
        content = json.loads(raw.read()[2])
        if "class" in content:
            found.append(content)
    return found


def said(change: dict[str, Any]) -> tuple[str, str, int]:
    return change["op"], change["class"], change["DBID"]


# ---- restored subscriptions


def test_a_change_a_deletion_and_a_creation_while_away_come_in_their_order(estate: Estate) -> None:
    """Of one object and its successor under the same name; none is left out, removals included."""
    name = f"hazard {next(NAMES)}"
    old = estate.create("CfgSkill", name=name)
    start = estate.wait_level()
    estate.update("CfgSkill", old, changed={"state": "disabled"})
    estate.write("CFG.DELETE", "CfgSkill", old)
    new = estate.create("CfgSkill", name=name)
    last = estate.update("CfgSkill", new, changed={"state": "disabled"})
    estate.wait_level()
    assert new != old  # the number of what was deleted never comes back
    for server in (estate.master, estate.proxy):
        raw = connect(server)
        follow(raw, start, "cfg:CfgSkill")
        changes = told(raw, last)
        assert [said(one) for one in changes] == [
            ("update", "CfgSkill", old),
            ("delete", "CfgSkill", old),
            ("create", "CfgSkill", new),
            ("update", "CfgSkill", new),
        ]
        assert changes[3]["base"] == changes[2]["revision"]
        raw.close()


def test_a_reading_and_the_changes_after_its_first_page_are_the_present(estate: Estate) -> None:
    """Between a read and a subscription nothing is missed and nothing comes that was read."""
    dbids = create_skills(estate.master, [f"paged {next(NAMES)}" for _ in range(60)])
    estate.wait_level()
    raw = connect(estate.proxy)
    held: dict[int, dict[str, Any]] = {}
    with SteadyWriter(estate.master, dbids) as writer:
        first, cursor = 0, "0"
        while True:
            revision, cursor, page = raw.call(
                "CFG.READ", "CfgSkill", "LIMIT", 10, *(["CURSOR", cursor] if cursor != "0" else [])
            )
            first = first or revision
            assert revision == first  # each page says from where nothing is missed
            held |= {one["DBID"]: one for one in map(json.loads, page)}
            writer.more(2)
            if cursor == "0":
                break
        follow(raw, first, "cfg:CfgSkill")
        writer.more(2)
    estate.wait_level()
    for change in told(raw, writer.revision):
        assert change["op"] == "update"
        present = held[change["DBID"]]
        if change["revision"] > present["revision"]:  # a later page may have it already
            assert change["base"] == present["revision"]
            present |= change["delta"]["changed"] | {"revision": change["revision"]}
    page = raw.call("CFG.READ", "CfgSkill", "LIMIT", 10_000)[2]
    assert held == {one["DBID"]: one for one in map(json.loads, page)}
    raw.close()


def test_who_subscribes_while_the_master_is_away_misses_nothing(estate: Estate) -> None:
    dbid = estate.skill()
    estate.wait_level()
    with estate.away():
        raw = connect(estate.proxy)
        follow(raw, "NOW", "cfg:CfgSkill")
        late = connect(estate.proxy)
        assert late.call("SUBSCRIBE", "cfg:CfgSkill")[0] == "subscribe"
        first = estate.rename(dbid)
        last = estate.rename(dbid)
    for one in (raw, late):
        assert [change["revision"] for change in told(one, last)] == [first, last]
        one.close()


def test_who_subscribes_while_the_writer_stands_still_misses_nothing(estate: Estate) -> None:
    dbid = estate.skill()
    estate.wait_level()
    with estate.stopped("writer"):
        raw = connect(estate.proxy)
        assert raw.call("SUBSCRIBE", "cfg:CfgSkill")[0] == "subscribe"
        first = estate.rename(dbid)
        last = estate.rename(dbid)
    assert [change["revision"] for change in told(raw, last)] == [first, last]
    raw.close()


def test_a_link_that_comes_and_goes_disturbs_no_client(estate: Estate) -> None:
    """Every connection stays, with its subscription, and is told each change once."""
    dbid = estate.skill()
    start = estate.wait_level()
    raws = [connect(estate.proxy) for _ in range(20)]
    for raw in raws:
        follow(raw, start, "cfg:CfgSkill")
    revisions = []
    for _ in range(4):
        estate.link.cut()
        revisions.append(estate.rename(dbid))
        estate.wait_level()
    for raw in raws:
        assert [one["revision"] for one in told(raw, revisions[-1])] == revisions
        assert raw.call("GET", f"CfgSkill:{dbid}") is not None
        raw.close()


# ---- what is old is said to be old


@pytest.mark.parametrize("role", ["writer", "worker 0", "auth"])
def test_a_process_that_stood_still_shows_nothing_older_than_is_asked_for(
    estate: Estate, role: str
) -> None:
    dbid = estate.skill()
    estate.wait_level()
    raw = connect(estate.proxy)
    with estate.stopped(role):
        last = estate.rename(dbid)
        if role == "writer":  # the worker goes on, and says that it has not got there
            refusal = raw.call("CFG.SYNC", last, "TIMEOUT", 200)
            assert refusal.startswith(f"-STALE revision {last} is not here after 200 ms")
        raw.send(command("CFG.SYNC", last) + command("GET", f"CfgSkill:{dbid}"))
    reached, shown = raw.read_all(2)
    assert reached >= last
    assert json.loads(shown)["revision"] == last
    raw.close()


@pytest.mark.long
@pytest.mark.timeout(60)
def test_a_master_that_is_gone_without_a_word_is_told_to_clients(estate: Estate) -> None:
    """The link drops all that is sent; no end of it is told to anybody."""
    dbid = estate.skill()
    estate.wait_level()
    raw = connect(estate.proxy)
    raw.socket.settimeout(30)
    assert raw.call("SUBSCRIBE", "cfg.notice")[0] == "subscribe"
    estate.link.drop()
    assert json.loads(raw.read()[2])["op"] == "stale"
    assert raw.call("CFG.SYNC", "TIMEOUT", 100).startswith("-MASTERDOWN")
    last = estate.rename(dbid)
    estate.link.go_on()
    assert json.loads(raw.read()[2])["op"] == "fresh"
    assert estate.wait_level() == last
    raw.close()


# ---- changes of many objects


def test_a_disabled_folder_tells_each_of_its_children_once(estate: Estate) -> None:
    page = estate.write("CFG.READ", "CfgFolder", "FILTER", "type", "skill")[2]
    top = json.loads(page[0])["DBID"]
    folder = {"name": f"hazard {next(NAMES)}", "type": "skill", "folderDBID": top}
    owner = {"ownerID": {"type": "tenant", "DBID": 1}}
    above = int(estate.write("CFG.CREATE", "CfgFolder", json.dumps(folder | owner))[1])
    children = [
        estate.create("CfgSkill", name=f"hazard {next(NAMES)}", folderDBID=above) for _ in range(5)
    ]
    start = estate.wait_level()
    raw = connect(estate.proxy)
    follow(raw, start, "cfg")
    last = estate.update("CfgFolder", above, changed={"state": "disabled"})
    changes = told(raw, last)
    assert said(changes[0]) == ("update", "CfgFolder", above)
    assert sorted(said(one) for one in changes[1:]) == [
        ("update", "CfgSkill", dbid) for dbid in children
    ]
    assert [one["more"] for one in changes] == [True] * 5 + [False]
    assert {one["revision"] for one in changes} == {last}
    assert raw.is_silent()
    raw.close()


def test_what_referred_to_an_object_changes_before_it_is_deleted(estate: Estate) -> None:
    skill = estate.skill()
    name = f"hazard{next(NAMES)}"
    levels = {"skillLevels": [{"skillDBID": skill, "level": 5}]}
    person = estate.create(
        "CfgPerson", userName=name, employeeID=name, isAgent=True, agentInfo=levels
    )
    start = estate.wait_level()
    raw = connect(estate.proxy)
    follow(raw, start, "cfg")
    last = int(estate.write("CFG.DELETE", "CfgSkill", skill))
    changes = told(raw, last)
    assert [said(one) for one in changes] == [
        ("update", "CfgPerson", person),
        ("delete", "CfgSkill", skill),
    ]
    assert {one["revision"] for one in changes} == {last}
    raw.close()


def test_the_same_number_in_another_class_is_another_object(estate: Estate) -> None:
    def person() -> int:
        name = f"hazard{next(NAMES)}"
        return estate.create("CfgPerson", userName=name, employeeID=name, isAgent=False)

    skill, other = estate.skill(), person()
    while skill != other:
        if skill < other:
            skill = estate.skill()
        else:
            other = person()
    start = estate.wait_level()
    raw = connect(estate.proxy)
    follow(raw, start, f"cfg:CfgPerson:{other}", f"cfg:CfgSkill:{skill}")
    last = int(estate.write("CFG.DELETE", "CfgSkill", skill))
    assert [said(one) for one in told(raw, last)] == [("delete", "CfgSkill", skill)]
    assert raw.is_silent()
    shown = raw.call("MGET", f"CfgSkill:{skill}", f"CfgPerson:{other}")
    assert shown[0] is None
    assert json.loads(shown[1])["DBID"] == other
    raw.close()


# ---- writes that can't be done


def test_a_write_to_a_read_only_proxy_names_the_master_and_reaches_nobody(estate: Estate) -> None:
    before = estate.wait_level()
    raw = connect(estate.proxy)
    refusal = raw.call("CFG.CREATE", "CfgSkill", json.dumps({"tenantDBID": 1, "name": "no"}))
    assert refusal.startswith("-READONLY")
    assert f"127.0.0.1:{estate.link.port}" in refusal
    raw.close()
    assert status(estate.master)["revision"] == before
    assert estate.write("CFG.FIND", "CfgSkill", "name", "no", "tenant_dbid", 1) is None


# ---- what is kept as it was said


def test_annexes_are_the_same_after_reads_deltas_and_restarts(estate: Estate) -> None:
    """Text of any script and bytes; a key, a section and an empty value are told apart."""
    octets = base64.b64encode(bytes(range(256))).decode()
    text = "Zürich, Łódź, 東京, \U0001f4de"
    skill = estate.skill()
    sections = {
        "kept": {"text": text, "bytes": {"base64": octets}, "empty": "", "zero": 0},
        text: {text: text},
        "gone": {"a": "1"},
        "shorter": {"a": "1", "b": "2"},
    }
    estate.update("CfgSkill", skill, userProperties={"changed": sections})
    estate.update("CfgSkill", skill, userProperties={"deleted": {"gone": None, "shorter": ["a"]}})
    estate.update("CfgSkill", skill, userProperties={"changed": {"kept": {"more": text}}})
    del sections["gone"], sections["shorter"]["a"]  # type: ignore[arg-type]
    sections["kept"]["more"] = text
    estate.wait_level()

    def shown(server: Server) -> Any:
        with server.client() as client:
            return json.loads(client.get(f"CfgSkill:{skill}"))["userProperties"]

    assert shown(estate.master) == shown(estate.proxy) == sections
    assert estate.proxy.stop() == 0
    assert estate.master.stop() == 0
    estate.master.start()
    estate.proxy.start()
    estate.wait_level()
    assert shown(estate.master) == shown(estate.proxy) == sections
