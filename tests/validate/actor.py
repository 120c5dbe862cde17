"""What all clients of a run share: a thread, a way to each server, and what they write down."""

from __future__ import annotations

import random
import re
import threading
import time
import traceback
from dataclasses import dataclass, field

import orjson

from tests.validate.history import Record, Recorder, Shown
from tests.validate.links import Link

JOIN_SECONDS_MAX = 40.0
CLASSES = ("CfgSkill", "CfgPerson")
APPLICATION = "Desk"  # that clients register as
SECTION, OPTION = "validate", "value"


@dataclass
class Ground:
    """The servers as clients reach them, the objects, and the history."""

    fronts: dict[str, Link]  # by server: what clients connect to
    writable: tuple[str, ...]
    keys: list[str]  # of objects that stay
    recorder: Recorder = field(default_factory=Recorder)
    faults: list[str] = field(default_factory=list)

    def address(self, server: str) -> tuple[str, int]:
        """Where clients of a server connect to."""
        return self.fronts[server].host, self.fronts[server].port


class Actor(threading.Thread):
    """One client; `act` is done again and again until it is stopped."""

    def __init__(self, ground: Ground, name: str, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.ground = ground
        self.chance = random.Random(f"{seed} {name}")
        self.stopping = threading.Event()
        self.is_begun = threading.Event()
        self.lost = 0  # connections

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.act()
            self.leave()
        except Exception:  # noqa: BLE001 - a thread's fault is the run's
            last = traceback.format_exc().strip().splitlines()
            self.ground.faults.append(f"{self.name}: " + " | ".join(last[-3:]))

    def act(self) -> None:
        """One turn."""
        raise AssertionError("each kind of client has its own")

    def leave(self) -> None:
        """Ends what is open."""

    def stop(self) -> None:
        """Asks it to end, and waits until it has."""
        self.stopping.set()
        self.join(JOIN_SECONDS_MAX)
        if self.is_alive():
            self.ground.faults.append(f"{self.name} did not end")

    def note(self, record: Record) -> None:
        self.ground.recorder.add(record)

    def other_than(self, server: str) -> str:
        """Another server, if there is one."""
        return self.chance.choice([one for one in self.ground.fronts if one != server] or [server])


def now() -> float:
    return time.monotonic()


def value_in(sections: object) -> int:
    """The value that a transaction wrote, out of an object's annex."""
    if not isinstance(sections, dict):
        return 0
    return int(sections.get(SECTION, {}).get(OPTION, 0))


def value_of(content: dict[str, object]) -> int:
    """The value in a change: an object that was created, or a delta."""
    made = content.get("object")
    if isinstance(made, dict):
        return value_in(made.get("userProperties"))
    delta = content.get("delta")
    if isinstance(delta, dict):
        return value_in((delta.get("userProperties") or {}).get("changed"))
    return 0


def oldest_said(why: str) -> int:
    """From which revision on a server that tells of a gap has everything; 0: it does not say."""
    goes_on = re.search(r"from (\d+) it does", why)
    if goes_on:
        return int(goes_on[1]) + 1
    holds = re.search(r"holds changes from revision (\d+)", why)
    return int(holds[1]) if holds else 0


def shown(key: str, reply: object) -> Shown:
    """What a reply shows of one object."""
    if reply is None:
        return Shown(key, 0, 0)
    assert isinstance(reply, bytes)
    return shown_object(orjson.loads(reply))


def shown_object(content: dict[str, object]) -> Shown:
    key = f"{content['class']}:{content['DBID']}"
    return Shown(key, int(str(content["revision"])), value_in(content.get("userProperties")))
