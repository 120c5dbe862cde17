"""Keeps the ports of a server: the default one from the start, the others once they are known.

1. What the Application says when it is first known counts until the next start.
2. A port beside the default one that can't be bound is told, and keeps nobody else from serving.
3. A socket stays bound until the stop (csp/supervisor/listeners.py).
4. Ports for clients are open or shut, all of them alike; the others always listen. Workers see by
   the sockets themselves which it is (csp/_fastpath/loop/doors.pxi).
"""

from __future__ import annotations

import dataclasses
import logging
import select
import socket
from collections.abc import Mapping
from typing import Any

from csp.observe.events import log_event
from csp.process.port_infos import PortProblem, numbered, read_ports
from csp.process.ports import Port, Purpose
from csp.supervisor.kept_listeners import KeptListeners
from csp.supervisor.listeners import (
    PortTaken,
    Rows,
    address_of,
    bind_beside,
    open_again,
    shut,
)
from csp.supervisor.notify import Notifier

FOR_CLIENTS = (Purpose.CLIENTS, Purpose.USER_INTERFACE)  # what a pair's backup has shut
LISTENERS_MAX = 32  # of a worker: csp/_fastpath/loop/state.pxi

log = logging.getLogger("csp.supervisor")


class Doors:
    """The ports of one server, and the sockets by which its workers listen."""

    def __init__(
        self, listeners: Rows, stated: Mapping[str, str], kept: KeptListeners | None = None
    ) -> None:
        """`listeners` are the default port's; `stated` is what the command line says of it."""
        self._rows: Rows = [list(row) for row in listeners]
        self._numbers = [0] * len(listeners[0])  # of the port of each, alike for all workers
        self._stated = stated
        self._kept = kept
        self.ports: tuple[Port, ...] = self._with_address(read_ports({}, None, stated).ports)
        self.shut: tuple[PortProblem, ...] = ()  # ports that could not be bound
        self._refusing: set[socket.socket] = set()  # listeners that are shut
        self._told = ""  # why ports could not be opened, as it was logged last

    def listeners(self, slot: int) -> list[socket.socket]:
        """Those of one worker."""
        return self._rows[slot]

    @property
    def numbers(self) -> tuple[int, ...]:
        """By which port each of a worker's listeners listens."""
        return tuple(self._numbers)

    @property
    def are_open(self) -> bool:
        """Whether clients are let in."""
        return not self._refusing

    def keep(self, notifier: Notifier) -> None:
        """Has the service manager keep all of them; what it kept beside them is closed."""
        if not notifier.is_heard:
            return
        for name in self._kept.close_rest() if self._kept else []:
            notifier.forget(name)
        count = 0
        for slot, row in enumerate(self._rows):
            for place, listener in enumerate(row):
                port = self.ports[self._numbers[place]].tcp
                notifier.keep(f"port-{port}-worker-{slot}-{place}", listener)
                count += 1
        log_event(log, "51046", count=count)

    def is_waited_for(self, slot: int) -> bool:
        """Whether somebody waits in a queue of one worker's."""
        open_ = [one for one in self._rows[slot] if one not in self._refusing]
        return bool(select.select(open_, [], [], 0)[0])

    def serve(self, is_serving: bool) -> bool:
        """Opens the ports for clients, or shuts them: a shut one stays bound, and refuses at once.

        True where that changed something, of which workers have to know. Who had connected and was
        not served yet is reset by a shutting; whom workers serve, they see off.
        """
        concerned = [
            listener
            for row in self._rows
            for listener, number in zip(row, self._numbers, strict=True)
            if self.ports[number].purpose in FOR_CLIENTS
            and (listener in self._refusing) is is_serving
        ]
        if not concerned:
            return False
        if not is_serving:
            shut(concerned)
            self._refusing.update(concerned)
            log_event(log, "51040")
            return True
        try:
            open_again(concerned)
        except PortTaken as error:
            if str(error) != self._told:
                log_event(log, "51042", reason=error)
            self._told = str(error)
            return False  # asked again a second later
        self._told = ""
        self._refusing.difference_update(concerned)
        log_event(log, "51041")
        return True

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
        rows = bind_beside(beside, port.tcp, len(self._rows), self._kept)
        for row, more in zip(self._rows, rows, strict=True):
            row += more
        self._numbers += [number] * len(rows[0])
        return str(address_of(rows[0][0]))

    def _with_address(self, ports: tuple[Port, ...]) -> tuple[Port, ...]:
        """The default port as it is bound."""
        bound = address_of(self._rows[0][0])
        return tuple(dataclasses.replace(one, address=str(bound), tcp=bound.port) for one in ports)
