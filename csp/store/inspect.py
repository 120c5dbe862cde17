"""Looks into the segments of a running or dead server on this host: figures, checks, contents.

1. It reads as a guest (guest.py), and never writes but to its own slot.
2. Records of accounts and grants are checked, but never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from csp._fastpath import Control, StoreReader
from csp.model.image import check_crc, json_of, parse_header, parse_image
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, GRANTS_CLASS_ID, by_id
from csp.process.roles import WORKER
from csp.store import segment
from csp.store.alarms import ALARM_FULL, is_raised
from csp.store.control import LINK_NAMES, STATE_NAMES
from csp.store.guest import Guest, Pinned
from csp.store.locks import LockHeld

# Records of the store's own that are checked too, and what they are called.
INNER = {ACCOUNT_CLASS_ID: "account", GRANTS_CLASS_ID: "grants"}
CONTROL = re.compile(r"csp-(.+)-control")


class NotHere(Exception):
    """No such instance, or no way in; the text says which."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that is not what it should be."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """An instance's store, attached to read."""

    instance: str
    control: Control
    reader: StoreReader


def instances() -> list[str]:
    """The instances that have segments on this host."""
    names = (CONTROL.fullmatch(path.name) for path in segment.SHM_FOLDER.iterdir())
    return sorted(match[1] for match in names if match)


@contextmanager
def attached(instance: str) -> Iterator[View]:
    """The store of an instance, through a guest slot."""
    try:
        control = Control(segment.open_control(instance))
    except segment.SegmentMissing:
        known = ", ".join(instances()) or "none"
        raise NotHere(f"no instance {instance!r} here; there are: {known}") from None
    if not control.generation:
        raise NotHere(f"{instance} has not loaded anything yet")
    try:
        guest = Guest(instance, control)
    except LockHeld as error:
        raise NotHere(str(error)) from None
    with closing(guest):
        yield View(instance, control, guest.reader)


def stat(view: View) -> dict[str, Any]:
    """Figures of the store."""
    control, reader = view.control, view.reader
    link, master_revision, _ = control.link()
    revision = reader.pin()
    counts = {cls.name: reader.count(cls.id) for cls in CLASSES.values()}
    found = {
        "instance": view.instance,
        "generation": control.generation,
        "state": STATE_NAMES[control.state],
        "link": LINK_NAMES[link],
        "stream": reader.stream.hex(),
        "revision": revision,
        "mark": f"{reader.mark:016x}",
        "oldest": reader.oldest,
        "master_revision": master_revision,
        "full": is_raised(control, ALARM_FULL),
        "objects": sum(counts.values()),
        "classes": counts,
        "segments": [_sizes(view.instance, number) for number in _generations(view.instance)],
        "readers": [_slot(control, slot) for slot in WORKER.slots if control.slot(slot)["pid"]],
    }
    reader.unpin()
    return found


def _generations(instance: str) -> list[int]:
    return segment.generations(instance)


def _sizes(instance: str, generation: int) -> dict[str, Any]:
    reserved, used = segment.sizes(instance, generation)
    return {"generation": generation, "reserved_bytes": reserved, "used_bytes": used}


def _slot(control: Control, slot: int) -> dict[str, Any]:
    found = control.slot(slot)
    return {"slot": slot, "pid": found["pid"], "generation": found["generation"]}


def verify(view: View) -> Iterator[Fault]:
    """Checks each record against its checksum, and names, lists and counts against the records."""
    for class_id in (*by_id, *INNER):
        yield from _verify_class(view.reader, class_id)
    errors = view.reader.probe(1)
    if errors:
        yield Fault("index", f"{errors} checks of names, lists, counts and checksums failed")


def _verify_class(reader: StoreReader, class_id: int) -> Iterator[Fault]:
    name = INNER[class_id] if class_id in INNER else by_id[class_id].name
    with Pinned(reader) as pinned:
        dbid = reader.raw_next_dbid(class_id, 0)
        while dbid:
            image = reader.raw_image(class_id, dbid)
            text = (
                "is in the index, but has no record" if image is None else _why_wrong(image, dbid)
            )
            if text:
                yield Fault(f"{name}:{dbid}", text)
            pinned.renew()
            dbid = reader.raw_next_dbid(class_id, dbid)


def _why_wrong(image: bytes, dbid: int) -> str:
    try:
        check_crc(image)
        header = parse_header(image)
        if header.dbid != dbid:
            return f"its record says DBID {header.dbid}"
        if header.class_id != GRANTS_CLASS_ID:
            parse_image(image)
    except ValueError as error:
        return str(error)
    return ""


def dump(
    view: View, class_name: str | None = None, on_renewed: Callable[[str], None] = lambda _: None
) -> Iterator[bytes]:
    """The JSON of all objects, or of one class, in DBID order, each class at one revision.

    A class that nobody took within GUEST_PIN_MS_MAX goes on at a newer revision: `on_renewed` hears
    of it in words.
    """
    chosen = [CLASSES[class_name]] if class_name else list(CLASSES.values())
    for cls in chosen:
        with Pinned(view.reader) as pinned:
            dbid = view.reader.raw_next_dbid(cls.id, 0)
            while dbid:
                image = view.reader.raw_image(cls.id, dbid)
                if image is not None:
                    yield json_of(image)
                if pinned.renew():
                    on_renewed(f"{cls.name} beyond {dbid} is of revision {pinned.revision}")
                dbid = view.reader.raw_next_dbid(cls.id, dbid)
