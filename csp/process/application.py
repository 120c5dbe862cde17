"""Finds a server's Application object in the store, and reads what it says of the server.

An object that a unique filter key names is found here too: an Application is found by such a key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from csp.conf.options import Options, Problem, load
from csp.model.keys import KEYS
from csp.model.types import CLASSES
from csp.observe.events import log_event

APPLICATION = CLASSES["CfgApplication"]
HOST = CLASSES["CfgHost"]


class Finder(Protocol):
    """The store as a look-up sees it."""

    def find(self, key_id: int, value: bytes) -> list[int]: ...
    def get(self, class_id: int, dbid: int) -> bytes | None: ...


def dbid_of(reader: Finder, class_name: str, key: str, value: str | bytes) -> int:
    """The DBID of the object that a unique key names ("CfgPerson", "user_name"); 0 for none."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    found = reader.find(KEYS[class_name, key].key_id, value)
    return found[0] if found else 0


def application_of(reader: Finder, name: str | bytes) -> bytes:
    """The JSON of the Application of this name; b"" where there is none."""
    dbid = dbid_of(reader, APPLICATION.name, "name", name)
    return (reader.get(APPLICATION.id, dbid) if dbid else None) or b""


def host_of(reader: Finder, application: Mapping[str, Any]) -> dict[str, Any]:
    """The Host on which an Application runs; empty where it names none."""
    dbid = host_dbid_of(application)
    data = reader.get(HOST.id, dbid) if dbid else None
    found: dict[str, Any] = orjson.loads(data) if data else {}
    return found


def host_name_of(reader: Finder, application: Mapping[str, Any]) -> str:
    """The name of that Host; empty where it names none."""
    return str(host_of(reader, application).get("name", ""))


def host_dbid_of(application: Mapping[str, Any]) -> int:
    """The DBID of the Host that an Application names; 0 for none."""
    return int((application.get("serverInfo") or {}).get("hostDBID") or 0)


def options_in(application: Mapping[str, Any], *, mode: str, app_name: str) -> Options:
    """The options that an Application sets, with the defaults of all others."""
    return load(application.get("options") or {}, mode=mode, app_name=app_name)


def tell_problems(log: logging.Logger, problems: Iterable[Problem]) -> None:
    """Logs what is set and not taken, an event each."""
    for one in problems:
        log_event(log, "51007", section=one.section, option=one.option, reason=one.reason)
