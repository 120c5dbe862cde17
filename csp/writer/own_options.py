"""Brings the writer to the server's options; shows the log's level, and if writes are taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from csp.observe.log import LEVELS, set_level
from csp.process.context import OptionValue, ProcessContext
from csp.process.origin import Origin
from csp.process.own_options import CHECK_MS, OwnOptions
from csp.store.segment import SegmentMissing

LEVEL_PLACES = {level: place for place, level in enumerate(LEVELS, 1)}  # in Control.log_level


class Shown(Protocol):
    """Where the supervisor, which maps no data, finds the level."""

    generation: int
    log_level: int
    writable: bool


class Store(Protocol):
    """What is asked of the store."""

    @property
    def published(self) -> int: ...
    def application(self, name: str) -> bytes:
        """The JSON of an Application."""


class Following:
    """The options in force in the writer."""

    def __init__(self, context: ProcessContext, store: Store, shown: Shown, origin: Origin) -> None:
        self.options = OwnOptions(
            mode=context.mode, app_name=context.app_name, values=context.options, log=None
        )
        self._app_name = context.app_name
        self._store = store
        self._shown = shown
        self._origin = origin
        self._next_look_ms = 0
        self._looked_at = (0, 0)  # generation and revision
        self.options.on_change(self._changed)

    def tick(self, now_ms: int) -> None:
        """Looks, where something was published since the last time."""
        place = (self._shown.generation, self._store.published)
        if now_ms < self._next_look_ms or place == self._looked_at:
            return
        self._next_look_ms = now_ms + CHECK_MS
        try:
            application = self._store.application(self._app_name)
        except SegmentMissing:
            return  # its name has gone: who watches that makes another generation, in this turn
        self._looked_at = place
        self.options.look(application)

    def _changed(self, _: Mapping[str, OptionValue]) -> None:
        level = self.options.log_level
        set_level(level)
        self._origin.take_options(self.options)
        self._shown.writable = self._origin.writable
        self._shown.log_level = LEVEL_PLACES[level] if level else 0
