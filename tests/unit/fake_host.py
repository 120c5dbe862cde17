"""A host that keeps records in a dictionary: stands in for the store where only content matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from csp.model.entry import mark_of, parse_entry, revision_of, why_not_continues
from csp.model.image import TOMBSTONE, parse_header, parse_image, split_images
from csp.model.types import CLASSES
from csp.process.standing import Standing
from tests.unit.fake_flags import FakeAlarms
from tests.unit.fake_standing import FakeStanding


class FakeHost(FakeAlarms, FakeStanding):
    """Does with records what csp.process.origin.StoreForOrigin says, without shared memory."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[tuple[int, int], bytes] = {}
        self.entries: list[bytes] = []
        self.stream = b""
        self.published = self.mark = self.time_ms = 0
        self.unsettled = 0
        self.room: int | None = None
        self.loads = 0
        self.fence = 0
        self.link: tuple[int, int, int] = (0, 0, 0)
        self.standing = Standing()

    @property
    def loaded(self) -> bool:
        return self.stream != b""

    @property
    def has_generation(self) -> bool:
        return self.loaded

    @property
    def heard_ms(self) -> int:
        return self.link[2]

    @property
    def log_bytes(self) -> int:
        return 1 << 30

    def load_begin(self, stream: bytes) -> None:
        self._coming: dict[tuple[int, int], bytes] = {}
        self._coming_stream = stream
        self._coming_entries: list[bytes] = []

    def load_rekeyed(self, images: bytes) -> None:
        self.load(images)

    def load_again(self, class_id: int, dbid: int) -> None:
        """Its records have the keys they came with."""

    def load(self, images: bytes) -> int:
        for image in split_images(images):
            header = parse_header(image)
            self._coming[header.class_id, header.dbid] = image
        return len(self._coming)

    def load_entry(self, entry: bytes, accounts: Sequence[bytes] = ()) -> None:
        raise AssertionError("a database origin loads images only")

    def seed_log(self, entry: bytes) -> None:
        self._coming_entries.append(entry)

    def load_end(self, revision: int, mark: int, time_ms: int) -> None:
        self.records, self.entries = self._coming, self._coming_entries
        self.stream = self._coming_stream
        self.published, self.mark, self.time_ms = revision, mark, time_ms
        self.loads += 1

    def load_abort(self) -> None:
        self._coming = {}

    def settle(self) -> None:
        self.unsettled = 0

    def apply(self, entry: bytes, accounts: Sequence[bytes] = (), *, settle: bool = True) -> None:
        self.unsettled = 0 if settle else self.unsettled + 1
        assert revision_of(entry) == self.published + 1
        assert why_not_continues(entry, self.mark) is None
        parsed = parse_entry(entry)
        for item in parsed.items:
            if item.op == "delete":
                del self.records[item.class_id, item.dbid]
            else:
                assert (item.op == "create") != ((item.class_id, item.dbid) in self.records)
                self.records[item.class_id, item.dbid] = item.image
        for image in accounts:
            header = parse_header(image)
            if header.flags & TOMBSTONE:
                self.records.pop((header.class_id, header.dbid), None)
            else:
                self.records[header.class_id, header.dbid] = image
        self.published, self.mark, self.time_ms = parsed.revision, mark_of(entry), parsed.time_ms
        self.entries.append(entry)

    def follow(self, frames: memoryview) -> tuple[int, bool]:
        raise AssertionError("a database origin has no frames")

    def prepare(self, changes: Sequence[tuple[bytes, Sequence[bytes]]]) -> None:
        items = [item for entry, _ in changes for item in parse_entry(entry).items]
        before = sum(len(self.image(item.class_id, item.dbid) or b"") for item in items)
        growth = sum(len(item.image) for item in items) - before
        if self.room is not None and growth > self.room:
            from csp._fastpath import StoreFull

            raise StoreFull("the store is full")

    def abandon(self) -> None:
        return

    def image(self, class_id: int, dbid: int) -> bytes | None:
        return self.records.get((class_id, dbid))

    def set_link(self, state: int, master_revision: int, heard_ms: int, until_ms: int = 0) -> None:
        self.until_ms = until_ms
        self.link = (state, master_revision, heard_ms)

    # -- for tests -----------------------------------------------------------------------------

    def object(self, class_name: str, dbid: int) -> dict[str, Any] | None:
        image = self.image(CLASSES[class_name].id, dbid)
        return None if image is None else parse_image(image)[1]

    def named(self, class_name: str, path: str, value: Any) -> dict[str, Any]:
        """The one object of a class with this value."""
        from csp.model.extract import value_at

        for (class_id, _), image in self.records.items():
            obj = parse_image(image)[1] if class_id == CLASSES[class_name].id else None
            if obj and value_at(obj, path) == value:
                return obj
        raise KeyError(f"{class_name} with {path} = {value!r}")
