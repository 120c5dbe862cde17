"""Hands bundles from their keeper to all workers, through memory that has no name.

1. The supervisor makes the memory; the keeper and the workers inherit its descriptor, nobody else.
2. There are two halves. A set of bundles is written whole, with its digest, into the half that is
   not in force; then its number, the first word of all, is stored: odd numbers are in the second
   half. A keeper that dies before that has changed nothing.
3. A number only grows, over restarts of the keeper too. A reader takes a half only if its number
   and its digest are right; else it looks again later.
4. A bundle keeps the number of the set in which it changed last: what has the number that a worker
   has needs nothing done.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from csp.tls.files import Bundle

HALF_BYTES: Final = 4_194_304  # of all bundles of a server
START_BYTES: Final = 64  # the number stands at 0; the halves begin here
MEMORY_BYTES: Final = START_BYTES + 2 * HALF_BYTES
DIGEST_BYTES: Final = 16
HEAD: Final = struct.Struct(f"<QQ{DIGEST_BYTES}s")  # number, bytes behind, digest of those
NUMBER: Final = struct.Struct("<Q")


class TooMuch(ValueError):
    """The bundles have no room; the text gives both figures."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """One port's bundle, and the set in which it was new."""

    number: int
    bundle: Bundle = field(repr=False)


@dataclass(frozen=True, slots=True)
class Published:
    """All bundles of one set, by the numbers of their ports; a port looked at may have none."""

    number: int
    ports: Mapping[int, Numbered] = field(default_factory=dict)
    looked_at: frozenset[int] = frozenset()


def make_memory(name: str) -> int:
    """A descriptor of fresh memory, which takes no room until it is written."""
    fd = os.memfd_create(f"csp-tls-{name}", os.MFD_CLOEXEC)
    os.ftruncate(fd, MEMORY_BYTES)
    return fd


class Memory:
    """The memory as one process maps it."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, MEMORY_BYTES)

    @property
    def number(self) -> int:
        """Of the set in force; 0: there is none yet."""
        return int(NUMBER.unpack_from(self._map, 0)[0])

    def read(self) -> Published | None:
        """The set in force; None where none is, or one is being replaced: look again."""
        number = self.number
        if number == 0:
            return None
        start = _start(number)
        told, size, digest = HEAD.unpack_from(self._map, start)
        if told != number or size > HALF_BYTES - HEAD.size:
            return None
        data = self._map[start + HEAD.size : start + HEAD.size + size]
        if _digest(number, data) != digest or self.number != number:
            return None
        return _decoded(number, data)

    def write(self, bundles: Mapping[int, Bundle], looked_at: Iterable[int] = ()) -> Published:
        """Puts a set in force, by the port's number; raises TooMuch.

        `looked_at`: whose files were looked for, those that have no good ones too.
        """
        before = self.read() or Published(self.number)
        number = before.number + 1
        ports = {}
        for port, bundle in bundles.items():
            known = before.ports.get(port)
            is_same = known is not None and known.bundle == bundle
            ports[port] = known if known is not None and is_same else Numbered(number, bundle)
        looked = before.looked_at.union(looked_at, bundles)
        data = _encoded(ports, looked)
        if len(data) > HALF_BYTES - HEAD.size:
            raise TooMuch(
                f"the certificates of all ports have {len(data)} bytes, "
                f"there is room for {HALF_BYTES - HEAD.size}"
            )
        start = _start(number)
        self._map[start + HEAD.size : start + HEAD.size + len(data)] = data
        HEAD.pack_into(self._map, start, number, len(data), _digest(number, data))
        NUMBER.pack_into(self._map, 0, number)
        return Published(number, ports, looked)

    def close(self) -> None:
        """Unmaps it; the descriptor stays open."""
        self._map.close()


def _start(number: int) -> int:
    return START_BYTES + number % 2 * HALF_BYTES


def _digest(number: int, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES, salt=NUMBER.pack(number)).digest()


def _encoded(ports: Mapping[int, Numbered], looked_at: Iterable[int]) -> bytes:
    """As JSON; bytes as the characters of the same numbers, so that any file survives it."""
    found = {}
    for port, one in ports.items():
        bundle = {
            name: [value.decode("latin-1")] if isinstance(value, bytes) else value
            for name, value in one.bundle.items()
        }
        found[str(port)] = {"number": one.number, "bundle": bundle}
    return orjson.dumps({"ports": found, "looked_at": sorted(looked_at)})


def _decoded(number: int, data: bytes) -> Published:
    ports, told = {}, orjson.loads(data)
    for port, one in told["ports"].items():
        bundle = {
            name: value[0].encode("latin-1") if isinstance(value, list) else value
            for name, value in one["bundle"].items()
        }
        ports[int(port)] = Numbered(one["number"], bundle)
    return Published(number, ports, frozenset(told["looked_at"]))
