"""Tells systemd how the start goes, and has it keep listeners: datagrams to $NOTIFY_SOCKET."""

from __future__ import annotations

import array
import socket
from collections.abc import MutableMapping


class Notifier:
    """The service manager's ear; silent where there is none."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        # Taken out of the environment: a child must not speak for the service.
        path = environment.pop("NOTIFY_SOCKET", "")
        self._path = "\0" + path[1:] if path.startswith("@") else path
        self._last_status = ""

    def ready(self, status: str) -> None:
        """The server serves; what is ordered after it may start."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent when it changes."""
        if text != self._last_status:
            self._last_status = text
            self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """The stop has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    @property
    def is_heard(self) -> bool:
        """Whether there is a service manager."""
        return bool(self._path)

    def keep(self, name: str, listener: socket.socket) -> None:
        """Has it kept over a restart: the manager's descriptor store."""
        # Not watched there: a listener that is shut would look broken, and be dropped.
        self._send(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", listener.fileno())

    def forget(self, name: str) -> None:
        """Has it kept no more."""
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def _send(self, message: str, *fds: int) -> None:
        if not self._path:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            try:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
                manager.sendmsg([message.encode()], [rights] if fds else [], 0, self._path)
            except OSError:
                return  # a manager that doesn't listen must not stop the service
