"""Bundles on their way from the keeper to the workers: whole or not at all, numbered."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from csp.tls import published
from csp.tls.published import HALF_BYTES, HEAD, START_BYTES, Memory, TooMuch, make_memory


@pytest.fixture
def fd() -> Iterator[int]:
    fd = make_memory("test")
    yield fd
    os.close(fd)


def bundle(word: str) -> dict[str, bytes | str | int]:
    return {"certificate": word.encode(), "key": b"\0\xff" + word.encode(), "mutual": 2}


def test_a_set_arrives_as_it_was_written(fd: int) -> None:
    keeper, worker = Memory(fd), Memory(fd)
    assert worker.number == 0
    assert worker.read() is None
    keeper.write({0: bundle("a"), 3: bundle("b")})
    found = worker.read()
    assert found is not None
    assert found.number == worker.number == 1
    assert {port: one.bundle for port, one in found.ports.items()} == {
        0: bundle("a"),
        3: bundle("b"),
    }


def test_what_was_looked_at_is_told_where_it_has_no_bundle_and_stays_told(fd: int) -> None:
    keeper = Memory(fd)
    keeper.write({}, looked_at=[2])
    keeper.write({0: bundle("a")})
    found = Memory(fd).read()
    assert found is not None
    assert (set(found.ports), found.looked_at) == ({0}, {0, 2})


def test_what_has_not_changed_keeps_its_number(fd: int) -> None:
    keeper = Memory(fd)
    keeper.write({0: bundle("a"), 1: bundle("b")})
    keeper.write({0: bundle("a"), 1: bundle("c")})
    found = Memory(fd).read()
    assert found is not None
    assert {port: one.number for port, one in found.ports.items()} == {0: 1, 1: 2}


def test_a_keeper_that_dies_while_it_writes_changes_nothing(fd: int) -> None:
    """A half that is written, and whose number was not stored, is not looked at."""
    keeper, worker = Memory(fd), Memory(fd)
    keeper.write({0: bundle("a")})
    other_half = START_BYTES
    keeper._map[other_half : other_half + 40] = b"x" * 40
    found = worker.read()
    assert found is not None
    assert found.ports[0].bundle == bundle("a")
    Memory(fd).write({0: bundle("b")})
    found = worker.read()
    assert found is not None
    assert (found.number, found.ports[0].bundle) == (2, bundle("b"))


@pytest.mark.parametrize("at", [0, 8, 16, HEAD.size, HEAD.size + 5])
def test_a_half_that_is_not_whole_is_not_taken(fd: int, at: int) -> None:
    """Its number, its size, its digest, what it holds: the worker looks again later."""
    keeper, worker = Memory(fd), Memory(fd)
    keeper.write({0: bundle("a")})
    place = START_BYTES + HALF_BYTES + at
    was = keeper._map[place]
    keeper._map[place] = was ^ 0x41
    assert worker.read() is None
    keeper._map[place] = was
    assert worker.read() is not None


def test_a_set_that_is_too_large_is_refused_and_the_one_before_stays(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Memory(fd)
    keeper.write({0: bundle("a")})
    with pytest.raises(TooMuch, match=f"room for {HALF_BYTES - HEAD.size}"):
        keeper.write({0: {"ca": b"x" * HALF_BYTES}})
    found = keeper.read()
    assert found is not None
    assert (found.number, found.ports[0].bundle) == (1, bundle("a"))


def test_a_key_is_in_no_repr(fd: int) -> None:
    keeper = Memory(fd)
    keeper.write({0: {"key": b"do not show"}})
    assert "do not show" not in repr(keeper.read())
    assert "do not show" not in repr(published.Numbered(1, {"key": b"do not show"}))
