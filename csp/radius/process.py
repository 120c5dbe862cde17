"""The process that asks RADIUS servers."""

from __future__ import annotations

from csp.external.backend import Backend, Unusable
from csp.external.process import run_backend
from csp.process.context import ProcessContext


def run_radius(context: ProcessContext) -> None:
    """Serves until asked to end."""
    run_backend(context, open_radius)


def open_radius() -> Backend:
    """The backend; raises Unusable."""
    raise Unusable("this release asks no RADIUS servers yet")
