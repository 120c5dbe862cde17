"""A worker with several ports, whose test may look at who was turned away."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import ip_network

from csp._fastpath import Loop
from tests.server.hot_stage import HotServer, OpenLane, Raw

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL_NET = (ip_network("127.0.0.0/8"),)
ELSEWHERE = (ip_network("192.0.2.0/24"),)
CLIENT = bytes((198, 51, 100, 7))
LINE = b"PROXY TCP4 198.51.100.7 203.0.113.1 40001 6379\r\n"
BINARY = SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 12) + CLIENT + bytes(4) + b"\x9c\x41\x18\xeb"
LINE6 = b"PROXY TCP6 2001:db8::7 ::1 40001 6379\r\n"
HEALTH_CHECK = SIGNATURE + b"\x20\0\0\0"


class DoorLane(OpenLane):
    """Also tells of those turned away, and takes a list of balancers."""

    loop: Loop

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        verb = args[0].lower()
        if verb == b"turned":
            text = repr(self.loop.take_turned_away()).encode()
            return b"$%d\r\n%s\r\n" % (len(text), text)
        if verb == b"balancers":
            self.loop.set_balancers([ip_network(one.decode()) for one in args[1:]])
            return b"+OK\r\n"
        if verb == b"whoami":
            session = self.loop.session(conn)
            return b"+%d %s\r\n" % (session.port, session.address.encode())
        return super().command(conn, args)


class DoorServer(HotServer):
    """Ports of each kind."""

    lane_class = DoorLane

    def door(self, number: int, first: bytes = b"") -> Raw:
        """A connection by one of them that has sent its first bytes."""
        raw = Raw(self.listeners[number].getsockname()[1])
        raw.send(first)
        return raw

    def turned(self) -> list[tuple[str, int, int, str]]:
        """Who was turned away since it was asked last."""
        with contextlib.closing(self.connect()) as raw:
            found: list[tuple[str, int, int, str]] = eval(raw.call("TURNED"))
        return found

    def metric(self, name: str) -> int:
        return self.control.slot_counters(0)[name]
