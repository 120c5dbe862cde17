"""What a snapshot says of itself: whose it is, its state, and by which tables it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from csp import __version__
from csp.model.entry import FORMAT as ENTRY_FORMAT
from csp.model.feed import FORMAT as FEED_FORMAT
from csp.model.feed import Position
from csp.model.keys import TABLE_DIGEST

# What a refusal makes of a file.
DAMAGED = "it is damaged"
OTHER_RELEASE = "it is of another release"
ANOTHERS = "it is another server's"


class SnapshotRefused(Exception):
    """A snapshot can't be used; the text says why, `kind` what that makes of it."""

    def __init__(self, text: str, kind: str = DAMAGED) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Info:
    """The description at the end of a snapshot."""

    application: str  # name of the proxy's Application
    begin: Position  # no record is older than what this state had
    end: Position  # the state that the file holds
    time_ms: int  # when that was committed, UTC
    heard_ms: int  # when the root was last known to have it
    written_ms: int
    record_bytes: int
    changes: int  # how many the log holds, up to `end`
    own: Mapping[str, Any] = field(default_factory=dict)  # the Application object; empty: none
    release: str = __version__
    feed_format: int = FEED_FORMAT  # of records, as one csp sends them to another
    entry_format: int = ENTRY_FORMAT
    table: int = TABLE_DIGEST  # by which the records' keys are built


def info_bytes(info: Info) -> bytes:
    """The description as it stands in the file."""
    return orjson.dumps(
        {
            "application": info.application,
            "stream": info.end.stream.hex(),
            "begin": info.begin.revision,
            "begin_mark": f"{info.begin.mark:016x}",
            "revision": info.end.revision,
            "mark": f"{info.end.mark:016x}",
            "time": info.time_ms,
            "heard": info.heard_ms,
            "written": info.written_ms,
            "record_bytes": info.record_bytes,
            "changes": info.changes,
            "own": info.own,
            "release": info.release,
            "feed_format": info.feed_format,
            "entry_format": info.entry_format,
            "table": f"{info.table:016x}",
        }
    )


def read_info(payload: bytes) -> Info:
    """Reads a description; raises SnapshotRefused."""
    try:
        said = orjson.loads(payload)
        forms, ours = (said["feed_format"], said["entry_format"]), (FEED_FORMAT, ENTRY_FORMAT)
        if forms != ours:
            raise SnapshotRefused(
                f"its records and changes have the forms {forms} of release {said['release']}, "
                f"this release ({__version__}) reads {ours}",
                OTHER_RELEASE,
            )
        stream = bytes.fromhex(said["stream"])
        return Info(
            application=str(said["application"]),
            begin=Position(stream, int(said["begin"]), int(said["begin_mark"], 16)),
            end=Position(stream, int(said["revision"]), int(said["mark"], 16)),
            time_ms=int(said["time"]),
            heard_ms=int(said["heard"]),
            written_ms=int(said["written"]),
            record_bytes=int(said["record_bytes"]),
            changes=int(said["changes"]),
            own=dict(said["own"]),
            release=str(said["release"]),
            table=int(said["table"], 16),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotRefused(f"its description can't be read: {error!r}") from error
