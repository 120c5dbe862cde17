"""Images whose keys another key table built get this one's, and nothing else changes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from csp._fastpath import StoreKeys, StoreReader, crc32c, next_mark
from csp.model.accounts import build_account_image
from csp.model.entry import Change, build_entry, mark_of
from csp.model.extract import Nothing
from csp.model.image import build_image, parse_header
from csp.model.keys import KEYS, TABLE_DIGEST
from csp.model.rekey import Images, rekeyed, rekeyed_entry
from csp.model.types import CLASSES
from tests.neighbours.memory_store import MemoryStore

PERSON, LOGIN = CLASSES["CfgPerson"], CLASSES["CfgAgentLogin"]
LAST_NAME = KEYS["CfgPerson", "last_name"].key_id
SWITCH = KEYS["CfgPerson", "switch_dbid"].key_id


class Logins:
    """One agent login, on switch 55."""

    def get(self, class_name: str, dbid: int) -> dict[str, Any] | None:
        return {"DBID": 9, "switchDBID": 55} if (class_name, dbid) == ("CfgAgentLogin", 9) else None


def person(dbid: int, last_name: str) -> dict[str, Any]:
    logins = [{"agentLoginDBID": 9, "wrapupTime": 0}]
    return {
        "DBID": dbid, "revision": 1, "folderDBID": 120, "tenantDBID": 1, "isAgent": True,
        "employeeID": str(dbid), "userName": f"u{dbid}", "lastName": last_name,
        "agentInfo": {"agentLogins": logins},
    }  # fmt: skip


def foreign(image: bytes) -> bytes:
    """The image as a table with no keys at all would have built it."""
    header = parse_header(image)
    size = header.size - header.keys_size - (header.size - header.keys_size) % 8
    frames = 64 + header.reply_size + header.brief_size
    body = bytearray(image[:frames].ljust((frames + 7) & ~7, b"\0"))
    assert size <= len(body) <= header.size
    struct.pack_into("<I", body, 32, len(body))
    struct.pack_into("<I", body, 56, 0)
    struct.pack_into("<I", body, 8, crc32c(bytes(body[16:])))
    return bytes(body)


def entry_of_another(revision: int, mark: int, changes: list[Change], images: list[bytes]) -> bytes:
    """The entry with the digest of another table."""
    entry = bytearray(build_entry(revision, mark, 0, {}, changes, images))
    struct.pack_into("<Q", entry, 48, TABLE_DIGEST ^ 1)
    struct.pack_into("<Q", entry, 24, next_mark(mark, bytes(entry)))
    struct.pack_into("<I", entry, 8, crc32c(bytes(entry[12:])))
    return bytes(entry)


def test_an_image_gets_this_tables_keys_and_keeps_all_else() -> None:
    image = build_image(PERSON, person(101, "Lovelace"), 5, Logins())
    assert foreign(image) != image
    assert rekeyed(foreign(image), Logins()) == image
    account = build_account_image(101, {"hash": "x"}, 5)
    assert rekeyed(account, Nothing()) == account


def test_keys_lead_through_what_the_same_change_makes() -> None:
    login = {"DBID": 9, "folderDBID": 1, "switchDBID": 55, "loginCode": "9", "tenantDBID": 1}
    images = [
        build_image(LOGIN, login, 6, Nothing()),
        build_image(PERSON, person(101, "Lovelace"), 6, Logins()),
    ]
    changes = [
        Change("create", LOGIN, 9, after=login),
        Change("create", PERSON, 101, after=person(101, "Lovelace")),
        Change("delete", PERSON, 102, before=person(102, "Hopper")),
    ]
    entry = entry_of_another(6, 7, changes, [*map(foreign, images), b""])
    assert rekeyed_entry(entry, lambda class_id, dbid: None) == [*images, b""]


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    made = MemoryStore(4 << 20)
    made.publish()
    yield made
    made.close()


def test_a_store_takes_a_foreign_change_with_keys_of_its_own(store: MemoryStore) -> None:
    image = build_image(PERSON, person(101, "Lovelace"), 2, Logins())
    change = Change("create", PERSON, 101, after=person(101, "Lovelace"))
    entry = entry_of_another(2, store.writer.mark, [change], [foreign(image)])
    with pytest.raises(StoreKeys):
        store.writer.apply(entry)
    assert store.writer.published == 1
    images = rekeyed_entry(entry, lambda *_: build_image(LOGIN, {"DBID": 9, "switchDBID": 55}, 1,
                                                         Nothing()))  # fmt: skip
    store.writer.apply(entry, (), images)
    reader = StoreReader(store.data_fd, store.control, 1)
    assert reader.find(LAST_NAME, b"Lovelace") == [101]
    assert reader.find(SWITCH, struct.pack("<I", 55)) == [101]
    assert reader.raw_entry(2) == entry  # who is fed gets what the master made
    assert store.writer.mark == mark_of(entry)


def test_objects_of_a_store_are_read_once() -> None:
    asked: list[tuple[int, int]] = []

    def find(class_id: int, dbid: int) -> bytes | None:
        asked.append((class_id, dbid))
        return None

    look = Images(find)
    assert [look.get("CfgAgentLogin", 9) for _ in range(3)] == [None] * 3
    assert asked == [(LOGIN.id, 9)]
