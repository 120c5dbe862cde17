"""Applies changes as they stand in a feed's bytes: all that continue, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csp._fastpath import StoreReader, follow
from csp.model.accounts import build_account_image
from csp.model.entry import Change, build_entry, mark_of
from csp.model.extract import Nothing
from csp.model.grants import GrantsChange, build_grants
from csp.model.image import build_image
from csp.model.rights import ALL, PROPAGATE, SYSTEM
from csp.model.types import CLASSES
from csp.resp import Decoder, request
from tests.neighbours.memory_store import MemoryStore

SKILL = CLASSES["CfgSkill"]


class Store(MemoryStore):
    """An empty store, and the frames of changes that would follow."""

    def frames(self, count: int, mark: int | None = None) -> list[bytes]:
        """One new skill each."""
        made, mark = [], self.writer.mark if mark is None else mark
        for revision in range(self.writer.published + 1, self.writer.published + 1 + count):
            skill = {
                "DBID": 100 + revision, "revision": revision, "folderDBID": 7, "tenantDBID": 1,
                "name": f"skill{revision}", "state": "enabled",
            }  # fmt: skip
            image = build_image(SKILL, skill, revision, Nothing())
            change = Change("create", SKILL, 100 + revision, after=skill)
            entry = build_entry(revision, mark, 0, {}, [change], [image])
            made.append(request("change", entry))
            mark = mark_of(entry)
        return made

    def follow(self, data: bytes) -> tuple[int, bool]:
        """As the feed's link does it."""
        return follow(self.writer, memoryview(data))


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store(4 << 20)
    made.publish()
    yield made
    made.close()


def test_changes_that_continue_are_published_one_by_one(store: Store) -> None:
    frames = store.frames(100)
    assert store.follow(b"".join(frames)) == (len(b"".join(frames)), True)
    assert store.writer.published == 101
    assert store.writer.stat()["log_entries"] == 100
    assert all(store.writer.image(SKILL.id, 100 + revision) for revision in range(2, 102))


def test_grants_come_as_other_changes_do(store: Store) -> None:
    place, grants = (SKILL.id, 101), {SYSTEM: ALL | PROPAGATE}
    given = GrantsChange("create", 1, place, grants)
    entry = build_entry(2, store.writer.mark, 0, {}, [given], [build_grants(1, place, grants, 2)])
    store.follow(request("change", entry))
    reader = StoreReader(store.data_fd, store.control, 1)
    assert (reader.raw_rights(*place, [SYSTEM]), reader.raw_rights_revision) == (ALL, 2)
    taken = GrantsChange("delete", 1, place, {})
    store.follow(request("change", build_entry(3, mark_of(entry), 0, {}, [taken], [b""])))
    assert (reader.raw_rights(*place, [SYSTEM]), reader.raw_rights_revision) == (0, 3)


def test_bytes_may_come_in_any_pieces(store: Store) -> None:
    frames = store.frames(3)
    data = b"".join(frames)
    at = 0
    for end in range(1, len(data) + 1):
        size, is_more = store.follow(data[at:end])
        assert is_more
        assert size in (0, end - at)
        at += size
        assert store.writer.published == 1 + sum(
            len(b"".join(frames[: i + 1])) <= end for i in range(3)
        )
    assert at == len(data)


@pytest.mark.parametrize(
    "other",
    [
        request("alive", 2, "0" * 16, 0),
        request("bye", "stops"),
        request("change"),
        request("change", "too short"),
        b"-ERR no\r\n",
        b"*2\r\n$6\r\nchange\r\n$-1\r\n",
        b"*2\r\n$6\r\nchange\r\n$99999999\r\n",
    ],
)
def test_what_is_no_change_is_left_where_it_stands(store: Store, other: bytes) -> None:
    first, second = store.frames(2)
    padding = bytes(64)  # what follows may be there already
    assert store.follow(first + other + padding + second) == (len(first), False)
    assert store.writer.published == 2


def test_a_change_of_another_history_is_not_taken(store: Store) -> None:
    first = store.frames(1)[0]
    other = store.frames(2, mark=99)[1]
    assert store.follow(first + other) == (len(first), False)
    assert store.follow(store.frames(3)[1]) == (0, False)  # one is missing
    assert store.writer.published == 2


def test_no_spoilt_byte_is_published(store: Store) -> None:
    (frame,) = store.frames(1)
    for at in range(len(frame)):
        spoilt = bytearray(frame)
        spoilt[at] ^= 0x11
        size, _ = store.follow(bytes(spoilt))
        assert size == 0, f"byte {at}"
    assert store.writer.published == 1
    assert store.follow(frame) == (len(frame), True)


def test_account_records_come_with_their_change(store: Store) -> None:
    (frame,) = store.frames(1)
    account = build_account_image(101, {"hash": "x"}, 2)
    entry = frame[frame.index(b"\r\n", 16) + 2 : -2]
    assert store.follow(request("change", entry, account))[0] > 0
    assert store.writer.image(250, 101) == account


def test_a_full_store_leaves_the_change_to_be_held_back(store: Store) -> None:
    while store.follow(b"".join(store.frames(500)))[1]:
        pass
    assert store.writer.published > 1
    assert store.follow(store.frames(1)[0]) == (0, False)


def test_a_decoder_lends_only_what_begins_with_a_value() -> None:
    decoder = Decoder()
    seen = []

    def take(unread: memoryview) -> tuple[int, bool]:
        seen.append(bytes(unread))
        return 0, False

    decoder.feed(b"*2\r\n$1\r\na\r\n")
    assert decoder.lend(take) is False
    assert list(decoder) == []  # the array has begun
    decoder.feed(b"$1\r\nb\r\n:7\r\n")
    assert decoder.lend(take) is False
    assert decoder.next() == [b"a", b"b"]
    assert decoder.lend(take) is False
    assert decoder.next() == 7
    assert seen == [b"*2\r\n$1\r\na\r\n", b":7\r\n"]
