"""What a proxy's clients are limited to: what lies in some containers, whatever is granted to them.

1. It takes away and never gives.
2. A container's own object belongs to it only where that governs itself: a tenant does, a folder
   does with grants of its own; else it lies in the container above, as what is beside it does.
3. A tenant ends the way up: what lies in one is in no scope that names another.
4. What can't be read as a key names nothing, and a scope of nothing shows nothing: a slip of the
   pen hides too much, never too little.
"""

from __future__ import annotations

from collections.abc import Callable

from csp.errors import CspError
from csp.model.places import TENANT, Place, upwards
from csp.model.symbolic import parse_key

ContainerOf = Callable[[Place], Place]  # NOWHERE: there is no such object
Scope = frozenset[Place]


def read_scope(text: str) -> Scope | None:
    """The containers that a text names, by their keys; None where it is empty."""
    words = [word for word in text.replace(",", " ").split() if word]
    return frozenset(place for word in words for place in _place(word)) if words else None


def within(scope: Scope, container: Place, container_of: ContainerOf) -> bool:
    """Whether what lies in a container is in the scope."""
    return any(one in scope for one in upwards(container, container_of))


def holds(scope: Scope, place: Place, container_of: ContainerOf, *, governs_itself: bool) -> bool:
    """Whether an object is in the scope."""
    if governs_itself and place in scope:
        return True
    return place[0] != TENANT.id and within(scope, container_of(place), container_of)


def _place(word: str) -> list[Place]:
    try:
        cls, dbid = parse_key(word)
    except CspError:
        return []
    return [(cls.id, dbid)]
