"""The commands, typed: what each sends and what its reply becomes; steps, for either driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

import orjson

from csp.client.core import Core, exchange_one
from csp.client.incoming import Argument, Value
from csp.client.results import Created, Inherited, Page, Permissions
from csp.client.shape import ClassOf, Every, Shown, name_of
from csp.client.steps import Close, Exchange, Open, Steps
from csp.client.values import (
    Filters,
    FilterValue,
    Handle,
    as_object,
    as_status,
    as_text,
    filter_words,
    json_of,
    plain,
    word_of,
)
from csp.errors import BadValue, CspError, Loading
from csp.resp import request

PAGE_OBJECTS = 10_000  # the most that a server puts on one page


class Commands(Core):
    """The core with a method a command."""

    # ------------------------------------------------------------------ reads

    def get(self, of_class: ClassOf[Shown], dbid: int) -> Steps[Shown | None]:
        name = name_of(of_class)
        found: Shown | None = as_object((yield from self.read_call("GET", f"{name}:{dbid}")))
        if found is None and not _is_class(name):
            yield from self.read_call("CFG.COUNT", name)  # BadClass if it is none at all
        if isinstance(found, dict) and "revision" in found:
            self.session.saw(int(found["revision"]))
        return found

    def find(self, of_class: ClassOf[Shown], keys: dict[str, FilterValue]) -> Steps[Shown | None]:
        pairs = [part for key, value in keys.items() for part in (key, word_of(key, value))]
        words = ("CFG.FIND", name_of(of_class), *pairs)
        found: Shown | None = as_object((yield from self.read_call(*words)))
        return found

    def count(
        self, of_class: ClassOf[Every], filters: Filters, keys: dict[str, FilterValue]
    ) -> Steps[int]:
        words = filter_words(filters, keys)
        return _number((yield from self.read_call("CFG.COUNT", name_of(of_class), *words)))

    def page(
        self, of_class: ClassOf[Shown], words: Sequence[Argument], limit: int, cursor: str
    ) -> Steps[Page[Shown]]:
        if "FIELDS" in words and "BRIEF" not in words and cursor == "0":
            yield from self._check_fields(name_of(of_class), words)
        arguments: list[Argument] = [*words, "LIMIT", limit]
        if cursor != "0":
            arguments += ["CURSOR", cursor]
        reply = yield from self.read_call("CFG.READ", name_of(of_class), *arguments)
        assert isinstance(reply, list)
        revision, following, objects = reply
        self.session.saw(int(revision))
        return Page(int(revision), as_text(following), [orjson.loads(item) for item in objects])

    def _check_fields(self, name: str, words: Sequence[Argument]) -> Steps[None]:
        """Raises BadValue for a field that neither this release nor the server knows.

        The server leaves out what an object has not, and does not ask whether it could have it.
        """
        at = words.index("FIELDS")
        fields = {str(field) for field in words[at + 2 : at + 2 + int(words[at + 1])]}
        if not fields - _attributes(name):
            return
        known = (yield from self.classes()).get(name, {})
        unknown = fields - _attributes(name) - {*known.get("attributes", ())}
        if known and unknown:
            raise BadValue(f"{name} has no attribute {', '.join(sorted(unknown))} to show")

    def classes(self) -> Steps[Any]:
        return plain((yield from self.read_call("CFG.CLASSES")))

    def status(self) -> Steps[dict[str, Any]]:
        try:
            return as_status((yield from self.read_call("CFG.STATUS")))
        except Loading:
            # While it loads it tells anybody, because nobody can sign in.
            yield Open(self.address)
            (reply,) = yield Exchange(request("CFG.STATUS"), 1)
            yield Close()
            if isinstance(reply, CspError):
                raise reply from None
            return as_status(reply)

    def metrics(self) -> Steps[dict[str, dict[str, int]]]:
        found: dict[str, dict[str, int]] = plain((yield from self.read_call("CFG.METRICS")))
        return found

    def clients(self) -> Steps[list[dict[str, str]]]:
        text = as_text((yield from self.read_call("CLIENT", "LIST")))
        return [
            dict(pair.partition("=")[::2] for pair in line.split(" "))
            for line in text.splitlines()
            if line
        ]

    def permissions(self, of_class: ClassOf[Every], dbid: int) -> Steps[Permissions]:
        reply = yield from self.read_call("CFG.PERMISSIONS", f"{name_of(of_class)}:{dbid}")
        revision, own, inherited = _members(reply)
        return Permissions(
            _number(revision),
            {as_text(account): as_text(rights) for account, rights in map(_members, _members(own))},
            [Inherited(*map(as_text, _members(one))) for one in _members(inherited)],
        )

    def access(self, user: str, of_class: ClassOf[Every], dbid: int) -> Steps[dict[str, Any]]:
        reply = yield from self.read_call("CFG.ACCESS", user, f"{name_of(of_class)}:{dbid}")
        found: dict[str, Any] = orjson.loads(as_text(reply))
        return found

    # ------------------------------------------------------------------ writes

    def create(self, of_class: ClassOf[Any], value: Any, write_id: str) -> Steps[Created]:
        send = _sender(create_words(of_class, value))
        revision, dbid = _members((yield from self.write(send, write_id)))
        return Created(self._saw(revision), _number(dbid))

    def update(
        self, of_class: ClassOf[Any], dbid: int, delta: Any, if_revision: int, write_id: str
    ) -> Steps[int]:
        send = _sender(update_words(of_class, dbid, delta, if_revision))
        return self._saw((yield from self.write(send, write_id)))

    def delete(
        self, of_class: ClassOf[Every], dbid: int, if_revision: int, write_id: str
    ) -> Steps[int]:
        send = _sender(delete_words(of_class, dbid, if_revision))
        return self._saw((yield from self.write(send, write_id)))

    def grant(
        self,
        of_class: ClassOf[Every],
        dbid: int,
        account: str,
        rights: str,
        replace: bool,
        write_id: str,
    ) -> Steps[int]:
        send = _sender(grant_words(of_class, dbid, account, rights, replace))
        return self._saw((yield from self.write(send, write_id)))

    def revoke(
        self, of_class: ClassOf[Every], dbid: int, account: str, write_id: str
    ) -> Steps[int]:
        send = _sender(revoke_words(of_class, dbid, account))
        return self._saw((yield from self.write(send, write_id)))

    def _saw(self, revision: Value) -> int:
        self.session.saw(_number(revision))
        return _number(revision)


class Reading(Generic[Shown]):
    """Where a read over pages stands: each `next_page` gives the next objects, until `done`."""

    def __init__(
        self, commands: Commands, of_class: ClassOf[Shown], words: Sequence[Argument], limit: int
    ) -> None:
        self.done = False
        self._commands = commands
        self._of_class = of_class
        self._words = words
        self._left = limit or None
        self._cursor = "0"

    def next_page(self) -> Steps[list[Shown]]:
        """The cursor carries the whole state, so any server of the master goes on from it."""
        size = PAGE_OBJECTS if self._left is None else min(self._left, PAGE_OBJECTS)
        page = yield from self._commands.page(self._of_class, self._words, size, self._cursor)
        self._cursor = page.cursor
        if self._left is not None:
            self._left -= len(page.objects)
        self.done = page.cursor == "0" or (self._left is not None and self._left <= 0)
        return page.objects


def read_words(
    filters: Filters,
    keys: dict[str, FilterValue],
    brief: bool,
    fields: Sequence[str],
    extra: Sequence[Argument],
) -> list[Argument]:
    """What CFG.READ takes after the class."""
    if isinstance(fields, str):
        raise TypeError(f"fields takes a list of names, such as [{fields!r}], not a str")
    words = [*filter_words(filters, keys), *extra]
    if brief:
        words.append("BRIEF")
    if fields:
        words += ["FIELDS", len(fields), *fields]
    return words


def create_words(
    of_class: ClassOf[Any], value: Any, handles: Mapping[int, Handle] | None = None
) -> list[Argument]:
    """The command that creates an object; the words of its id may follow."""
    return ["CFG.CREATE", name_of(of_class), json_of(value, handles)]


def update_words(
    of_class: ClassOf[Any],
    dbid: int,
    delta: Any,
    if_revision: int,
    handles: Mapping[int, Handle] | None = None,
) -> list[Argument]:
    """The command that applies a delta; the words of its id may follow."""
    return ["CFG.UPDATE", name_of(of_class), dbid, json_of(delta, handles), *_guard(if_revision)]


def delete_words(of_class: ClassOf[Every], dbid: int, if_revision: int) -> list[Argument]:
    """The command that deletes an object; the words of its id may follow."""
    return ["CFG.DELETE", name_of(of_class), dbid, *_guard(if_revision)]


def grant_words(
    of_class: ClassOf[Every], dbid: int, account: str, rights: str, replace: bool
) -> list[Argument]:
    """The command that grants rights; the words of its id may follow."""
    words: list[Argument] = ["CFG.GRANT", f"{name_of(of_class)}:{dbid}", account, rights]
    return [*words, "REPLACE"] if replace else words


def revoke_words(of_class: ClassOf[Every], dbid: int, account: str) -> list[Argument]:
    """The command that takes a grant away; the words of its id may follow."""
    return ["CFG.REVOKE", f"{name_of(of_class)}:{dbid}", account]


def _sender(words: list[Argument]) -> Callable[[str], Steps[Value]]:
    return lambda write_id: exchange_one(request(*words, "ID", write_id))


def _guard(if_revision: int) -> list[Argument]:
    return ["IF", if_revision] if if_revision else []


def _attributes(name: str) -> set[str]:
    """The attributes that objects of a class are shown with, as far as this release knows."""
    from csp.client import objects

    return {*getattr(getattr(objects, name, None), "__annotations__", ())}


def _is_class(name: str) -> bool:
    """Whether there is a class of that name, as far as this release knows."""
    from csp.client import objects  # large, and needed where something is wrong alone

    return hasattr(objects, name)


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _members(value: Value) -> list[Value]:
    assert isinstance(value, list)
    return value
