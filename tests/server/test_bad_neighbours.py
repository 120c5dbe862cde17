"""What anybody can do before he signs in, at every kind of port: he is let go, and nobody waits.

While it goes on another client reads: each of its reads is answered, and no turn of the worker is
longer than one may be. What they left behind is nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from csp._fastpath import Loop, TlsContext
from csp.process.ports import Port, Purpose, Security
from tests.neighbours.certificates import self_signed
from tests.neighbours.waiting import wait_until
from tests.server.door_stage import BINARY, LINE, LOCAL_NET, DoorServer
from tests.server.hot_stage import PEOPLE, Raw, command

pytestmark = pytest.mark.needs("openssl")

SIGN_IN_MS = 1_500
# Of CPU: a turn may have 10 ms, and the piece that ends it; the kernel's share of that grows on a
# machine that has much else to do.
TURN_US_MAX = 40_000
READS = 300  # of the other client, at least, while somebody misbehaves
CROWD = 150  # connections of a bad neighbour at once
ARGUMENTS, ARGUMENT = 10, 16_384  # before sign-in
KEPT_MAX = CROWD * 2 * (ARGUMENTS * ARGUMENT + 65_536)

PORTS = {
    "default": Port(0),
    "user-interface": Port(1, purpose=Purpose.USER_INTERFACE),
    "ha-sync": Port(2, purpose=Purpose.HA_SYNC),
    "management": Port(3, purpose=Purpose.MANAGEMENT),
    "auto": Port(4, security=Security.AUTO),
    "secured": Port(5, security=Security.SECURED),
    "behind": Port(6, proxy_from=LOCAL_NET),
    "behind-secured": Port(7, security=Security.SECURED, proxy_from=LOCAL_NET),
}
QUICK = ("default", "secured", "behind")
GOOD = PORTS["default"].number


class Guarded(DoorServer):
    """A worker with a port of each kind."""

    def __init__(self, folder: Path) -> None:
        self.bundle = self_signed(folder).bundle()
        super().__init__(
            PEOPLE[:50], ports=tuple(PORTS.values()), sign_in_ms=SIGN_IN_MS, connections=2_000
        )

    def prepare(self, loop: Loop) -> None:
        for port in PORTS.values():
            if port.security is not Security.UNSECURED:
                loop.set_tls(port.number, TlsContext(self.bundle))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = Guarded(tmp_path_factory.mktemp("key"))
    yield server
    server.stop()


def asked(name: str) -> object:
    """A kind of port; one of each preface in the quick suite."""
    return name if name in QUICK else pytest.param(name, marks=pytest.mark.long)


@pytest.fixture(params=[asked(name) for name in PORTS])
def port(request: pytest.FixtureRequest) -> Port:
    return PORTS[request.param]


Attack = Callable[[Guarded, Port], None]


def harms_nobody(server: Guarded, attack: Attack, port: Port) -> None:
    """Runs it while another client reads, and looks at what is left behind it."""
    with contextlib.closing(server.connect()) as other:
        read_meanwhile(server, other, attack, port)


def read_meanwhile(server: Guarded, other: Raw, attack: Attack, port: Port) -> None:
    assert other.call("RESETSTAT") == "OK"
    began = psutil.Process(server.pid).memory_info().rss
    failed: list[BaseException] = []

    def misbehave() -> None:
        try:
            attack(server, port)
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            failed.append(error)

    bad = threading.Thread(target=misbehave)
    bad.start()
    answered = 0
    while bad.is_alive() or answered < READS:
        dbid = 101 + answered % 50
        assert f'"userName":"user{dbid}"' in other.call("GET", f"CfgPerson:{dbid}")
        answered += 1
    bad.join()
    if failed:
        raise failed[0]
    assert server.metric("longest_turn_us") < TURN_US_MAX
    assert psutil.Process(server.pid).memory_info().rss - began < KEPT_MAX
    wait_until(lambda: eval(other.call("COUNTERS"))["unsigned"] == 0, 10, "they were let go")
    counters = eval(other.call("COUNTERS"))
    assert (counters["connections"], counters["buffers"]) == (1, 0)


def beginnings(port: Port) -> list[bytes]:
    """What comes before what is tried: nothing, or a balancer's header too."""
    return [b"", LINE, BINARY] if port.proxy_from else [b""]


def tries(server: Guarded, port: Port, what: bytes) -> Iterator[Raw]:
    """A connection for each beginning that has sent all of it; the server may have ended it."""
    for first in beginnings(port):
        raw = server.door(port.number)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            raw.send(first + what)
        yield raw
        raw.close()


# ---- those who are slow ----


@pytest.mark.parametrize(
    "said",
    [b"*2\r\n$3\r\nGET\r\n$13\r\nCfgPerson:101\r\n", LINE, BINARY, b"\x16\x03\x01\x02\x00\x01\x00"],
    ids=["a command", "a line", "bytes", "a hello"],
)
def test_a_byte_at_a_time(server: Guarded, port: Port, said: bytes) -> None:
    def drip(server: Guarded, port: Port) -> None:
        held = [server.door(port.number) for _ in range(CROWD)]
        for byte in said[:-1]:
            for raw in held:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    raw.send(bytes([byte]))
        assert all(raw.is_closed() for raw in held)
        for raw in held:
            raw.close()

    harms_nobody(server, drip, port)


def test_half_a_command_is_kept_so_long_and_no_longer(server: Guarded, port: Port) -> None:
    largest = b"*%d\r\n" % ARGUMENTS + b"$%d\r\n%s\r\n" % (ARGUMENT, b"x" * ARGUMENT) * ARGUMENTS

    def hold(server: Guarded, port: Port) -> None:
        held = []
        for number in range(CROWD):
            first = beginnings(port)[-1 if number % 2 else 0]
            held.append(server.door(port.number))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                held[-1].send(first + largest[:-1])
        assert all(raw.is_closed() for raw in held)
        for raw in held:
            raw.close()

    harms_nobody(server, hold, port)


# ---- those who are many ----


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "ended"])
def test_a_flood_of_connections(server: Guarded, port: Port, reset: bool) -> None:
    def flood(server: Guarded, port: Port) -> None:
        for number in range(10 * CROWD):
            raw = server.door(port.number)
            if number % 3 == 0:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    raw.send(beginnings(port)[-1] + b"PING\r\n")
            raw.close(reset=reset)

    harms_nobody(server, flood, port)


# ---- those who say too much, or nonsense ----

OVERSIZED = {
    "arguments": b"*11\r\n",
    "an argument": b"*1\r\n$16385\r\n",
    "numbers": b"*99999999999999999999\r\n",
    "a length below nought": b"*1\r\n$-5\r\n",
    "a line": b"GET " + b"x" * 200_000,
    "zeros": bytes(200_000),
    "lines": b"\r\n" * 100_000 + b"*11\r\n",
}


@pytest.mark.parametrize("what", [*OVERSIZED])
def test_too_much_before_sign_in_ends_the_connection(
    server: Guarded, port: Port, what: str
) -> None:
    def send(server: Guarded, port: Port) -> None:
        for _ in range(10):
            for raw in tries(server, port, OVERSIZED[what]):
                assert raw.is_closed()

    harms_nobody(server, send, port)


HTTP = (
    b"POST / HTTP/1.1\r\nHost: csp\r\nContent-Length: 30\r\n\r\nAUTH default x\r\nGET CfgTenant:1"
)


def test_nonsense(server: Guarded, port: Port) -> None:
    chance = random.Random(port.number)

    def send(server: Guarded, port: Port) -> None:
        for number in range(CROWD):
            what = HTTP if number % 10 == 0 else chance.randbytes(chance.randint(1, 3_000))
            for raw in tries(server, port, what):
                with contextlib.suppress(OSError):
                    raw.socket.shutdown(socket.SHUT_WR)
                assert raw.is_closed()

    harms_nobody(server, send, port)


def hello() -> bytes:
    """What a client of TLS says first."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def spoilt_hellos() -> Iterator[bytes]:
    good, chance = hello(), random.Random(1)
    yield b"\x16\x03\x01\xff\xff" + chance.randbytes(400)
    yield b"\x16\x03\x01\x00\x00" * 300
    yield b"\x15\x03\x01\x00\x02\x02\x28" + good  # an alert
    yield b"\x17\x03\x03\x40\x00" + chance.randbytes(16_384)  # data, before there are keys
    yield b"\x80\x2e\x01\x00\x02" + chance.randbytes(50)  # of SSL 2
    yield good * 20
    for _ in range(30):
        spoilt = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.randrange(5, len(spoilt))] = chance.randrange(256)
        yield bytes(spoilt) + chance.randbytes(chance.randint(0, 600))


def test_rubbish_of_tls(server: Guarded, port: Port) -> None:
    def send(server: Guarded, port: Port) -> None:
        for what in spoilt_hellos():
            for raw in tries(server, port, what):
                with contextlib.suppress(OSError):
                    raw.socket.shutdown(socket.SHUT_WR)
                assert raw.is_closed()

    harms_nobody(server, send, port)


def test_headers_of_balancers_from_anybody(server: Guarded, port: Port) -> None:
    """Whole and spoilt; where no balancer connects they are rubbish like any other."""
    chance = random.Random(2)
    longest = BINARY[:14] + struct.pack(">H", 65_535)

    def send(server: Guarded, port: Port) -> None:
        for number in range(CROWD):
            spoilt = bytearray((LINE, BINARY)[number % 2])
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            what = itertools.chain((bytes(spoilt), LINE + LINE, BINARY * 3), (longest + bytes(99),))
            for raw in (server.door(port.number, one) for one in what):
                with contextlib.suppress(OSError):
                    raw.socket.shutdown(socket.SHUT_WR)
                assert raw.is_closed()
                raw.close()

    harms_nobody(server, send, port)


def test_reads_before_sign_in_show_nothing(server: Guarded, port: Port) -> None:
    if port.security is Security.SECURED:
        return  # nobody speaks plain text there
    raw = server.door(port.number, beginnings(port)[-1])
    raw.send(command("GET", "CfgPerson:101") * 50 + command("CFG.READ", "CfgPerson"))
    assert set(raw.read_all(51)) == {"-NOAUTH Authentication required."}
    raw.close()
