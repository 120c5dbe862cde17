"""Turns references as files spell them into Nodes: names, names with a scope, paths of folders."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from csp.model.types import (
    CLASS_OF_WORD,
    CLASSES,
    WORD_OF_CLASS,
    ObjectClass,
)
from csp.transfer.naturals import GLOBAL, NATURALS, Natural
from csp.transfer.objects import Key, Node, Registry

TENANT = CLASSES["CfgTenant"]
SWITCH = CLASSES["CfgSwitch"]
FOLDER = CLASSES["CfgFolder"]
TENANT_WORD = WORD_OF_CLASS[TENANT.name]
FOLDERS_DEEP_MAX = 999  # a server takes a thousand, the default folder among them
DN = CLASSES["CfgDN"]
GENERIC_FOLDER = "folder"
# Where a reference has a `type` of its own, as a DN's, the word of its class stands here.
OBJECT_TYPE = "objectType"
# What the server calls the folders that it makes with each tenant, by the type of their content.
DEFAULT_FOLDERS = {WORD_OF_CLASS[cls.name]: cls.folder for cls in CLASSES.values() if cls.folder}
PUBLISHED_FOLDERS = {kind: frozenset((name,)) for kind, name in DEFAULT_FOLDERS.items()}


class WrongValue(Exception):
    """A value breaks a rule; path leads to it from where it is caught."""

    def __init__(self, rule: str, path: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.path = path

    def within(self, step: str) -> WrongValue:
        """The same, seen from one level up."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return type(self)(self.rule, f"{step}{joint}{self.path}")


class Context:
    """What a value is read in: the object it belongs to."""

    __slots__ = ("content", "folder_names", "refs", "registry", "tenant")

    def within(self, tenant: Node | None) -> Context:
        """The same for what lies in another tenant."""
        inner = Context(self.registry)
        inner.tenant, inner.refs = tenant, self.refs
        inner.content, inner.folder_names = self.content, self.folder_names
        return inner

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.tenant: Node | None = None  # the tenant of the object
        self.content = ""  # the type of folder that holds such an object
        self.refs: list[Node] = []
        # What tenants' default folders of a type may be called at the beginning of a path.
        self.folder_names: Mapping[str, Collection[str]] = PUBLISHED_FOLDERS


Reference = Callable[[Any, Context], Node]
Reading = Callable[[Any, Context], dict[str, Any]]


def text(value: Any) -> str:
    """A string that is not empty."""
    if value.__class__ is not str:
        raise WrongValue(f"a string is expected, not {shown_type(value)}")
    if not value:
        raise WrongValue("must not be empty")
    return str(value)


def shown_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return names.get(value.__class__, "a number" if isinstance(value, int | float) else "null")


def member(value: dict[str, Any], name: str) -> Any:
    """What must be stated under that name."""
    found = value.get(name)
    if found is None:
        raise WrongValue("is missing", name)
    return found


def only(value: Any, *names: str) -> dict[str, Any]:
    """An object that has no other names than these."""
    if not isinstance(value, dict):
        raise WrongValue(f"an object of {', '.join(names)} is expected, not {shown_type(value)}")
    for name in value:
        if name not in names:
            raise WrongValue(f"unknown; a reference here has {', '.join(names)}", name)
    return value


def step(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments), its errors seen from outside the member name."""
    try:
        return function(*arguments)
    except WrongValue as problem:
        raise problem.within(name) from None


# ---------------------------------------------------------------------- scopes


def tenant_node(name: str, context: Context) -> Node:
    return context.registry.refer(TENANT, (TENANT.id, name))


def scope_of(value: dict[str, Any], context: Context) -> Node:
    """The tenant that a reference states, else the object's."""
    stated = value.get("tenant")
    if stated is not None:
        return tenant_node(step("tenant", text, stated), context)
    if context.tenant is None:
        raise WrongValue("the object's tenant is not known")
    return context.tenant


def refer(cls: ObjectClass, key: Key, context: Context) -> Node:
    ambiguous = context.registry.ambiguous
    if ambiguous and key in ambiguous:
        raise WrongValue(f"is ambiguous: {ambiguous[key]} objects of {cls.name} are named so")
    node = context.registry.refer(cls, key)
    context.refs.append(node)
    return node


# ---------------------------------------------------------------------- one function a kind


def _global(cls: ObjectClass) -> Reference:
    number = cls.id

    def read(value: Any, context: Context) -> Node:
        if value.__class__ is not str:
            value = step("name", text, member(only(value, "name"), "name"))
        return refer(cls, (number, text(value)), context)

    return read


def _in_tenant(cls: ObjectClass, field: str) -> Reference:
    number = cls.id

    def read(value: Any, context: Context) -> Node:
        if value.__class__ is str and context.tenant is not None:
            return refer(cls, (number, context.tenant, text(value)), context)
        if isinstance(value, dict):
            only(value, field, "tenant")
            tenant = scope_of(value, context)
            return refer(cls, (number, tenant, step(field, text, member(value, field))), context)
        return refer(cls, (number, scope_of({}, context), text(value)), context)

    return read


def _by_parts(natural: Natural) -> Reference:
    """An object with every part of the key; the tenant may be left out."""
    names = [part.name for part in natural.parts]

    def read(value: Any, context: Context) -> Node:
        only(value, *names, *(() if "tenant" in names else ("tenant",)))
        return refer(natural.cls, key_of(natural, value, context), context)

    return read


def key_of(natural: Natural, value: dict[str, Any], context: Context) -> Key:
    """The natural key that an object, or a reference to it, states."""
    key: list[Any] = [natural.cls.id]
    inner = context
    if "tenant" in value:
        inner = context.within(scope_of(value, context))
    for part in natural.parts:
        if part.of == TENANT.name:
            key.append(scope_of(value, context))
        elif part.of:
            key.append(step(part.name, REFERENCES[part.of], member(value, part.name), inner))
        else:
            found = step(part.name, text, member(value, part.name))
            key.append(found.lower() if part.is_word else found)
    return tuple(key)


def dn_key(switch: int, number: str, kind: str, name: str | None) -> Key:
    """Labels may share a number, told apart by their names."""
    return (DN.id, switch, number, kind, name if kind == "destinationlabel" else None)


def _dn(value: Any, context: Context) -> Node:
    only(value, "number", "switch", "type", "name", "tenant")
    _, switch, number, kind = key_of(NATURALS[DN.name], value, context)
    return refer(DN, dn_key(switch, number, kind, value.get("name")), context)


def folder_parts(value: Any, context: Context) -> tuple[str, Node, str, tuple[str, ...]]:
    """Owner's type, owner, type of the content, path below the default folder."""
    only(value, "type", "owner", "path")
    kind = step("type", text, member(value, "type")).lower()
    word, owner = step("owner", _owner, member(value, "owner"), context)
    path = value.get("path") or []
    if not isinstance(path, list):
        raise WrongValue("a list of folder names is expected", "path")
    if len(path) > FOLDERS_DEEP_MAX:
        rule = f"{len(path)} folders in one another; at most {FOLDERS_DEEP_MAX} are allowed"
        raise WrongValue(rule, "path")
    names = tuple(step(f"path[{index}]", text, name) for index, name in enumerate(path))
    if names and word == TENANT_WORD and names[0] in context.folder_names.get(kind, ()):
        names = names[1:]
    return word, owner, kind, names


def _owner(value: Any, context: Context) -> tuple[str, Node]:
    """The word of the class that owns a folder, and the object: of any class, by its key."""
    if not isinstance(value, dict):
        raise WrongValue(f"an object of type and name is expected, not {shown_type(value)}")
    stated = OBJECT_TYPE if OBJECT_TYPE in value else "type"
    word = step(stated, text, member(value, stated)).lower()
    cls = CLASSES.get(CLASS_OF_WORD.get(word, ""))
    if cls is None:
        raise WrongValue(f"objects of type {word!r} own no folders", stated)
    rest = {name: part for name, part in value.items() if name != stated}
    if cls is TENANT:
        only(rest, "name", "tenant")
        return word, tenant_node(step("name", text, member(rest, "name")), context)
    outer, context.refs = context.refs, []  # an owner is asked for with its folder
    try:
        return word, REFERENCES[cls.name](rest, context)
    finally:
        context.refs = outer


def folder_node(
    word: str, owner: Node, kind: str, names: tuple[str, ...], context: Context
) -> Node:
    """The folder's Node; those above it come into being too."""
    node = context.registry.refer(FOLDER, (FOLDER.id, word, owner, kind, names))
    for size in range(len(names) - 1, 0, -1):
        key = (FOLDER.id, word, owner, kind, names[:size])
        if key in context.registry.nodes:
            break
        context.registry.refer(FOLDER, key)
    return node


def read_folder(value: Any, context: Context) -> Node:
    word, owner, kind, names = folder_parts(value, context)
    node = folder_node(word, owner, kind, names, context)
    context.refs.append(node)
    return node


def read_own_folder(value: Any, context: Context) -> Node:
    """The folder that an object lies in; type `folder` means one that holds such objects."""
    if isinstance(value, dict) and value.get("type") == GENERIC_FOLDER:
        value = {**value, "type": context.content}
    return read_folder(value, context)


def typed(pair: tuple[str, ...], *, mere_name: str = "") -> Reading:
    """How {"type": word, …} is read as type and DBID; a mere name is of that type.

    Where a mere name has none, the type stands before it: "person/17".
    """
    word_name, number_name = pair

    def read(value: Any, context: Context) -> dict[str, Any]:
        if isinstance(value, str):
            word, key = (mere_name, value) if mere_name else _typed_text(value)
            rest: Any = key
        elif isinstance(value, dict):
            stated = next((name for name in (OBJECT_TYPE, word_name) if name in value), "type")
            word = step(stated, text, member(value, stated)).lower()
            rest = {name: part for name, part in value.items() if name != stated}
        else:
            raise WrongValue(f"a name or an object is expected, not {shown_type(value)}")
        known = REFERENCES.get(CLASS_OF_WORD.get(word, ""))
        if known is None:
            raise WrongValue(f"objects of type {word!r} are not supported", word_name)
        return {word_name: word, number_name: known(rest, context)}

    return read


def _typed_text(value: str) -> tuple[str, str]:
    word, slash, key = value.partition("/")
    if not slash:
        raise WrongValue(f"{value!r} does not say the type: <type>/<name> is expected")
    return word.lower(), key


def _references() -> dict[str, Reference]:
    found: dict[str, Reference] = {"CfgFolder": read_folder, "CfgDN": _dn}
    for name, natural in NATURALS.items():
        if name in found:
            continue
        if name in GLOBAL:
            found[name] = _global(natural.cls)
        elif natural.in_tenant and len(natural.parts) == 2:
            found[name] = _in_tenant(natural.cls, natural.parts[1].name)
        else:
            found[name] = _by_parts(natural)
    return found


REFERENCES: dict[str, Reference] = _references()
