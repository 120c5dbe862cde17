"""Exports a server's objects as one file in csp's form, object after object."""

# 1. The names of all objects are read first (the brief form), then the objects in the order of
#    their names: two exports of one state are equal byte by byte.
# 2. Only what the reader may see is in it: the server gives nothing else. A reference to something
#    else is left out and counted.
# 3. An export begun while changes flow says the revisions between which it was read.

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from csp.model.types import CLASSES
from csp.transfer.forms import FORM_OF
from csp.transfer.importing import OWN_FORM
from csp.transfer.naming import Names
from csp.transfer.naturals import BY_PATH, IN_ORDER_OF_SCOPES
from csp.transfer.present import Object
from csp.transfer.writing import Writer

FORM_VERSION = "1.0.0"
OBJECTS_A_REQUEST = 500


class Server(Protocol):
    """What an export asks of a server."""

    def revision(self) -> int: ...

    def read(self, class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[Object]: ...

    def get_many(self, class_name: str, dbids: Sequence[int]) -> list[Object | None]: ...


@dataclass(slots=True)
class Report:
    """What was exported."""

    revision: int = 0  # when it began
    until: int = 0  # when it ended; equal: it is one state
    objects: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)  # references without a name


def export(
    server: Server, report: Report, *, classes: Sequence[str] = (), tenant: str = ""
) -> Iterator[bytes]:
    """The file, piece by piece; the report is complete at the end.

    Raises LookupError for a tenant that is not there.
    """
    report.revision = server.revision()
    names = Names()
    for name in IN_ORDER_OF_SCOPES:
        extra = () if name in (BY_PATH, "CfgDN") else ("BRIEF",)
        names.learn(name, server.read(name, extra=extra))
    wanted = _tenant(names, tenant) if tenant else 0
    metadata = {
        "formatName": OWN_FORM,
        "formatVersion": FORM_VERSION,
        "revision": report.revision,
    }
    yield b'{\n"__metadata__": ' + orjson.dumps(metadata)
    for name in IN_ORDER_OF_SCOPES:
        if not classes or name in classes:
            yield from _section(server, names, name, wanted, report)
    report.until = server.revision()
    yield b"\n}\n"


def _tenant(names: Names, wanted: str) -> int:
    for dbid in names.sorted("CfgTenant"):
        if names.key("CfgTenant", dbid)[0] == wanted:
            return dbid
    raise LookupError(f"there is no tenant {wanted!r}")


def _section(
    server: Server, names: Names, name: str, tenant: int, report: Report
) -> Iterator[bytes]:
    dbids = names.sorted(name)
    if tenant:
        dbids = [dbid for dbid in dbids if _is_of(names, name, dbid, tenant)]
    if not dbids:
        return
    yield b',\n"' + FORM_OF[name].section.encode() + b'": ['
    joint = b"\n"
    for value in _objects(server, names, name, dbids, report):
        yield joint + orjson.dumps(value)
        joint = b",\n"
        report.objects[name] += 1
    yield b"\n]"


def _is_of(names: Names, name: str, dbid: int, tenant: int) -> bool:
    if name == "CfgTenant":
        return dbid == tenant
    if name == BY_PATH:
        owner = names.folder_object(dbid)["ownerID"]
        if owner["type"] == "tenant":
            return bool(owner["DBID"] == tenant)
        return names.tenant("CfgSwitch", owner["DBID"]) == tenant
    return names.tenant(name, dbid) == tenant


def _objects(
    server: Server, names: Names, name: str, dbids: list[int], report: Report
) -> Iterator[dict[str, Any]]:
    def lost(what: str) -> None:
        report.lost[what] += 1

    if name == BY_PATH:
        for dbid in dbids:
            yield _folder(names, dbid)
        return
    writer = Writer(CLASSES[name], names, lost)
    for at in range(0, len(dbids), OBJECTS_A_REQUEST):
        for obj in server.get_many(name, dbids[at : at + OBJECTS_A_REQUEST]):
            if obj is not None:  # else it has just been deleted
                yield writer.write(obj)


def _folder(names: Names, dbid: int) -> dict[str, Any]:
    obj = names.folder_object(dbid)
    stated = ("folderClass", "customType", "description", "state", "userProperties")
    rest = {name: obj[name] for name in stated if name in obj}
    place = names.place_of(dbid)
    return {"name": obj["name"], "type": obj["type"], "folder": place, **rest}
