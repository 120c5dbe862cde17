"""The feed between two csp as it goes over the wire, for both its ends: request, greeting, frames.

Pure: no socket, no clock; docs/internals/formats.md lays it out.

1. Who asks says FORMAT and who answers says it too; each refuses in words what it can't read.
2. A kind of frame that begins with `+` may be passed over by who doesn't know it; any other unknown
   one ends the feed.
3. Frames come packed where the sender said at CFG.REGISTER that it can, and who asks says so too.
4. The greeting's `table` is the digest by which the keys of the records are built, an entry's that
   of its images: where it is another than one's own, the keys are not believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csp.errors import BadValue, CspError
from csp.model.keys import TABLE_DIGEST
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, GRANTS_CLASS_ID, MAX_DBID, by_id

FORMAT = 3
PARTS_MAX = 64
SKIPPABLE = b"+"
REVISION_MAX = MARK_MAX = 2**64 - 1  # as the store keeps them
TIME_MS_MAX = 2**63 - 1
FORMAT_MAX = 2**31 - 1
CHAIN_MAX = 16  # servers from the root to the last proxy
PRESENT_MAX = 10_000  # servers that are registered somewhere above
IDENTITY_CHARACTERS_MAX = 300
RELEASE_CHARACTERS_MAX = 64
REASON_CHARACTERS_MAX = 300
# Whose records one csp gives another, in this order; a proxy keeps the same on its disk.
FED_CLASSES = (*sorted(by_id), ACCOUNT_CLASS_ID, GRANTS_CLASS_ID)
GREETING, RECORDS, PART, CHANGE, ALIVE, BYE, PACKED = (
    b"greeting", b"records", b"part", b"change", b"alive", b"bye", b"packed",
)  # fmt: skip
ROOT, CHAIN, PRESENT = b"+root", b"+chain", b"+present"
SIDE = (CHAIN, PRESENT)  # what is said of servers, not of the configuration
THERE, AWAY = b"there", b"away"
COMPRESSION = "zstd"  # the one there is; csp/model/packing.py
USAGE = "CFG.FEED takes FROM stream revision mark [PART i OF n] FORMAT f [COMPRESS zstd]"


class FeedError(Exception):
    """The feed can't go on as it is; the text says why."""

    word = ""  # of the error that the master answered with


class FeedRefused(FeedError):
    """The master answered with an error."""

    def __init__(self, text: str, word: str) -> None:
        super().__init__(text)
        self.word = word


class FeedEnded(FeedError):
    """The sender ended the feed in order: it is stopped, or the receiver is too far behind."""


@dataclass(frozen=True)
class Position:
    """A state of the world."""

    stream: bytes
    revision: int
    mark: int

    def __str__(self) -> str:
        return f"revision {self.revision} mark {self.mark:016x} of stream {self.stream.hex()}"


NOWHERE = Position(b"", 0, 0)


@dataclass(frozen=True)
class Asked:
    """What a request says: continue from `position`, or a part of everything."""

    stream: str  # 32 hex digits, "-" for none
    revision: int
    mark: str  # 16 hex digits, "-" for none
    part: int | None = None
    parts: int = 1
    packed: bool = False  # frames may come packed


@dataclass(frozen=True)
class Greeting:
    """The first frame of a feed."""

    release: str
    format: int
    position: Position
    snapshot: bool
    table: int  # 0: not said


# --- the request ---------------------------------------------------------------------------------


def request_words(position: Position, part: int | None = None, parts: int = 1) -> list[str]:
    """The arguments of CFG.FEED behind its name, to a sender that packs nothing."""
    words = ["FROM", "-", "0", "-"]
    if position.stream:
        words[1:] = position.stream.hex(), str(position.revision), f"{position.mark:016x}"
    if part is not None:
        words += ["PART", str(part), "OF", str(parts)]
    return [*words, "FORMAT", str(FORMAT)]


def packed_words(words: Sequence[str | int]) -> list[str | int]:
    """The same to a sender that can pack."""
    return [*words, "COMPRESS", COMPRESSION]


def can_pack(told: object) -> bool:
    """Whether the reply to CFG.REGISTER, in RESP2 or RESP3, says that the sender can pack."""
    if isinstance(told, list):
        told = dict(zip(told[::2], told[1::2], strict=False))
    if not isinstance(told, Mapping):
        return False
    return told.get(b"compression", told.get("compression")) in (COMPRESSION, COMPRESSION.encode())


def read_request(words: Sequence[bytes]) -> Asked:
    """Reads the arguments of CFG.FEED behind its name; refuses in words."""
    texts = [word.decode("utf-8", "replace") for word in words]
    packed = len(texts) in (8, 12) and texts[-2].upper() == "COMPRESS"
    if packed:
        if texts.pop().lower() != COMPRESSION:
            raise BadValue(f"this server compresses with {COMPRESSION} alone")
        texts.pop()
    if len(texts) not in (4, 6, 8, 10) or texts[0].upper() != "FROM":
        raise BadValue(USAGE)
    if len(texts) in (4, 8) or texts[-2].upper() != "FORMAT":
        raise BadValue(f"{USAGE}; this server speaks feed format {FORMAT}: update who asks")
    if texts[-1] != str(FORMAT):
        raise BadValue(
            f"this server speaks feed format {FORMAT}, not {texts[-1][:16]}: "
            "run the same release on both, the master first"
        )
    stream, mark = texts[1].lower(), texts[3].lower()
    if stream != "-" and not _is_hex(stream, 32):
        raise BadValue("the stream is 32 hex digits, or -")
    if mark != "-" and not _is_hex(mark, 16):
        raise BadValue("the mark is 16 hex digits, or -")
    revision = 0 if texts[2] == "-" else _number(texts[2])
    if len(texts) == 6:
        return Asked(stream, revision, mark, packed=packed)
    if texts[4].upper() != "PART" or texts[6].upper() != "OF":
        raise BadValue(USAGE)
    part, parts = _number(texts[5]), _number(texts[7])
    if not 0 <= part < parts <= PARTS_MAX:
        raise BadValue(f"PART i OF n: 0 <= i < n <= {PARTS_MAX}")
    return Asked(stream, revision, mark, part, parts, packed)


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and all(ch in "0123456789abcdef" for ch in text)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise CspError("value is not an integer or out of range")
    return int(text)


# --- the greeting --------------------------------------------------------------------------------


def greeting_words(release: str, position: Position, *, snapshot: bool) -> tuple[bytes, bytes]:
    """The greeting's frame."""
    said = {
        "release": release,
        "format": FORMAT,
        "stream": position.stream.hex(),
        "revision": position.revision,
        "mark": f"{position.mark:016x}",
        "mode": "snapshot" if snapshot else "continue",
        "table": f"{TABLE_DIGEST:016x}",
        "classes": list(CLASSES),
    }
    return GREETING, json.dumps(said, separators=(",", ":")).encode()


def read_greeting(payload: bytes) -> Greeting:
    """Reads the greeting's JSON; raises FeedError."""
    try:
        said: Mapping[str, Any] = json.loads(payload)
        return Greeting(
            release=str(said["release"])[:RELEASE_CHARACTERS_MAX],
            format=in_range(int(said["format"]), FORMAT_MAX),
            position=Position(
                stream=bytes.fromhex(said["stream"]),
                revision=in_range(int(said["revision"]), REVISION_MAX),
                mark=read_hex(said["mark"]),
            ),
            snapshot={"continue": False, "snapshot": True}[said["mode"]],
            table=read_hex(said.get("table") or "0"),
        )
    # JSON may nest deeper than Python's stack, and say a number that is no integer.
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise FeedError(f"the greeting can't be read: {error!r}"[:REASON_CHARACTERS_MAX]) from error


# --- the other frames ----------------------------------------------------------------------------


def part_words(part: int, position: Position, time_ms: int) -> tuple[bytes | int | str, ...]:
    """Part `part` is complete: what it holds was read at `position` at the latest."""
    return PART, part, position.revision, f"{position.mark:016x}", time_ms


def alive_words(revision: int, mark: int, time_ms: int) -> tuple[bytes | int | str, ...]:
    """What the sender has, and the root's time."""
    return ALIVE, revision, f"{mark:016x}", time_ms


def root_words(revision: int, *, is_there: bool) -> tuple[bytes | int | str, ...]:
    """The newest revision of the root that the sender has heard of, and if it reaches the root."""
    return ROOT, revision, THERE if is_there else AWAY


def read_root(words: Sequence[bytes]) -> tuple[int, bool]:
    """What `root_words` said; raises ValueError."""
    revision, there = words
    return in_range(int(revision), REVISION_MAX), {THERE: True, AWAY: False}[there]


def read_chain(words: Sequence[bytes], own: str) -> tuple[str, ...]:
    """The servers above, the nearest first; raises FeedError where they can't be followed."""
    names = tuple(word[:IDENTITY_CHARACTERS_MAX].decode("utf-8", "replace") for word in words)
    if own in names:
        circle = " follows ".join(names[: names.index(own) + 1])
        raise FeedError(f"a circle of proxies: {circle}, which is this server")
    if len(names) >= CHAIN_MAX:
        raise FeedError(f"a chain of more than {CHAIN_MAX} servers: {', '.join(names)}")
    return names


def read_present(words: Sequence[bytes]) -> frozenset[int]:
    """The DBIDs of the Applications of servers that are registered above; raises ValueError."""
    if len(words) > PRESENT_MAX:
        raise ValueError(f"{len(words)} servers are said to be there, of {PRESENT_MAX}")
    return frozenset(in_range(int(word), MAX_DBID) for word in words)


def read_numbers(words: Sequence[bytes]) -> tuple[int, int, int]:
    """Revision, mark and time, as the last three words of `part` and `alive` say them.

    Raises ValueError.
    """
    revision, mark, time_ms = words[-3:]
    return (
        in_range(int(revision), REVISION_MAX),
        read_hex(mark.decode("ascii")),
        in_range(int(time_ms), TIME_MS_MAX),
    )


def read_hex(text: str) -> int:
    """A mark or a digest; raises ValueError."""
    return in_range(int(text, 16), MARK_MAX)


def in_range(number: int, most: int) -> int:
    """A number from 0 to `most`; another is a ValueError."""
    if not 0 <= number <= most:
        raise ValueError(f"a number is not in the range 0 to {most}")
    return number


def may_skip(kind: bytes) -> bool:
    """Whether a frame of a kind that is not known may be passed over."""
    return kind.startswith(SKIPPABLE)
