"""What the slow lane tells clients about its server: names, ports, limits."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from csp import __version__
from csp.process.ports import Port

if TYPE_CHECKING:
    from csp.process.context import OptionValue, ProcessContext

# Of the module `csp`, as HELLO and MODULE LIST show it: 0.1.2 is 102.
_MAJOR, _MINOR, _PATCH = (int(part) for part in __version__.split(".")[:3])
MODULE_VERSION = _MAJOR * 10_000 + _MINOR * 100 + _PATCH
# Client libraries compare it to decide which commands they may send.
REDIS_VERSION = "7.4.0"


@dataclass(frozen=True)
class ServerInfo:
    """One server, as a worker of it sees it."""

    mode: Literal["master", "proxy"]
    app_name: str
    app_dbid: int
    instance: str
    address: str
    started_ms: int
    slot: int = 0
    worker_count: int = 1
    client_count_max: int = 10_000
    folder: str = ""  # the runtime folder, where the channels' sockets lie
    tls_fd: int = -1  # memory of the ports' certificates
    wake_fds: tuple[int, ...] = ()  # of all workers: whoever changes what they look at rings
    upstream: str = ""
    ports: tuple[Port, ...] = ()
    default_port: Mapping[str, str] = field(default_factory=dict)  # as the command line states it
    shut_ports: tuple[str, ...] = ()  # what is to be told of ports that could not be bound
    release: str = __version__
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    options: Mapping[str, OptionValue] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The first client port."""
        digits = self.address.rpartition(":")[2]
        return int(digits) if digits.isdigit() else 0

    def port_of(self, number: int) -> Port:
        """The port of this number."""
        if number < len(self.ports):
            return self.ports[number]
        return Port(number, address=self.address)

    @property
    def clients_max(self) -> int:
        """How many may be connected at once: by the option, and by the limit of open files."""
        return min(self.limit("max-clients", 0) or self.client_count_max, self.client_count_max)

    def limit(self, name: str, otherwise: int) -> int:
        """A number of the options in force."""
        value = self.options.get(name, otherwise)
        return value if isinstance(value, int) else otherwise


def info_of(context: ProcessContext) -> ServerInfo:
    """From what the supervisor told this process."""
    upstream = context.upstream
    return ServerInfo(
        mode=context.mode,
        app_name=context.app_name,
        app_dbid=context.app_dbid,
        instance=context.instance,
        address=context.address,
        started_ms=context.started_ms,
        slot=context.slot,
        worker_count=context.worker_count,
        client_count_max=context.client_count_max,
        folder=context.runtime_folder,
        tls_fd=context.tls_fd,
        wake_fds=context.wake_fds,
        upstream=upstream.address if upstream else "",
        ports=context.ports,
        default_port=context.default_port,
        shut_ports=context.shut_ports,
        options=context.options,
    )
