"""Tells a balancer how this server is, in the line of HAProxy's agent check (`agent-check=1`).

1. `drain` while a drain is under way, `down` where clients are not served (a pair's backup, a first
   load) or what is here is older than [csp] agent-check-age; else `ready up N%`.
2. N falls with what is used of connections and of the workers' CPU, whichever is more, and by half
   with the age; it is never 0, which would be a drain. All members of a pool reckon alike.
3. CPU is that of all workers over the last second or more: each worker asks the kernel itself, so
   whichever worker a balancer reaches says the same.
"""

from __future__ import annotations

import time

import psutil

from csp.observe.clock import wall_ms
from csp.store.control import LINK_DATABASE, link_now
from csp.worker.call import Lane
from csp.worker.halves import is_serving

DRAIN, DOWN = b"drain\n", b"down\n"
SAMPLE_SECONDS = 1.0  # CPU of less time says little
WEIGHT_LEAST = 1  # percent; 0 would drain
AGE_OPTION = "agent-check-age"


class Agent:
    """What one worker tells balancers."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._cpu = Cpu(lane)

    def line(self) -> bytes:
        """One line."""
        lane = self._lane
        if lane.control.drain() != (0, 0):
            return DRAIN
        limit_ms = lane.info.limit(AGE_OPTION, 0) * 1000
        age_ms = self._age_ms()
        if not is_serving(lane) or lane.loading or (limit_ms and age_ms > limit_ms):
            return DOWN
        left = 1.0 - max(self._crowd(), self._cpu.share())
        if limit_ms:
            left *= 1.0 - age_ms / limit_ms / 2
        return b"ready up %d%%\n" % max(WEIGHT_LEAST, round(left * 100))

    def _age_ms(self) -> int:
        """How old what is here may be, by the wall clock; 0 where the database is asked."""
        state, _, heard_ms = link_now(self._lane.control)
        if state == LINK_DATABASE and self._lane.info.mode == "master":
            return 0
        return max(0, wall_ms() - heard_ms)

    def _crowd(self) -> float:
        """How much of the connections that there may be there is."""
        info, control = self._lane.info, self._lane.control
        slots = range(info.worker_count)
        count = sum(control.slot_counters(slot)["connections"] for slot in slots)
        return min(1.0, count / max(1, info.clients_max))


class Cpu:
    """How busy the workers are."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._at_s, self._used_s = time.monotonic(), self._used()
        self._share = 0.0

    def share(self) -> float:
        """Of what they could use, 0 to 1, over the last second or more."""
        now_s = time.monotonic()
        passed_s = now_s - self._at_s
        if passed_s >= SAMPLE_SECONDS:
            used_s = self._used()
            most_s = passed_s * self._lane.info.worker_count
            self._share = min(1.0, max(0.0, used_s - self._used_s) / most_s)
            self._at_s, self._used_s = now_s, used_s
        return self._share

    def _used(self) -> float:
        return sum(_cpu_seconds(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        slots = range(self._lane.info.worker_count)
        return [self._lane.control.slot(slot)["pid"] for slot in slots]


def _cpu_seconds(pid: int) -> float:
    """Of one worker since its start; 0 while it is started anew."""
    try:
        times = psutil.Process(pid).cpu_times() if pid else None
    except psutil.Error:
        return 0.0
    return times.user + times.system if times else 0.0
