"""Takes bulk strings that stand in a row, in Python: for a client that has no compiled core.

Only what is whole and right is taken; the rest is left to the decoder, which says what is wrong.
"""

from __future__ import annotations

from typing import Any

LINE_BYTES_MAX = 16  # $, the digits and the line's end; longer lines are read the other way


def take_bulks(data: bytearray, at: int, most: int, size_max: int, members: list[Any]) -> int:
    """Appends up to `most` bulk strings from `at` on; where the next one would begin."""
    for _ in range(most):
        line_end = data.find(b"\r\n", at, at + LINE_BYTES_MAX)
        digits = data[at + 1 : line_end]
        if line_end < 0 or data[at] != 0x24 or not digits.isdigit():
            break
        begin = line_end + 2
        end = begin + int(digits)
        if end - begin > size_max or data[end : end + 2] != b"\r\n":
            break
        members.append(bytes(memoryview(data)[begin:end]))
        at = end + 2
    return at
