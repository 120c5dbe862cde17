"""Turns arguments into words of a command, and replies into plain Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from csp.client.incoming import Argument, Value
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


def as_status(value: Value) -> dict[str, Any]:
    """The reply of CFG.STATUS; its alarms are a list of maps, also where they came as lists."""
    found = as_mapping(value)
    for name in ("alarms", "certificates"):
        found[name] = [as_mapping(one) for one in found.get(name) or ()]
    return found


def plain(value: Value) -> Any:
    """A reply as plain Python: bytes become str, maps within become dict."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, dict):
        return {as_text(key): plain(member) for key, member in value.items()}
    return value


def as_object(value: Value) -> Any:
    """The object of a reply, or None where there is none."""
    if value is None:
        return None
    try:
        return orjson.loads(value)  # type: ignore[arg-type]  # anything else is no JSON either
    except orjson.JSONDecodeError:
        shown = as_text(value)[:80]
        raise CspError(
            f"an object was expected as reply, not {shown!r}: is a MULTI open here?"
        ) from None


class Handle(int):
    """Stands for the DBID that the k-th write of a transaction creates, until it is known.

    As a number it is no DBID (-k); where it is written, it is `@k`, and later the DBID.
    """

    dbid: int = 0  # known when the transaction is done

    def __str__(self) -> str:
        return str(self.dbid or f"@{-self}")

    __repr__ = __str__


def json_of(value: Any, handles: Mapping[int, Handle] | None = None) -> bytes:
    """A stated object or delta as JSON, in a transaction with these handles by their k."""
    refuse_nan(value)
    plain_of = partial(_plain_of, handles or {})
    try:
        return orjson.dumps(value, plain_of, orjson.OPT_PASSTHROUGH_SUBCLASS)
    except orjson.JSONEncodeError as problem:
        if isinstance(problem.__cause__, ValueError):
            raise problem.__cause__ from None
        raise


def refuse_nan(value: object, path: str = "") -> None:
    """JSON has no NaN and no infinity, and null in their place would say that nothing is there."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path or 'the value'}: {value} has no JSON form")
    if isinstance(value, dict):
        for name, member in value.items():
            refuse_nan(member, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            refuse_nan(member, f"{path}[{index}]")


def _plain_of(handles: Mapping[int, Handle], value: object) -> object:
    """What a value of a derived type is written as: handles in their way, others as their base."""
    match value:
        case Handle(dbid=0):
            if handles.get(-value) is not value:  # there `@k` would be another object
                raise ValueError(f"{value} is of another transaction, which is not done")
            return str(value)
        case Handle():
            return value.dbid
        case str():
            return "".join(value)
        case int():
            return int(value)
        case list():
            return list(value)
        case dict():
            return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def as_text(value: Value) -> str:
    """A text reply as str."""
    return value.decode() if isinstance(value, bytes) else str(value)


def word_of(key: str, value: FilterValue) -> str:
    """A filter's value as the wire has it: flags as true and false."""
    if not isinstance(value, str | int):
        what = "None is no value: leave the filter out" if value is None else f"not {value!r}"
        raise TypeError(f"filter {key} takes text, a number or a flag; {what}")
    return str(value).lower() if isinstance(value, bool) else str(value)


def filter_words(filters: Filters, keys: dict[str, FilterValue]) -> list[Argument]:
    """FILTER key value for each."""
    return [
        part
        for key, value in (*filters, *keys.items())
        for part in ("FILTER", key, word_of(key, value))
    ]
