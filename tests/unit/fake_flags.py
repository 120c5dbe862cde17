"""The rows of alarms without a control segment, and a host's alarms without rows."""

from __future__ import annotations

from csp.observe.events import words_of
from csp.tables.events import ALARMS, Alarm


class FakeFlags:
    """Keeps what is raised, and what else a writer shows."""

    generation = 1
    log_level = 0
    writable = False

    drained = (0, 0)

    def drain(self) -> tuple[int, int]:
        return self.drained

    def set_drain(self, begin: int, end: int) -> None:
        self.drained = begin, end

    def doors_changed(self) -> None:
        """Nobody looks."""

    def alarm(self, place: int) -> tuple[int, int, bytes]:
        return self._rows.get(place, (0, 0, b""))

    def raise_alarm(self, place: int, since_ms: int, text: bytes, figure: int = 0) -> None:
        self._rows[place] = (since_ms, figure, text)

    def end_alarm(self, place: int) -> None:
        self._rows.pop(place, None)

    def names(self) -> list[str]:
        """What is raised."""
        return [one.name for one in ALARMS.values() if one.place in self._rows]

    def texts(self) -> list[str]:
        """What is said of them."""
        return [text.decode() for _, _, text in self._rows.values()]

    @property
    def _rows(self) -> dict[int, tuple[int, int, bytes]]:
        found: dict[int, tuple[int, int, bytes]] = self.__dict__.setdefault("rows", {})
        return found


class FakeAlarms:
    """What a host's alarms are: the fields of each that is raised, by name."""

    def __init__(self) -> None:
        self.alarms: dict[str, dict[str, object]] = {}
        self.told: list[str] = []  # the events of all that were raised, and of those over
        self.over: list[str] = []  # the texts of those that were taken back

    def raise_alarm(self, alarm: Alarm, number: str = "", /, **fields: object) -> None:
        assert words_of(number or alarm.raised, **fields)
        if alarm.name not in self.alarms:
            self.told.append(number or alarm.raised)
        self.alarms.setdefault(alarm.name, fields)

    def end_alarm(self, alarm: Alarm, /, **fields: object) -> None:
        if self.alarms.pop(alarm.name, None) is not None:
            self.told.append(alarm.over)
            self.over.append(words_of(alarm.over, elapsed_ms=0, **fields))
