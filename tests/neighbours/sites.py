"""Two sites, each a network namespace of its own, and a link between them that is cut or slow.

1. Who tests reaches both sites, also while the link between them is cut.
2. What is cut is gone without a word: packets are dropped, and no end is told.
3. The namespaces and their devices go at the end, and are named by who made them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.neighbours.server import Master, Proxy

TOOLS = ("ip", "tc")
SLOW = ("rate", "2mbit", "burst", "16kb", "latency", "5s")  # of a link that is overloaded


def why_not() -> str:
    """Why there can be no two sites here; empty where there can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)} (iproute2)"
    return "" if os.getuid() == 0 else "only root makes network namespaces by name"


class Site:
    """One of the two."""

    def __init__(self, name: str, number: int, network: str) -> None:
        self.name = name
        self.address = f"{network}.{number}.1"  # at which its servers are reached by who tests
        self.across = f"{network}.3.{number}"  # and by the other site
        self._outside = f"{network}.{number}.254"
        self._device = f"c{os.getpid() % 100_000}-{number}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", self._device, "type", "veth", "peer", "name", "out", "netns", name)
        run("ip", "address", "add", f"{self._outside}/24", "dev", self._device)
        run("ip", "link", "set", self._device, "up")
        self.ip("address", "add", f"{self.address}/24", "dev", "out")
        for device in ("lo", "out"):
            self.ip("link", "set", device, "up")

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs another one here."""
        return ("ip", "netns", "exec", self.name)

    def ip(self, *words: str) -> None:
        run("ip", "-netns", self.name, *words)

    def holds(self, server: Any) -> None:
        """This server stands here, and is reached at the site's addresses."""
        server.within = self.within
        server.listens_at = "0.0.0.0"
        server.reached_at = self.address

    def close(self) -> None:
        run("ip", "netns", "delete", self.name)


class TwoSites:
    """Both, and what is between them."""

    def __init__(self) -> None:
        network = f"10.{64 + os.getpid() % 128}"
        names = (f"csp-{os.getpid()}-one", f"csp-{os.getpid()}-two")
        self.one, self.two = (Site(name, at, network) for at, name in enumerate(names, 1))
        run(
            *("ip", "link", "add", "between", "netns", self.one.name),
            *("type", "veth", "peer", "name", "between", "netns", self.two.name),
        )
        for site in (self.one, self.two):
            site.ip("address", "add", f"{site.across}/24", "dev", "between")
            site.ip("link", "set", "between", "up")

    def cut(self) -> None:
        """Nothing passes between the sites any more."""
        self.one.ip("link", "set", "between", "down")

    def mend(self) -> None:
        """All passes again."""
        self.one.ip("link", "set", "between", "up")

    def be_slow(self) -> None:
        """What one site says to the other takes its time."""
        run(*self.one.within, "tc", "qdisc", "replace", "dev", "between", "root", "tbf", *SLOW)

    def be_fast(self) -> None:
        """It takes none any more."""
        run(*self.one.within, "tc", "qdisc", "delete", "dev", "between", "root")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.one.close()
        self.two.close()


def run(*words: str) -> None:
    """Runs a command, and says what it said where it fails."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"


def master_at(site: Site, folder: Path) -> Master:
    """A master at a site."""
    made = Master(folder)
    site.holds(made)
    return made


def proxy_at(site: Site, folder: Path, app: str, above: tuple[str, int]) -> Proxy:
    """A proxy at a site, whose Application is there already, of the server at this address."""
    made = Proxy(folder, above[1], app=app, extra=())
    made.master_host = above[0]
    site.holds(made)
    return made
