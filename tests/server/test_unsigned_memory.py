"""What one connection that never signs in can make a worker keep, measured on a real worker."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import HotServer, Raw

CONNECTIONS = 50
ARGUMENT = 16384
# Ten arguments of 16 kB, and a buffer that grows by doubling.
BYTES_MAX = 2 * (10 * ARGUMENT + 65536)


def test_unsigned_connections_keep_no_more_than_their_limit(
    serve: Callable[..., HotServer],
) -> None:
    server = serve()
    process = psutil.Process(server.pid)
    begin = process.memory_info().rss
    held: list[Raw] = []
    largest = b"*10\r\n" + (b"$%d\r\n" % ARGUMENT + b"x" * ARGUMENT + b"\r\n") * 10
    for _ in range(CONNECTIONS):
        one = server.connect(sign_in=False)
        one.send(largest[:-1])
        held.append(one)
    with_buffers = server.connect()

    def counters() -> dict[str, int]:
        return dict(eval(with_buffers.call("counters")))

    def kept() -> int:
        return sum(client["input_bytes"] for client in eval(with_buffers.call("clients")))

    wait_until(lambda: kept() >= CONNECTIONS * (len(largest) - 1), 10, "all bytes are kept")
    # Memory may grow by less: the child began with some that its parent had freed.
    assert process.memory_info().rss - begin < CONNECTIONS * BYTES_MAX
    greedy = server.connect(sign_in=False)
    greedy.send(b"*11\r\n")
    assert greedy.is_closed()
    greedy = server.connect(sign_in=False)
    greedy.send(b"*1\r\n$16385\r\n")
    assert greedy.is_closed()
    for one in held:
        one.close()
    wait_until(lambda: counters()["unsigned"] == 0, 10, "they are gone")
    assert counters()["buffers"] == 0
