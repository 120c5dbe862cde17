"""How far a subscription has come: where it goes on over a new link, and what was told."""

# 1. A link may be lost within a transaction. So a subscription goes on before the newest revision
#    of which anything was told, and what was told of that comes again and is passed over.
# 2. A mark is known at the beginning and at a bookmark. The latest one is asked about first: where
#    the server has another history there (its database was put back), it refuses, and nobody takes
#    one history's changes for the other's. The second CFG.FROM replaces the first.

from __future__ import annotations

from typing import Any

from csp.resp import request

BOOKMARK_MS = 10_000  # from one to the next: so old is a place at most while nothing changes


class Place:
    """The revision that is being told, and what of it was."""

    def __init__(self) -> None:
        self._revision = -1  # not known
        self._marked: tuple[int, str] | None = None  # the newest revision with a known mark
        self._told: set[tuple[str, ...]] = set()  # of the revision; if any, more may come

    def requests(self, subscriptions: int) -> list[bytes]:
        """CFG.FROM for so many subscriptions, once or twice; the first time from what is there."""
        last: tuple[str | int, ...] = ("SUBS", subscriptions, "BOOKMARKS", BOOKMARK_MS)
        if self._revision < 0:
            return [request("CFG.FROM", "NOW", *last)]
        found = []
        if self._marked is not None:
            revision, mark = self._marked
            found.append(request("CFG.FROM", revision, "MARK", mark, *last))
        if self._marked is None or self._told or self._revision != self._marked[0]:
            place = self._revision - 1 if self._told else self._revision
            found.append(request("CFG.FROM", place, *last))
        return found

    def begin(self, revision: int, mark: str) -> None:
        """All up to here is known."""
        self._revision = revision
        self._marked = (revision, mark) if mark else None
        self._told = set()

    def forget(self) -> None:
        """Goes on from what there is then."""
        self.begin(-1, "")

    @property
    def is_known(self) -> bool:
        """Whether there is one to go on from."""
        return self._revision >= 0

    def take(self, heard_by: tuple[str, ...], content: dict[str, Any]) -> bool:
        """Notes a change that is told; False: it was told before, by the same subscription."""
        # A difference between two histories tells objects of any age: it moves no place back.
        revision = content["revision"]
        if self._revision < 0 or revision < self._revision:
            return True
        part = (*heard_by, content["op"], content["class"], str(content["DBID"]))
        if revision > self._revision:
            self._revision, self._told = revision, set()
        elif part in self._told:
            return False
        self._told.add(part)
        return True
