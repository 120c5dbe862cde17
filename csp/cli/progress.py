"""Tells how far a long run is: a line that changes if somebody looks, else one now and then."""

from __future__ import annotations

import sys
import time

import click

LINE_SECONDS = 1.0  # between two lines of a log; a terminal sees each step


class Progress:
    """How far it is; `close` ends the line of a terminal."""

    def __init__(self) -> None:
        self.done = 0
        self.of = 0
        self._shows = sys.stderr is not None and sys.stderr.isatty()
        self._width = 0
        self._began = self._last = time.monotonic()

    def begin(self, of: int) -> None:
        """So many changes begin to be written."""
        self.done, self.of = 0, of
        self._began = time.monotonic()

    def checked(self, done: int, of: int) -> None:
        """So many changes were tried."""
        if self._shows:
            self._show(f"checked {done:,} of {of:,}")

    def written(self, done: int, of: int) -> None:
        """So many changes are done."""
        self.done, self.of = done, of
        now = time.monotonic()
        if self._shows:
            rate = done / max(now - self._began, 1e-3)
            left = (of - done) / max(rate, 1e-3)
            self._show(
                f"{done:,} of {of:,} ({100 * done // max(of, 1)} %), "
                f"{rate:,.0f} a second, {left:,.0f} s left"
            )
        elif done < of and now - self._last >= LINE_SECONDS:
            self._last = now
            click.echo(f"{done} of {of}", err=True)

    def close(self) -> None:
        """Ends the line that is shown."""
        if self._width:
            click.echo("", err=True)
            self._width = 0

    def _show(self, text: str) -> None:
        click.echo("\r" + text.ljust(self._width), err=True, nl=False)
        self._width = len(text)
