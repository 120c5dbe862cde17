"""Says which row of which table is at fault: whoever added it is told more than a missing key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def naming_row(table: str, row: str) -> Iterator[None]:
    """Turns what goes wrong within into a ValueError that names table and row."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{table}: [{row}]: {error} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{table}: [{row}]: {error}") from error
