"""Exports a server's objects as one file, object after object, by their names or by DBID."""

# 1. The names of all objects are read first (the brief form), then the objects in the order of
#    their names (raw: of their DBIDs): two exports of one state are equal byte by byte.
# 2. Only what the reader may see is in it: the server gives nothing else. A reference to something
#    else is left out and counted.
# 3. An export begun while changes flow says the revisions between which it was read.

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from csp.model.types import CLASSES, ENVIRONMENT, ObjectClass
from csp.transfer.forms import ENVIRONMENT_NAME, FORM_OF, OWN_FORM
from csp.transfer.naming import Names, NoName
from csp.transfer.naturals import BY_PATH, IN_ORDER_OF_SCOPES, TENANT
from csp.transfer.present import Object
from csp.transfer.raw.words import RAW_FORM, SECTION_OF
from csp.transfer.raw.writing import RawWriter
from csp.transfer.stating import Lost
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
    alike: list[str] = field(default_factory=list)  # pairs that an import can't tell apart


class Writes(Protocol):
    """What turns the objects of one class into those of a file."""

    def write(self, obj: Object) -> Object: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """A form in which objects are exported."""

    form: str
    order: Sequence[str]  # of the classes
    section: Mapping[str, str]  # by class
    dbids: Callable[[Names, str], list[int]]  # what of a class, in which order
    writer: Callable[[ObjectClass, Names, Lost], Writes]
    has_variables: bool  # an import would fill in ${NAME}


class FolderWriter:
    """Writes folders in the form that names objects."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def write(self, obj: Object) -> Object:
        stated = ("folderClass", "customType", "description", "state", "userProperties")
        rest = {name: obj[name] for name in stated if name in obj}
        place = self._names.place_of(obj["DBID"])
        return {"name": obj["name"], "type": obj["type"], "folder": place, **rest}


def _named(cls: ObjectClass, names: Names, lost: Lost) -> Writes:
    return FolderWriter(names) if cls.name == BY_PATH else Writer(cls, names, lost)


NAMED = Layout(
    OWN_FORM,
    IN_ORDER_OF_SCOPES,
    {name: form.section for name, form in FORM_OF.items()},
    Names.sorted,
    _named,
    has_variables=True,
)
RAW = Layout(RAW_FORM, sorted(SECTION_OF), SECTION_OF, Names.dbids, RawWriter, False)


def export(
    server: Server,
    report: Report,
    *,
    layout: Layout = NAMED,
    classes: Sequence[str] = (),
    tenant: str = "",
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
        "formatName": layout.form,
        "formatVersion": FORM_VERSION,
        "revision": report.revision,
    }
    if layout is NAMED:
        with suppress(NoName):  # the reader may not see it
            metadata[ENVIRONMENT_NAME] = names.key(TENANT, ENVIRONMENT)[0]
    yield b'{\n"__metadata__": ' + orjson.dumps(metadata)
    for name in layout.order:
        if not classes or name in classes:
            yield from _section(server, names, layout, name, wanted, report)
    report.until = server.revision()
    yield b"\n}\n"


def _tenant(names: Names, wanted: str) -> int:
    for dbid in names.sorted("CfgTenant"):
        if names.key("CfgTenant", dbid)[0] == wanted:
            return dbid
    raise LookupError(f"there is no tenant {wanted!r}")


def _section(
    server: Server, names: Names, layout: Layout, name: str, tenant: int, report: Report
) -> Iterator[bytes]:
    dbids = layout.dbids(names, name)
    if tenant:
        dbids = [dbid for dbid in dbids if _is_of(names, name, dbid, tenant)]
    pairs = names.alike(name, dbids)
    report.alike += (f"{name}:{one} and {name}:{other}" for one, other in pairs)
    if not dbids:
        return

    def lost(what: str) -> None:
        report.lost[what] += 1

    writer = layout.writer(CLASSES[name], names, lost)
    yield b',\n"' + layout.section[name].encode() + b'": ['
    joint = b"\n"
    for obj in _objects(server, names, name, dbids):
        data = orjson.dumps(writer.write(obj))
        yield joint + (data.replace(b"${", b"$${") if layout.has_variables else data)
        joint = b",\n"
        report.objects[name] += 1
    yield b"\n]"


def _is_of(names: Names, name: str, dbid: int, tenant: int) -> bool:
    if name == "CfgTenant":
        return dbid == tenant
    return names.tenant(name, dbid) == tenant


def _objects(server: Server, names: Names, name: str, dbids: list[int]) -> Iterator[Object]:
    if name == BY_PATH:
        yield from map(names.folder_object, dbids)  # read whole already, for the paths
        return
    for at in range(0, len(dbids), OBJECTS_A_REQUEST):
        for obj in server.get_many(name, dbids[at : at + OBJECTS_A_REQUEST]):
            if obj is not None:  # else it has just been deleted
                yield obj
