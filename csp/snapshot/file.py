"""The form of a snapshot file: a start, blocks with checksums, an end that vouches for all of them.

docs/internals/formats.md lays it out.

1. A file of the right name is whole: it is written under another one, synced, then renamed.
2. Each block has a checksum, and the end one over the heads of all blocks: none is missing, double
   or out of order.
3. No size that a file claims is believed before it was held against the file's own.
4. It holds hashes of passwords: mode 0600, and nobody else's file is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from csp._fastpath import crc32c
from csp.observe import failpoint
from csp.snapshot.info import ANOTHERS, OTHER_RELEASE, Info, SnapshotRefused, info_bytes, read_info

NAME = "snapshot"  # in the state folder of an instance
FORMAT = 1
MAGIC, END_MAGIC = b"csp-snap", b"snap-end"
RECORDS, CHANGES, INFO = b"recs", b"chng", b"info"
SYNC_BYTES = 64 << 20  # handed to the disk at a time: no flood at the end
BUFFER_BYTES = 1 << 20
UNFINISHED = ".new"  # behind the name, until the file is whole

_START = Struct("<8sII")  # magic format spare
_BLOCK = Struct("<4sIQ")  # kind, checksum and size of what follows
_END = Struct("<QIIQ8s")  # place of the info block, checksum of the heads, spare, blocks, magic


class Block(NamedTuple):
    """One block: its kind, where its payload stands, and the payload."""

    kind: bytes
    at: int
    payload: bytes


class Draft:
    """A snapshot that is being written; nobody reads it before `finish`."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        self._draft = path.with_name(path.name + UNFINISHED)
        self._draft.unlink(missing_ok=True)  # of a writer that was killed
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = open(os.open(self._draft, flags, 0o600), "wb", BUFFER_BYTES)  # noqa: SIM115
        self._sum = 0
        self._count = 0
        self._unsynced = 0
        self._write(_START.pack(MAGIC, FORMAT, 0))

    def add(self, kind: bytes, payload: bytes) -> None:
        """Writes one block."""
        head = _BLOCK.pack(kind, crc32c(payload), len(payload))
        self._sum = crc32c(self._sum.to_bytes(4, "little") + head)
        self._count += 1
        self._write(head)
        self._write(payload)
        failpoint.passed("snapshot.block")
        if self._unsynced >= SYNC_BYTES:
            self._sync()

    def finish(self, info: Info) -> None:
        """Writes the end, waits for the disk, and takes the place of the snapshot before."""
        at = self.size
        self.add(INFO, info_bytes(info))
        self._write(_END.pack(at, self._sum, 0, self._count, END_MAGIC))
        failpoint.passed("snapshot.end")
        self._sync()
        self._file.close()
        failpoint.passed("snapshot.synced")
        self._draft.rename(self._path)
        failpoint.passed("snapshot.renamed")
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def abandon(self) -> None:
        """Leaves the snapshot before as it is."""
        self._file.close()
        self._draft.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)
        self._unsynced += len(data)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced = 0


class SnapshotFile:
    """A snapshot that is being read; raises SnapshotRefused for what is not whole or not ours."""

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise SnapshotRefused(f"it can't be opened: {error.strerror}") from error
        try:
            self.size = _size_of(self._fd)
            self._info_at, self._sum, self._count = self._read_frame()
            kind, payload, _ = self._block(self._info_at)
            if kind != INFO:
                raise SnapshotRefused("its end names no description")
            self.info = read_info(payload)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)

    def __enter__(self) -> SnapshotFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def blocks(self) -> Iterator[Block]:
        """All blocks in order, each checked; whether none is missing shows at the end."""
        at, total, count = _START.size, 0, 0
        while at < self.size - _END.size:
            kind, payload, head = self._block(at)
            total = crc32c(total.to_bytes(4, "little") + head)
            count += 1
            yield Block(kind, at + _BLOCK.size, payload)
            at += _BLOCK.size + len(payload)
            failpoint.passed("snapshot.read")
        if (at, total, count) != (self.size - _END.size, self._sum, self._count):
            raise SnapshotRefused("blocks are missing or out of order")

    def read(self, at: int, size: int) -> bytes:
        """Bytes of a payload that was checked before."""
        return self._read(at, size)

    def _read_frame(self) -> tuple[int, int, int]:
        """Checks start and end: place of the info block, checksum of the heads, count of blocks."""
        if self.size < _START.size + _END.size:
            raise SnapshotRefused(f"{self.size} bytes are no snapshot")
        magic, form, _ = _START.unpack(self._read(0, _START.size))
        if magic != MAGIC:
            raise SnapshotRefused("it is no snapshot of csp")
        if form != FORMAT:
            raise SnapshotRefused(
                f"it has format {form}, this release reads {FORMAT}", OTHER_RELEASE
            )
        at, total, _, count, magic = _END.unpack(self._read(self.size - _END.size, _END.size))
        if magic != END_MAGIC:
            raise SnapshotRefused("its end is missing: it was cut off")
        return at, total, count

    def _block(self, at: int) -> tuple[bytes, bytes, bytes]:
        """Kind, payload and head of the block that begins there."""
        room = self.size - _END.size - at - _BLOCK.size
        if at < _START.size or room < 0:
            raise SnapshotRefused(f"no block can begin at byte {at}")
        head = self._read(at, _BLOCK.size)
        kind, checksum, size = _BLOCK.unpack(head)
        if size > room:
            raise SnapshotRefused(f"the block at byte {at} is larger than the file")
        payload = self._read(at + _BLOCK.size, size)
        if crc32c(payload) != checksum:
            raise SnapshotRefused(f"the checksum of the block at byte {at} does not match")
        return kind, payload, head

    def _read(self, at: int, size: int) -> bytes:
        try:
            data = os.pread(self._fd, size, at)
            while len(data) < size:
                more = os.pread(self._fd, size - len(data), at + len(data))
                if not more:
                    raise SnapshotRefused(f"it ends at byte {at + len(data)}: it was cut off")
                data += more
        except OSError as error:
            raise SnapshotRefused(f"byte {at} can't be read: {error.strerror}") from error
        return data


def _size_of(fd: int) -> int:
    state = os.fstat(fd)
    if not stat.S_ISREG(state.st_mode):
        raise SnapshotRefused("it is no file")
    if state.st_uid != os.geteuid():
        raise SnapshotRefused("it belongs to another user", ANOTHERS)
    return state.st_size
