"""Reads what `[gauth_radius]` says of the servers, with the secrets that lie in files.

1. A secret stands in no option: who reads the configuration would have it. It lies in a file of
   mode 0600 that only the server's user reads, and is never shown.
2. A file is read anew when it has changed: `state_of_files` tells.
3. Whatever is missing, double or can't be read is refused as a whole: no server is left out
   silently.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from csp.external.backend import Unusable
from csp.process.credentials import PasswordFileRefused, read_password
from csp.process.files import ALL_BUT_OWNER, FileRefused, read_file
from csp.tables.options import Value

PORT: Final = 1812
SERVERS_MAX: Final = 10
FILE_BYTES_MAX: Final = 64 * 1024  # of the original's `servers`
SECTION: Final = "[gauth_radius]"


@dataclass(frozen=True)
class Server:
    """One RADIUS server."""

    host: str
    port: int
    secret: bytes = field(repr=False)
    needs_signature: bool = True  # an answer without Message-Authenticator is none

    @property
    def address(self) -> str:
        """HOST:PORT, for logs and messages."""
        return shown(self.host, self.port)


@dataclass(frozen=True)
class RadiusSettings:
    """What a directory of RADIUS servers is asked with."""

    servers: tuple[Server, ...]  # in the order in which they are tried
    attempts: int  # how often a request is sent to one server
    attempt_s: float  # how long each waits for the answer
    nas_identifier: str  # what csp calls itself


def read_settings(section: Mapping[str, Value]) -> RadiusSettings:
    """The settings of a section of options; raises Unusable with what to do."""
    stated, file = str(section["servers"]), str(section["servers-file"])
    if bool(stated) == bool(file):
        both = "both servers and servers-file" if stated else "neither servers nor servers-file"
        raise Unusable(f"{SECTION} has {both}: one of them names the RADIUS servers")
    found = _in_file(file) if file else _in_options(stated, str(section["secret-file"]))
    _check(found)
    without = [_address(one) for one in _words(section["without-message-authenticator"])]
    known = [(host, port) for host, port, _ in found]
    for one in without:
        if one not in known:
            raise Unusable(
                f"{SECTION} without-message-authenticator names {shown(*one)}, "
                "which is none of the servers"
            )
    return RadiusSettings(
        tuple(
            Server(host, port, secret, needs_signature=(host, port) not in without)
            for host, port, secret in found
        ),
        attempts=int(section["retry-attempts"]),
        attempt_s=float(section["response-timeout"]),
        nas_identifier=str(section["nas-identifier"]),
    )


def state_of_files(section: Mapping[str, Value]) -> tuple[tuple[int, ...], ...]:
    """What tells that a file with secrets is another one, or has another text."""
    paths = _words(section["secret-file"]) + _words(section["servers-file"])
    return tuple(_state(path) for path in paths)


def _state(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode


def shown(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _in_options(stated: str, files: str) -> list[tuple[str, int, bytes]]:
    addresses = [_address(one) for one in _words(stated)]
    paths = _words(files)
    if len(paths) not in (1, len(addresses)):
        raise Unusable(
            f"{SECTION} secret-file names {len(paths)} files for {len(addresses)} servers: "
            "one for all of them, or one for each"
        )
    secrets = [_secret(path) for path in paths]
    secrets *= len(addresses) // len(secrets)
    return [(*one, secret) for one, secret in zip(addresses, secrets, strict=True)]


def _in_file(path: str) -> list[tuple[str, int, bytes]]:
    """The lines `HOST[:PORT] SECRET` of the original's file; `#` begins a comment."""
    found = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2:
            raise Unusable(f"{path}, line {number}: HOST[:PORT] SECRET is meant")
        found.append((*_address(words[0]), words[1].encode()))
    if not found:
        raise Unusable(f"{path} names no RADIUS server: lines HOST[:PORT] SECRET are meant")
    return found


def _text(path: str) -> str:
    try:
        return read_file(path, FILE_BYTES_MAX, forbidden=ALL_BUT_OWNER).decode()
    except FileRefused as error:
        raise Unusable(str(error)) from None
    except UnicodeDecodeError:
        raise Unusable(f"{path} is not UTF-8") from None


def _secret(path: str) -> bytes:
    try:
        return read_password(path).encode()
    except PasswordFileRefused as error:
        raise Unusable(f"{SECTION} secret-file: {error}") from None


def _check(found: list[tuple[str, int, bytes]]) -> None:
    if len(found) > SERVERS_MAX:
        raise Unusable(f"{SECTION} names {len(found)} servers, {SERVERS_MAX} are allowed")
    known = [(host, port) for host, port, _ in found]
    for one in known:
        if known.count(one) > 1:
            raise Unusable(f"{SECTION} names {shown(*one)} twice")


def _words(value: Value) -> list[str]:
    return [word for word in (one.strip() for one in str(value).split(",")) if word]


def _address(text: str) -> tuple[str, int]:
    host, colon, digits = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not host.endswith("]")):
        host, digits = text, ""
    host = host.removeprefix("[").removesuffix("]")
    if not host or (digits and not (digits.isascii() and digits.isdigit())):
        raise Unusable(f"{SECTION}: {text!r} is not HOST or HOST:PORT")
    port = int(digits or PORT)
    if not 0 < port < 65_536:
        raise Unusable(f"{SECTION}: {text!r} has no port from 1 to 65535")
    return host, port
