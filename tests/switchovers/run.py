"""Has one half take over from the other, again and again, and judges what the clients saw."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from tests.switchovers.blows import blows
from tests.switchovers.clients import PairWriter, StrongReader, TokenReader
from tests.switchovers.scenes import Scene
from tests.validate.actor import APPLICATION as DESK
from tests.validate.links import FaultProxies
from tests.validate.reader import Reader
from tests.validate.run import Run, begin_all
from tests.validate.subscriber import Subscriber
from tests.validate.watcher import Watcher

REST_SECONDS = 0.4  # in which clients do something between two of them


class Switchovers(Run):
    """So many switchovers of one scene."""

    def __init__(self, folder: Path, scene: Scene, *, seed: int, count: int) -> None:
        super().__init__(folder, FaultProxies("none is between"), seed=seed, seconds=0.0)
        self.scene, self.count = scene, count
        self.blows = blows(seed, scene.kinds)

    def estate(self) -> Scene:  # type: ignore[override]
        """The scene: it has what a run asks of its servers."""
        return self.scene

    def asked(self) -> str:
        """What kind of run it was."""
        return f"{type(self.scene).__name__}, seed {self.seed}, {self.count} switchovers"

    def summary(self) -> list[str]:
        """With how soon the other one served."""
        taken = sorted(one for one in self.scene.taken if one)
        lines = super().summary()[1:]
        if taken:
            lines.insert(
                1,
                f"the other half served after {taken[len(taken) // 2]:.2f} s in the median, "
                f"{taken[-1]:.2f} s at most",
            )
        return lines

    # ------------------------------------------------------------------ the run

    def _begin(self, start_revision: int) -> None:
        ground, seed, halves = self.ground, self.seed, self.scene.halves_names
        skill = next(key for key in ground.keys if key.startswith("CfgSkill"))
        # Who has the master for an address as well would stay there and see no switchover.
        fronts = {name: ground.fronts[name] for name in halves}
        below = replace(ground, fronts=fronts)
        self.subscribers = [
            Subscriber(below, ("cfg",), "subscriber", seed, start_revision, ""),
            Subscriber(below, ("cfg:CfgSkill",), "subscriber by token", seed, start_revision, DESK),
        ]
        self.watchers = [
            Watcher(ground, ("cfg",), "watcher", seed, by_token=False),
            Watcher(
                below, ("cfg:CfgPerson", f"cfg:{skill}"), "watcher by token", seed, by_token=True
            ),
        ]
        self.readers = [Reader(ground, f"reader {number}", seed) for number in range(2)]
        self.writers = [
            PairWriter(ground, self.scene.masters_names, "writer at the master", seed),
            *(PairWriter(ground, halves, f"writer of the pair {n}", seed) for n in range(2)),
        ]
        self.others = [
            *(TokenReader(ground, f"comer {number}", seed) for number in range(2)),
            StrongReader(ground, "strong reader", seed),
        ]
        begin_all([*self.subscribers, *self.watchers])
        begin_all([*self.readers, *self.others, *self.writers])

    def _strike(self, estate: Scene) -> None:  # type: ignore[override]
        while sum(self.done.values()) < self.count and not self.ground.faults:
            blow = next(self.blows)
            click.echo(f"{time.strftime('%H:%M:%S')} {blow}", err=True)
            estate.strike(blow)
            self.done[blow.what] += 1
            estate.wait_reached(max(estate.revisions().values()))
            time.sleep(REST_SECONDS)
