"""A network of one's own: a namespace in which the packets of a link are dropped, or slowed down.

1. The process enters the namespace before it has threads; its children are born there. Nothing of
   the machine's own network is touched, and the namespace goes with its last process.
2. A link is an address of the loopback: servers listen at all of them, so an address says by which
   link a packet goes. What is dropped is sent to a device that leads nowhere.
3. A half-open connection stays so for good: its packets are dropped by its client's port, while
   new connections of the link pass again. Both ends are the kernel's own; nobody swallows anything.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.validate.links import BYTES_A_SECOND, Link

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
NOWHERE = "nowhere"  # the device
MTU = 1_500
TOOLS = ("ip", "tc", "ss")


def enter() -> str:
    """Enters a new network namespace; why not, where it can't be."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)} (iproute2)"
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER):
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    try:
        if user:
            _be_root_within(user, group)
        _prepare()
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        _run("ip", "link", "set", "lo", "up", fails=True)
        return f"a namespace that drops no packets: {said.strip().splitlines()[0]}"
    return ""


def _be_root_within(user: int, group: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _prepare() -> None:
    """The loopback with small packets, where rates and filters can be, and the way to nowhere."""
    small = ("mtu", str(MTU), "gso_max_size", str(MTU), "gso_max_segs", "1")
    _run("ip", "link", "set", "lo", "up", *small)
    _run("ip", "link", "add", NOWHERE, "type", "veth", "peer", "name", f"{NOWHERE}2")
    _run("ip", "link", "set", NOWHERE, "up")
    _run("tc", "qdisc", "add", "dev", "lo", "ingress")
    _run("tc", "qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb")
    probe = PacketLink(0, 255)
    probe.strike("half-open")
    probe.strike("throttle")
    probe.close()


class PacketLink:
    """One address, and what becomes of packets from and to it."""

    def __init__(self, port: int, number: int) -> None:
        self.host, self.port = f"127.0.{number}.1", port
        self._number = number
        self._deaf: set[str] = set()  # client ports of connections that are half-open for good
        self._is_slow = False

    def strike(self, what: str) -> None:
        if what in ("cut", "away"):
            if what == "away":
                self._drop_all()
            self._reset()
        elif what == "throttle":
            self._slow_down()
        else:
            self._drop_all()
            if what == "half-open":
                self._deafen()

    def go_on(self) -> None:
        _run("tc", "filter", "del", *self._incoming(1), fails=True)
        if self._is_slow:
            self._is_slow = False
            _run("tc", "filter", "del", *self._outgoing(), fails=True)
            _run("tc", "class", "del", "dev", "lo", "classid", self._class, fails=True)

    def close(self) -> None:
        self.go_on()
        _run("tc", "filter", "del", *self._incoming(2), fails=True)
        self._reset()

    @property
    def _class(self) -> str:
        return f"1:{self._number:x}"

    def _incoming(self, kind: int) -> tuple[str, ...]:
        """Where its filters of a kind are: 1 of all that it carries, 2 of single connections."""
        place = str(self._number * 2 + kind)
        return ("dev", "lo", "parent", "ffff:", "protocol", "ip", "prio", place)

    def _outgoing(self) -> tuple[str, ...]:
        return ("dev", "lo", "parent", "1:", "protocol", "ip", "prio", str(self._number))

    def _drop_all(self) -> None:
        for side in ("src", "dst"):
            self._drop(1, "match", "ip", side, self.host)

    def _drop(self, kind: int, *match: str) -> None:
        action = ("action", "mirred", "egress", "redirect", "dev", NOWHERE)
        _run("tc", "filter", "add", *self._incoming(kind), "u32", *match, *action)

    def _deafen(self) -> None:
        """Its present connections never hear of each other again."""
        listed = _run("ss", "-tnH", "state", "connected", "src", self.host)
        ports = set(re.findall(r":(\d+)\s*$", listed, re.MULTILINE))
        for port in ports - self._deaf:
            for side, mine in (("src", "dport"), ("dst", "sport")):
                match = ("match", "ip", side, self.host, "match", "ip", mine, port, "0xffff")
                self._drop(2, *match)
        self._deaf |= ports

    def _slow_down(self) -> None:
        self._is_slow = True
        rate = f"{BYTES_A_SECOND * 8}bit"
        shape = ("htb", "rate", rate, "burst", "2k", "cburst", "2k")
        _run("tc", "class", "add", "dev", "lo", "parent", "1:", "classid", self._class, *shape)
        for side in ("src", "dst"):
            match = ("match", "ip", side, self.host)
            _run("tc", "filter", "add", *self._outgoing(), "u32", *match, "flowid", self._class)

    def _reset(self) -> None:
        """Breaks its connections, as a host does that has forgotten them."""
        _run("ss", "-K", "state", "connected", "src", self.host, fails=True)
        _run("ss", "-K", "state", "connected", "dst", self.host, fails=True)


class Packets:
    """The network of a namespace."""

    blows = frozenset(("cut", "away", "throttle", "hold", "half-open"))
    listens_at = "0.0.0.0"

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def link(self, port: int) -> Link:
        return PacketLink(port, next(self._numbers))

    def __str__(self) -> str:
        return "packets are dropped and slowed down in a namespace (delayed: not here)"


def _run(*words: str, fails: bool = False) -> str:
    """What a tool says; `fails`: where it refuses, there is nothing to do."""
    done = subprocess.run(words, capture_output=True, text=True, check=not fails)
    return done.stdout
