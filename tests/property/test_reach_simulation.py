"""Subscribers who may read different parts of an estate are told exactly that, whatever changes."""

from __future__ import annotations

import pytest

from tests.property.reach_world import PERSONS, ReachWorld

STEPS = 25


def play(seed: int, turn_us: int, *, scopes: float = 0.0) -> ReachWorld:
    """Changes, moves, changes of rights and of the scope; some read at once, some now and then."""
    world = ReachWorld(seed, turn_us=turn_us)
    for number in range(10):
        proto = 2 if number % 4 == 1 else 3
        world.connect(PERSONS[number % 4], is_lazy=number % 3 == 2, proto=proto)
    eager = [one for one in world.clients if not one.is_lazy]
    asking = [one for one in eager if one.proto == 3]  # others can't ask while they subscribe
    is_settled = True
    for _ in range(STEPS):
        for _ in range(world.random.randint(1, 4)):
            world.change(world.random.choice((1, 1, 2, 12)))
            if world.random.random() < 0.4:
                world.turn_rights(world.random.choice((1, 1, 3)))
            if scopes and world.random.random() < scopes:
                world.limit()
        if world.random.random() < 0.5:
            world.turns(world.random.randint(1, 5))
            is_settled = False
            continue
        world.settle(eager)
        for one in asking:
            world.judge(one, actors=is_settled)
        is_settled = True
        for one in world.clients:
            if one.is_lazy and world.random.random() < 0.3 and one.receive():
                world.take(one)
    world.settle(world.clients)
    for one in world.clients:
        world.judge(one, actors=False)
    return world


@pytest.mark.parametrize("turn_us", [0, 10_000_000], ids=["small pieces", "long turns"])
@pytest.mark.parametrize("seed", range(4))
def test_each_is_told_what_it_may_read(seed: int, turn_us: int) -> None:
    world = play(seed, turn_us)
    world.close()


@pytest.mark.parametrize("turn_us", [0, 10_000_000], ids=["small pieces", "long turns"])
@pytest.mark.parametrize("seed", range(100, 104))
def test_a_scope_that_changes_is_a_change_of_what_all_may_read(seed: int, turn_us: int) -> None:
    """F91: what it hides is deleted, what it shows again created."""
    world = play(seed, turn_us, scopes=0.3)
    world.close()
