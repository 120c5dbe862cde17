"""Walks a store for longer than a guest may keep one revision: it goes on at a newer one."""

from __future__ import annotations

from typing import Any, cast

from csp.store.guest import Pinned


class Reader:
    """Counts what is pinned."""

    def __init__(self) -> None:
        self.published = 5
        self.pins = 0

    def pin(self) -> int:
        self.pins += 1
        return self.published

    def unpin(self) -> None:
        self.pins -= 1


def test_an_old_pin_is_given_up_for_a_new_one() -> None:
    reader, now_s = Reader(), [100.0]
    with Pinned(cast(Any, reader), lambda: now_s[0]) as pinned:
        reader.published = 6
        now_s[0] = 159.0
        assert not pinned.renew()
        assert pinned.revision == 5
        now_s[0] = 160.5
        assert pinned.renew()
        assert pinned.revision == 6
        assert reader.pins == 1
        now_s[0] = 200.0
        assert not pinned.renew()
    assert reader.pins == 0
