"""The servers of a run of switchovers: a master and what is below it, and how each is struck.

1. A blow has an end: the half that was struck is back, one half serves alone, all have the same.
2. Clients connect to the servers themselves: a half that does not serve refuses them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil

from tests.neighbours.pairs import Half, ProxyPair
from tests.neighbours.server import STOP_SECONDS_MAX, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.switchovers.blows import OF_PAIRS, OF_SINGLES, Blow
from tests.validate.estate import fill, make_writable
from tests.validate.levels import Levels

TAKEN_SECONDS_MAX = 20.0
READY_SECONDS_MAX = 60.0  # for the one that was struck to be ready again
KEEPALIVE_SECONDS = 1  # of the pair's links: a SIGSTOP is noticed within two of them


@dataclass(frozen=True)
class Direct:
    """A server's own address."""

    port: int
    host: str = "127.0.0.1"

    def go_on(self) -> None:
        """It never stopped."""

    def close(self) -> None:
        """There is nothing to end."""


class Scene(Levels):
    """What a run needs to know of its servers; kinds of it say which there are."""

    kinds: ClassVar[Mapping[str, int]] = {}
    halves_names: ClassVar[tuple[str, str]] = ("first", "second")
    masters_names: ClassVar[tuple[str, ...]] = ("master",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[str, Server] = {}
        self.fronts: dict[str, Direct] = {}
        self.feeds: dict[str, Direct] = {}
        self.keys: list[str] = []
        self.forgotten: set[str] = set()
        self.taken: list[float] = []  # seconds from each blow to the other's open port
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._begin()
            self.fronts = {name: Direct(server.port) for name, server in self.servers.items()}
            self.feeds = {name: self.fronts[name] for name in self.halves_names}
            self.wait_level()
        except BaseException:
            self._stack.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *problem: Any) -> None:
        self._stack.__exit__(*problem)

    def _begin(self) -> None:
        raise AssertionError("each kind of scene has its own servers")

    def strike(self, blow: Blow) -> None:
        """One switchover, to its end."""
        raise AssertionError("each kind of scene has its own")

    # ------------------------------------------------------------------ looking

    def status(self, name: str) -> dict[str, Any]:
        """CFG.STATUS of a server, whether it serves clients or not."""
        server = self.servers[name]
        if isinstance(server, Half):
            return server.status()
        with server.client(protocol=3, socket_timeout=5) as client:
            found: dict[str, Any] = client.execute_command("CFG.STATUS")
        return found

    def origin(self) -> Server:
        """The master, as it is now."""
        return self.servers["master"]

    def verdict(self, name: str) -> str:
        """What is wrong with what a server holds; empty: nothing."""
        done = self.servers[name].cli("verify")
        return f"{done.stdout}{done.stderr}" if done.returncode else ""


class Singles(Scene):
    """Two single proxies of one master: clients know both addresses."""

    kinds = OF_SINGLES

    def _begin(self) -> None:
        master = Master(self.folder)
        self.servers["master"] = self._stack.enter_context(master)
        for name in self.halves_names:
            proxy = Proxy(self.folder, master, app=name)
            self.servers[name] = self._stack.enter_context(proxy)
        self.keys = fill(master)
        for name in self.halves_names:
            make_writable(master, self.servers[name], name)

    def strike(self, blow: Blow) -> None:
        """The two in turn."""
        victim = self.servers[self.halves_names[len(self.taken) % 2]]
        self.taken.append(0.0)
        if blow.what == "freeze":
            with frozen(victim):
                time.sleep(blow.seconds)
            return
        end(victim, clean=blow.what == "stop")
        victim.start()


class Pair(Scene):
    """A pair of proxies of one master."""

    kinds = OF_PAIRS

    def _begin(self) -> None:
        master = Master(self.folder)
        self.servers["master"] = self._stack.enter_context(master)
        self.keys = fill(master)
        self.pair = ProxyPair(
            self.folder,
            master,
            keepalive=(KEEPALIVE_SECONDS, KEEPALIVE_SECONDS),
            cuttable=True,
            options={"csproxy": {"proxy-writable": "true"}},
        )
        self._stack.enter_context(self.pair)
        self.servers |= dict(zip(self.halves_names, self.pair.halves, strict=True))

    def verdict(self, name: str) -> str:
        server = self.servers[name]
        if isinstance(server, Half) and not server.is_serving:
            return ""  # its clients' ports are shut: it is looked at when it serves
        return super().verdict(name)

    def strike(self, blow: Blow) -> None:
        victim = wait_until(lambda: self.pair.serving, TAKEN_SECONDS_MAX, "one half serves")
        other = self.pair.other(victim)
        began = time.monotonic()
        if blow.what == "freeze":
            with frozen(victim):
                self._wait_taken(other, began)
                time.sleep(blow.seconds)
        elif blow.what in ("kill", "stop"):
            end(victim, clean=blow.what == "stop")
            self._wait_taken(other, began)
            victim.start()
        elif blow.what == "hand over":
            with victim.administrator() as client:
                client.execute_command("CFG.SWITCHOVER")
            self._wait_taken(other, began)
        else:
            self._cut(blow, victim, other)
        self.pair.wait_serving(other, TAKEN_SECONDS_MAX)
        self.pair.wait_seamless(READY_SECONDS_MAX)

    def _cut(self, blow: Blow, victim: Half, other: Half) -> None:
        if blow.what in ("cut pair", "cut both"):
            self.pair.cut_across()
        if blow.what in ("cut master", "cut both"):
            assert victim.up is not None
            victim.up.refuses = True
            victim.up.cut()
        began = time.monotonic()
        if blow.what == "cut pair":
            time.sleep(blow.seconds)
            assert self.pair.serving is victim, "a cut link of the pair alone changed who serves"
            began = time.monotonic()
            end(victim, clean=False)
        self._wait_taken(other, began)
        if blow.what == "cut pair":
            victim.start()
        else:
            time.sleep(blow.seconds)
        self.pair.mend()

    def _wait_taken(self, other: Half, began: float) -> None:
        wait_until(lambda: other.is_serving, TAKEN_SECONDS_MAX, f"{other.app} serves")
        self.taken.append(time.monotonic() - began)


def end(server: Server, *, clean: bool) -> None:
    """All its processes are killed at once, or it is asked to stop, with clients on it."""
    assert server.process is not None
    if clean:
        server.process.terminate()
        server.process.wait(STOP_SECONDS_MAX)
        return
    for process in all_of(server):
        process.kill()
    server.process.wait(STOP_SECONDS_MAX)


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """None of its processes runs meanwhile."""
    processes = all_of(server)
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def all_of(server: Server) -> list[psutil.Process]:
    """The supervisor first, so that it misses nobody's end."""
    assert server.process is not None
    top = psutil.Process(server.process.pid)
    return [top, *top.children(recursive=True)]
