"""Feeds the parser pieces of any size: the commands stay the same, as hiredis reads them."""

from __future__ import annotations

import itertools

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp._fastpath import Parser, match_glob
from tests.effort import examples

words = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"GET", b"", b"\r\n", b"$3\r\n", b"*1\r\n", b"CfgPerson:101", b"x" * 120]),
)
commands = st.lists(st.lists(words, min_size=1, max_size=12), min_size=1, max_size=8)
inline_words = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'*"),
    min_size=1,
    max_size=9,
)


def encode(command: list[bytes]) -> bytes:
    """A request as an array of bulk strings."""
    return b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in command)


def parse(data: bytes, cuts: list[int]) -> list[list[bytes]]:
    """What the parser makes of the data when it comes in pieces."""
    parser = Parser()
    found: list[list[bytes]] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        found += parser.feed(data[start:end])
    return found


@examples(80)
@given(commands, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_gives_the_same_commands(made: list[list[bytes]], cuts: list[int]) -> None:
    data = b"".join(map(encode, made))
    assert parse(data, cuts) == made


@examples(100)
@given(commands)
def test_hiredis_reads_the_same(made: list[list[bytes]]) -> None:
    data = b"".join(map(encode, made))
    reader = hiredis.Reader()
    reader.feed(data)
    assert [reader.gets() for _ in made] == parse(data, [])


@examples(100)
@given(
    st.lists(st.lists(inline_words, min_size=1, max_size=6), min_size=1, max_size=5),
    st.lists(st.integers(0, 999)),
)
def test_inline_commands_in_pieces(made: list[list[str]], cuts: list[int]) -> None:
    data = b"".join(" ".join(words).encode() + b"\r\n\r\n" for words in made)
    assert parse(data, cuts) == [[word.encode() for word in words] for words in made]


@examples(120)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_rubbish_gives_the_same_error_in_any_split(data: bytes, cuts: list[int]) -> None:
    def outcome(cuts: list[int]) -> object:
        try:
            return parse(data, cuts)
        except ValueError as error:
            return str(error)

    assert outcome(cuts) == outcome([])


def test_no_ops_and_limits() -> None:
    assert parse(b"*0\r\n*-1\r\n\r\n*1\r\n$4\r\nPING\r\n", []) == [[b"PING"]]
    parser = Parser(max_request=100, max_args=16)
    assert parser.feed(encode([b"x" * 100, b"", b""])) == [[b"x" * 100, b"", b""]]
    with pytest.raises(ValueError, match="invalid multibulk length"):
        Parser(max_args=16).feed(encode([b"a"] * 17))
    with pytest.raises(ValueError, match="invalid bulk length"):
        Parser(max_request=100).feed(encode([b"x" * 101]))
    with pytest.raises(ValueError, match="invalid multibulk length"):
        Parser().feed(b"*9999999999999999999\r\n")  # beyond 64 bits
    with pytest.raises(ValueError, match="unauthenticated multibulk length"):
        Parser().feed(encode([b"a"] * 11), False)
    with pytest.raises(ValueError, match="unauthenticated bulk length"):
        Parser().feed(encode([b"x" * 16385]), False)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (b"cfg*", b"cfg:CfgPerson", True),
        (b"cfg:?fg*:1?1", b"cfg:CfgPerson:101", True),
        (b"cfg@[12]", b"cfg@2", True),
        (b"cfg@[^12]", b"cfg@2", False),
        (b"cfg@[0-9]", b"cfg@5", True),
        (b"a\\*", b"a*", True),
        (b"a\\*", b"ab", False),
        (b"*a*b*c*", b"xxaxxbxxcxx", True),
        (b"*", b"", True),
        (b"", b"x", False),
    ],
)
def test_globs_as_redis_matches_them(pattern: bytes, text: bytes, fits: bool) -> None:
    assert match_glob(pattern, text) is fits


def test_a_nasty_pattern_takes_no_time() -> None:
    assert not match_glob(b"*a" * 128, b"a" * 100 + b"b")
