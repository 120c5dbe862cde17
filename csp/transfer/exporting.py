"""Exports a server's objects as one file, object after object, by their names or by DBID."""

# 1. The names of all objects are read first (the brief form), then the objects in the order of
#    their names (raw: of their DBIDs): two exports of one state are equal byte by byte.
# 2. Only what the reader may see is in it: the server gives nothing else. A reference to something
#    else is left out and counted, as is an object whose name is within something else.
# 3. Grants are in the form that names objects alone; those of default folders stand in entries
#    without a name. Of how many objects they can't be read stands in `__metadata__`.
# 4. An export begun while changes flow says the revisions between which it was read.

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import orjson

from csp.model.types import CLASSES, ENVIRONMENT, ObjectClass
from csp.transfer.forms import ENVIRONMENT_NAME, FORM_OF, OWN_FORM
from csp.transfer.granting import GRANTS, LEFT_OUT
from csp.transfer.naming import Names, NoName
from csp.transfer.naturals import BY_PATH, IN_ORDER_OF_SCOPES, TENANT
from csp.transfer.own_grants import OwnGrants
from csp.transfer.own_grants import Server as GrantsServer
from csp.transfer.present import Object
from csp.transfer.raw.words import RAW_FORM, SECTION_OF
from csp.transfer.raw.writing import RawWriter
from csp.transfer.stating import Lost
from csp.transfer.writing import Writer

FORM_VERSION = "1.0.0"
OBJECTS_A_REQUEST = 500


class Server(GrantsServer, Protocol):
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
    nameless: Counter[str] = field(default_factory=Counter)  # objects, by what hides their names
    alike: list[str] = field(default_factory=list)  # pairs that an import can't tell apart
    grants_left_out: int = 0  # of so many objects

    def lose(self, what: str) -> None:
        """Takes down that something was left out because it can't be read."""
        self.lost[what] += 1


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
    has_grants: bool


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
    has_grants=True,
)
RAW = Layout(RAW_FORM, sorted(SECTION_OF), SECTION_OF, Names.dbids, RawWriter, False, False)


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
    chosen = {
        name: _chosen(names, layout, name, wanted)
        for name in layout.order
        if not classes or name in classes
    }
    report.nameless = Counter(names.nameless.values())
    grants = OwnGrants(server, names, report.lose)
    if layout.has_grants:
        _read_grants(grants, names, chosen, wanted)
        report.grants_left_out = grants.left_out
        if grants.left_out:
            metadata[LEFT_OUT] = grants.left_out
    yield b'{\n"__metadata__": ' + orjson.dumps(metadata)
    for name, dbids in chosen.items():
        written = _written(server, names, layout, name, dbids, grants, report)
        if name == BY_PATH and layout.has_grants:
            written = chain(_default_folders(names, grants), written)
        yield from _section(layout, name, written)
    report.until = server.revision()
    yield b"\n}\n"


def _tenant(names: Names, wanted: str) -> int:
    for dbid in names.sorted("CfgTenant"):
        if names.key("CfgTenant", dbid)[0] == wanted:
            return dbid
    raise LookupError(f"there is no tenant {wanted!r}")


def _chosen(names: Names, layout: Layout, name: str, tenant: int) -> list[int]:
    """The DBIDs of the objects of a class that are exported."""
    dbids = layout.dbids(names, name)
    return [one for one in dbids if not tenant or _is_of(names, name, one, tenant)]


def _read_grants(
    grants: OwnGrants, names: Names, chosen: Mapping[str, list[int]], tenant: int
) -> None:
    for name, dbids in chosen.items():
        grants.read(name, dbids)
    if BY_PATH in chosen:
        folders = names.default_folders()
        if tenant:
            folders = [one for one in folders if _is_of(names, BY_PATH, one, tenant)]
        grants.read(BY_PATH, folders)


def _default_folders(names: Names, grants: OwnGrants) -> Iterator[Object]:
    """Entries without a name, for the grants alone."""
    for dbid in grants.of_default_folders():
        folder = names.folder_object(dbid)
        found = {"type": folder["type"], "folder": names.place_of(dbid)}
        yield found | {GRANTS: grants.of(BY_PATH, folder)}


def _written(
    server: Server,
    names: Names,
    layout: Layout,
    name: str,
    dbids: list[int],
    grants: OwnGrants,
    report: Report,
) -> Iterator[Object]:
    """The objects of one class as the file has them."""
    pairs = names.alike(name, dbids)
    report.alike += (f"{name}:{one} and {name}:{other}" for one, other in pairs)
    writer = layout.writer(CLASSES[name], names, report.lose)
    for obj in _objects(server, names, name, dbids):
        written = writer.write(obj)
        own = grants.of(name, obj) if layout.has_grants else None
        yield written if own is None else written | {GRANTS: own}
        report.objects[name] += 1


def _section(layout: Layout, name: str, written: Iterator[Object]) -> Iterator[bytes]:
    before = b',\n"' + layout.section[name].encode() + b'": [\n'
    begun = before
    for one in written:
        data = orjson.dumps(one)
        yield before + (data.replace(b"${", b"$${") if layout.has_variables else data)
        before = b",\n"
    if before is not begun:
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
