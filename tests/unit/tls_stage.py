"""A keeper with a clock, files and a check of the test: a certificate is a line of text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from csp.process.ports import Port, Security
from csp.tls.files import Bundle
from csp.tls.keeper import Keeper
from csp.tls.looks import Found, Wanted, look_at
from csp.tls.published import Memory, Published, make_memory
from csp.tls.settings import tls_ports
from csp.tls.trouble import DAY_MS, Trouble
from tests.unit.fake_flags import FakeFlags

START_MS = 1_700_000_000_000
YEAR_MS = 365 * DAY_MS


@dataclass(frozen=True)
class Fitting:
    """What a context tells of itself."""

    subject: str
    not_before_ms: int = START_MS - YEAR_MS
    not_after_ms: int = START_MS + YEAR_MS
    crl_next_ms: int = 0


def check(bundle: Bundle) -> Fitting:
    """The certificate `CN name from until crl` fits the key `of name`; all but the name are days
    from the start.
    """
    text, key = bundle["certificate"], bundle["key"]
    assert isinstance(text, bytes)
    assert isinstance(key, bytes)
    if not text.startswith(b"CN "):
        return Fitting(text.decode())
    name, *days = text.decode().split()[1:]
    if key.decode().strip() != f"of {name}":
        raise ValueError("the key is another certificate's")
    times = [START_MS + int(day) * DAY_MS for day in days]
    return Fitting(f"CN={name}", *times)


class Looking:
    """Looks that end when the test says so."""

    def __init__(self) -> None:
        self.is_busy = False
        self.begun: list[list[Wanted]] = []
        self.found: dict[int, Found] | None = None

    def start(self, wanted: list[Wanted]) -> None:
        assert not self.is_busy
        self.is_busy = True
        self.begun.append(wanted)

    def look(self) -> None:
        """The files are looked at now; the keeper hears of it by `take_done`."""
        self.found = {one.port.number: look_at(one, check) for one in self.begun[-1]}

    def take_done(self) -> dict[int, Found] | None:
        found, self.found = self.found, None
        self.is_busy = self.is_busy and found is None
        return found


class Stage:
    """One keeper of ports `default`, `p1`, …, each with the certificate named like it."""

    def __init__(self, folder: Path, ports: int = 1) -> None:
        self.folder = folder
        self.now_ms = 0
        self.wall_ms = START_MS
        self.flags = FakeFlags()
        self.fd = make_memory("test")
        self.ports = [self.port(number) for number in range(ports)]
        for port in self.ports:
            self.put(port.id, f"CN {port.id}", f"of {port.id}")
        self.begin()

    def begin(self) -> None:
        """A keeper begins: the first, or the next one."""
        self.looking = Looking()
        self.trouble = Trouble(self.flags)
        self.keeper = Keeper(
            Memory(self.fd),
            self.looking,
            self.trouble,
            check,
            lambda: self.now_ms,
            lambda: self.wall_ms,
        )
        self.keeper.take(tls_ports(self.ports))

    def port(self, number: int, **stated: str) -> Port:
        name = f"p{number}" if number else "default"
        tls = {
            "certificate": str(self.folder / f"{name}.pem"),
            "certificate-key": str(self.folder / f"{name}.key"),
        }
        return Port(number, name, security=Security.SECURED, tls=tls | stated)

    def put(self, name: str, certificate: str = "", key: str = "") -> None:
        """Puts files in place of those that are there."""
        for ending, text in (("pem", certificate), ("key", key)):
            if text:
                draft = self.folder / "draft"
                draft.write_text(text)
                draft.chmod(0o600)
                draft.rename(self.folder / f"{name}.{ending}")

    def turn(self) -> None:
        """A look that is due begins and ends."""
        self.keeper.tick()
        if self.looking.is_busy:
            self.looking.look()
            self.keeper.take_done()

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.wall_ms += ms
        self.turn()

    def published(self) -> Published:
        found = Memory(self.fd).read()
        assert found is not None
        return found

    def certificate(self, port: int = 0) -> str:
        """What is in force on a port."""
        text = self.published().ports[port].bundle["certificate"]
        assert isinstance(text, bytes)
        return text.decode().strip()

    def alarms(self) -> set[str]:
        return set(self.flags.names())

    def close(self) -> None:
        os.close(self.fd)
