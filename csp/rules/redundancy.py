"""Refuses what would make a pair or a pool of configuration servers that fits nothing.

1. It looks at the Applications as the whole transaction leaves them: both halves of a pair are
   stated in any order, and split, in one.
2. It is asked only where a change states something of redundancy: what stands wrong already, of
   which an alarm tells, keeps nobody from changing the rest.
"""

from __future__ import annotations

from typing import Any, Final

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.redundancy import (
    Application,
    backup_dbid_of,
    cluster_of,
    follows,
    is_server,
    problems_of,
)
from csp.model.types import CLASSES
from csp.rules.hidden import named
from csp.rules.references import Key
from csp.rules.transaction import Touched, Transaction

APPLICATION: Final = CLASSES["CfgApplication"]


def check_redundancy(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    """What of an Application's redundancy fits nothing, of whichever half of a pair it is."""
    before = touched.before
    if before is not None and _facts(before) == _facts(obj):
        return

    def get(dbid: int) -> Application | None:
        return tx.get(APPLICATION.name, dbid)

    def named_by(dbid: int) -> list[Application]:
        found = (get(other) for _, other in _referrers(tx, (APPLICATION.id, dbid)))
        return [one for one in found if one is not None and backup_dbid_of(one) == dbid]

    def name_of(dbid: int) -> str:
        return named(tx, (APPLICATION.id, dbid))

    for problem in problems_of(obj, get, named_by):
        raise errors.BadValue(f"{touched.shown} {problem.told(name_of)}")


def _referrers(tx: Transaction, key: Key) -> list[Key]:
    """The Applications that refer to one; to one that is new, only this transaction's."""
    touched = tx.touched.get(key)
    if touched is not None and touched.before is None:
        return [one for one in tx.touched_referrers(key) if one[0] == APPLICATION.id]
    return tx.referrers(key, (APPLICATION.id,))


def _facts(obj: JsonObject) -> tuple[Any, ...]:
    """What of an Application counts here."""
    flags = tuple(obj.get(name) for name in ("isServer", "redundancyType", "isPrimary"))
    return is_server(obj), *flags, backup_dbid_of(obj), cluster_of(obj), follows(obj)
