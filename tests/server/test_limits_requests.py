"""Goes to each limit of a request, an object and a transaction, and beyond, on a real master."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator

import pytest

from tests.neighbours.server import Master
from tests.server.hot_stage import Raw, command
from tests.server.limits_stage import MIB, create, is_served, signed_in, skill

ARGUMENTS_MAX = 1_048_576
COMMANDS_MAX = 10_000
REQUEST_MAX = 64 * MIB
OBJECT_MAX = 16 * MIB
ERROR = "-ERR Protocol error: "


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("limits")) as master:
        yield master


@pytest.fixture
def raw(master: Master) -> Iterator[Raw]:
    raw = signed_in(master)
    raw.socket.settimeout(20)
    yield raw
    raw.close()


def refused(raw: Raw, data: bytes, text: str) -> None:
    """A protocol error is answered, then the connection ends."""
    raw.send(data)
    assert raw.read() == ERROR + text
    assert raw.is_closed()


def test_before_sign_in_ten_arguments_of_16_kb(master: Master) -> None:
    raw = Raw(master.port)
    noauth = "-NOAUTH Authentication required."
    assert raw.call(*["MGET"] * 10) == noauth
    assert raw.call("GET", "x" * 16_384) == noauth
    assert raw.call("PING") == "PONG"
    refused(raw, b"*11\r\n", "unauthenticated multibulk length")
    raw = Raw(master.port)
    refused(raw, b"*2\r\n$3\r\nGET\r\n$16385\r\n", "unauthenticated bulk length")
    raw = Raw(master.port)
    assert raw.call("AUTH", "x" * 16_384).startswith("-WRONGPASS")
    refused(raw, b"PING" + b" x" * 10 + b"\r\n", "unauthenticated multibulk length")


def test_a_request_of_64_mib(master: Master, raw: Raw) -> None:
    other = signed_in(master)
    raw.send(command("STRLEN", b"x" * REQUEST_MAX))
    assert other.call("PING") == "PONG"
    assert raw.read() == 0
    refused(raw, b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (REQUEST_MAX + 1), "invalid bulk length")
    assert other.call("PING") == "PONG"


@pytest.mark.long
def test_a_request_of_many_arguments_that_are_too_much_together(master: Master, raw: Raw) -> None:
    part = b"$%d\r\n%b\r\n" % (16 * MIB, b"x" * (16 * MIB))
    with contextlib.suppress(ConnectionError):  # it does not read what it has refused
        raw.send(b"*6\r\n$6\r\nEXISTS\r\n" + part * 5)
    assert not is_open(raw)
    assert is_served(master)


def is_open(raw: Raw) -> bool:
    """Whether the connection is still there after an error that may have been lost with it."""
    try:
        assert raw.read() == ERROR + "too big request"
        return not raw.is_closed()
    except ConnectionError:
        return False


@pytest.mark.long
def test_a_million_arguments(raw: Raw) -> None:
    header = b"*%d\r\n$6\r\nEXISTS\r\n" % ARGUMENTS_MAX
    raw.send(header + b"$1\r\nx\r\n" * (ARGUMENTS_MAX - 1))
    assert raw.read() == 0
    refused(raw, b"*%d\r\n" % (ARGUMENTS_MAX + 1), "invalid multibulk length")


def test_an_object_of_16_mib(raw: Raw) -> None:
    def large(value: int, filler: int) -> dict[str, object]:
        data = base64.b64encode(bytes(value)).decode()
        return {"userProperties": {"a": {"data": {"base64": data}, "filler": "f" * filler}}}

    probe = create(raw, "object 0", **large(3 * MIB, 0))
    size = raw.call("STRLEN", f"CfgSkill:{probe}")
    value = 3 * MIB + (OBJECT_MAX - size - 60_000) // 4 * 3
    filler = OBJECT_MAX - size - (value - 3 * MIB) // 3 * 4
    largest = create(raw, "object 1", **large(value, filler))
    assert raw.call("STRLEN", f"CfgSkill:{largest}") == OBJECT_MAX
    reply = raw.call("CFG.CREATE", "CfgSkill", skill("object 2", **large(value, filler + 1)))
    assert reply.startswith("-TOOBIG")
    delta = b'{"name":"object 11"}'
    reply = raw.call("CFG.UPDATE", "CfgSkill", largest, b'{"changed":%b}' % delta)
    assert reply.startswith("-TOOBIG")
    assert raw.call("STRLEN", f"CfgSkill:{largest}") == OBJECT_MAX
    assert raw.call("CFG.CREATE", "CfgSkill", b"x" * (OBJECT_MAX + 1)).startswith("-TOOBIG")
    assert isinstance(raw.call("CFG.DELETE", "CfgSkill", largest), int)


def test_a_name_of_255_characters(raw: Raw) -> None:
    dbid = create(raw, "\U0001f600" * 255)
    assert raw.call("CFG.CREATE", "CfgSkill", skill("\U0001f600" * 256)).startswith(
        "-TOOBIG CfgSkill.name: 256"
    )
    longer = skill("é" * 256).replace(b'"tenantDBID": 1, ', b"")
    assert raw.call("CFG.UPDATE", "CfgSkill", dbid, b'{"changed":%b}' % longer).startswith(
        "-TOOBIG CfgSkill.name: 256"
    )
    assert raw.call("PING") == "PONG"


def test_an_option_value_of_64_kib(raw: Raw) -> None:
    def annex(value: object) -> dict[str, object]:
        return {"userProperties": {"a": {"k": value}}}

    create(raw, "value 0", **annex("é" * 32_768))
    reply = raw.call("CFG.CREATE", "CfgSkill", skill("value 1", **annex("é" * 32_768 + "x")))
    assert reply.startswith("-TOOBIG CfgSkill.userProperties.a.k: 65537 bytes")
    # 16 MiB of binary are 22 MiB of text: the limit of the object comes first.
    binary = {"base64": base64.b64encode(bytes(16 * MIB + 1)).decode()}
    assert raw.call("CFG.CREATE", "CfgSkill", skill("value 2", **annex(binary))).startswith(
        "-TOOBIG"
    )
    assert raw.call("CFG.FIND", "CfgSkill", "name", "value 1", "tenant_dbid", 1) is None


def test_a_transaction_of_10000_commands(raw: Raw) -> None:
    before = raw.call("CFG.COUNT", "CfgSkill")
    writes = [command("CFG.CREATE", "CfgSkill", skill(f"many {n}")) for n in range(1_000)]
    reads = [command("GET", "CfgSkill:1")] * (COMMANDS_MAX - 1_000)
    raw.send(command("MULTI") + b"".join(writes + reads))
    assert raw.read_all(COMMANDS_MAX + 1) == ["OK"] + ["QUEUED"] * COMMANDS_MAX
    done = raw.call("EXEC")
    assert len(done) == COMMANDS_MAX
    assert raw.call("CFG.COUNT", "CfgSkill") == before + 1_000
    raw.send(command("MULTI") + b"".join(writes[:1] + [command("PING")] * COMMANDS_MAX))
    replies = raw.read_all(COMMANDS_MAX + 2)
    assert replies[-1] == "-TOOBIG a transaction may have 10000 commands"
    assert raw.call("EXEC").startswith("-EXECABORT")
    assert raw.call("CFG.COUNT", "CfgSkill") == before + 1_000


@pytest.mark.long
def test_a_transaction_of_64_mib(raw: Raw) -> None:
    body = skill("bytes", userProperties={"a": {"k": {"base64": "A" * (15 * MIB)}}})
    write = command("CFG.CREATE", "CfgSkill", body)
    used = len("CFG.CREATE") + len("CfgSkill") + len(body)
    filler = [16 * MIB - 3] * 3 + [16 * MIB - used - 3]
    reads = [command("GET", b"x" * size) for size in filler]
    raw.send(command("MULTI") + write + b"".join(reads))
    assert raw.read_all(6) == ["OK"] + ["QUEUED"] * 5
    done = raw.call("EXEC")
    assert done[1:] == [None] * 4
    raw.send(command("MULTI") + b"".join(reads) + command("GET", b"x" * (used - 2)))
    assert raw.read_all(6)[-1] == f"-TOOBIG a transaction may have {64 * MIB} bytes"
    assert raw.call("EXEC").startswith("-EXECABORT")
    assert raw.call("STRLEN", f"CfgSkill:{done[0][1]}") > 15 * MIB
