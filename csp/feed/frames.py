"""Reads the frames of a feed: arrays of strings, the first of which is the kind.

docs/internals/formats.md lays them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from csp._fastpath import next_mark
from csp.model.feed import BYE, REASON_CHARACTERS_MAX, FeedEnded, FeedError, FeedRefused
from csp.resp import ErrorReply, Value

ENTRY_HEAD = Struct("<IIIIQQqIIQQ")


@dataclass(frozen=True)
class Change:
    """A transaction as it was received: the entry, and the account records that belong to it."""

    entry: bytes
    accounts: Sequence[bytes]
    revision: int
    mark: int
    time_ms: int

    def continues(self, mark: int) -> bool:
        """Whether this change's mark follows from the one before it."""
        return next_mark(mark, self.entry) == self.mark

    @property
    def size_bytes(self) -> int:
        """What it takes while it waits."""
        return len(self.entry) + sum(len(image) for image in self.accounts)


def read_frame(value: Value) -> tuple[bytes, list[bytes]]:
    """A frame's kind and the strings that follow."""
    if isinstance(value, ErrorReply):
        hint = "; an older release? update the master first" if "syntax" in str(value) else ""
        raise FeedRefused(f"the master refuses the feed: {value}{hint}", value.word)
    if not isinstance(value, list) or not value:
        raise FeedError("the master sends a value that is not a frame")
    words = [word for word in value if isinstance(word, bytes)]
    if len(words) != len(value):
        raise FeedError("the master sends a frame that is not made of strings")
    return words[0], words[1:]


def read_change(frame: Sequence[bytes]) -> Change:
    """A `change` frame."""
    if not frame or len(frame[0]) < ENTRY_HEAD.size:
        raise FeedError("the master sends a change without an entry")
    _, _, _, _, revision, mark, time_ms, *_ = ENTRY_HEAD.unpack_from(frame[0])
    return Change(frame[0], frame[1:], revision, mark, time_ms)


def not_here(kind: bytes, frame: Sequence[bytes]) -> FeedError:
    """Why a frame of this kind ends the feed."""
    if kind == BYE:
        text = frame[0].decode("utf-8", "replace") if frame else "without a reason"
        return FeedEnded(f"the master ends the feed: {text[:REASON_CHARACTERS_MAX]}")
    return FeedError(f"a frame {kind[:32]!r} of {len(frame)} strings does not belong here")
