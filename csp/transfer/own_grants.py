"""Reads the own grants of what is exported, and spells them as files have them.

1. They are asked for before the file begins, since its first lines say how many it lacks.
2. A list is there whole or not at all: an import takes away what a stated list does not have.
3. What comes with grants of the server's own states an empty list too; of anything else no list
   means that there are no grants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import orjson

from csp.errors import BadKey, CspError, NoPerm
from csp.model.places import Place
from csp.model.rights import ACCESS_GROUP, SYSTEM, SYSTEM_WORD, Account, Grants, words_of
from csp.model.types import CLASSES, WORD_OF_CLASS, by_id
from csp.rules.complete import is_default_group
from csp.rules.default_grants import DEFAULT_ACCOUNT, MASTER_APPLICATION, TOOLS_APPLICATION
from csp.transfer.granting import ACCOUNT_PAIR
from csp.transfer.naming import Names, NoName
from csp.transfer.naturals import BY_PATH, TENANT
from csp.transfer.present import Object
from csp.transfer.stating import Lost

ASKED_AT_ONCE = 10_000  # so that little is held of those that have none
BUILT_IN: Final = frozenset((DEFAULT_ACCOUNT, MASTER_APPLICATION, TOOLS_APPLICATION))
NO_TYPE: Final = ""  # before every account stands what it is

Spelled = list[list[Any]]  # pairs of an account and its rights


class Server(Protocol):
    """What is asked of a server."""

    def own_grants(self, places: Sequence[Place]) -> list[Grants | CspError]: ...


class OwnGrants:
    """What is granted on the objects of an export, but for what is inherited."""

    def __init__(self, server: Server, names: Names, lost: Lost) -> None:
        """`lost` is told of accounts that the reader can't see."""
        self.left_out = 0  # objects whose grants can't be read
        self._server = server
        self._names = names
        self._lost = lost
        self._spelled: dict[Place, Spelled] = {}

    def read(self, class_name: str, dbids: Sequence[int]) -> None:
        """Reads those of some objects of a class."""
        class_id = CLASSES[class_name].id
        for at in range(0, len(dbids), ASKED_AT_ONCE):
            places = [(class_id, dbid) for dbid in dbids[at : at + ASKED_AT_ONCE]]
            for place, found in zip(places, self._server.own_grants(places), strict=True):
                if not isinstance(found, CspError):
                    self._take(place, found)
                elif isinstance(found, NoPerm):
                    self.left_out += 1
                elif not isinstance(found, BadKey):  # else it has just been deleted
                    raise found

    def of(self, class_name: str, obj: Object) -> Spelled | None:
        """What an object states; None: nothing."""
        found = self._spelled.get((CLASSES[class_name].id, obj["DBID"]))
        return found if found or _comes_with_grants(class_name, obj) else None

    def of_default_folders(self) -> list[int]:
        """The DBIDs of the default folders with grants, in the order of their names."""
        class_id = CLASSES[BY_PATH].id
        return [one for one in self._names.default_folders() if self._spelled.get((class_id, one))]

    def _take(self, place: Place, grants: Grants) -> None:
        class_name, dbid = by_id[place[0]].name, place[1]
        if not grants and not _may_come_with_grants(class_name, dbid):
            return
        tenant = dbid if class_name == TENANT else self._names.tenant(class_name, dbid)
        try:
            pairs = [[self._account(one, tenant), words_of(at)] for one, at in grants.items()]
        except NoName as problem:
            self._lost(str(problem))
            self.left_out += 1
            return
        self._spelled[place] = sorted(pairs, key=orjson.dumps)

    def _account(self, account: Account, tenant: int) -> Any:
        if account == SYSTEM:
            return SYSTEM_WORD
        word = WORD_OF_CLASS[by_id[account[0]].name]
        stated = dict(zip(ACCOUNT_PAIR, (word, account[1]), strict=True))
        return self._names.typed(ACCOUNT_PAIR, stated, tenant, NO_TYPE)


def _may_come_with_grants(class_name: str, dbid: int) -> bool:
    """Whether the server may have granted something on it by itself."""
    return class_name in (TENANT, ACCESS_GROUP.name) or (CLASSES[class_name].id, dbid) in BUILT_IN


def _comes_with_grants(class_name: str, obj: Object) -> bool:
    place = (CLASSES[class_name].id, obj["DBID"])
    return class_name == TENANT or is_default_group(obj) or place in BUILT_IN
