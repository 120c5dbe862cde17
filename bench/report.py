"""Prints rows of figures, keeps them as JSON, and says which fall short."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import click
import orjson
import psutil

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One ratio: the rounds' values and what it must not exceed (None: told only)."""

    name: str
    against: str
    ratios: list[float]
    at_most: float | None

    @property
    def value(self) -> float:
        return median(self.ratios)

    @property
    def falls_short(self) -> bool:
        return self.at_most is not None and self.value > self.at_most


def conclude(name: str, rows: list[Row], notes: dict[str, object], *, keep: bool) -> int:
    """Prints the table; returns the exit code: 1 if a row falls short."""
    width = max(len(f"{row.name} / {row.against}") for row in rows)
    click.echo(f"{'work / against':{width}}  median    min    max  at most")
    for row in rows:
        limit = f"{row.at_most:7.2f}" if row.at_most is not None else "      -"
        verdict = "" if row.at_most is None else "  FALLS SHORT" if row.falls_short else "  ok"
        click.echo(
            f"{f'{row.name} / {row.against}':{width}}  {row.value:6.3f} {min(row.ratios):6.3f}"
            f" {max(row.ratios):6.3f}  {limit}{verdict}"
        )
    if keep:
        RESULTS.mkdir(exist_ok=True)
        when = datetime.now(UTC)
        record = {
            "benchmark": name,
            "date": when.isoformat(timespec="seconds"),
            "machine": {
                "cores": psutil.cpu_count(),
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            "rows": [asdict(row) | {"median": row.value} for row in rows],
            "notes": notes,
        }
        path = RESULTS / f"{when:%Y-%m-%d}-{name}.json"
        path.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
        click.echo(f"kept in bench/results/{path.name}")
    short = [row for row in rows if row.falls_short]
    for row in short:
        click.echo(f"falls short: {row.name} against {row.against}: {row.value:.3f}", err=True)
    return 1 if short else 0
