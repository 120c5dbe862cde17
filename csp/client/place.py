"""How far a subscription has come: where it goes on over a new link, and what was told."""

# 1. A link may be lost within a transaction. So a subscription goes on before the newest revision
#    of which anything was told, and what was told of that comes again and is passed over.
# 2. The mark of the place is said where it is known, at the beginning and at a bookmark: another
#    history is refused by it.

from __future__ import annotations

from typing import Any

from csp.resp import request

BOOKMARK_MS = 10_000  # from one to the next: so old is a place at most while nothing changes


class Place:
    """The revision that is being told, and what of it was."""

    def __init__(self) -> None:
        self._revision = -1  # not known
        self._mark = ""  # of the revision, while nothing more of it can come
        self._told: set[tuple[str, ...]] = set()  # of the revision; if any, more may come

    def request(self, subscriptions: int) -> bytes:
        """CFG.FROM for so many subscriptions; the first time from what there is now."""
        words: list[str | int] = ["NOW"]
        if self._revision >= 0:
            words = [self._revision - 1 if self._told else self._revision]
            if self._mark:
                words += ["MARK", self._mark]
        return request("CFG.FROM", *words, "SUBS", subscriptions, "BOOKMARKS", BOOKMARK_MS)

    def begin(self, revision: int, mark: str) -> None:
        """All up to here is known."""
        self._revision, self._mark = revision, mark
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
            self.begin(revision, "")
        elif part in self._told:
            return False
        self._told.add(part)
        return True
