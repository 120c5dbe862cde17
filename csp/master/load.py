"""Brings the database's content into the store: all of it, or what a restarted writer missed.

1. A load sees one revision of the database, read in one transaction of its own.
2. Classes whose attributes make keys of other classes come first, so that nothing is looked up
   object by object.
3. The log's window is seeded from the history, the newest entries first in importance.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from csp._fastpath import StoreFull
from csp.master.accounts import PERSON
from csp.master.build import object_of
from csp.master.database import Database, Head
from csp.master.entries import entries_from, mark_at
from csp.master.heap import without_cycle_search
from csp.master.pairs import pairs, pairs_seen_by
from csp.master.published import HostView
from csp.master.reading import accounts, grants, object_row, objects_after, reading
from csp.master.token_keys import keys_seen_by, sealing_seen_by, token_keys
from csp.model.accounts import record_of
from csp.model.entry import accounts_changed, revision_of
from csp.model.extract import Object as JsonObject
from csp.model.grants import build_grants
from csp.model.image import build_image, build_tombstone
from csp.model.keys import KEYS
from csp.model.pairs import PAIRS_DBID, pairs_image
from csp.model.places import OWN_GRANTS
from csp.model.sealing import sealing_key
from csp.model.token_keys import KEYS_DBID, keys_image
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, ENVIRONMENT, MAX_DBID, ObjectClass, by_id
from csp.observe.events import log_event
from csp.process.origin import StoreForOrigin
from csp.rules.complete import ACCESS_GROUP, FOLDER

LOG_BYTES_MAX: Final = 64 * 1024 * 1024  # of history that a freshly loaded store is given
IMAGES_BYTES: Final = 1024 * 1024  # handed to the store at a time

log = logging.getLogger("csp.master")

Note = Callable[[int, int, JsonObject], None]


def looked_through() -> tuple[str, ...]:
    """Classes through which keys of other classes go ("a>Class.b"), or that own folders."""
    named = {key.source.partition(">")[2].partition(".")[0] for key in KEYS.values()}
    return tuple(name for name in ("CfgSwitch", *sorted(named - {"", "CfgSwitch"})))


class Rows:
    """Objects read from rows, as csp.model looks them up while building images."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # Attributes of the objects that keys go through: numbers and parts of a few bytes.
        self._kept: dict[tuple[str, int], JsonObject] = {}
        self._through = frozenset(looked_through())

    def get(self, class_name: str, dbid: int) -> JsonObject | None:
        found = self._kept.get((class_name, dbid))
        if found is None:
            found = self._read(CLASSES[class_name], dbid)
        return found

    def _read(self, cls: ObjectClass, dbid: int) -> JsonObject | None:
        row = object_row(self.connection, cls.id, dbid)
        return None if row is None else object_of(cls, dbid, row.revision, row.body)

    def images(
        self, cls: ObjectClass, note: Note | None = None, low: int = 1, high: int = MAX_DBID
    ) -> Iterator[tuple[int, bytes]]:
        """(DBID, image) of a class's objects from `low` to `high`, in DBID order."""
        after = low - 1
        keep = cls.name in self._through
        while True:
            rows = objects_after(self.connection, cls.id, after)
            for dbid, revision, body, flags in rows:
                if dbid > high:
                    return
                obj = object_of(cls, dbid, revision, body)
                if keep:
                    self._kept[cls.name, dbid] = {
                        name: value for name, value in obj.items() if name.endswith("DBID")
                    }
                if note is not None:
                    note(cls.id, dbid, obj)
                own = bool(flags & OWN_GRANTS)
                yield dbid, build_image(cls, obj, revision, self, own=own)
            if not rows:
                return
            after = rows[-1].dbid

    def accounts(self) -> Iterator[tuple[int, bytes]]:
        """(DBID, image) of every person's account record, of the token keys and of the rows of
        pairs, in DBID order.
        """
        for row in accounts(self.connection):
            if row.class_id == PERSON.id:
                words = row.user_name, row.algorithm, row.hash, row.revision, row.facts
                yield row.dbid, record_of(*words).image(row.dbid)
        keys, revision = keys_seen_by(self.connection)
        if keys:
            yield KEYS_DBID, keys_image(keys, sealing_seen_by(self.connection), revision)
        rows, revision = pairs_seen_by(self.connection)
        if rows:
            yield PAIRS_DBID, pairs_image(rows.values(), revision)

    def grants(self, low: int = 1, high: int = MAX_DBID) -> Iterator[tuple[int, bytes]]:
        """(number, image) of every object's grants, with numbers from `low` to `high`, in order."""
        for _, rows in groupby(grants(self.connection, low, high), attrgetter("number")):
            listed = list(rows)
            one = listed[0]
            kept = {(row.account_class, row.account_dbid): row.rights for row in listed}
            place = one.class_id, one.dbid
            yield one.number, build_grants(one.number, place, kept, one.revision)

    def classes(self) -> list[ObjectClass]:
        first = [CLASSES[name] for name in looked_through()]
        return first + [cls for cls in by_id.values() if cls not in first]


def load_everything(
    database: Database,
    host: StoreForOrigin,
    view: HostView,
    keep: Callable[[], object] | None = None,
) -> Head:
    """A whole load into the host; what was served is served until it is done.

    Where there is no room for the history beside the objects, the objects are loaded alone.
    `keep` is called again and again: a load takes minutes, longer than a lease.
    """
    try:
        return _load(database, host, view, keep, min(LOG_BYTES_MAX, host.log_bytes))
    except StoreFull as error:
        log_event(log, "51356", reason=error)
        return _load(database, host, view, keep, 0)


def load_other(
    database: Database,
    host: StoreForOrigin,
    view: HostView,
    keep: Callable[[], object] | None = None,
) -> None:
    """The same in place of what is served and not continued by the database, which is told."""
    held = f"stream {host.stream.hex()} revision {host.published} mark {host.mark:016x}"
    found = load_everything(database, host, view, keep)
    state = f"stream {found.stream.hex()} revision {found.revision} mark {found.mark:016x}"
    log_event(log, "51358", found=state, held=held)


def _load(
    database: Database,
    host: StoreForOrigin,
    view: HostView,
    keep: Callable[[], object] | None,
    history_bytes: int,
) -> Head:
    with reading(database, is_load=True) as connection, without_cycle_search():
        head = database.head_seen_by(connection)
        rows = Rows(connection)
        host.load_begin(head.stream)
        try:
            for cls in rows.classes():
                _hand_over(host, rows.images(cls, view.note), keep)
            _hand_over(host, rows.accounts(), keep)
            _hand_over(host, rows.grants(), keep)
            for entry in entries_from(connection, 1, head.revision, history_bytes):
                host.seed_log(entry)
            if keep is not None:
                keep()
            host.load_end(head.revision, head.mark, head.time_ms)
        except BaseException:
            host.load_abort()
            raise
    return head


def _hand_over(
    host: StoreForOrigin, images: Iterator[tuple[int, bytes]], keep: Callable[[], object] | None
) -> None:
    waiting: list[bytes] = []
    size = 0
    for _, image in images:
        waiting.append(image)
        size += len(image)
        if size >= IMAGES_BYTES:
            host.load(b"".join(waiting))
            waiting.clear()
            size = 0
            if keep is not None:
                keep()
    if waiting:
        host.load(b"".join(waiting))


def catch_up(database: Database, host: StoreForOrigin, view: HostView) -> bool:
    """Applies what the database has beyond the host; False if only a load can help."""
    head = database.head()
    if host.stream != head.stream or host.published > head.revision:
        return False
    with reading(database, is_load=True) as connection:
        mark = head.mark
        if head.revision > host.published:
            mark = mark_at(connection, host.published) or 0
        if mark != host.mark:
            return False
        missed = entries_from(connection, host.published + 1, head.revision, LOG_BYTES_MAX)
    if len(missed) != head.revision - host.published:
        return False
    for entry in missed:
        host.apply(entry, accounts_of(database, entry))
    if missed:
        log_event(log, "51357", count=len(missed))
    _note_what_matters(database, view)
    return True


def accounts_of(database: Database, entry: bytes) -> list[bytes]:
    """The account records that belong to an entry, as far as no later change has replaced them."""
    revision = revision_of(entry)
    found: list[bytes] = []
    for dbid in accounts_changed(entry):
        if dbid == KEYS_DBID:
            sealing = sealing_key(database.digest_key())
            found.append(keys_image(token_keys(database), sealing, revision))
            continue
        if dbid == PAIRS_DBID:
            found.append(pairs_image(pairs(database).values(), revision))
            continue
        record = database.account(PERSON.id, dbid)
        if record is None:
            found.append(build_tombstone(ACCOUNT_CLASS_ID, dbid, revision, ENVIRONMENT))
        else:
            found.append(replace(record, revision=revision).image(dbid))
    return found


def _note_what_matters(database: Database, view: HostView) -> None:
    with reading(database, is_load=True) as connection:
        for cls in (FOLDER, ACCESS_GROUP):
            after = 0
            while rows := objects_after(connection, cls.id, after):
                for dbid, revision, body, _ in rows:
                    view.note(cls.id, dbid, object_of(cls, dbid, revision, body))
                after = rows[-1].dbid
