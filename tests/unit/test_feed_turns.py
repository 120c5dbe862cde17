"""Whose turn it is to be tried: as the Application of the master spaces attempts (F51)."""

from __future__ import annotations

import pytest

from csp.feed.route import Route
from csp.feed.turns import ALL_AT_ONCE, Spacing, Turns, spacing_in
from csp.process.lookup import Endpoint


def way(port: int, *, to_backup: bool = False, rank: int = 0) -> Route:
    return Route(Endpoint(2, ("127.0.0.1", port)), to_backup=to_backup, rank=rank)


PRIMARY = [way(1), way(2)]  # one name, two addresses
BACKUP = [way(3, to_backup=True)]
FURTHER = [way(4, rank=1)]
WAYS = PRIMARY + BACKUP


def tried(turns: Turns, ways: list[Route], times: int) -> str:
    """The server of each attempt, all of which fail."""
    found = ""
    for _ in range(times):
        (one,) = {"b" if route.to_backup else str(route.rank) for route in turns.pick(ways)}
        found += one
        turns.failed()
    return found


def test_f51_primary_and_backup_alternate_with_the_stated_spacing() -> None:
    turns = Turns()
    turns.spacing = Spacing(attempts=2, timeout_s=3)
    assert turns.delay_ms is None  # the first attempt after a loss comes at once
    assert list(turns.pick(WAYS)) == PRIMARY
    assert tried(turns, WAYS, 7) == "00bb00b"
    assert turns.delay_ms == 3_000


def test_further_servers_have_their_turn_behind_both() -> None:
    turns = Turns()
    turns.spacing = Spacing(attempts=1, timeout_s=1)
    assert tried(turns, WAYS + FURTHER, 6) == "0b10b1"


def test_f52_who_was_at_the_backup_tries_that_one_first() -> None:
    turns = Turns()
    turns.spacing = Spacing(attempts=2, timeout_s=1)
    turns.failed()
    turns.linked(BACKUP[0])
    assert turns.delay_ms is None
    assert tried(turns, WAYS, 5) == "bb00b"


def test_where_nothing_is_stated_all_are_tried_in_one_go_and_pauses_grow() -> None:
    turns = Turns()
    for _ in range(3):
        assert list(turns.pick(WAYS)) == WAYS
        turns.failed()
    assert turns.delay_ms is None


@pytest.mark.parametrize(
    ("server", "spacing"),
    [
        ({}, ALL_AT_ONCE),
        ({"attempts": 0, "timeout": 0}, ALL_AT_ONCE),
        ({"attempts": 3}, Spacing(3, 0)),
        ({"timeout": 10}, Spacing(0, 10)),
        ({"attempts": -1, "timeout": "x"}, ALL_AT_ONCE),
        ({"attempts": 10_000, "timeout": 10_000}, Spacing(100, 600)),
    ],
)
def test_the_application_of_the_server_states_it(
    server: dict[str, object], spacing: Spacing
) -> None:
    assert spacing_in({"serverInfo": server}) == spacing
