"""The events that csp logs: number, level and words, in one table.

Operators know the numbers below 50000; csp's own begin at 51000.
A tool may rely on a number and on the names of its fields; the words may change.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

ALARM = logging.CRITICAL  # somebody must act


@dataclass(frozen=True)
class Event:
    """One kind of event: its level and the words that its fields are put into."""

    number: str
    level: int
    words: str


_TABLE = (
    # The link to the configuration server above.
    Event("04500", logging.INFO, "connecting to the configuration server {host}:{port}"),
    Event("04502", logging.WARNING, "cannot connect to {host}:{port}: {reason}"),
    Event("04503", logging.INFO, "connected to the configuration server {host}:{port}"),
    Event("04504", logging.WARNING, "connection to {host}:{port} lost: {reason}"),
    # Changes of objects.
    Event("24200", logging.INFO, "object created: {type} {name} (DBID {dbid}) by {client}"),
    Event("24201", logging.INFO, "object changed: {type} {name} (DBID {dbid}) by {client}"),
    Event("24202", logging.INFO, "object deleted: {type} {name} (DBID {dbid}) by {client}"),
    # The server as a whole.
    Event("51000", logging.INFO, "csp {release} starts as {mode} {app}, instance {instance}"),
    Event("51001", logging.INFO, "ready at {address}"),
    Event("51002", logging.INFO, "stopping: {reason}"),
    Event("51003", logging.INFO, "stopped"),
    Event("51004", logging.INFO, "attached to the segments of an earlier run"),
    Event("51005", logging.WARNING, "segments of an earlier run are of no use: {reason}"),
    Event("51006", logging.INFO, "signal {signal} taken: {text}"),
    Event("51007", logging.WARNING, "option {section}/{option} is set but not honoured: {reason}"),
    Event("51008", logging.WARNING, "log: {count} lines were dropped, the output took nothing"),
    Event("51009", logging.INFO, "option {section}/{option} is {value} from now on"),
    Event("51010", logging.INFO, "option {section}/{option} will be {value} at the next start"),
    # Its processes.
    Event("51100", logging.INFO, "{role} started, pid {pid}"),
    Event("51101", logging.INFO, "{role} is ready after {elapsed_ms} ms"),
    Event("51102", logging.ERROR, "{role} (pid {pid}) died: {reason}; restart in {delay_ms} ms"),
    Event("51103", ALARM, "{role} (pid {pid}) hangs: {reason}; killed"),
    Event("51104", logging.INFO, "{role} (pid {pid}) ended: {reason}"),
    Event("51105", logging.WARNING, "{role} waits for the lock of its predecessor"),
    # The feed and the writer.
    Event("51300", logging.INFO, "the feed {reason}"),
    Event("51301", logging.WARNING, "loading anew: {reason}"),
    Event("51302", logging.INFO, "loaded: revision {revision}, {bytes} bytes in {elapsed_ms} ms"),
    Event("51303", logging.WARNING, "{text}"),
    Event("51304", logging.ERROR, "changes wait at revision {revision}: {reason}"),
    Event("51305", logging.INFO, "there is room again: changes applied up to revision {revision}"),
    Event("51310", ALARM, "the store is full, {room_bytes} bytes left: growth is refused{held}"),
    Event("51311", ALARM, "the store has room again, {room_bytes} bytes: the alarm is over"),
    Event("51312", logging.ERROR, "a worker was cut off: {reason}"),
    Event("51313", logging.INFO, "the store was recovered: revision {revision} in {elapsed_ms} ms"),
    Event("51314", logging.ERROR, "generation {generation} can't be changed any more: {reason}"),
    Event("51315", logging.WARNING, "the difference is too large: subscribers have to read anew"),
    Event("51316", logging.WARNING, "no room for the difference, subscribers read anew: {reason}"),
    Event("51317", ALARM, "the database is lost: {reason}; reads go on, writes are refused"),
    Event("51318", logging.INFO, "the database is back after {elapsed_ms} ms"),
    Event("51319", ALARM, "no writes any more: {reason}"),
    Event("51320", ALARM, "the database is there but fails: {reason}"),
    Event(
        "51321",
        ALARM,
        "damaged record in memory: {type} {dbid}, revision {revision}; the store is loaded anew",
    ),
    Event(
        "51322",
        ALARM,
        "memory is held back: {holder} has read one revision for {held_ms} ms, {bytes} bytes wait"
        " for it; end that process if it does not let go",
    ),
    Event("51324", ALARM, "the store contradicts itself: {reason}"),
    Event("51323", ALARM, "memory comes back: nobody reads an old revision any more"),
    # Sign-in.
    Event("51200", logging.WARNING, "sign-in of {user} refused: {reason}"),
    Event("51201", logging.WARNING, "{address} speaks another protocol (HTTP?) and was closed"),
)

EVENTS = {event.number: event for event in _TABLE}


def log_event(log: logging.Logger, number: str, **fields: object) -> None:
    """Logs one event of the table with its fields."""
    event = EVENTS[number]
    if log.isEnabledFor(event.level):
        text = event.words.format(**fields)
        log.log(event.level, "%s", text, extra={"event": number, "fields": fields}, stacklevel=2)
