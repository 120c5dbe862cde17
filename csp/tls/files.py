"""Reads what a port's settings name into a bundle: PEM bytes and rules, as a TLS context has them.

1. A file that can't be used is said in words, with its path; what it holds never is.
2. Nobody but its owner and the owner's group may read a key.
3. A bundle is checked whole, by making a context of it, before anybody else gets it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from csp.process.files import OTHERS, FileRefused, read_file
from csp.tls.settings import Settings

FILE_BYTES_MAX: Final = 1_048_576  # of one; a list of all public authorities has a fifth of it

Value = bytes | str | int
Bundle = Mapping[str, Value]
Fingerprint = tuple[int, ...]  # changes whenever a file may have


class BundleRefused(ValueError):
    """The files make no bundle; the text says which and what to do."""


class Checked(Protocol):
    """A context that was made of a bundle (`csp._fastpath.TlsContext`)."""

    @property
    def not_before_ms(self) -> int: ...
    @property
    def not_after_ms(self) -> int: ...
    @property
    def crl_next_ms(self) -> int: ...
    @property
    def subject(self) -> str: ...


Check = Callable[[Bundle], Checked]  # raises ValueError with words


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told of a bundle; times in milliseconds UTC."""

    subject: str
    from_ms: int
    until_ms: int
    crl_until_ms: int = 0  # 0: no list of revoked certificates, or one without an end

    def ends_ms(self) -> int:
        """From when on no client can be let in by it."""
        return min(self.until_ms, self.crl_until_ms or self.until_ms)

    def is_good_at(self, now_ms: int) -> bool:
        """Whether clients that check it take it at that time."""
        return self.from_ms <= now_ms < self.ends_ms()


class InForce(NamedTuple):
    """What is in force on a port."""

    number: int  # of the set in which it was new
    facts: Facts


@dataclass(frozen=True, slots=True)
class Read:
    """A bundle that may be used."""

    bundle: Bundle = field(repr=False)  # holds a key
    facts: Facts


def read_bundle(settings: Settings, check: Check) -> Read:
    """What the files hold now, checked; raises BundleRefused."""
    bundle: dict[str, Value] = {
        "certificate": _joined(settings.certificate),
        "key": _read(settings.key, is_key=True),
        "ca": _joined(settings.trusted),
        "crl": _joined(settings.revoked),
        "ciphers": settings.ciphers,
        "protocols": settings.protocols,
        "mutual": settings.mutual,
    }
    try:
        made = check(bundle)
    except ValueError as error:
        raise BundleRefused(f"{error} ({', '.join(settings.paths)})") from None
    return Read(bundle, facts_of(made))


def facts_of(made: Checked) -> Facts:
    """What a context tells of itself."""
    return Facts(made.subject, made.not_before_ms, made.not_after_ms, made.crl_next_ms)


def fingerprint(path: str) -> Fingerprint:
    """Of the file that is there now; empty where there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return ()
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def fingerprints(paths: Iterable[str]) -> dict[str, Fingerprint]:
    """Of each of them."""
    return {path: fingerprint(path) for path in paths}


def _joined(paths: tuple[str, ...]) -> bytes:
    """Several files as one, in their order; each ends its last line."""
    return b"".join(data if data.endswith(b"\n") else data + b"\n" for data in map(_read, paths))


def _read(path: str, *, is_key: bool = False) -> bytes:
    try:
        found = read_file(path, FILE_BYTES_MAX, forbidden=OTHERS if is_key else 0)
    except FileRefused as error:
        raise BundleRefused(str(error)) from None
    if not found:
        raise BundleRefused(f"{path} is empty")
    return found
