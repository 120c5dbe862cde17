"""The validators by name: each takes a history and says in words what of it can't be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.validate.history import Record
from tests.validate.validators.assured import assured, level
from tests.validate.validators.atomic import atomic
from tests.validate.validators.caches import tracked
from tests.validate.validators.order import ordered, unique
from tests.validate.validators.places import bookmarkable, reliable, resumable
from tests.validate.validators.pushes import event_before_data, filter_correct
from tests.validate.validators.sessions import monotonic_reads, read_your_writes
from tests.validate.validators.states import complete_state
from tests.validate.validators.writes import linearizable_writes

Validator = Callable[[Sequence[Record]], list[str]]
VALIDATORS: dict[str, Validator] = {
    one.__name__: one
    for one in (
        ordered,
        unique,
        atomic,
        reliable,
        resumable,
        bookmarkable,
        filter_correct,
        complete_state,
        monotonic_reads,
        read_your_writes,
        assured,
        level,
        event_before_data,
        linearizable_writes,
        tracked,
    )
}


def judge(records: Sequence[Record]) -> list[str]:
    """What all validators say, each line with the name of who says it."""
    return [
        f"{name}: {line}" for name, validate in VALIDATORS.items() for line in validate(records)
    ]
