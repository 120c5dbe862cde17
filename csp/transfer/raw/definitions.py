"""Finds out which object each member of raw files is, and reads it, DBIDs become Nodes."""

# 1. All raw files of one import are of one source: a DBID means the same object in each.
# 2. An object is known by its natural key, as in the other forms; its DBID only leads to it.
# 3. A DBID that no file has is an error, but for built-in objects: those are the server's own.
# 4. An owner's default folders are the server's: they are found, never written.

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from csp.model.types import CLASS_OF_WORD, CLASSES, ENVIRONMENT, WORD_OF_CLASS, ObjectClass
from csp.transfer.collecting import Collection
from csp.transfer.naturals import NATURALS, Part
from csp.transfer.objects import Item, Key, Node
from csp.transfer.present import WITH_DEFAULT_FOLDER, Object
from csp.transfer.raw.forms import (
    RAW_FORMS,
    Convert,
    RawContext,
    as_text,
    converter,
    type_word,
    unwrapped,
)
from csp.transfer.raw.stated import Stated, number, stated
from csp.transfer.reading import RawObject
from csp.transfer.references import (
    DN,
    FOLDER,
    SWITCH,
    TENANT,
    WrongValue,
    dn_key,
    member,
    step,
    text,
)

# Whose folder it is, and of what: owner's class, owner's DBID, type of content, all as stated.
Place = tuple[str, int, str]


class Server(Protocol):
    """What is asked of a server."""

    def get_many(self, class_name: str, dbids: Sequence[int]) -> list[Object | None]: ...


class RawDefinitions:
    """The objects that raw files define."""

    def __init__(self, collection: Collection, server: Server) -> None:
        self._collection = collection
        self._server = server
        self._stated: list[Stated] = []
        self._by_dbid: dict[tuple[str, int], Stated] = {}
        self._builtin: dict[tuple[str, int], Node] = {}
        self._places: dict[tuple[str, int], int] = {}  # class and DBID -> the folder it lies in
        self._tops: dict[Place, int] = {}  # the DBID of the default folder
        self._context = RawContext(collection.registry, self._look)

    def define(self, raw: RawObject) -> None:
        """First pass: which DBIDs there are."""
        if not self._collection.is_text(raw):
            return
        try:
            one = stated(raw)
        except WrongValue as problem:
            self._collection.report(raw, "", problem)
            return
        self._stated.append(one)
        if one.dbid:
            first = self._by_dbid.setdefault((one.cls.name, one.dbid), one)
            if first is not one:
                where = "" if first.raw.file == raw.file else f"{first.raw.file}, "
                rule = f"{one.dbid} is also the DBID of {where}{raw.section}[{first.raw.index}]"
                self._collection.report(raw, "DBID", WrongValue(rule))
        for key in one.content:
            self._places[key] = one.dbid

    def convert(self) -> None:
        """Second pass: what each object is, and what it is made of."""
        for one in self._stated:
            if one.cls is FOLDER:
                self._note_top(one)
        for one in self._stated:
            self._node(one)
        for one in self._stated:
            item = self._node(one).item
            if item is not None and item.raw is one.raw:
                item.by_dbid = True
                self._read(one, item)
            one.raw.value = {}  # not needed again

    # ------------------------------------------------------------------ which object it is

    def _look(self, class_name: str, dbid: int) -> Node:
        one = self._by_dbid.get((class_name, dbid))
        if one is not None:
            return self._node(one)
        if dbid in CLASSES[class_name].builtin:
            return self._of_server(class_name, dbid)
        raise WrongValue(f"no file has a {class_name} with the DBID {dbid}")

    def _node(self, one: Stated) -> Node:
        if one.cls is FOLDER:
            for above in self._unread_above(one):
                self._node_of(above)
        return self._node_of(one)

    def _unread_above(self, one: Stated) -> list[Stated]:
        """The folders that a folder lies in, the uppermost first, as far as they have no Node."""
        found: dict[int, Stated] = {}
        with suppress(WrongValue):  # reported where the folder's key is read
            while (above := self._above(one, _place(one))) is not None and above.node is None:
                if above.dbid in found:
                    break
                found[above.dbid] = one = above
        return list(found.values())[::-1]

    def _node_of(self, one: Stated) -> Node:
        if one.node is not None:
            return one.node
        if one.busy:
            raise WrongValue("it can't be told what this is: it leads back to itself")
        one.busy = True
        try:
            key = self._key(one)
            physical = self._physical(one)
        except WrongValue as problem:
            self._collection.report(one.raw, "", problem)
            one.node = self._collection.registry.nameless(one.cls)
        except RecursionError:
            self._collection.report(one.raw, "", WrongValue("nested too deeply"))
            one.node = self._collection.registry.nameless(one.cls)
        else:
            if one.cls is FOLDER and not key[-1]:
                one.node = self._collection.registry.refer(FOLDER, key)
            else:
                one.node = self._collection.add(one.cls, key, one.raw, physical=physical)
        return one.node

    def _physical(self, one: Stated) -> str | None:
        """Of a switch: the name of its physical switch, as far as it is stated."""
        name = "physSwitchDBID"
        dbid = step(name, number, one.raw.value.get(name)) if one.cls is SWITCH else 0
        return str(step(name, self._look, "CfgPhysicalSwitch", dbid).key[-1]) if dbid else None

    def _key(self, one: Stated) -> Key:
        value = one.raw.value
        if one.cls is FOLDER:
            return self._folder_key(one)
        if one.cls is TENANT and one.dbid == ENVIRONMENT:
            return self._of_server(TENANT.name, ENVIRONMENT).key  # whatever it is called
        key = (one.cls.id, *(self._part(part, value) for part in KEY_PARTS[one.cls.name]))
        if one.cls is DN:
            name = as_text(value.get("name"))
            return dn_key(key[1], key[2], key[3], name if isinstance(name, str) and name else None)
        return key

    def _part(self, part: KeyPart, value: dict[str, Any]) -> Any:
        """One part of a natural key, as the object states it."""
        if part.outer:
            return step(part.outer, self._inner, part, value[part.outer])
        return self._inner(part, value)

    def _inner(self, part: KeyPart, value: dict[str, Any]) -> Any:
        self._context.refs = []  # the second pass takes down what the object refers to
        found = step(part.name, part.convert, member(value, part.name), self._context)
        if not found:
            raise WrongValue("must not be empty", part.name)
        return found.lower() if part.is_word and isinstance(found, str) else found

    def _of_server(self, class_name: str, dbid: int) -> Node:
        """A built-in object: the server's own of that DBID."""
        node = self._builtin.get((class_name, dbid))
        if node is None:
            (obj,) = self._server.get_many(class_name, [dbid])
            if obj is None:
                raise WrongValue(f"no file and no server has the built-in {class_name}:{dbid}")
            natural = NATURALS[class_name]
            parts = (
                self._of_server(part.of, value) if part.of else value
                for part, value in zip(natural.parts, natural.values(obj), strict=True)
            )
            node = self._collection.registry.refer(natural.cls, (natural.cls.id, *parts))
            self._builtin[class_name, dbid] = node
        return node

    # ------------------------------------------------------------------ folders

    def _note_top(self, one: Stated) -> None:
        """Takes down which folder is its owner's default one: the first that lies in none."""
        try:
            place = _place(one)
            top = place[0] == TENANT.name and place[2] in WITH_DEFAULT_FOLDER
            if top and self._above(one, place) is None:
                self._tops[place] = min(one.dbid, self._tops.get(place, one.dbid))
        except WrongValue:
            return  # reported where its key is read

    def _above(self, one: Stated, place: Place) -> Stated | None:
        """The folder of the same owner and content that a folder lies in."""
        if not one.folder:
            return None
        above = self._by_dbid.get((FOLDER.name, one.folder))
        if above is None:
            rule = f"no file has a CfgFolder with the DBID {one.folder}"
            raise WrongValue(rule, "folderDBID")
        return above if _place(above) == place else None

    def _folder_key(self, one: Stated) -> Key:
        place = _place(one)
        class_name, owner_dbid, kind = place
        word = WORD_OF_CLASS[class_name]
        owner = step("ownerID", step, "DBID", self._look, class_name, owner_dbid)
        name = step("name", text, as_text(member(one.raw.value, "name")))
        above = self._above(one, place)
        if above is not None:
            node = self._node_of(above)
            names = (*node.key[-1], name) if node.is_named else (name,)
        else:
            names = () if self._tops.get(place) == one.dbid else (name,)
        return (FOLDER.id, word, owner, kind, names)

    # ------------------------------------------------------------------ what it is made of

    def _read(self, one: Stated, item: Item) -> None:
        raw, context = one.raw, self._context
        context.refs = item.refs

        def report(attribute: str, problem: WrongValue) -> None:
            item.wrong.add(attribute)
            self._collection.report(raw, attribute, problem, shown=item.node.shown)

        item.body = RAW_FORMS[raw.section].read(raw.value, context, report)
        folder = one.folder or self._places.get((one.cls.name, one.dbid), 0)
        if not folder or (one.cls is FOLDER and len(item.node.key[-1]) < 2):
            return  # the server's choice: the default folder, or none above
        try:
            item.body["folderDBID"] = context.refer(FOLDER.name, folder)
        except WrongValue as problem:
            report("folderDBID", problem)


def _place(folder: Stated) -> Place:
    value = folder.raw.value
    owner = unwrapped(member(value, "ownerID"))
    if not isinstance(owner, dict):
        raise WrongValue("an object is expected", "ownerID")
    word = step("ownerID", step, "type", type_word, member(owner, "type"))
    if word not in CLASS_OF_WORD:
        raise WrongValue(f"objects of type {word!r} own no folders", "ownerID.type")
    dbid = step("ownerID", step, "DBID", number, member(owner, "DBID"))
    kind = step("type", type_word, member(value, "type"))
    return CLASS_OF_WORD[word], dbid, kind


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One part of a natural key: where it stands, and how it is read."""

    outer: str  # the part of the object that it stands in, or empty
    name: str
    convert: Convert
    is_word: bool


def _key_part(cls: ObjectClass, part: Part) -> KeyPart:
    attribute = cls.attribute(part.path)
    assert attribute is not None
    outer, _, name = part.path.rpartition(".")
    return KeyPart(outer, name, converter(attribute), part.is_word)


KEY_PARTS: dict[str, tuple[KeyPart, ...]] = {
    name: tuple(_key_part(natural.cls, part) for part in natural.parts)
    for name, natural in NATURALS.items()
}
