"""Keeps the certificates of a server's TLS ports: looks at their files, and publishes what is good.

1. Files are looked at when settings change, when it is asked for (SIGHUP), and once in POLL_MS.
2. What is bad, or past its time where what is in force is not, is refused, and changes nothing:
   the bundle in force stays, over a restart of the keeper too.
3. One refusal may be a certificate whose key is still being copied: the alarm comes with the
   second, RETRY_MS later.
4. What was found by settings that no longer hold is not taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from csp.observe.clock import when
from csp.observe.events import log_event
from csp.tls.files import Bundle, Check, Facts, Fingerprint, Read, facts_of
from csp.tls.looks import Found, Wanted
from csp.tls.published import Memory, TooMuch
from csp.tls.settings import PortSettings
from csp.tls.trouble import Refused, Trouble

POLL_MS: Final = 60_000
RETRY_MS: Final = 2_000
REFUSALS_MIN: Final = 2  # in a row, before anybody is woken
HANGS_MS: Final = 30_000  # a look that takes longer waits for a file system that is gone

log = logging.getLogger("csp.tls")


class Looking(Protocol):
    """Who looks at files, as `csp.tls.looks.Looks` does."""

    is_busy: bool

    def start(self, wanted: list[Wanted]) -> None: ...
    def take_done(self) -> dict[int, Found] | None: ...


@dataclass(slots=True)
class Port:
    """One TLS port as its keeper knows it."""

    stated: PortSettings
    bundle: Bundle | None = field(default=None, repr=False)  # in force
    facts: Facts | None = None
    stamps: Mapping[str, Fingerprint] = field(default_factory=dict)
    refusal: str = ""
    refusals: int = 0  # in a row
    is_known: bool = False  # looked at since its settings were stated


class Keeper:
    """Those of one server."""

    def __init__(
        self,
        memory: Memory,
        looks: Looking,
        trouble: Trouble,
        check: Check,
        now_ms: Callable[[], int],
        wall_ms: Callable[[], int],
    ) -> None:
        self._memory = memory
        self._looks = looks
        self._trouble = trouble
        self._check = check
        self._now_ms = now_ms
        self._wall_ms = wall_ms
        self._ports: dict[int, Port] = {}
        self._next_look_ms = 0
        self._began_ms = 0  # the look under way
        self._is_anew = False  # the next look reads everything
        published = memory.read()
        # Ports that workers know to have been looked at, by a keeper before this one too.
        self._told = published.looked_at if published is not None else frozenset()

    def take(self, stated: Iterable[PortSettings]) -> None:
        """From now on these are the TLS ports, and what is stated for them."""
        before, self._ports = self._ports, {}
        for one in stated:
            port = before.get(one.number) or self._inherited(one)
            if port.stated != one:
                port.stated, port.stamps = one, {}
                port.refusals, port.is_known = 0, False
            self._ports[one.number] = port
        self._next_look_ms = 0
        self.tick()

    def reload(self) -> None:
        """Reads every file anew, at once."""
        self._is_anew = True
        self._next_look_ms = 0
        self.tick()

    def tick(self) -> None:
        """Begins a look that is due; called several times a second."""
        now_ms = self._now_ms()
        if self._looks.is_busy:
            if now_ms - self._began_ms > HANGS_MS:
                self._tell_hanging()
            return
        self._tell()
        if now_ms < self._next_look_ms or not self._ports:
            return
        self._began_ms = now_ms
        self._next_look_ms = now_ms + POLL_MS
        anew, self._is_anew = self._is_anew, False
        self._looks.start(
            [Wanted(one.stated, {} if anew else one.stamps) for one in self._ports.values()]
        )

    def take_done(self) -> None:
        """A look has ended."""
        found = self._looks.take_done()
        if found is None:
            return
        changed = {
            number: read
            for number, one in found.items()
            if number in self._ports and (read := self._taken(self._ports[number], one)) is not None
        }
        if changed or not self._known() <= self._told:
            self._publish(changed)
        if any(0 < one.refusals < REFUSALS_MIN for one in self._ports.values()):
            self._next_look_ms = min(self._next_look_ms, self._now_ms() + RETRY_MS)
        self._tell()
        self.tick()

    def _inherited(self, stated: PortSettings) -> Port:
        """What a keeper before this one has published for the port."""
        published = self._memory.read()
        known = published.ports.get(stated.number) if published is not None else None
        if known is None:
            return Port(stated)
        try:
            return Port(stated, known.bundle, facts_of(self._check(known.bundle)))
        except ValueError:
            return Port(stated)  # of another release: what is read now replaces it

    def _taken(self, port: Port, found: Found) -> Read | None:
        """What is new and good in what was found of a port."""
        if found.settings != port.stated.settings:
            return None
        port.is_known = True
        refusal = found.refusal
        if found.read is not None:
            refusal = self._untimely(port, found.read.facts)
        if refusal:
            self._refuse(port, refusal, is_final=found.settings is None)
            return None
        port.stamps = found.stamps
        port.refusal, port.refusals = "", 0
        if found.read is None or found.read.bundle == port.bundle:
            return None
        return found.read

    def _untimely(self, port: Port, facts: Facts) -> str:
        """Why what is past its time is not taken: there is better."""
        now_ms = self._wall_ms()
        if facts.is_good_at(now_ms) or port.facts is None or not port.facts.is_good_at(now_ms):
            return ""
        if now_ms < facts.from_ms:
            return f"{facts.subject} is good from {when(facts.from_ms)} UTC on"
        if facts.until_ms <= now_ms:
            return f"{facts.subject} has expired at {when(facts.until_ms)} UTC"
        return f"the list of revoked certificates has expired at {when(facts.crl_until_ms)} UTC"

    def _refuse(self, port: Port, refusal: str, *, is_final: bool) -> None:
        port.refusals = REFUSALS_MIN if is_final else port.refusals + 1
        port.stamps = {}
        if refusal != port.refusal and port.refusals >= REFUSALS_MIN:
            port.refusal = refusal
            log_event(log, "51221", port=port.stated.id, reason=refusal, kept=_kept(port))

    def _publish(self, changed: Mapping[int, Read]) -> None:
        bundles = {
            number: one.bundle for number, one in self._ports.items() if one.bundle is not None
        }
        try:
            published = self._memory.write(
                bundles | {number: read.bundle for number, read in changed.items()}, self._known()
            )
        except TooMuch as refusal:
            for number in changed:
                self._refuse(self._ports[number], str(refusal), is_final=True)
            return
        self._told = published.looked_at
        for number, read in changed.items():
            port = self._ports[number]
            port.bundle, port.facts = read.bundle, read.facts
            facts = {"subject": read.facts.subject, "until": when(read.facts.until_ms)}
            log_event(log, "51220", port=port.stated.id, bundle=published.number, **facts)

    def _known(self) -> frozenset[int]:
        """The ports whose files were looked for: who comes need not wait for that any more."""
        return frozenset(number for number, one in self._ports.items() if one.is_known)

    def _tell(self) -> None:
        """Raises the alarms that there is a reason for, and takes back those that there is none."""
        refused = [
            Refused(one.stated.id, one.refusal, _kept(one))
            for one in self._ports.values()
            if one.refusals >= REFUSALS_MIN
        ]
        # A first refusal may be over with the next look, or the alarm may.
        is_known = all(one.is_known and not one.refusals for one in self._ports.values())
        self._trouble.tell_refused(refused, may_end=is_known)
        self._trouble.tell_times(
            [(one.stated.id, one.facts) for one in self._ports.values() if one.facts is not None],
            self._wall_ms(),
            may_end=is_known,
        )

    def _tell_hanging(self) -> None:
        reason = f"its files were not read within {HANGS_MS // 1000} s: does their file system hang"
        self._trouble.tell_refused(
            [Refused(one.stated.id, reason, _kept(one)) for one in self._ports.values()],
            may_end=False,
        )


def _kept(port: Port) -> str:
    """What clients of a port get meanwhile."""
    if port.facts is None:
        return "nobody is let in by TLS"
    return f"the one before stays: {port.facts.subject}, until {when(port.facts.until_ms)} UTC"
