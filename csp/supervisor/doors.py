"""Keeps the ports of a server: the default one from the start, the others once they are known.

1. What the Application says when it is first known counts until the next start.
2. A port beside the default one that can't be bound is told, and keeps nobody else from serving.
3. A socket stays bound until the stop (csp/supervisor/listeners.py).
"""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Mapping
from typing import Any

from csp.observe.events import log_event
from csp.process.port_infos import PortProblem, numbered, read_ports
from csp.process.ports import Port
from csp.supervisor.listeners import PortTaken, Rows, address_of, bind_beside

LISTENERS_MAX = 32  # of a worker: csp/_fastpath/loop/state.pxi

log = logging.getLogger("csp.supervisor")


class Doors:
    """The ports of one server, and the sockets by which its workers listen."""

    def __init__(self, listeners: Rows, stated: Mapping[str, str]) -> None:
        """`listeners` are the default port's; `stated` is what the command line says of it."""
        self._rows: Rows = [list(row) for row in listeners]
        self._numbers = [0] * len(listeners[0])  # of the port of each, alike for all workers
        self._stated = stated
        self.ports: tuple[Port, ...] = self._with_address(read_ports({}, None, stated).ports)
        self.shut: tuple[PortProblem, ...] = ()  # ports that could not be bound

    def listeners(self, slot: int) -> list[socket.socket]:
        """Those of one worker."""
        return self._rows[slot]

    @property
    def numbers(self) -> tuple[int, ...]:
        """By which port each of a worker's listeners listens."""
        return tuple(self._numbers)

    def serve(self, is_serving: bool) -> None:
        """Opens the ports for clients, or shuts them: a shut one stays bound, and refuses."""

    def take(self, application: Mapping[str, Any], host: Mapping[str, Any]) -> bool:
        """Opens what the Application names; true if workers have to know of it."""
        before = self.ports
        found = read_ports(application, host, self._stated)
        ports = [*self._with_address(found.ports[:1])]
        shut: list[PortProblem] = []
        for port in found.ports[1:]:
            try:
                address = self._open(port, len(ports))
            except PortTaken as error:
                shut.append(PortProblem(port.id, str(port.tcp), str(error)))
                continue
            ports.append(dataclasses.replace(port, address=address))
        self.ports, self.shut = numbered(ports), tuple(shut)
        for problem in (*found.problems, *shut):
            log_event(log, "51030", **problem._asdict())
        for port in self.ports[1:]:
            fields = {"purpose": port.purpose.word, "security": port.security.word}
            log_event(log, "51031", port=port.id, address=port.address, **fields)
        return self.ports != before

    def _open(self, port: Port, number: int) -> str:
        """Binds it beside the default port; where, as HOST:PORT."""
        beside = self._rows[0][: self._numbers.count(0)]
        if len(self._numbers) + len(beside) > LISTENERS_MAX:
            raise PortTaken(f"a worker has at most {LISTENERS_MAX} listeners")
        rows = bind_beside(beside, port.tcp, len(self._rows))
        for row, more in zip(self._rows, rows, strict=True):
            row += more
        self._numbers += [number] * len(rows[0])
        return str(address_of(rows[0][0]))

    def _with_address(self, ports: tuple[Port, ...]) -> tuple[Port, ...]:
        """The default port as it is bound."""
        bound = address_of(self._rows[0][0])
        return tuple(dataclasses.replace(one, address=str(bound), tcp=bound.port) for one in ports)
