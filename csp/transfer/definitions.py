"""Finds out which object each member of a file's sections defines, then reads it whole."""

# 1. All objects are known by key before any reference is read, so order does not matter.
# 2. What is wrong with one attribute does not hide what is wrong with another.

from __future__ import annotations

from typing import Any

from csp.model.types import WORD_OF_CLASS
from csp.transfer.collecting import Collection
from csp.transfer.forms import ENVIRONMENT_NAME, FORMS, OWN_FORM, Form
from csp.transfer.granting import GRANTS, read_grants
from csp.transfer.naturals import NATURALS
from csp.transfer.objects import Item, Key, Node
from csp.transfer.reading import METADATA, RawObject
from csp.transfer.references import (
    DN,
    FOLDER,
    PUBLISHED_FOLDERS,
    TENANT,
    TENANT_WORD,
    Context,
    WrongValue,
    dn_key,
    folder_parts,
    key_of,
    member,
    read_own_folder,
    step,
    tenant_node,
    text,
)

# What may stand in a folder without a name.
DEFAULT_FOLDER_STATES = frozenset(("type", "folder"))


class Definitions:
    """The objects that files define."""

    def __init__(
        self, collection: Collection, default_folders: dict[str, str], environment: str
    ) -> None:
        """default_folders: what the server calls them now; environment: and its tenant 1."""
        self._collection = collection
        self._items: list[Item] = []
        self._context = Context(collection.registry)
        self._folder_names = {
            kind: names | {default_folders.get(kind, "")}
            for kind, names in PUBLISHED_FOLDERS.items()
        }
        self._environment = tenant_node(environment, self._context)
        self._is_named = False  # some file says what its tenant 1 is called

    def call_environment(self, name: Any) -> None:
        """Takes that name in the files for the server's tenant 1, whatever it is called there.

        Raises WrongValue where it can't be.
        """
        node = self._collection.registry.nodes.setdefault(
            (TENANT.id, text(name)), self._environment
        )
        if node is not self._environment:
            raise WrongValue(f"a file before this one has another tenant {name!r}: give it later")
        self._is_named = True

    def define(self, raw: RawObject) -> None:
        """First pass: which objects there are."""
        form = FORMS[raw.section]
        if not self._collection.is_text(raw):
            return
        try:
            key = self._key(form, raw)
        except WrongValue as problem:
            self._collection.report(raw, "", problem)
            return
        except RecursionError:
            self._collection.report(raw, "", WrongValue("nested too deeply"))
            return
        physical = raw.value.get("physicalSwitch")
        if not isinstance(physical, str):
            physical = None
        node = self._collection.add(form.cls, key, raw, physical=physical)
        if node.item is not None and node.item.raw is raw:
            self._items.append(node.item)

    def convert(self) -> None:
        """Second pass: what each object is made of."""
        if not self._is_named and self._environment.item is None:
            self._find_environment()
        for item in self._items:
            raw = item.raw
            assert raw is not None
            self._read(FORMS[raw.section], item, raw)
            raw.value = {}  # not needed again

    def _find_environment(self) -> None:
        """Reports a tenant that looks like another server's tenant 1 under its name there."""
        for item in self._items:
            raw = item.raw
            if item.node.cls is TENANT and raw is not None and raw.value.get("superTenant") is True:
                name, here = item.node.key[1], self._environment.key[1]
                rule = (
                    f"{name!r} seems to be tenant 1 of where the file comes from; here it is "
                    f"called {here!r}. Say which it is in {METADATA}: "
                    f'"{ENVIRONMENT_NAME}": "{name}" if so, "{here}" if not'
                )
                self._collection.report(raw, "superTenant", WrongValue(rule))

    # ------------------------------------------------------------------ first pass

    def _within(self, raw: RawObject) -> Context:
        """What an object's values are read in, but for its tenant.

        csp's own form knows default folders by their published names alone, so that a file means
        the same everywhere; other tools write the names that they have on their server.
        """
        context = self._context
        own = raw.form == OWN_FORM
        context.folder_names = PUBLISHED_FOLDERS if own else self._folder_names
        return context

    def _key(self, form: Form[Context], raw: RawObject) -> Key:
        context = self._within(raw)
        value = raw.value
        context.refs = []  # the second pass takes down what the object refers to
        if form.cls is FOLDER:
            kind = step("type", text, member(value, "type")).lower()
            word, owner, _, names = step("folder", folder_parts, member(value, "folder"), context)
            if raw.form == OWN_FORM and "name" not in value and word == TENANT_WORD and not names:
                return (form.cls.id, word, owner, kind, ())  # the default folder
            name = step("name", text, member(value, "name"))
            return (form.cls.id, word, owner, kind, (*names, name))
        natural = NATURALS[form.cls.name]
        if natural.group:
            value = member(value, natural.group)
            if not isinstance(value, dict):
                raise WrongValue("an object is expected", natural.group)
        context.tenant = None
        if natural.in_tenant or "tenant" in value:
            context.tenant = tenant_node(step("tenant", text, member(value, "tenant")), context)
        key = key_of(natural, value, context)
        if form.cls is DN:
            _, switch, number, kind = key
            return dn_key(switch, number, kind, value.get("name"))
        return key

    # ------------------------------------------------------------------ second pass

    def _read(self, form: Form[Context], item: Item, raw: RawObject) -> None:
        context = self._within(raw)
        context.refs = item.refs
        context.tenant = _tenant_of(item.node) or self._environment
        context.content = WORD_OF_CLASS[item.node.cls.name]

        def report(attribute: str, problem: WrongValue) -> None:
            item.wrong.add(attribute)
            self._collection.report(raw, attribute, problem, shown=item.node.shown)

        self._read_grants(item, raw, report)
        if item.is_default_folder:
            self._place_folder(item, raw, report)
            for name in sorted(raw.value.keys() - DEFAULT_FOLDER_STATES):
                rule = "of a folder without a name, a default folder, only grants can be stated"
                report(name, WrongValue(rule))
        elif raw.section == "folders":
            self._place_folder(item, raw, report)
            rest = {name: part for name, part in raw.value.items() if name != "folder"}
            item.body |= form.read(rest, context, report)
        else:
            item.body = form.read(raw.value, context, report)

    def _read_grants(self, item: Item, raw: RawObject, report: Any) -> None:
        stated = raw.value.pop(GRANTS, None)
        if stated is None:
            return
        if raw.form not in (OWN_FORM, ""):  # bare objects may be of either form
            report(GRANTS, WrongValue(f'mutagen\'s form has none: say "formatName": "{OWN_FORM}"'))
            return
        context = self._context
        outer, context.tenant = context.tenant, _own_tenant(item.node) or self._environment
        try:
            item.grants = read_grants(stated, context)
        except WrongValue as problem:
            report(GRANTS, problem)
        finally:
            context.tenant = outer

    def _place_folder(self, item: Item, raw: RawObject, report: Any) -> None:
        try:
            word, owner, _, names = folder_parts(raw.value["folder"], self._context)
            if names:
                self._context.content = item.node.key[3]
                item.body["folderDBID"] = read_own_folder(raw.value["folder"], self._context)
            item.body["ownerID"] = {"type": word, "DBID": owner}
            item.refs.append(owner)
        except WrongValue as problem:
            report("folder", problem)


def _tenant_of(node: Node) -> Node | None:
    """The tenant in which an object's references are read; None: it belongs to none."""
    scope = node.key[1]
    if node.cls is FOLDER or not isinstance(scope, Node):
        return None
    return scope if scope.cls is TENANT else _tenant_of(scope)


def _own_tenant(node: Node) -> Node | None:
    """The tenant in which the accounts of an object's grants are read: a tenant's own are its."""
    if node.cls is TENANT:
        return node
    return _own_tenant(node.key[2]) if node.cls is FOLDER else _tenant_of(node)
