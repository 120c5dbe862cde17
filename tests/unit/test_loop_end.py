"""A worker's loop that the garbage collector ends: nothing is touched that went before it."""

from __future__ import annotations

import gc
import os
import socket

from csp._fastpath import Control, Loop
from tests.server.hot_stage import OpenLane


def _serve_and_forget() -> None:
    """One connection is served and stays open; then nothing refers to the loop but itself."""
    control_fd = os.memfd_create("control")
    os.ftruncate(control_fd, Control.SIZE)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"PING\r\n")
    lane = OpenLane()  # it refers back to its loop: only the collector can end the two
    lane.loop = Loop(
        control=Control(control_fd, format=True),
        slot=0,
        data_fd=-1,
        listen_fds=[listener.fileno()],
        wake_fd=os.eventfd(0, os.EFD_NONBLOCK),
        slow=lane,
        limits={},
    )
    lane.loop.add_fd(client.fileno(), lane.loop.stop)  # the reply has come
    lane.loop.run()
    assert lane.loop.counters()["connections"] == 1
    del lane
    gc.collect()


def test_a_loop_with_connections_can_be_collected() -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _serve_and_forget()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
