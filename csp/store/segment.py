"""Names, creates, opens and removes the shared memory objects of an instance (POSIX, mode 0600).

1. `/csp-<instance>-control` is small and mapped read-write by all; `/csp-<instance>-<generation>`
   holds the data, and only the writer opens it for writing.
2. A size is address space: memory is taken as it is filled, and is checked before, never by SIGBUS.
3. Nobody inherits a descriptor across an exec.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import posix_ipc

SHM_FOLDER = Path("/dev/shm")
MODE = 0o600
BLOCK_BYTES = 512  # what stat counts in, whatever the file system
ASIDE = ".aside"  # behind the names of segments that another release can serve
EMPTY_BYTES = 16 << 20  # the control segment, tables of the data segment, the log's ring
SHM_BYTES_MIN = 512 << 20  # the log's ring, a small site, and a second generation of it


class SegmentMissing(Exception):
    """There is no such segment."""


class SharedMemoryTooSmall(Exception):
    """/dev/shm can't hold a store; the text has both figures."""


def control_name(instance: str) -> str:
    """The control segment's name."""
    return f"/csp-{instance}-control"


def data_name(instance: str, generation: int) -> str:
    """A data segment's name."""
    return f"/csp-{instance}-{generation}"


def create(name: str, size: int) -> int:
    """Makes a segment that must not exist yet; returns a descriptor for reading and writing."""
    memory = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=MODE, size=size)
    return _own(memory.fd)


def open_control(instance: str) -> int:
    """A descriptor of the control segment, for reading and writing."""
    return _open(control_name(instance), read_only=False)


def open_data(instance: str, generation: int) -> int:
    """A descriptor of a data segment, for reading alone."""
    return _open(data_name(instance, generation), read_only=True)


def open_data_to_write(instance: str, generation: int) -> int:
    """A descriptor of a data segment for the writer."""
    return _open(data_name(instance, generation), read_only=False)


def generations(instance: str) -> list[int]:
    """The data segments that exist, ascending."""
    pattern = re.compile(re.escape(data_name(instance, 0)[1:-1]) + r"(\d+)")
    matches = (pattern.fullmatch(path.name) for path in SHM_FOLDER.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def is_there(name: str) -> bool:
    """Whether there is a segment of that name."""
    return (SHM_FOLDER / name[1:]).exists()


def unlink(name: str) -> None:
    """Removes a segment's name; who maps it keeps it."""
    try:
        posix_ipc.unlink_shared_memory(name)
    except posix_ipc.ExistentialError:
        return


def unlink_data(instance: str, generation: int) -> None:
    """Removes the name of a data segment."""
    unlink(data_name(instance, generation))


def unlink_all(instance: str) -> None:
    """Removes every segment of an instance."""
    for generation in generations(instance):
        unlink_data(instance, generation)
    unlink(control_name(instance))


def set_aside(instance: str) -> bool:
    """Gives all segments of an instance other names; False where there are such already."""
    if _aside(instance):
        return False
    for name in [control_name(instance), *(data_name(instance, n) for n in generations(instance))]:
        path = SHM_FOLDER / name[1:]
        path.rename(path.with_name(path.name + ASIDE))
    return True


def take_back(instance: str) -> bool:
    """Gives those that were set aside their names again; False where there are none."""
    found = _aside(instance)
    for path in found:
        path.rename(path.with_name(path.name.removesuffix(ASIDE)))
    return bool(found)


def drop_aside(instance: str) -> bool:
    """Removes those that were set aside; False where there are none."""
    found = _aside(instance)
    for path in found:
        path.unlink(missing_ok=True)
    return bool(found)


def _aside(instance: str) -> list[Path]:
    """The data segments first: with its control segment an instance is whole again."""
    pattern = re.compile(re.escape(f"csp-{instance}-") + r"(\d+|control)" + re.escape(ASIDE))
    found = (path for path in SHM_FOLDER.iterdir() if pattern.fullmatch(path.name))
    return sorted(found, key=lambda path: path.name)


def sizes(instance: str, generation: int) -> tuple[int, int]:
    """Bytes of address space and of memory that a data segment takes; FileNotFoundError."""
    state = (SHM_FOLDER / data_name(instance, generation)[1:]).stat()
    return state.st_size, state.st_blocks * BLOCK_BYTES


def shared_bytes() -> int:
    """How much /dev/shm holds in all."""
    state = os.statvfs(SHM_FOLDER)
    return state.f_blocks * state.f_frsize


def free_bytes() -> int:
    """How much of /dev/shm is left."""
    state = os.statvfs(SHM_FOLDER)
    return state.f_bavail * state.f_frsize


def check_room(reserve_bytes: int) -> None:
    """Refuses a /dev/shm that is too small for any store, as containers have by default."""
    size = shared_bytes()
    needed = min(reserve_bytes, SHM_BYTES_MIN)
    if size < needed:
        raise SharedMemoryTooSmall(
            f"/dev/shm has {size >> 20} MiB, a store needs {needed >> 20} MiB at least: "
            "give it more (docker run --shm-size=2g; mount -o remount,size=2g /dev/shm)"
        )


def check_free() -> None:
    """Refuses a /dev/shm that is too full for an empty store, where there is none to take over."""
    free = free_bytes()
    if free < EMPTY_BYTES:
        raise SharedMemoryTooSmall(
            f"/dev/shm has {free >> 20} of {shared_bytes() >> 20} MiB left, an empty store needs "
            f"{EMPTY_BYTES >> 20} MiB: free some (ls -l /dev/shm; csp store list), or enlarge it"
        )


def _open(name: str, *, read_only: bool) -> int:
    try:
        memory = posix_ipc.SharedMemory(name, mode=MODE, read_only=read_only)
    except posix_ipc.ExistentialError:
        raise SegmentMissing(f"there is no segment {name}") from None
    return _own(memory.fd)


def _own(fd: int) -> int:
    os.set_inheritable(fd, False)
    return fd
