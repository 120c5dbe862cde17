"""A loop of turns watches what somebody else opens, closes and waits for."""

from __future__ import annotations

import os

from csp.process.polling import Poller, Watched


def test_a_descriptor_that_takes_the_number_of_a_closed_one_is_watched() -> None:
    """As an asker does whose channel broke: it closes and opens within one turn."""
    poller, watched = Poller(), Watched()
    read, write = os.pipe()
    heard: list[bytes] = []

    def readable() -> None:
        nonlocal read, write
        heard.append(os.read(read, 10))
        if len(heard) > 1:
            return
        watched.remove_fd(read)
        old = read
        os.close(read)
        os.close(write)
        new, write = os.pipe()
        if new != old:  # others of the process have closed lower ones
            os.dup2(new, old)
            os.close(new)
        read = old
        watched.add_fd(read, readable)

    watched.add_fd(read, readable)
    os.write(write, b"one")
    poller.wait(watched.descriptors(), 5)
    os.write(write, b"two")
    poller.wait(watched.descriptors(), 5)
    assert heard == [b"one", b"two"]
    poller.close()
    for fd in (read, write):
        os.close(fd)


def test_moments_come_in_order_and_no_sooner() -> None:
    now = [1_000]
    watched = Watched(lambda: now[0])
    came: list[str] = []
    watched.call_later(50, lambda: came.append("second"))
    watched.call_later(20, lambda: came.append("first"))
    assert watched.patience(0.2) == 0.02
    assert watched.patience(0.01) == 0.01
    watched.take_due()
    assert came == []
    now[0] += 20
    watched.take_due()
    assert came == ["first"]
    now[0] += 100
    assert watched.patience(0.2) == 0.0
    watched.take_due()
    assert came == ["first", "second"]
    assert watched.patience(0.2) == 0.2
