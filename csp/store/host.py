"""Gives an origin the store to fill, and swaps generations: the next one fills while one serves.

1. `control.generation` names the segment in force; it changes only when the next one is whole.
2. Where one generation follows another of other history, the log of the new one begins with an
   entry (flag DIFFERENCE) that says what changed between them, at the revision of the load.
3. A writer that takes over within one run of the server checks no records anew, and walks the store
   between its changes; the first of a run, or one after damage, checks all before it goes on.
4. A generation that is replaced loses its name at once, its memory when the last worker lets go.
5. `StoreFull` from here means that nothing was touched; how often it came is counted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from csp._fastpath import Control, StoreError, StoreFull, StoreKeys, StoreWriter, follow
from csp.model.image import split_images
from csp.model.keys import STORED_KEYS, TABLE_DIGEST
from csp.model.rekey import Images, rekeyed, rekeyed_entry
from csp.observe.events import log_event
from csp.process.application import Finder, application_of
from csp.process.context import ProcessContext
from csp.process.roles import WRITER
from csp.process.standing import Standing, show
from csp.store import locks, segment
from csp.store.alarms import ALARM_DAMAGED, end_alarm, is_raised, raise_alarm
from csp.store.control import LINKS_THERE, STATE_READY, slot_words
from csp.store.difference import difference_entry
from csp.store.guest import open_reader
from csp.tables.events import Alarm
from csp.tables.metrics import PLACES

LOG_SHARE = 16  # of a small store the log gets no more than this part
LOG_SHARE_OF_MEMORY = 8  # and of a small /dev/shm no more than this

# Ample room for several entries, of which each takes its log copy, its records, and new versions of
# some leaves of lists: it is cheaper to have it than to count it.
GROUP_ROOM_TIMES = 8
GROUP_ROOM_BYTES = 16 * 1024 * 1024

log = logging.getLogger("csp.store")


class Damage(NamedTuple):
    """A record that is not what was written."""

    class_id: int
    dbid: int
    revision: int  # as it claims; 0 where not even that can be read


class Levels(NamedTuple):
    """How much room is left, and how far back the log reaches."""

    room_bytes: int  # for growing changes
    whole_bytes: int  # what would be taken if all of it were
    log_trimmed: int  # entries that left the log so far, in this writer's life
    log_oldest_ms: int  # when the oldest that is left was committed, UTC; 0: there is none
    log_age_ms: int  # how old it may get at least


class Pin(NamedTuple):
    """A reader's announcement that holds memory back."""

    slot: int
    holder: str  # in words
    held_ms: int


class StoreHost:
    """The store as the writer process has it."""

    def __init__(
        self,
        instance: str,
        control: Control,
        *,
        reserve_bytes: int,
        log_bytes: int,
        slot: int,
        wake_fds: Sequence[int] = (),
        run: int = 0,
        release: Callable[[], None] = lambda: None,
        report_standing: Callable[[], None] = lambda: None,
    ) -> None:
        self.control = control
        self.refused_full = 0
        self.refused_room_bytes = 0  # when a change was last refused
        self._instance = instance
        self._reserve_bytes = reserve_bytes
        self._log_bytes = log_bytes
        self._slot = slot
        self._wake_fds = list(wake_fds)
        self._run = run
        self._release = release
        self._report_standing = report_standing
        self._writer: StoreWriter | None = None
        self._writer_fd = -1  # the store grows its segment through it
        self._next: StoreWriter | None = None
        self._next_fd = -1
        self._next_generation = 0
        self._has_history = False
        self._attach()

    @classmethod
    def open(cls, context: ProcessContext) -> StoreHost:
        """The store of this process's instance, recovered where a predecessor left one."""
        writer_lock = locks.take_writer(context.instance)
        control_fd = segment.open_control(context.instance)
        control = Control(control_fd)
        os.close(control_fd)
        slot_lock = locks.take_slot(context.instance, WRITER.slot)
        control.clear_slot(WRITER.slot)  # a predecessor may have died while it looked

        def release() -> None:
            slot_lock.release()
            writer_lock.release()

        return cls(
            context.instance,
            control,
            reserve_bytes=context.reserve_bytes,
            log_bytes=context.log_reserve_bytes,
            slot=WRITER.slot,
            wake_fds=context.wake_fds,
            run=context.started_ms,
            release=release,
            report_standing=context.report_standing,
        )

    # What is in force.

    @property
    def loaded(self) -> bool:
        """Whether a generation is in force that can be changed."""
        return self._writer is not None

    @property
    def has_generation(self) -> bool:
        """Whether something is in force, though perhaps in a way that can't be changed any more."""
        return self.control.generation != 0

    @property
    def stream(self) -> bytes:
        """The stream of what is in force."""
        return self._writer.stream if self._writer is not None else b""

    @property
    def published(self) -> int:
        """The revision that readers see."""
        return self._writer.published if self._writer is not None else 0

    @property
    def mark(self) -> int:
        """Its mark."""
        return self._writer.mark if self._writer is not None else 0

    @property
    def time_ms(self) -> int:
        """When it was committed."""
        return self._writer.time_ms if self._writer is not None else 0

    @property
    def heard_ms(self) -> int:
        """When the root was last known to have it, as the link was told last; 0: it wasn't."""
        return self.control.link()[2]

    def image(self, class_id: int, dbid: int) -> bytes | None:
        """The newest record image, of what is in force, else of what is being loaded."""
        writer = self._writer or self._next
        return writer.image(class_id, dbid) if writer is not None else None

    # Changing it.

    def apply(self, entry: bytes, accounts: Sequence[bytes] = (), *, settle: bool = True) -> None:
        """Publishes the entry of revision published + 1."""
        assert self._writer is not None, "nothing is loaded"
        with self._counting_refusals():
            try:
                self._writer.apply(entry, accounts, settle=settle)
            except StoreKeys:
                images = rekeyed_entry(entry, self.image)
                self._writer.apply(entry, accounts, images, settle=settle)

    def settle(self) -> None:
        """Readers hear of what was applied without it."""
        if self._writer is not None:
            self._writer.settle()

    def follow(self, frames: memoryview) -> tuple[int, bool]:
        """Publishes the changes that the frames begin with: bytes, whether one more has begun."""
        assert self._writer is not None, "nothing is loaded"
        return follow(self._writer, frames)

    def prepare(self, changes: Sequence[tuple[bytes, Sequence[bytes]]]) -> None:
        """Takes the memory for the first of such entries, so that applying it can't fail, and sees
        that there is ample room for the others; or StoreFull.
        """
        assert self._writer is not None, "nothing is loaded"
        entry, accounts = changes[0]
        if len(changes) > 1:
            size = sum(len(one) for one, _ in changes)
            if self.room_bytes() < GROUP_ROOM_BYTES + GROUP_ROOM_TIMES * size:
                raise StoreFull("there is no ample room for several changes at once")
        with self._counting_refusals():
            try:
                self._writer.prepare(entry, accounts)
            except StoreFull as error:
                raise StoreFull(
                    f"the store is full: a change of {len(entry)} bytes finds no room; "
                    "delete something, or enlarge --reserve or /dev/shm"
                ) from error

    def abandon(self) -> None:
        """Gives back what was prepared and is not to be applied."""
        if self._writer is not None:
            self._writer.abandon()

    def room_bytes(self) -> int:
        """What growing changes may still take: of the address space, and of /dev/shm."""
        if self._writer is None:
            return 0
        stat = self._writer.stat()
        return max(0, stat["free_bytes"] - stat["unheld_bytes"])

    def levels(self) -> Levels | None:
        """How full store and log are; None while nothing is loaded, or its walk goes on."""
        if self._writer is None:
            return None
        stat = self._writer.stat()
        if stat["merging"]:
            return None  # what a predecessor left free is not known yet
        room = max(0, stat["free_bytes"] - stat["unheld_bytes"])
        log_figures = (stat["log_trimmed"], stat["log_oldest_ms"], stat["log_age_ms"])
        return Levels(room, stat["used_bytes"] + room, *log_figures)

    def reclaim(self) -> int:
        """Takes back what no reader holds; how many bytes."""
        return self._writer.reclaim() if self._writer is not None else 0

    def walk(self, ms: int) -> bool:
        """Goes on taking over for about so long; whether it is to be called again at once."""
        return self._writer is not None and self._writer.walk(ms)

    def pins(self) -> list[Pin]:
        """The announcements that hold memory back, the oldest first; its age is counted."""
        found = self._writer.pins() if self._writer is not None else []
        self.gauge("held_ms", found[0][1] if found else 0)
        return [
            Pin(slot, slot_words(slot, self.control.slot(slot)["pid"]), held_ms)
            for slot, held_ms in found
        ]

    def pending_bytes(self) -> int:
        """What readers hold back, or what was not yet taken back."""
        return self._writer.stat()["pending_bytes"] if self._writer is not None else 0

    def held_words(self) -> str:
        """Who holds how much memory back, to stand behind a text; empty where nobody does."""
        pins = self.pins()
        if not pins:
            return ""
        oldest = pins[0]
        return f"; {oldest.holder} holds {self.pending_bytes()} bytes back for {oldest.held_ms} ms"

    def application(self, name: str) -> bytes:
        """The JSON of the Application of this name; b"" where there is none."""
        reader = self.reader()
        return application_of(reader, name) if reader is not None else b""

    def reader(self) -> Finder | None:
        """The newest published state; None before the first load."""
        if self._writer is None or not self.control.generation:
            return None
        return open_reader(self._instance, self.control, self._slot)

    def scrub(self, bytes_max: int) -> tuple[bool, Damage | None]:
        """Checks the next records against their checksums: whether that was all, and damage."""
        if self._writer is None:
            return False, None
        records, ended, damaged = self._writer.scrub(bytes_max)
        self.count("scrubbed", records)
        self.count("scrubs", int(ended))
        if damaged is None:
            return ended, None
        self.count("damaged", 1)
        return ended, Damage(*damaged)

    def raise_alarm(self, alarm: Alarm, number: str = "", /, **fields: object) -> None:
        """Raises an alarm of the writer and logs it, once."""
        raise_alarm(self.control, alarm, number, **fields)

    def end_alarm(self, alarm: Alarm, /, **fields: object) -> None:
        """Takes it back and logs that it is over, once."""
        end_alarm(self.control, alarm, **fields)

    @property
    def fence(self) -> int:
        """The number that a master of this run took last, or was about to; 0: none did."""
        return self.control.fence

    @fence.setter
    def fence(self, number: int) -> None:
        self.control.fence = number

    def count(self, metric: str, change: int = 1) -> None:
        """Adds to one of the writer's counters."""
        self.control.count(self._slot, PLACES[metric], change)

    def gauge(self, metric: str, value: int) -> None:
        self.control.gauge(self._slot, PLACES[metric], value)

    @property
    def serving(self) -> bool:
        """Whether ports for clients are open, as was shown last."""
        return bool(self.control.serving)

    @property
    def role(self) -> int:
        return int(self.control.role)

    def show_standing(self, standing: Standing) -> None:
        """Shows how this server stands in its pair, and has ports opened or shut for it."""
        if show(self.control, standing):
            self._report_standing()

    def set_link(self, state: int, master_revision: int, heard_ms: int, until_ms: int = 0) -> None:
        """Shows the link to the origin."""
        if state in LINKS_THERE and self.control.link()[0] not in LINKS_THERE:
            self.count("connects")
        self.control.set_link(state, master_revision, heard_ms, until_ms)

    # Loading.

    def load_begin(self, stream: bytes) -> None:
        """Begins the next generation."""
        self.load_abort()
        taken = segment.generations(self._instance)
        self._next_generation = max([*taken, self.control.generation]) + 1
        name = segment.data_name(self._instance, self._next_generation)
        self._next_fd = segment.create(name, self._reserve_bytes)
        self._has_history = False
        with self._counting_refusals():
            self._next = self._open_writer(self._next_fd, format=True)
            self._next.load_begin(stream)

    def load(self, images: bytes) -> int:
        """Takes concatenated record images."""
        with self._counting_refusals():
            return self._loading.load(images)

    def load_rekeyed(self, images: bytes) -> None:
        """Takes record images whose keys another key table has built."""
        look = Images(self._loading.image)
        self.load(b"".join(rekeyed(image, look) for image in split_images(images)))

    def load_again(self, class_id: int, dbid: int) -> None:
        """Builds the keys of a loaded record anew: what they lead through is there now."""
        image = self._loading.image(class_id, dbid)
        if image is not None:
            self.load_rekeyed(image)

    def load_entry(self, entry: bytes, accounts: Sequence[bytes] = ()) -> None:
        """Takes a change on top of what is being loaded."""
        loading = self._loading
        with self._counting_refusals():
            try:
                loading.load_entry(entry, accounts)
            except StoreKeys:
                loading.load_entry(entry, accounts, rekeyed_entry(entry, loading.image))

    @property
    def log_bytes(self) -> int:
        """What the change log may take: no more than a share of a small store or /dev/shm."""
        shared = segment.shared_bytes() // LOG_SHARE_OF_MEMORY
        return min(self._log_bytes, self._reserve_bytes // LOG_SHARE, shared)

    def seed_log(self, entry: bytes) -> None:
        """Adds history from before the load."""
        self._has_history = True
        with self._counting_refusals():
            self._loading.seed_log(entry)

    def load_end(self, revision: int, mark: int, time_ms: int) -> None:
        """Publishes the load: at once, or as the generation that follows the one in force."""
        loading = self._loading
        before = self.control.generation
        with self._counting_refusals():
            loading.load_end(revision, mark, time_ms)
        if before and not self._has_history:
            self._log_difference(before, loading)
        self._drop_writer()
        self._writer, self._writer_fd = loading, self._next_fd
        self._next, self._next_fd = None, -1
        self.control.generation = self._next_generation
        self.control.state = STATE_READY
        self.control.verified = self._run
        self._wake()
        if before:
            segment.unlink_data(self._instance, before)

    def _log_difference(self, before: int, loaded: StoreWriter) -> None:
        """Subscribers find the difference as the first entry of the new generation's log."""
        try:
            old = open_reader(self._instance, self.control, self._slot, before)
            entry = difference_entry(old, loaded)
            if entry is None:
                log_event(log, "51315")
            else:
                loaded.seed_log(entry)
        except (StoreError, segment.SegmentMissing) as error:
            log_event(log, "51316", reason=error)

    def load_abort(self) -> None:
        """Gives up a load."""
        self._next = None
        if self._next_fd >= 0:
            os.close(self._next_fd)
            self._next_fd = -1
            segment.unlink_data(self._instance, self._next_generation)

    def close(self) -> None:
        """Lets go; the store stays for readers and for a successor."""
        self.load_abort()
        self._drop_writer()
        self._release()

    # Within.

    @property
    def _loading(self) -> StoreWriter:
        assert self._next is not None, "no load was begun"
        return self._next

    def _attach(self) -> None:
        """Takes over what a predecessor left; a generation that it did not finish is removed."""
        in_force = self.control.generation
        for generation in segment.generations(self._instance):
            if generation != in_force:
                segment.unlink_data(self._instance, generation)
        if not in_force:
            return
        try:
            self._writer_fd = segment.open_data_to_write(self._instance, in_force)
            writer = self._open_writer(self._writer_fd, format=False)
            is_known = self._run != 0 and self.control.verified == self._run
            is_checked = not is_known or is_raised(self.control, ALARM_DAMAGED)
            writer.recover(check=is_checked)
        except (StoreError, segment.SegmentMissing) as error:
            # It serves on, as far as it goes; the origin loads the next one.
            log_event(log, "51314", generation=in_force, reason=error)
            self._drop_writer()
        else:
            self._writer = writer
            self.control.verified = self._run
            self._wake()  # a predecessor may have died after a publication, before it rang

    def _open_writer(self, fd: int, *, format: bool) -> StoreWriter:
        return StoreWriter(
            fd,
            self.control,
            reserve_bytes=self._reserve_bytes,
            format=format,
            wake_fds=self._wake_fds,
            keys=STORED_KEYS,
            table=TABLE_DIGEST,
            log_bytes=self.log_bytes,
        )

    def _drop_writer(self) -> None:
        self._writer = None
        if self._writer_fd >= 0:
            os.close(self._writer_fd)
            self._writer_fd = -1

    def _wake(self) -> None:
        """Workers look at the generation when they wake."""
        for fd in self._wake_fds:
            with suppress(BlockingIOError):
                os.eventfd_write(fd, 1)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        """Counts a StoreFull that passes, keeps the room there was, and says who holds memory."""
        try:
            yield
        except StoreFull as error:
            self.refused_full += 1
            self.refused_room_bytes = self.room_bytes()
            self._make_room()
            raise StoreFull(f"{error}{self.held_words()}") from error

    def _make_room(self) -> None:
        """The next attempt at a first load has what another release's segments held."""
        if not self.control.generation and segment.drop_aside(self._instance):
            log_event(log, "51005", reason="there is no room for them beside the first load")
