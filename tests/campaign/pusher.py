"""Writes what takes the writers to the failpoints that the steady changes seldom pass.

1. A directory doubles when the names do: skills are created by the hundred. They stay.
2. The log is trimmed when it is full: one skill gets large values, one change after the other.
3. A governing node comes with the first object in a new folder; then the folder is moved.
4. What becomes of such a change is of no interest: it may fail as the blow falls.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import redis

from tests.campaign.exchange import Command, exchange, is_nothing_done, is_unknown
from tests.campaign.history import History
from tests.neighbours.server import Server

NAMES_A_TIME, FEW_NAMES = 250, 5
VALUE_BYTES = 60_000  # an option's value has at most 64 KiB
PAUSE_SECONDS = 0.02
JOIN_SECONDS_MAX = 30.0


class Pusher:
    """Pushes through the master, whose changes the proxy applies too."""

    def __init__(self, master: Server, history: History) -> None:
        self.master, self.history = master, history
        self.numbers = itertools.count(1)
        self.large: int | None = None  # DBID of the skill with large values
        self.folder: int | None = None  # that is to be moved next
        self.makers: dict[str, Callable[[redis.Connection], list[Command]]] = {
            "apply-node": self._tree,
            "apply-rights": self._tree,
            "directory-doubled": self._many_names,
            "log-trim": self._large_value,
            "walk-name": self._few_names,
        }

    @contextmanager
    def towards(self, failpoint: str) -> Iterator[None]:
        """Pushes while the block runs, if this failpoint needs it."""
        make = self.makers.get(failpoint)
        if make is None:
            yield
            return
        stopping = threading.Event()
        thread = threading.Thread(target=self._run, args=(make, stopping), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join(JOIN_SECONDS_MAX)

    def _run(
        self, make: Callable[[redis.Connection], list[Command]], stopping: threading.Event
    ) -> None:
        connection = None
        while not stopping.wait(PAUSE_SECONDS):
            try:
                connection = connection or self.master.raw()
                final = exchange(connection, make(connection))[-1]
            except (redis.ConnectionError, redis.TimeoutError):
                connection = None
                continue
            except Exception as error:  # noqa: BLE001 - a thread's fault is the campaign's
                self.history.fault(f"pusher: {type(error).__name__}: {error}")
                return
            is_error = isinstance(final, redis.ResponseError)
            if is_error and not is_unknown(final) and not is_nothing_done(final):
                self.history.fault(f"pusher: refused: {type(final).__name__}: {final}")
                return

    def _many_names(self, connection: redis.Connection) -> list[Command]:
        return self._names(NAMES_A_TIME)

    def _few_names(self, connection: redis.Connection) -> list[Command]:
        return self._names(FEW_NAMES)

    def _names(self, count: int) -> list[Command]:
        first = next(self.numbers)
        skills = [_skill(f"pushed{first}.{number}") for number in range(count)]
        return [("MULTI",), *(("CFG.CREATE", "CfgSkill", skill) for skill in skills), ("EXEC",)]

    def _tree(self, connection: redis.Connection) -> list[Command]:
        """A new folder with a skill in it, into which every second time the last one moves."""
        number = next(self.numbers)
        owner = {"type": "tenant", "DBID": 1}
        new = orjson.dumps({"name": f"folder{number}", "type": "skill", "ownerID": owner})
        made = exchange(connection, [("CFG.CREATE", "CfgFolder", new)])[0]
        if not isinstance(made, list):
            return [("PING",)]  # the writer is away
        folder, moved = int(made[1]), self.folder
        self.folder = folder if moved is None else None
        skill = orjson.dumps({"tenantDBID": 1, "name": f"inside{number}", "folderDBID": folder})
        commands: list[Command] = [("CFG.CREATE", "CfgSkill", skill)]
        if moved is not None:
            delta = orjson.dumps({"changed": {"folderDBID": folder}})
            commands.append(("CFG.UPDATE", "CfgFolder", str(moved), delta))
        return commands

    def _large_value(self, connection: redis.Connection) -> list[Command]:
        number = next(self.numbers)
        if self.large is None:
            made = exchange(connection, [("CFG.CREATE", "CfgSkill", _skill(f"large{number}"))])[0]
            if not isinstance(made, list):
                return [("PING",)]  # the writer is away: the next attempt makes it
            self.large = int(made[1])
        value = str(number).ljust(VALUE_BYTES, "x")
        delta = orjson.dumps({"userProperties": {"changed": {"campaign": {"value": value}}}})
        return [("CFG.UPDATE", "CfgSkill", str(self.large), delta)]


def _skill(name: str) -> bytes:
    return orjson.dumps({"tenantDBID": 1, "name": name})
