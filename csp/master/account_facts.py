"""Puts into account records what servers note of them: sign-ins, locks, better hashes.

1. Such a change has a revision of its own, so that it reaches every store and proxy; its entry
   names no object, and the history does not have it (as token_keys.py).
2. The records of one step go together; who is noted often costs no more than once a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from csp.master.accounts import PERSON, Accounts, put_record
from csp.master.build import Built
from csp.master.rows import ChangeRows
from csp.model.account_notes import Note, noted
from csp.model.entry import build_keys_entry

STEP_MAX: Final = 200  # records of one transaction: some 20 ms


def build_facts(
    accounts: Accounts, notes: Iterable[Note], revision: int, prev_mark: int, time_ms: int
) -> Built | None:
    """The change that the notes make; None where they are no news."""
    built = Built(ChangeRows(revision, 0, time_ms))
    rows, dbids = built.rows, []
    for note in notes:
        dbid = int(note["dbid"])
        before = accounts.account(PERSON.id, dbid)
        after = noted(before, note) if before is not None else None
        if after is None or after == before:
            continue
        dbids.append(dbid)
        after = replace(after, revision=revision)
        put_record(rows, dbid, after)
        built.accounts.append(after.image(dbid))
    if not dbids:
        return None
    built.entry = build_keys_entry(revision, prev_mark, time_ms, dbids)
    rows.take_entry(built.entry)
    return built
