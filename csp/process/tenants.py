"""Reads tenants in a store for the rules of accounts, each of its versions taken apart once."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from csp.model.types import CLASSES

TENANTS_MAX = 10_000


class Reader(Protocol):
    """What is asked of a reader of the store."""

    def raw_get(self, class_id: int, dbid: int) -> bytes | None: ...


class Tenants:
    """Those of one process."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, dict[str, Any]]] = {}  # as read, and taken apart

    def get(self, reader: Reader, class_name: str, dbid: int) -> dict[str, Any] | None:
        """The object as it is in the store; None where there is none."""
        data = reader.raw_get(CLASSES[class_name].id, dbid)
        if data is None:
            return None
        known = self._known.get(dbid)
        if known is None or known[0] != data:
            if len(self._known) >= TENANTS_MAX:
                self._known.clear()
            known = self._known[dbid] = (data, orjson.loads(data))
        return known[1]
