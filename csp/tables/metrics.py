"""Offers the metrics table (metrics.toml): names and places of the counters."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "metrics.toml"


@dataclass(frozen=True, slots=True)
class Metric:
    """One counter or gauge of a slot; `index` is its place in the slot's line."""

    index: int
    name: str
    kind: str
    unit: str
    help: str


def load(path: Path = TABLE) -> tuple[Metric, ...]:
    """The slot metrics in the order of the table, which is their order in memory."""
    rows = tomllib.loads(path.read_text("utf-8"))["slot"]
    return tuple(
        Metric(index, name, row["kind"], row["unit"], row["help"])
        for index, (name, row) in enumerate(rows.items())
    )


SLOT: tuple[Metric, ...] = load()
SLOT_NAMES: tuple[str, ...] = tuple(one.name for one in SLOT)
