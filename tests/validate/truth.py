"""What was the case at each revision, by the master's own word, and who was to hear of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from tests.validate.history import Committed, Part, Record, Shown

FOREVER = 1 << 62
Span = tuple[int, int]  # first and last revision at which something is the case


class Truth:
    """The master's transactions, and the versions of each object."""

    def __init__(self, records: Iterable[Record]) -> None:
        found = [one for one in records if isinstance(one, Committed)]
        self.committed = {one.revision: one for one in found}
        self.revisions = sorted(self.committed)
        self._changes: dict[str, list[int]] = defaultdict(list)
        self._gone: dict[str, int] = {}
        self.parts: dict[str, Part] = {}  # by key: what is known of each object
        for revision in self.revisions:
            for part in self.committed[revision].parts:
                self.parts[part.key] = part
                changes = self._changes[part.key]
                if not changes or changes[-1] != revision:
                    changes.append(revision)
                if part.op == "delete":
                    self._gone[part.key] = revision

    def after(self, revision: int, last: int = FOREVER) -> Iterator[Committed]:
        """What was done after one revision, up to another."""
        for at in range(bisect_right(self.revisions, revision), len(self.revisions)):
            if self.revisions[at] > last:
                return
            yield self.committed[self.revisions[at]]

    def heard(self, channel: str, after: int, last: int) -> Iterator[tuple[Committed, list[Part]]]:
        """The transactions of which a subscription is told, and the parts that it is told."""
        for one in self.after(after, last):
            parts = [part for part in one.parts if matches(channel, part)]
            if parts:
                yield one, parts

    def is_there(self, key: str, first: int, last: int) -> bool:
        """Whether an object was there from one revision to another."""
        return self._changes[key][0] <= first and self._gone.get(key, FOREVER) > last

    def version_before(self, key: str, revision: int) -> int:
        """The revision at which an object was last changed before this one; 0: never."""
        changes = self._changes.get(key, [])
        at = bisect_left(changes, revision)
        return changes[at - 1] if at else 0

    def spans(self, shown: Shown) -> list[Span]:
        """The revisions at which an object looked so; none: it never did."""
        changes = self._changes.get(shown.key, [])
        if not shown.revision:
            # Before it was made, and after it was deleted: its number never comes back.
            before = [(0, changes[0] - 1)] if changes else [(0, FOREVER)]
            gone = self._gone.get(shown.key)
            return before + ([(gone, FOREVER)] if gone else [])
        if shown.revision not in changes or shown.revision == self._gone.get(shown.key):
            return []
        following = bisect_right(changes, shown.revision)
        last = changes[following] - 1 if following < len(changes) else FOREVER
        return [(shown.revision, last)]

    def spans_of_all(self, shown: Iterable[Shown]) -> list[Span]:
        """The revisions at which all of them looked so at once."""
        left: list[Span] = [(0, FOREVER)]
        for one in shown:
            spans = self.spans(one)
            met = [(max(a, c), min(b, d)) for a, b in left for c, d in spans]
            left = [span for span in met if span[0] <= span[1]]
        return left


def names_of(part: Part) -> list[str]:
    """The channels on which a change of an object is told."""
    class_name = part.key.partition(":")[0]
    tenant = f"cfg@{part.tenant}"
    return [f"cfg:{part.key}", f"cfg:{class_name}", "cfg", tenant, f"{tenant}:{class_name}"]


def matches(channel: str, part: Part) -> bool:
    """Whether a channel or pattern is about that object."""
    if any(letter in channel for letter in "*?["):
        return any(fnmatchcase(name, channel) for name in names_of(part))
    return channel in names_of(part)
