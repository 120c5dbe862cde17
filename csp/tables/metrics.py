"""Offers the metrics table (metrics.toml): names and places of the counters, and whose they are."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from csp.tables.rows import naming_row

TABLE = Path(__file__).parent / "metrics.toml"
PROCESSES = ("worker", "writer", "auth", "reading", "ldap", "radius", "kerberos", "supervisor")
KINDS = ("counter", "gauge")


@dataclass(frozen=True, slots=True)
class Metric:
    """One counter or gauge; `index` is its place in the row of the process that counts it."""

    index: int
    name: str
    process: str
    kind: str
    unit: str
    help: str


def load(path: Path = TABLE) -> tuple[Metric, ...]:
    """The metrics in the order of the table, which is their order in memory."""
    tables = tomllib.loads(path.read_text("utf-8"))
    rows = [(process, name, row) for process, of in tables.items() for name, row in of.items()]
    found = []
    for index, (process, name, row) in enumerate(rows):
        with naming_row("metrics.toml", f"{process}.{name}"):
            if process not in PROCESSES or row["kind"] not in KINDS:
                raise ValueError("no such process or kind")
            found.append(Metric(index, name, process, row["kind"], row["unit"], row["help"]))
    return tuple(found)


METRICS: tuple[Metric, ...] = load()
NAMES: tuple[str, ...] = tuple(one.name for one in METRICS)
PLACES: dict[str, int] = {one.name: one.index for one in METRICS}


def of_process(process: str) -> tuple[Metric, ...]:
    """What one process counts."""
    return tuple(one for one in METRICS if one.process == process)
