"""Says what a master does about its lease: for every state and everything that it may find, once.

1. The table is total: every state has an answer to every finding, and none but ENDED is without a
   way to PRIMARY and to STANDING_BY.
2. A master writes in the state PRIMARY alone. It gets there by its own statement that raised the
   fence (TAKEN), or where the fence is the one that it raised itself, and nobody else since.
3. Whoever finds another's fence leaves PRIMARY in that step, whatever else it was about to do.
4. Nothing here looks at a clock or a database: csp/master/lease.py does, tests/property too.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple


class State(Enum):
    """What a master is to the lease."""

    STARTING = "starting"  # it has not looked yet
    STANDING_BY = "standing by"  # another has it; this one follows and watches the counter
    TAKING = "taking"  # its statement is under way, or was when the database was lost
    PRIMARY = "primary"  # it writes
    RELEASED = "released"  # it has left it to a standby, and writes no more
    REPLACED = "replaced"  # it was primary, and another has taken it: its store is to follow
    LOST = "lost"  # it was primary, and the database is away
    AWAY = "away"  # it was not, and the database is away
    ENDED = "ended"


class Finding(Enum):
    """What it finds, or is asked."""

    HELD = "held"  # another has it, and its counter has not stood still for a lease
    STILL = "still"  # another has it, and its counter was read unmoved for a lease
    FREE = "free"  # it was given up, or left to this one
    OWN = "own"  # this server has it: the row names it, and a fence that it raised
    TAKEN = "taken"  # this one's statement has raised the fence
    BEATEN = "beaten"  # this one's statement changed nothing: another was there first
    GONE = "gone"  # the database does not answer
    SWITCH = "switch"  # it is asked to hand over to a standby that is there
    STOP = "stop"


class Action(Enum):
    """What it then does."""

    TAKE = "take"  # one statement that names the fence and the counter that were read
    SERVE = "serve"  # bring the store to what the database holds, then take writes
    RENEW = "renew"
    RELEASE = "release"  # to the standby, under its own fence
    GIVE_UP = "give up"  # the same, to whoever comes
    FOLLOW = "follow"  # take no writes, and bring the store to what the database holds
    LOOK = "look"  # for the database
    REFUSE = "refuse"  # what was asked
    NOTHING = "nothing"


class Step(NamedTuple):
    """What becomes of a master that finds something."""

    state: State
    action: Action


_FOLLOWS: Final = Step(State.STANDING_BY, Action.FOLLOW)
_TAKES: Final = Step(State.TAKING, Action.TAKE)
_ENDS: Final = Step(State.ENDED, Action.NOTHING)
_IS_AWAY: Final = Step(State.AWAY, Action.LOOK)
_IS_REPLACED: Final = Step(State.REPLACED, Action.FOLLOW)

# Of a master that does not write.
_OFF: Final = {
    Finding.HELD: _FOLLOWS,
    Finding.STILL: _TAKES,
    Finding.FREE: _TAKES,
    Finding.OWN: _TAKES,
    Finding.TAKEN: _FOLLOWS,  # no statement of it was under way: it looks again
    Finding.BEATEN: _FOLLOWS,
    Finding.GONE: _IS_AWAY,
    Finding.STOP: _ENDS,
}
# Of one that wrote, and finds a row that is not its own.
_OUT: Final = dict.fromkeys(
    (Finding.HELD, Finding.STILL, Finding.FREE, Finding.BEATEN), _IS_REPLACED
)

_OTHERS: Final[dict[State, dict[Finding, Step]]] = {
    State.STARTING: _OFF,
    State.STANDING_BY: _OFF,
    State.TAKING: _OFF | {Finding.TAKEN: Step(State.PRIMARY, Action.SERVE)},
    State.PRIMARY: _OUT
    | {
        Finding.OWN: Step(State.PRIMARY, Action.RENEW),
        Finding.TAKEN: Step(State.PRIMARY, Action.NOTHING),
        Finding.GONE: Step(State.LOST, Action.LOOK),
        Finding.SWITCH: Step(State.RELEASED, Action.RELEASE),
        Finding.STOP: Step(State.ENDED, Action.GIVE_UP),
    },
    State.RELEASED: _OFF,
    # Before it may take it again its store follows: what the other one has written is there.
    State.REPLACED: _OFF | dict.fromkeys((Finding.STILL, Finding.FREE, Finding.OWN), _FOLLOWS),
    State.LOST: _OUT
    | {
        Finding.OWN: Step(State.PRIMARY, Action.SERVE),
        Finding.TAKEN: Step(State.LOST, Action.LOOK),
        Finding.GONE: Step(State.LOST, Action.LOOK),
        Finding.STOP: _ENDS,
    },
    # What stood still while nobody could reach the database says nothing: it watches anew.
    State.AWAY: _OFF | {Finding.STILL: _FOLLOWS},
    State.ENDED: {},
}


def _steps() -> Iterator[tuple[tuple[State, Finding], Step]]:
    for state in State:
        for finding in Finding:
            rest = Step(state, Action.REFUSE if finding is Finding.SWITCH else Action.NOTHING)
            yield (state, finding), _OTHERS[state].get(finding, rest)


TABLE: Final[dict[tuple[State, Finding], Step]] = dict(_steps())
WRITES: Final = frozenset({State.PRIMARY})
