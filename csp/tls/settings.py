"""Says which files and rules a TLS port has, by what its row states. Pure: no file is looked at.

The row is filled in already: what a port does not say is its Application's, then its host's
(csp/process/port_infos.py).

1. What makes no port is refused with words; nothing is half taken.
2. A path is whole: the folder in which a server was started plays no part.
3. Protocols older than TLS 1.2 are refused, by whatever name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from csp.process.port_infos import (
    CERTIFICATE,
    CIPHERS,
    KEY,
    MUTUAL,
    PROTOCOLS,
    REVOKED,
    TRUSTED,
)
from csp.process.ports import Port, Security

DEMANDED: Final = 2  # of a certificate, as a context takes it

TLS_12, TLS_13 = "tlsv1.2", "tlsv1.3"
BOTH: Final = f"{TLS_12},{TLS_13}"
# As the original names them: its word for "the best that both know", and single versions.
PROTOCOL_WORDS: Final[Mapping[str, str]] = {
    "sslv23": BOTH,
    "tls": BOTH,
    "tlsv12": TLS_12,
    TLS_12: TLS_12,
    "tlsv13": TLS_13,
    TLS_13: TLS_13,
}
TOO_OLD: Final = ("sslv2", "sslv3", "tlsv1", "tlsv1.0", "tlsv10", "tlsv11", "tlsv1.1")


class SettingsRefused(ValueError):
    """What is stated makes no port; the text says what and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one port is to have."""

    certificate: tuple[str, ...]  # files, the port's own certificate first, then who signed it
    key: str
    trusted: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    ciphers: str = ""
    protocols: str = BOTH
    mutual: int = 0  # 0 not asked for, or DEMANDED

    @property
    def paths(self) -> tuple[str, ...]:
        """All files."""
        return tuple(dict.fromkeys((*self.certificate, self.key, *self.trusted, *self.revoked)))


@dataclass(frozen=True, slots=True)
class PortSettings:
    """A TLS port, and what is stated for it."""

    number: int
    id: str
    settings: Settings | None  # None: `refusal` says why
    refusal: str = ""


def tls_ports(ports: Iterable[Port]) -> list[PortSettings]:
    """What each TLS port is to have."""
    found = []
    for port in ports:
        if port.security is Security.UNSECURED:
            continue
        try:
            found.append(PortSettings(port.number, port.id, settings_of(port.tls)))
        except SettingsRefused as refusal:
            found.append(PortSettings(port.number, port.id, None, str(refusal)))
    return found


def settings_of(stated: Mapping[str, str]) -> Settings:
    """What a port is to have by what its row states; raises SettingsRefused."""
    certificate = _files(CERTIFICATE, stated)
    if not certificate:
        raise SettingsRefused(
            f"no {CERTIFICATE} is named, neither by the port nor in [security] of its Application "
            f"or its host"
        )
    key = _files(KEY, stated) or certificate[:1]
    if len(key) > 1:
        raise SettingsRefused(f"{KEY} names {len(key)} files: a port has one key")
    trusted, revoked = _files(TRUSTED, stated), _files(REVOKED, stated)
    mutual = DEMANDED if stated.get(MUTUAL) == "1" else 0
    if mutual and not trusted:
        raise SettingsRefused(
            f"{MUTUAL}=1 needs {TRUSTED}: whose certificates clients have to show"
        )
    if not mutual:  # nobody is asked: what is trusted serves this server's links alone
        trusted = revoked = ()
    ciphers, protocols = stated.get(CIPHERS, "").strip(), _protocols(stated.get(PROTOCOLS, ""))
    return Settings(certificate, key[0], trusted, revoked, ciphers, protocols, mutual)


def _files(name: str, stated: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(one.strip() for one in stated.get(name, "").split(",") if one.strip())
    for path in found:
        if not path.startswith("/"):
            raise SettingsRefused(f"{name}: {path} is no whole path, which begins with /")
    return found


def _protocols(text: str) -> str:
    """The versions that a context is to speak."""
    found: set[str] = set()
    for word in (one.strip() for one in text.split(",") if one.strip()):
        spoken = PROTOCOL_WORDS.get(word.lower())
        if spoken is None and word.lower() in TOO_OLD:
            raise SettingsRefused(f"{PROTOCOLS}: {word} is not safe, take TLSv12 or TLSv13")
        if spoken is None:
            raise SettingsRefused(f"{PROTOCOLS}: {word} is none of SSLv23, TLSv12, TLSv13")
        found.update(spoken.split(","))
    return ",".join(sorted(found)) or BOTH
