"""The flags of a connection: a bit each."""

from __future__ import annotations

import re
from pathlib import Path

HEADER = Path(__file__).resolve().parent.parent.parent / "csp" / "_fastpath" / "loop" / "conn.h"
FLAG = re.compile(r"^#define (CSP_CONN_\w+) (\d+)u\b", re.M)


def test_no_two_flags_have_one_bit() -> None:
    flags = {name: int(bits) for name, bits in FLAG.findall(HEADER.read_text())}
    assert len(flags) > 20
    owners: dict[int, str] = {}
    for name, bits in flags.items():
        assert bits.bit_count() == 1, f"{name} is no single bit"
        assert bits not in owners, f"{name} and {owners[bits]} are one bit"
        owners[bits] = name
