"""Notices that the memory in force has lost its name, and has the store loaded anew.

1. Who has it mapped serves on; who starts finds nothing and could only say LOADING.
2. A new generation cures it, where the origin is there: the writer is replaced, whose successor
   finds nothing to take over and loads. While it is away what is served stays as it is.
3. A control segment without a name is cured by a restart of the server alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from csp.store import segment
from csp.store.alarms import ALARM_NAMELESS, Flags, end_alarm, raise_alarm
from csp.store.control import LINK_DOWN


class Shown(Flags, Protocol):
    """What the control segment says."""

    generation: int

    def link(self) -> tuple[int, int, int]: ...


class Replaceable(Protocol):
    """A child that may be asked to make room for its successor."""

    def replace(self, reason: str) -> None: ...


class SegmentWatch:
    """The names of one instance's segments."""

    def __init__(self, instance: str, control: Shown, writers: Sequence[Replaceable]) -> None:
        self._instance = instance
        self._control = control
        self._writers = writers
        self._replaced_for = 0  # the generation; once is enough

    def tick(self) -> None:
        """Looks; to be called once a second."""
        missing = self._missing()
        if missing is None:
            end_alarm(self._control, ALARM_NAMELESS)
            return
        raise_alarm(self._control, ALARM_NAMELESS, segment=missing)
        generation = self._control.generation
        is_curable = missing != segment.control_name(self._instance)
        is_origin_there = self._control.link()[0] != LINK_DOWN
        if is_curable and is_origin_there and generation != self._replaced_for:
            self._replaced_for = generation
            for writer in self._writers:
                writer.replace("its data segment has lost its name")

    def _missing(self) -> str | None:
        """The name that is gone."""
        if not segment.is_there(segment.control_name(self._instance)):
            return segment.control_name(self._instance)
        generation = self._control.generation
        name = segment.data_name(self._instance, generation)
        if not generation or segment.is_there(name):
            return None
        # A generation that is replaced loses its name; the number has changed by then.
        return name if self._control.generation == generation else None
