"""The process of the role `radius`: it asks RADIUS servers for auth."""

from __future__ import annotations

from csp.external.process import run_backend
from csp.process.context import ProcessContext
from csp.radius.directory import RadiusBackend


def run_radius(context: ProcessContext) -> None:
    """Serves until asked to end; without its package it says so to whoever asks."""
    run_backend(context, RadiusBackend)
