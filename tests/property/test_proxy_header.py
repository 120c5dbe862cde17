"""Headers of the PROXY protocol: what is said is read, in any pieces, and rubbish is no header."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp._fastpath import read_proxy_header
from tests.effort import examples

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE_MAX, BYTES_MAX = 107, 16384
MORE = (0, "", 0)

ports = st.integers(0, 65535)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
things = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=5)
rest = st.binary(max_size=60)


def line(text: str) -> bytes:
    """A header of version 1."""
    return f"PROXY {text}\r\n".encode()


def binary(
    kind: int, family: int, body: bytes, more: list[tuple[int, bytes]] | None = None
) -> bytes:
    """A header of version 2 with these things behind its addresses."""
    body += b"".join(struct.pack(">BH", what, len(data)) + data for what, data in more or [])
    return SIGNATURE + struct.pack(">BBH", kind, family, len(body)) + body


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, str, int]:
    """A header of either version, and the address and port that it says."""
    source, port = draw(addresses), draw(ports)
    target, to = draw(st.ip_addresses(v=source.version)), draw(ports)
    shown = socket.inet_ntop(
        socket.AF_INET if source.version == 4 else socket.AF_INET6, source.packed
    )
    if draw(st.booleans()):
        return line(f"TCP{source.version} {source} {target} {port} {to}"), shown, port
    body = source.packed + target.packed + struct.pack(">HH", port, to)
    family = 0x11 if source.version == 4 else 0x21
    return binary(0x21, family, body, draw(things)), shown, port


@st.composite
def silent_headers(draw: st.DrawFn) -> bytes:
    """A header that says no address."""
    data = draw(st.binary(max_size=80))
    chosen = draw(st.integers(0, 3))
    if chosen == 0:
        return line("UNKNOWN")
    if chosen == 1:
        said = draw(st.text("0123456789abcdef:. ", max_size=90))
        return line(f"UNKNOWN {said}")
    if chosen == 2:
        return binary(0x20, draw(st.integers(0, 255)), data)  # LOCAL: a health check
    if draw(st.booleans()):
        return binary(0x21, 0, data)
    family, size = draw(st.sampled_from([(0x12, 12), (0x22, 36), (0x31, 216), (0x32, 216)]))
    return binary(0x21, family, bytes(size), draw(things))


@examples(100)
@given(headers(), rest)
def test_what_a_header_says_is_read(made: tuple[bytes, str, int], behind: bytes) -> None:
    header, address, port = made
    assert read_proxy_header(header + behind) == (len(header), address, port)


@examples(80)
@given(silent_headers(), rest)
def test_one_without_an_address_is_a_good_one(header: bytes, behind: bytes) -> None:
    assert read_proxy_header(header + behind) == (len(header), "", 0)


@examples(80)
@given(st.one_of(headers().map(lambda made: made[0]), silent_headers()))
def test_every_cut_says_that_the_header_goes_on(header: bytes) -> None:
    assert all(read_proxy_header(header[:cut]) == MORE for cut in range(len(header)))


@examples(150)
@given(st.binary(max_size=300))
def test_rubbish_is_no_header(data: bytes) -> None:
    is_begun = b"PROXY ".startswith(data[:6]) or SIGNATURE.startswith(data[:12])
    if is_begun:
        return
    with pytest.raises(ValueError, match="no header"):
        read_proxy_header(data)


@examples(150)
@given(
    st.one_of(headers().map(lambda made: made[0]), silent_headers()),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
    rest,
)
def test_a_damaged_header_is_read_alike_in_any_pieces(
    header: bytes, blows: list[tuple[int, int]], behind: bytes
) -> None:
    """Once refused or whole, more bytes change nothing; before, every beginning asks for more."""
    data = bytearray(header)
    for at, byte in blows:
        data[at % len(data)] = byte
    whole = bytes(data) + behind
    outcomes = [outcome(whole[:cut]) for cut in range(len(whole) + 1)]
    decided = next((one for one in outcomes if one != MORE), MORE)
    first = outcomes.index(decided)
    assert outcomes == [MORE] * first + [decided] * (len(outcomes) - first)
    if decided == MORE:
        return
    if isinstance(decided, tuple):
        size, address, _ = decided
        assert size == first
        assert not address or ipaddress.ip_address(address)


def outcome(data: bytes) -> tuple[int, str, int] | str:
    """What is read, or that it is no header."""
    try:
        return read_proxy_header(data)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    "text",
    [
        "TCP4 01.2.3.4 1.2.3.4 1 2",
        "TCP4 1.2.3 1.2.3.4 1 2",
        "TCP4 1.2.3.256 1.2.3.4 1 2",
        "TCP4 1.2.3.4 1.2.3.4 65536 2",
        "TCP4 1.2.3.4 1.2.3.4 01 2",
        "TCP4 1.2.3.4 1.2.3.4 -1 2",
        "TCP4 1.2.3.4 1.2.3.4 1",
        "TCP4 1.2.3.4 1.2.3.4 1 2 3",
        "TCP4 1.2.3.4  1.2.3.4 1 2",
        "TCP4 1.2.3.4 1.2.3.4 1 2 ",
        "TCP4 ::1 ::1 1 2",
        "TCP4 1.2.3.4 ::1 1 2",
        "TCP6 1.2.3.4 1.2.3.4 1 2",
        "TCP6 fe80::1%eth0 ::1 1 2",
        "TCP6 ::1::2 ::1 1 2",
        "TCP6 :::: ::1 1 2",
        "UDP4 1.2.3.4 1.2.3.4 1 2",
        "tcp4 1.2.3.4 1.2.3.4 1 2",
        "UNKNOWNS",
        "UNKNOW",
        "",
        "TCP4",
        "UNKNOWN " + "x" * 100,
    ],
)
def test_lines_that_are_wrong(text: str) -> None:
    with pytest.raises(ValueError, match="no header"):
        read_proxy_header(line(text))


def test_a_line_has_an_end_within_its_length() -> None:
    longest = line("UNKNOWN " + "x" * (LINE_MAX - 16))
    assert len(longest) == LINE_MAX
    assert read_proxy_header(longest)[0] == LINE_MAX
    without = b"PROXY UNKNOWN " + b"x" * 200
    assert read_proxy_header(without[: LINE_MAX - 1]) == MORE
    for data in (without, b"PROXY UNKNOWN\n", b"PROXY UNKNOWN\r\r\n", b"PROXY UNKNOWN \0\r\n"):
        with pytest.raises(ValueError, match="no header"):
            read_proxy_header(data)


@pytest.mark.parametrize(
    "header",
    [
        binary(0x22, 0x11, bytes(12)),  # of no kind that there is
        binary(0x11, 0x11, bytes(12)),  # of another version
        binary(0x21, 0x13, bytes(12)),  # of no transport that there is
        binary(0x21, 0x41, bytes(12)),  # of no family that there is
        binary(0x21, 0x11, bytes(11)),
        binary(0x21, 0x21, bytes(35)),
        binary(0x21, 0x11, bytes(13)),  # something behind the addresses that is cut
        binary(0x21, 0x11, bytes(12) + b"\4\0\5abcd"),
        binary(0x21, 0x11, bytes(BYTES_MAX - 15)),
    ],
)
def test_bytes_that_are_wrong(header: bytes) -> None:
    with pytest.raises(ValueError, match="no header"):
        read_proxy_header(header)


def test_the_longest_header_of_bytes() -> None:
    longest = binary(0x21, 0x11, b"\1\2\3\4" + bytes(8), [(4, bytes(BYTES_MAX - 31))])
    assert len(longest) == BYTES_MAX
    assert read_proxy_header(longest + b"PING\r\n") == (BYTES_MAX, "1.2.3.4", 0)
