"""Matches keys against the patterns of Redis, in time bounded by pattern times text.

1. `*` any run, `?` any byte, `[abc]`, `[^abc]`, `[a-z]`, a backslash before what means itself.
2. Only the last star is tried again, so no pattern costs more than its length times the text's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Match = Callable[[bytes], bool]


@dataclass(frozen=True)
class _One:
    """One byte of a set, or, negated, one that is not of it."""

    members: frozenset[int]
    negated: bool = False

    def takes(self, byte: int) -> bool:
        """Whether this byte fits."""
        return (byte in self.members) != self.negated


_ANY = _One(frozenset(), negated=True)
_Part = _One | None  # None is a star


def compile_glob(pattern: bytes) -> Match:
    """A function that says whether a text matches."""
    parts: list[_Part] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            if not parts or parts[-1] is not None:
                parts.append(None)
            at += 1
        elif byte == b"?":
            parts.append(_ANY)
            at += 1
        elif byte == b"[":
            one, at = _set(pattern, at + 1)
            parts.append(one)
        else:
            if byte == b"\\" and at + 1 < len(pattern):
                at += 1
            parts.append(_One(frozenset(pattern[at : at + 1])))
            at += 1
    return lambda text: _matches(parts, text)


def _set(pattern: bytes, at: int) -> tuple[_One, int]:
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members: set[int] = set()
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            members.add(pattern[at + 1])
            at += 2
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(pattern[at])
            at += 1
    return _One(frozenset(members), negated), at + 1


def _matches(parts: list[_Part], text: bytes) -> bool:
    part = byte = 0
    star, resume = -1, 0
    while byte < len(text):
        if part < len(parts) and parts[part] is None:
            star, resume = part, byte
            part += 1
            continue
        one = parts[part] if part < len(parts) else None
        if one is not None and one.takes(text[byte]):
            part += 1
            byte += 1
        elif star >= 0:
            # The last star takes one byte more.
            resume += 1
            part, byte = star + 1, resume
        else:
            return False
    return all(one is None for one in parts[part:])
