"""Gives another server a page of this one's log, so that nobody above has to be asked for it."""

from __future__ import annotations

from csp.worker.ports import Reader

PAGE_BYTES_MAX = 1 << 20
PAGE_ENTRIES_MAX = 1_000


def page_from(reader: Reader, first: int) -> list[bytes]:
    """Entries of the log that follow one another from a revision on; none where it lacks that one.

    A difference between two histories stands for changes that are not here: it ends a page.
    """
    found: list[bytes] = []
    size = 0
    for revision in range(first, min(reader.revision, first + PAGE_ENTRIES_MAX - 1) + 1):
        _, is_difference = reader.log_head(revision) or (0, True)
        entry = None if is_difference else reader.raw_entry(revision)
        if entry is None or (found and size + len(entry) > PAGE_BYTES_MAX):
            break
        found.append(entry)
        size += len(entry)
    return found
