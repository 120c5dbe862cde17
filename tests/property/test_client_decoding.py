"""hiredis and csp.resp decode what a csp server sends to the same values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from csp.client.decoding import HiredisDecoder, PythonDecoder, ReplyDecoder
from csp.errors import CspError
from csp.resp import MORE, ErrorReply, Push, Simple, Verbatim, encode
from tests.effort import examples

LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | LINES.map(Simple)
    | LINES.map(lambda text: ErrorReply(f"BADVALUE {text}"))
    | st.binary(max_size=20).map(lambda text: Verbatim("txt", text))
)
KEYS = st.binary(max_size=10)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
PUSHES = st.lists(PLAIN, min_size=1, max_size=4).map(Push)


def decoded(decoder: ReplyDecoder, data: bytes, sizes: list[int]) -> list[object]:
    """All values, received in pieces of these sizes."""
    values: list[object] = []
    while data:
        size = sizes.pop() if sizes else len(data)
        decoder.feed(data[:size])
        data = data[size:]
        while (value := decoder.next()) is not MORE:
            values.append(comparable(value))
    return values


def comparable(value: object) -> object:
    """Errors compare by class and text, lists and pushes by kind."""
    if isinstance(value, CspError):
        return type(value), value.text
    if isinstance(value, list):
        return type(value), [comparable(member) for member in value]
    if isinstance(value, dict):
        return {key: comparable(member) for key, member in value.items()}
    return type(value), value


@examples(60)
@given(st.lists(VALUES | PUSHES, min_size=1, max_size=4), st.lists(st.integers(1, 30), max_size=9))
def test_both_decoders_give_the_same(values: list[object], sizes: list[int]) -> None:
    data = b"".join(encode(value, 3) for value in values)  # type: ignore[arg-type]
    expected = decoded(PythonDecoder(), data, list(sizes))
    assert len(expected) == len(values)
    assert decoded(HiredisDecoder(), data, list(sizes)) == expected
