"""What servers tell each other of accounts besides the configuration: sign-ins, locks, hashes.

A note is JSON: dbid (of the Person), credential (the revision at which the password was set), and

    login           when he signed in last, milliseconds UTC
    locked          until when the account is locked
    algorithm, hash a better hash of the password that it has

1. Notes go from worker to writer, from a proxy's writer to its master, and there into the account
   record, which takes them to all servers; they touch neither the Person nor who may see what.
2. Two notes of one account are one: the later time of each kind, and either hash.
3. A note of another credential than the record's says nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import orjson

from csp.model.accounts import AccountRecord

Note = dict[str, Any]

NOTES_MAX: Final = 20_000  # of different accounts, that wait to be passed on
BATCH_MAX: Final = 1_000  # of one message
OURS: Final = "argon2id"
_TIMES: Final = ("login", "locked")


class Notes:
    """Those that wait to be passed on."""

    def __init__(self) -> None:
        self._by_dbid: dict[int, Note] = {}
        self.lost = 0  # for want of room

    def __len__(self) -> int:
        return len(self._by_dbid)

    def add(self, note: Note) -> None:
        """Takes one, or joins it to the one that waits; ValueError where it is none."""
        dbid, credential = int(note["dbid"]), int(note["credential"])
        known = self._by_dbid.get(dbid)
        if known is None and len(self._by_dbid) >= NOTES_MAX:
            self.lost += 1
        elif known is None or known["credential"] < credential:
            self._by_dbid[dbid] = dict(note)
        elif known["credential"] == credential:
            times = {name: max(known.get(name, 0), note.get(name, 0)) for name in _TIMES}
            known.update(note)
            known.update({name: time for name, time in times.items() if time})

    def add_all(self, notes: Iterable[Note]) -> None:
        """Takes several."""
        for note in notes:
            self.add(note)

    def take(self, most: int = BATCH_MAX) -> list[Note]:
        """The oldest ones, which wait no more."""
        some = list(self._by_dbid)[:most]
        return [self._by_dbid.pop(dbid) for dbid in some]


def batch_of(notes: list[Note]) -> bytes:
    """Notes on their way."""
    return orjson.dumps(notes)


def notes_in(batch: bytes) -> list[Note]:
    """What `batch_of` wrote; ValueError for anything else."""
    found = orjson.loads(batch)
    if not isinstance(found, list):
        raise ValueError("a batch of notes of accounts is a list of maps")
    return [_checked(one) for one in found]


def _checked(note: object) -> Note:
    if not isinstance(note, dict):
        raise ValueError("a note of an account is a map")
    for name in ("dbid", "credential"):
        if not isinstance(note.get(name), int):
            raise ValueError(f"a note of an account has a number for {name}")
    for name in _TIMES:
        if not isinstance(note.get(name, 0), int):
            raise ValueError(f"{name} of a note of an account is a number")
    for name in ("algorithm", "hash"):
        if not isinstance(note.get(name, ""), str):
            raise ValueError(f"{name} of a note of an account is a text")
    return note


def noted(record: AccountRecord, note: Note) -> AccountRecord:
    """The record as a note makes it; the same one where the note is no news."""
    if int(note["credential"]) != record.credential:
        return record
    login_ms = max(record.login_ms, note.get("login", 0))
    locked_ms = max(record.locked_ms, note.get("locked", 0))
    found = replace(record, login_ms=login_ms, locked_ms=locked_ms)
    if note.get("hash") and note.get("algorithm") == OURS and note["hash"] != record.hash:
        found = replace(found, algorithm=OURS, hash=note["hash"])
    return found
