"""RESP: what is encoded decodes to the same, in pieces of any size, and as hiredis reads it."""

from __future__ import annotations

import itertools

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.resp import (
    Decoder,
    ErrorReply,
    ProtocolError,
    Push,
    Simple,
    Value,
    Verbatim,
    encode,
    request,
)

line = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
    line.map(Simple),
    line.map(ErrorReply),
    st.builds(Verbatim, st.just("txt"), st.binary(max_size=20)),
)
keys = st.one_of(st.binary(max_size=8), st.integers(-(2**63), 2**63 - 1))
values = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=20,
)


# What values are made of, and what breaks them.
PIECES = [
    *(b"$3\r\nabc\r\n", b"$-1\r\n", b"$2\r\n", b"=5\r\ntxt:a\r\n", b"!3\r\nERR\r\n", b"_\r\n"),
    *(b"*2\r\n", b"*0\r\n", b"*-1\r\n", b"%1\r\n", b"~1\r\n", b">1\r\n", b"|1\r\n", b"%0\r\n"),
    *(b":1\r\n", b"(12\r\n", b"#t\r\n", b",1.5\r\n", b",nan\r\n", b"+OK\r\n", b"-ERR x\r\n"),
    *(b"\r\n", b"\r", b"\n", b"*1\r\n" * 33, b"$9999999999\r\n", b"*99999999\r\n", b"$+1\r\n"),
]


def decode(data: bytes) -> Value:
    decoder = Decoder()
    decoder.feed(data)
    (value,) = decoder
    assert decoder.unread_size == 0
    return value


@given(values)
def test_resp3_round_trip(value: Value) -> None:
    assert decode(encode(value, 3)) == value


@given(st.lists(values, min_size=1, max_size=4), st.integers(1, 7))
def test_any_piece_size(expected: list[Value], size: int) -> None:
    data = b"".join(encode(value, 3) for value in expected)
    decoder = Decoder()
    found: list[Value] = []
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
        found.extend(decoder)
    assert found == expected


@given(values, st.sampled_from([2, 3]))
def test_as_hiredis(value: Value, proto: int) -> None:
    data = encode(value, proto)
    reader = hiredis.Reader()
    reader.feed(data)
    assert _like_hiredis(decode(data)) == _comparable(reader.gets())


def test_resp2_shapes() -> None:
    assert encode({"a": True, "b": None}, 2) == b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n$-1\r\n"
    assert encode(Push([b"x", 1]), 2) == b"*2\r\n$1\r\nx\r\n:1\r\n"
    assert encode(Push([b"x", 1]), 3) == b">2\r\n$1\r\nx\r\n:1\r\n"
    assert encode(1.5, 2) == b"$3\r\n1.5\r\n"
    assert encode(Verbatim("txt", b"hi"), 2) == b"$2\r\nhi\r\n"
    assert encode(frozenset([1]), 3) == b"~1\r\n:1\r\n"


def test_error_keeps_its_frame() -> None:
    assert encode(ErrorReply("ERR a\r\nb"), 2) == b"-ERR a  b\r\n"
    assert ErrorReply("BADVALUE no such key").word == "BADVALUE"


def test_request() -> None:
    assert request("GET", b"k", 7) == b"*3\r\n$3\r\nGET\r\n$1\r\nk\r\n$1\r\n7\r\n"


def test_nulls_and_attributes() -> None:
    assert decode(b"*-1\r\n") is None
    assert decode(b"|1\r\n+ttl\r\n:1\r\n*1\r\n:2\r\n") == [2]


@pytest.mark.parametrize(
    "data",
    [
        b"?x\r\n",
        b":1x\r\n",
        b":+1\r\n",
        b"$-2\r\n",
        b"*-2\r\n",
        b"\r\n",
        b"$1\r\nabc",
        b"%1\r\n*0\r\n:1\r\n",
        b"*1\r\n" * 40,
        b",x\r\n",
        b"+" + b"x" * 70_000,
        b"+" + b"x" * 70_000 + b"\r\n",
        b":" + b"1" * 5_000 + b"\r\n",
    ],
)
def test_refused(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(data)
    with pytest.raises(ProtocolError):
        list(decoder)


@given(
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=12),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_rubbish_gives_the_same_in_any_split(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    assert outcome(data, cuts) == outcome(data, [])


def outcome(data: bytes, cuts: list[int]) -> tuple[list[str], str]:
    """What comes of the bytes in pieces, and the error that ends them."""
    decoder = Decoder()
    found: list[str] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    try:
        for start, end in itertools.pairwise(edges):
            decoder.feed(data[start:end])
            found.extend(repr(value) for value in decoder)
    except ProtocolError as error:
        return found, str(error)
    return found, ""


def test_bulk_limit() -> None:
    decoder = Decoder(bulk_size_max=10)
    decoder.feed(b"$10\r\n0123456789\r\n")
    assert list(decoder) == [b"0123456789"]
    decoder.feed(b"$11\r\n")
    with pytest.raises(ProtocolError):
        list(decoder)


def _like_hiredis(value: Value) -> object:
    """hiredis returns simple strings as bytes and errors as exceptions."""
    if isinstance(value, ErrorReply):
        return ("error", str(value))
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Verbatim):
        return value.text
    if isinstance(value, dict):
        return {key: _like_hiredis(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_like_hiredis(member) for member in value]
    return value


def _comparable(value: object) -> object:
    if isinstance(value, hiredis.ReplyError):
        return ("error", str(value))
    if isinstance(value, dict):
        return {key: _comparable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_comparable(member) for member in value]
    return value
