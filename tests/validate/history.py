"""What clients asked, were answered and were told, and what the master did: a JSON line each.

1. Records of one client stand in the order in which it saw them; times are of one clock.
2. A transaction writes one value, never used again, into all its objects, so that a value names it.
3. A client of `csp.client` has connection 0 for good, since it hides that its connections change;
   of others every connection has a number of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

NOW = -1  # a subscription that begins with what is there


@dataclass(frozen=True)
class Part:
    """What a transaction did to one object."""

    op: str
    key: str
    tenant: int


@dataclass(frozen=True)
class Committed:
    """A transaction as the master's own history tells it; value 0: none of ours."""

    revision: int
    value: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Write:
    """A write and what its author was told in the end: committed, rejected, unknown.

    `guards`: objects with the revisions at which its author had read them, and wanted them still.
    """

    who: str
    server: str
    began: float
    ended: float
    value: int
    state: str
    revision: int = 0
    guards: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Shown:
    """One object in a reply; revision 0: there is none."""

    key: str
    revision: int
    value: int


@dataclass(frozen=True)
class Read:
    """One command, or one EXEC, that shows objects."""

    who: str
    server: str
    connection: int
    began: float
    ended: float
    shown: tuple[Shown, ...]
    revision: int = 0  # that the reply states, if it does


@dataclass(frozen=True)
class Assured:
    """From here on this connection shows nothing older: by a token, or what CFG.SYNC said."""

    who: str
    server: str
    connection: int
    began: float
    time: float
    revision: int
    by: str  # "token", "sync"


@dataclass(frozen=True)
class Subscribed:
    """A subscription begins or goes on: after this revision (or NOW), as the server confirmed."""

    who: str
    server: str
    connection: int
    time: float
    channels: tuple[str, ...]
    after: int
    start: int
    mark: str = ""


@dataclass(frozen=True)
class Told:
    """A change that was pushed; `channel` is the subscription that it came by."""

    who: str
    server: str
    connection: int
    time: float
    channel: str
    op: str
    key: str
    revision: int
    value: int
    more: bool


@dataclass(frozen=True)
class State:
    """An object that a subscription which asked for the present was shown first."""

    who: str
    server: str
    connection: int
    time: float
    channel: str
    key: str
    revision: int
    value: int


@dataclass(frozen=True)
class Synced:
    """All that is there was shown; none of it is newer than this."""

    who: str
    server: str
    connection: int
    time: float
    revision: int


@dataclass(frozen=True)
class Bookmark:
    """All up to this revision was told."""

    who: str
    server: str
    connection: int
    time: float
    revision: int
    mark: str


@dataclass(frozen=True)
class Gap:
    """Changes may be missing; those from `oldest` on come (0: the server did not say)."""

    who: str
    server: str
    connection: int
    time: float
    why: str
    oldest: int = 0


@dataclass(frozen=True)
class Tracked:
    """A cache begins, empty: how it is told (tracker.MODES)."""

    who: str
    server: str
    connection: int
    time: float
    mode: str


@dataclass(frozen=True)
class Hit:
    """An object that was not asked for, because the cache had it."""

    who: str
    server: str
    connection: int
    time: float
    key: str
    revision: int
    value: int


@dataclass(frozen=True)
class Dropped:
    """An invalidation: of these keys, or of all that is held."""

    who: str
    server: str
    connection: int
    time: float
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Settled:
    """What changed up to this revision has had its time to be told on the other connection."""

    who: str
    server: str
    connection: int
    time: float
    revision: int


@dataclass(frozen=True)
class Finished:
    """Up to this revision the subscriber had time to be told everything."""

    who: str
    time: float
    revision: int


Cached = Tracked | Hit | Dropped | Settled
Heard = Subscribed | State | Synced | Told | Bookmark | Gap
Record = Committed | Write | Read | Assured | Heard | Cached | Finished
KINDS = {one.__name__: one for one in Record.__args__}  # type: ignore[attr-defined]


class Recorder:
    """Takes records from many threads."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._lock = threading.Lock()

    def add(self, record: Record) -> None:
        with self._lock:
            self.records.append(record)


def save(records: Iterable[Record], path: Path) -> None:
    """Writes a history, a line each."""
    with path.open("wb") as file:
        for record in records:
            file.write(orjson.dumps({"kind": type(record).__name__, **asdict(record)}) + b"\n")


def load(path: Path) -> list[Record]:
    """Reads what `save` wrote."""
    return [_record(orjson.loads(line)) for line in path.read_bytes().splitlines()]


def _record(fields: dict[str, object]) -> Record:
    kind = KINDS[str(fields.pop("kind"))]
    for name, of in (("parts", Part), ("shown", Shown)):
        if name in fields:
            fields[name] = tuple(of(**one) for one in fields[name])  # type: ignore[attr-defined]
    if "guards" in fields:
        fields["guards"] = tuple(tuple(one) for one in fields["guards"])  # type: ignore[attr-defined]
    for name in ("channels", "keys"):
        if name in fields:
            fields[name] = tuple(fields[name])  # type: ignore[arg-type]
    made: Record = kind(**fields)
    return made
