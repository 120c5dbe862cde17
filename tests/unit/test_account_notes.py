"""What servers note of accounts: joined while it waits, and put into the records."""

from __future__ import annotations

import pytest

from csp.model import account_notes
from csp.model.account_notes import Notes, batch_of, noted, notes_in
from csp.model.accounts import AccountRecord, read_record, record_of
from csp.model.image import json_of

RECORD = AccountRecord("ann", "imported-1", "md5", 9, 5, 7, (("argon2id", "old"),), 100, 0)


def test_two_notes_of_an_account_are_one() -> None:
    notes = Notes()
    notes.add({"dbid": 2, "credential": 5, "login": 100})
    notes.add({"dbid": 1, "credential": 1, "locked": 3})
    notes.add({"dbid": 2, "credential": 5, "login": 50, "algorithm": "argon2id", "hash": "h"})
    notes.add({"dbid": 2, "credential": 4, "locked": 900})  # of an earlier password
    assert notes.take() == [
        {"dbid": 2, "credential": 5, "login": 100, "algorithm": "argon2id", "hash": "h"},
        {"dbid": 1, "credential": 1, "locked": 3},
    ]
    assert len(notes) == 0


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_notes, "NOTES_MAX", 3)
    notes = Notes()
    notes.add_all({"dbid": number, "credential": 1, "login": 1} for number in range(5))
    notes.add({"dbid": 2, "credential": 1, "login": 2})
    assert (len(notes), notes.lost) == (3, 2)


def test_a_record_takes_what_is_news() -> None:
    assert noted(RECORD, {"dbid": 1, "credential": 4, "login": 900}) is RECORD
    assert noted(RECORD, {"dbid": 1, "credential": 5, "login": 90}) == RECORD
    better = {"dbid": 1, "credential": 5, "login": 110, "algorithm": "argon2id", "hash": "new"}
    found = noted(RECORD, better)
    assert (found.algorithm, found.hash, found.login_ms) == ("argon2id", "new", 110)
    assert (found.credential, found.earlier) == (5, RECORD.earlier)
    weaker = {"dbid": 1, "credential": 5, "algorithm": "md5", "hash": "x"}
    assert noted(RECORD, weaker) == RECORD


def test_a_record_comes_back_from_its_row_and_from_its_image() -> None:
    assert record_of("ann", "imported-1", "md5", 9, RECORD.facts()) == RECORD
    assert read_record(json_of(RECORD.image(101))) == RECORD
    assert record_of("ann", "a", "h", 9, "").credential == 9  # of an earlier release


@pytest.mark.parametrize(
    "batch", [b"{}", b"[1]", b'[{"dbid":1}]', b'[{"dbid":1,"credential":1,"login":"x"}]', b"x"]
)
def test_what_is_no_batch_is_refused(batch: bytes) -> None:
    with pytest.raises(ValueError, match=r"note|expected|unexpected"):
        notes_in(batch)


def test_a_batch_travels() -> None:
    notes = [{"dbid": 1, "credential": 2, "login": 3}]
    assert notes_in(batch_of(notes)) == notes
