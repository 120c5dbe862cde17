"""FIELDS of an object's JSON: what Python takes out of it; of cut JSON nothing beyond the cut."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp._fastpath import project_fields
from tests.fuzz.conversing import Store, converse
from tests.property.store_stage import image as forged_image
from tests.property.store_stage import person as forged_person

ALWAYS = ("class", "DBID", "revision")
names = st.sampled_from([*ALWAYS, "name", "a", "ä", "options", "", 'q"', "\\"])
texts = st.text('aä"\\{}[],: ', max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=6)


def body(frame: bytes) -> bytes:
    """What the frame holds; its head must say how long that is."""
    head, _, rest = frame.partition(b"\r\n")
    assert head == b"$%d" % (len(rest) - 2)
    assert rest.endswith(b"\r\n")
    return rest[:-2]


def escaped(name: str) -> bytes:
    """A name as it stands between the quotes: FIELDS compares it as it is written."""
    return orjson.dumps(name)[1:-1]


@given(objects, st.lists(names, max_size=4))
def test_fields_are_what_python_takes_out(obj: dict[str, object], asked: list[str]) -> None:
    shown = orjson.loads(body(project_fields(orjson.dumps(obj), [escaped(n) for n in asked])))
    wanted = [name for name in dict.fromkeys([*ALWAYS, *asked]) if name in obj]
    assert list(shown.items()) == [(name, obj[name]) for name in wanted]


@given(objects, st.integers(0, 300), st.lists(names, max_size=4))
def test_nothing_beyond_a_cut_is_read(obj: dict[str, object], at: int, asked: list[str]) -> None:
    cut = orjson.dumps(obj)[:at]
    shown = body(project_fields(cut, [escaped(n) for n in asked]))
    assert len(shown) <= len(cut) + 2  # never more than there is, and the braces
    assert_parts_of(shown, cut)


@given(st.binary(max_size=80), st.lists(st.binary(max_size=4), max_size=4))
def test_any_bytes_give_a_frame_of_themselves(data: bytes, asked: list[bytes]) -> None:
    assert_parts_of(body(project_fields(b"{" + data, asked)), b"{" + data)


def assert_parts_of(shown: bytes, source: bytes) -> None:
    """The braces, and between them pieces of the source joined by commas."""
    assert shown[:1] == b"{"
    assert shown[-1:] == b"}"
    rest = shown[1:-1]
    while rest:
        size = next((n for n in range(len(rest), 0, -1) if rest[:n] in source), 0)
        if size == 0:
            assert rest[:1] == b","
            size = 1
        rest = rest[size:]


@pytest.mark.parametrize(
    ("json", "shown"),
    [
        (b'{"DBID":101,"name":"cut off her', b'{"DBID":101,"name":"cut off her}'),
        (b'{"DBID":101,"name":"behind a backslash\\', b'{"DBID":101,"name":"behind a backslash\\}'),
        (b'{"DBID":101,"name":{"a":"inside\\', b'{"DBID":101,"name":{"a":"inside\\}'),
        (b'{"DBID":101,"name', b'{"DBID":101}'),
        (b'{"DBID":101,"name\\', b'{"DBID":101}'),
        (b'{"DBID":101,"', b'{"DBID":101}'),
        (b'{"', b"{}"),
        (b'{"\\', b"{}"),
    ],
)
def test_json_cut_off_inside_a_string_ends_there(json: bytes, shown: bytes) -> None:
    """Each used to be read two bytes too far, into what lies behind the object."""
    assert body(project_fields(json, [b"name"])) == shown


def test_a_worker_shows_no_byte_behind_an_object_cut_off_inside_a_string() -> None:
    thing = forged_person(b"a", 1, b"enabled", b'{"DBID":101,"firstName":"cut off\\')
    store = Store()
    try:
        store.writer.load(forged_image(3, 101, 1, thing))
        store.publish()
        reply = converse(store, b"AUTH x\r\nCFG.READ CfgPerson FIELDS 1 firstName\r\n")
    finally:
        store.close()
    assert reply.endswith(b'$34\r\n{"DBID":101,"firstName":"cut off\\}\r\n')
