"""A proxy and its master over IPv6, and by a name whose first address is dead."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.neighbours.server import ROOT, Master, Proxy, Server, run_cli
from tests.neighbours.waiting import wait_until


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class At(Proxy):
    """A proxy that is told another host for its master."""

    host = "::1"

    def arguments(self) -> list[str]:
        found = super().arguments()
        found[found.index("-host") + 1] = self.host
        return found


class V6Master(Master):
    def arguments(self) -> list[str]:
        found = super().arguments()
        found[found.index("--listen") + 1] = f"[::1]:{self.port}"
        return found

    def answers(self) -> bool:
        with socket.socket(socket.AF_INET6) as one:
            return one.connect_ex(("::1", self.port)) == 0


def state_of(server: Server) -> str:
    with server.client(protocol=3) as client:
        return str(client.execute_command("CFG.STATUS")["state"])


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_master_on_ipv6_is_shown_so_that_tools_can_use_it(tmp_path: Path) -> None:
    with V6Master(tmp_path) as master, At(tmp_path, master) as proxy:
        wait_until(lambda: state_of(proxy) == "ready", 20, "it is loaded")
        shown = f"[::1]:{master.port}"
        with proxy.client(protocol=3) as client:
            assert client.execute_command("CFG.STATUS")["master"] == shown
        assert shown in proxy.log_text()
        done = run_cli("verify", "--server", f"127.0.0.1:{proxy.port}", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


RESOLVER = """
import os, socket, threading
real = socket.getaddrinfo
def look_up(host, *rest, flags=0, **more):
    if host != "master.example" or flags == socket.AI_NUMERICHOST:
        return real(host, *rest, flags=flags, **more)
    if os.path.exists(os.environ["RESOLVER_HANGS"]):
        threading.Event().wait(600)
    found = [real(one, *rest, **more) for one in os.environ["RESOLVED"].split()]
    return [row for rows in found for row in rows]
socket.getaddrinfo = look_up
"""


def named(folder: Path, master: Master, *addresses: str) -> tuple[At, dict[str, str]]:
    """A proxy that knows its master by a name, and the resolver that knows it."""
    patch = folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(RESOLVER)
    proxy = At(folder, master)
    proxy.host = "master.example"
    return proxy, {
        "PYTHONPATH": f"{patch}:{ROOT}",
        "RESOLVED": " ".join(addresses),
        "RESOLVER_HANGS": str(folder / "hangs"),
    }


def test_a_name_with_a_dead_address_first(tmp_path: Path, master: Master) -> None:
    """As a host with an AAAA record has, whose master listens on IPv4 alone; both ways in."""
    proxy, resolver = named(tmp_path, master, "127.9.9.9", "127.0.0.1")
    with proxy.start(**resolver):
        assert state_of(proxy) == "ready"


def test_a_name_server_that_hangs_kills_no_writer(tmp_path: Path, master: Master) -> None:
    """Name server and master often go together, as when a site's line is cut."""
    proxy, resolver = named(tmp_path, master, "127.0.0.1")
    with proxy.start(**resolver):
        (tmp_path / "hangs").touch()
        writer = proxy.child("writer").pid
        master.kill()
        # By the address that it knows: longer than the supervisor waits for a sign of life.
        wait_until(lambda: "04502" in proxy.log_text(), 20, "an attempt behind the look-up")
        assert proxy.child("writer").pid == writer
        assert "51103" not in proxy.log_text()


def test_a_start_while_the_name_server_hangs(tmp_path: Path, master: Master) -> None:
    proxy, resolver = named(tmp_path, master, "127.0.0.1")
    with proxy.start(**resolver):
        proxy.stop()
        (tmp_path / "hangs").touch()
        proxy.start(**resolver)
        assert state_of(proxy) == "ready"
        wait_until(lambda: "no name server answers" in proxy.log_text(), 20, "it is said")
        assert "51103" not in proxy.log_text()
