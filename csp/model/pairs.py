"""The rows of pairs: who of two servers is to serve, as servers pass them on; and what they say.

1. A row is changed by the master alone, each time by the next number; the highest one known counts.
   Without a row, number 0, the configured primary is to serve.
2. Rows travel and lie beside the accounts, as one account record that is no person's: in no object,
   export or history (as csp/model/token_keys.py).
3. What two halves say to each other is JSON; of another release it may have more, or less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from csp.model.accounts import build_account_image
from csp.model.token_keys import KEYS_DBID

PAIRS_DBID: Final = KEYS_DBID + 1  # of the account record that holds them
SAYING_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class PairRow:
    """Who of a pair is to serve."""

    pair: int  # the DBID of the configured primary
    number: int = 0
    active: int = 0  # the DBID of the Application that is to serve; 0: the configured primary

    @property
    def named(self) -> int:
        """The DBID of the Application that is to serve."""
        return self.active or self.pair


def pairs_image(rows: Iterable[PairRow], revision: int) -> bytes:
    """The account record that holds them."""
    listed = [
        {"pair": row.pair, "number": row.number, "active": row.active}
        for row in sorted(rows, key=lambda row: row.pair)
    ]
    return build_account_image(PAIRS_DBID, {"pairs": listed}, revision)


def read_pairs(record: bytes | Mapping[str, Any]) -> dict[int, PairRow]:
    """The rows of such a record's JSON, by pair; ValueError where it holds none."""
    try:
        found = orjson.loads(record) if isinstance(record, bytes) else record
        rows = [PairRow(int(one["pair"]), int(one["number"]), int(one["active"]))
                for one in found["pairs"]]  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record of pairs can't be read: {error!r}") from error
    return {row.pair: row for row in rows}


@dataclass(frozen=True, slots=True)
class Saying:
    """What one half of a pair says of itself to the other."""

    serving: bool = False
    yields: bool = False  # it serves without the root, and asks the other one to take over
    ready: bool = False  # loaded, and follows the master
    root: bool = False  # the master is there
    stream: str = ""  # hexadecimal; empty: nothing is loaded
    revision: int = 0
    number: int = 0  # of the newest row that it knows
    active: int = 0

    def pack(self) -> bytes:
        """As it goes over the link."""
        return orjson.dumps(asdict(self))


def read_saying(text: bytes) -> Saying:
    """What `Saying.pack` said; ValueError where it makes no sense."""
    if len(text) > SAYING_BYTES_MAX:
        raise ValueError(f"a half of a pair says {len(text)} bytes, of {SAYING_BYTES_MAX}")
    found = orjson.loads(text)
    if not isinstance(found, dict):
        raise ValueError("a half of a pair says something that is no object")
    words = {}
    for name, value in asdict(Saying()).items():
        given = found.get(name, value)
        if type(given) is not type(value):
            raise ValueError(f"{name} of a half of a pair is {given!r:.40}")
        words[name] = given
    return Saying(**words)
