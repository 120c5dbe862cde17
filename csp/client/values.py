"""Turns arguments into words of a command, and replies into plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from csp.client.incoming import Argument, Value
from csp.client.results import Object
from csp.errors import CspError

FilterValue = str | int | bool
Filters = Sequence[tuple[str, FilterValue]]


def as_mapping(value: Value) -> dict[str, Any]:
    """A map reply with its keys and texts as str, whether it came as a map or as a list."""
    if isinstance(value, list):
        value = dict(zip(value[::2], value[1::2], strict=True))
    if not isinstance(value, dict):
        raise CspError(f"a map expected, not {type(value).__name__}")
    return {as_text(key): plain(member) for key, member in value.items()}


def plain(value: Value) -> Any:
    """A reply as plain Python: bytes become str, maps within become dict."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, dict):
        return {as_text(key): plain(member) for key, member in value.items()}
    return value


def as_object(value: Value) -> Object | None:
    """The object of a reply, or None where there is none."""
    if value is None:
        return None
    assert isinstance(value, bytes)
    decoded: Object = orjson.loads(value)
    return decoded


def as_text(value: Value) -> str:
    """A text reply as str."""
    return value.decode() if isinstance(value, bytes) else str(value)


def word_of(value: FilterValue) -> str:
    """A filter's value as the wire has it: flags as true and false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def filter_words(filters: Filters, keys: dict[str, FilterValue]) -> list[Argument]:
    """FILTER key value for each."""
    return [
        part for key, value in (*filters, *keys.items()) for part in ("FILTER", key, word_of(value))
    ]
