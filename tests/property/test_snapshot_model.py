"""Any changes at any moment of a snapshot: what is loaded from it is one state that there was."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csp.model.accounts import build_account_image
from csp.model.entry import Change, build_entry
from csp.model.extract import Nothing
from csp.model.feed import FED_CLASSES
from csp.model.image import build_image, build_tombstone
from csp.model.keys import KEYS
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, ENVIRONMENT
from csp.snapshot import write
from csp.snapshot.load import load_snapshot
from csp.snapshot.write import write_snapshot
from csp.store.host import StoreHost
from tests.effort import examples
from tests.neighbours import instances
from tests.unit.test_snapshot import APP
from tests.unit.test_store_host import load, open_host, read

PERSON = CLASSES["CfgPerson"]
DBIDS = (101, 103, 104, 105, 150, 4096, 4097, 9_000, 70_000)
SLICE_BYTES = 600  # an object or two
FIRST_REVISION = 5

# What a person is: None where there is none, else name and hash ("" for no account).
Person = tuple[str, str] | None
State = dict[int, Person]
ACTS = st.tuples(
    st.sampled_from(DBIDS),
    st.one_of(st.none(), st.tuples(st.sampled_from("abcde"), st.sampled_from(["", "x", "y"]))),
)

# A writer rests behind each block, and behind each class, two by two; persons come early, accounts
# last.
CLASS_RESTS = 2 * len(FED_CLASSES)
RESTS = st.one_of(
    st.integers(0, 12), st.integers(CLASS_RESTS - 4, CLASS_RESTS + 16), st.integers(0, CLASS_RESTS)
)


def person(dbid: int, name: str, revision: int) -> dict[str, Any]:
    return {
        "DBID": dbid, "revision": revision, "folderDBID": 3, "tenantDBID": 1, "state": "enabled",
        "userName": f"{name}{dbid}", "employeeID": f"e{dbid}", "lastName": name,
    }  # fmt: skip


class Source:
    """A store that changes, and the state of each of its revisions."""

    def __init__(self, host: StoreHost) -> None:
        self.host = host
        self.states: dict[int, State] = {}

    def change(self, dbid: int, to: Person) -> None:
        """Makes a person so, or takes it away, where that is a change."""
        now = self.states[self.host.published]
        before = now.get(dbid)
        if before == to:
            return
        revision = self.host.published + 1
        op = "delete" if to is None else "create" if before is None else "update"
        has_account = bool(before and before[1]) or bool(to and to[1])
        change = Change(
            op,
            PERSON,
            dbid,
            before=person(dbid, before[0], revision - 1) if before else None,
            after=person(dbid, to[0], revision) if to else None,
            account_changed=has_account,
        )
        body = build_image(PERSON, change.after, revision, Nothing()) if change.after else b""
        entry = build_entry(revision, self.host.mark, 2_000, {}, [change], [body])
        accounts = [account_of(dbid, to, revision)] if has_account else []
        self.host.apply(entry, accounts)
        self.states[revision] = now | {dbid: to}


def account_of(dbid: int, to: Person, revision: int) -> bytes:
    if to is None or not to[1]:
        return build_tombstone(ACCOUNT_CLASS_ID, dbid, revision, ENVIRONMENT)
    return build_account_image(dbid, {"user": f"{to[0]}{dbid}", "hash": to[1]}, revision)


def state_of(instance: str, host: StoreHost) -> State:
    """What a reader finds by number, by name and by filter; all must agree."""
    reader = read(instance, host)
    found: State = {}
    for dbid in DBIDS:
        image = host.image(PERSON.id, dbid)
        account = host.image(ACCOUNT_CLASS_ID, dbid) or b""
        secret = next((one for one in ("x", "y") if f'"hash":"{one}"'.encode() in account), "")
        if image is None:
            assert not secret
            continue
        name = next(one for one in "abcde" if f'"lastName":"{one}"'.encode() in image)
        key = KEYS["CfgPerson", "user_name"].key_id
        assert reader.find(key, f"{name}{dbid}".encode()) == [dbid]
        found[dbid] = (name, secret)
    assert reader.count(PERSON.id) == len(found)
    assert reader.probe(1) == 0
    return found


class Interleaved:
    """A pace that makes the next changes instead of resting."""

    def __init__(self, source: Source, turns: dict[int, list[tuple[int, Person]]]) -> None:
        self._source = source
        self._turns = turns
        self._number = -1

    def rest(self) -> None:
        self._number += 1
        for dbid, to in self._turns.get(self._number, ()):
            self._source.change(dbid, to)


@examples(60)
@given(
    before=st.lists(ACTS, max_size=12),
    turns=st.dictionaries(RESTS, st.lists(ACTS, min_size=1, max_size=3), max_size=20),
)
def test_a_snapshot_is_one_state(
    before: list[tuple[int, Person]], turns: dict[int, list[tuple[int, Person]]]
) -> None:
    normal, write.SLICE_BYTES = write.SLICE_BYTES, SLICE_BYTES
    try:
        with (
            instances.made("snapshot-model-1") as first,
            instances.made("snapshot-model-2") as second,
            tempfile.TemporaryDirectory() as folder,
        ):
            host = open_host(first)
            load(host, range(101, 104), FIRST_REVISION)
            source = Source(host)
            source.states[FIRST_REVISION] = dict.fromkeys(DBIDS)
            for dbid, to in before:
                source.change(dbid, to)
            path = Path(folder) / "snapshot"
            pace: Any = Interleaved(source, turns)
            info = write_snapshot(first, path, APP, pace)
            other = open_host(second)
            load_snapshot(other, path, APP)
            wanted = source.states[info.end.revision]
            assert state_of(second, other) == {k: v for k, v in wanted.items() if v is not None}
            assert (other.published, other.mark) == (info.end.revision, info.end.mark)
            host.close()
            other.close()
    finally:
        write.SLICE_BYTES = normal
