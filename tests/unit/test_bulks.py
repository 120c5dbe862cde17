"""Takes bulk strings in a row: compiled and in Python the same, and a client needs no core."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csp._fastpath import take_bulks as compiled
from csp.resp.bulks import take_bulks as plain

RIGHT = st.binary(max_size=20).map(lambda data: b"$%d\r\n%s\r\n" % (len(data), data))
WRONG = st.sampled_from(
    [b"$-1\r\n", b":1\r\n", b"$3\r\nabcd\r\n", b"$3\nabc\r\n", b"$ 3\r\nabc\r\n", b"$\r\n\r\n"]
)


@given(st.lists(st.one_of(RIGHT, RIGHT, WRONG), max_size=6), st.integers(0, 8), st.integers(0, 60))
def test_both_take_the_same(pieces: list[bytes], most: int, cut: int) -> None:
    data = bytearray(b"".join(pieces))
    del data[max(0, len(data) - cut % 7) :]
    found: list[tuple[int, list[Any]]] = []
    for take in (compiled, plain):
        members: list[Any] = []
        found.append((take(data, 0, most, 15, members), members))
    assert found[0] == found[1]


def test_a_client_needs_no_compiled_core() -> None:
    program = (
        "import sys; sys.modules['csp._fastpath'] = None\n"
        "import csp.client\n"
        "from csp.resp import Decoder\n"
        "decoder = Decoder(); decoder.feed(b'*2\\r\\n$1\\r\\na\\r\\n$2\\r\\nbc\\r\\n')\n"
        "assert decoder.next() == [b'a', b'bc']\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
