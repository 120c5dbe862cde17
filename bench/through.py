"""Measures writes through a writable proxy against the same writes directly at its master.

Rounds go in turn, so that both see the same disk and the same machine; both are answered by
servers that have published the change.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.exchange import Result, exchange
from bench.report import Row
from bench.wires import CspWire
from tests.neighbours.server import Proxy, Server
from tests.neighbours.waiting import wait_until

PROXY_P50_MOST = 1.5
PROXY_MANY_MOST = 1 / 0.8  # the time of a write, so of the throughput 0.8

Run = Callable[[Server, int], Result]


def through_a_proxy(
    folder: Path,
    master: Server,
    wire: Callable[[int], CspWire],
    *,
    writers: int,
    rounds: int,
    until: Callable[[], Callable[[int], bool]],
    note: Callable[..., None],
) -> list[Row]:
    """One writer's median, and the throughput of many, in turn."""

    def run(server: Server, count: int) -> Result:
        wires = [wire(number) for number in range(count)]
        return exchange(server.port, wires, in_flight=1, until=until())

    p50: list[float] = []
    many: list[float] = []
    with Proxy(folder, master) as proxy:
        make_writable(master, proxy)
        run(proxy, writers)
        for _ in range(rounds):
            direct, through = run(master, 1), run(proxy, 1)
            p50.append(through.percentile_ms(0.5) / direct.percentile_ms(0.5))
            note("1 writer", direct_p50_ms=direct.percentile_ms(0.5),
                 through_p50_ms=through.percentile_ms(0.5),
                 direct_p99_ms=direct.percentile_ms(0.99),
                 through_p99_ms=through.percentile_ms(0.99))  # fmt: skip
            direct, through = run(master, writers), run(proxy, writers)
            many.append(direct.a_second / through.a_second)
            note(f"{writers} writers", direct=direct.a_second, through=through.a_second,
                 direct_p50_ms=direct.percentile_ms(0.5),
                 through_p50_ms=through.percentile_ms(0.5))  # fmt: skip
    return [
        Row("write through a proxy, p50", "at the master", p50, PROXY_P50_MOST),
        Row(f"{writers} writers through a proxy, time a write", "at the master", many,
            PROXY_MANY_MOST),
    ]  # fmt: skip


def make_writable(master: Server, proxy: Proxy) -> None:
    """Sets the option, and waits until it holds."""
    key = f"CfgApplication/name={proxy.app}"
    done = master.cli("option", key, "csproxy", "proxy-writable", "true")
    assert done.returncode == 0, done.stderr

    def is_writable() -> Any:
        with proxy.client(protocol=3) as client:
            return client.execute_command("CFG.STATUS")["writable"]

    wait_until(is_writable, 10, "the proxy takes writes")
