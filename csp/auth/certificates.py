"""Auth is the keeper of the ports' certificates: it sees the Application and its host change.

1. Where no port is TLS there is no thread, and nothing is looked at.
2. Before the store is loaded the ports count as they were at the start of the process.
3. Which ports there are is fixed at the server's start; what is stated for one holds at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson

from csp._fastpath import TlsContext
from csp.observe.clock import monotonic_ms, wall_ms
from csp.process.context import OptionValue, ProcessContext
from csp.process.polling import READ, Descriptor
from csp.process.port_infos import read_ports
from csp.process.ports import Port, Security
from csp.store.alarms import Flags
from csp.tls.keeper import Keeper
from csp.tls.looks import Looks
from csp.tls.published import Memory
from csp.tls.settings import tls_ports
from csp.tls.trouble import Trouble

HostOf = Callable[[int], bytes]  # the JSON of a Host; b"" where there is none


class Certificates:
    """Those of one server's ports; without a TLS port there are none."""

    def __init__(self, context: ProcessContext, flags: Flags) -> None:
        self._ports = [one for one in context.ports if one.security is not Security.UNSECURED]
        self._trouble = Trouble(flags)
        self._default_port = context.default_port
        self._application = self._host = b""  # as they were looked at last
        self._host_dbid = 0
        self._keeper: Keeper | None = None
        if not self._ports:
            self._trouble.end_all()
            return
        self._looks = Looks(TlsContext)
        self._keeper = Keeper(
            Memory(context.tls_fd), self._looks, self._trouble, TlsContext, monotonic_ms, wall_ms
        )
        self._keeper.take(tls_ports(self._ports))

    def descriptors(self) -> list[Descriptor]:
        """What is watched for it."""
        if self._keeper is None:
            return []
        return [Descriptor(self._looks.done_fd, READ, self._keeper.take_done)]

    def tick(self) -> None:
        """Called several times a second."""
        if self._keeper is not None:
            self._keeper.tick()

    def reload(self) -> None:
        """Reads all files anew."""
        if self._keeper is not None:
            self._keeper.reload()

    def take_options(self, values: Mapping[str, OptionValue]) -> None:
        """The server's own options hold at once."""
        self._trouble.take_options(values)

    def look(self, application: bytes, host_of: HostOf) -> None:
        """Takes what the Application and its host say now."""
        if self._keeper is None or not application:
            return
        is_same = application == self._application
        found = {} if is_same else orjson.loads(application)
        if not is_same:
            self._host_dbid = int((found.get("serverInfo") or {}).get("hostDBID") or 0)
        host = host_of(self._host_dbid) if self._host_dbid else b""
        if is_same and host == self._host:
            return
        self._application, self._host = application, host
        found = found or orjson.loads(application)
        self._keeper.take(tls_ports(self._stated(found, orjson.loads(host or b"{}"))))

    def _stated(self, application: Mapping[str, object], host: Mapping[str, object]) -> list[Port]:
        """The ports as they are, with what is stated for them now."""
        found = read_ports(application, host, self._default_port)
        stated = {one.id: one.tls for one in found.ports if one.security is not Security.UNSECURED}
        return [replace(one, tls=stated.get(one.id, one.tls)) for one in self._ports]
