"""Who asks for a change: one object from the worker that took the request to the history.

1. A principal is an account; the application and the address say from where it came.
2. A server may write on behalf of another's client, and nobody else may: the principal is that
   client then, and the history says so.
3. It says who the person is; which groups he is in, and what that lets him do, the master knows
   (csp/rules/author.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import orjson

from csp.errors import BadValue, NoPerm

ACCOUNT_CLASS = "CfgPerson"
REMEMBERED_MAX: Final = 4096  # messages that say who asks: one a connection that writes


@dataclass(frozen=True)
class Principal:
    """An account that asks, and from where."""

    account_dbid: int = 0  # its Person; 0: nobody is signed in
    application: str = ""  # as registered
    address: str = ""
    scope: str = ""  # containers outside of which there is nothing for it; empty: no limit

    @property
    def account(self) -> str:
        """The account's key; empty where there is none."""
        return f"{ACCOUNT_CLASS}:{self.account_dbid}" if self.account_dbid else ""

    @cached_property
    def actor(self) -> Mapping[str, str]:
        """As events and the history show it; what is not known is left out."""
        found = {
            "account": self.account,
            "application": self.application,
            "address": self.address,
        }
        return {name: value for name, value in found.items() if value}

    @cached_property
    def shown(self) -> str:
        """The same in one line of the log."""
        return " ".join(self.actor.values())

    def as_json(self) -> dict[str, Any]:
        """As it goes from the worker to the writer; what is not known is left out."""
        found = {
            "account": self.account_dbid,
            "application": self.application,
            "address": self.address,
            "scope": self.scope,
        }
        return {name: value for name, value in found.items() if value}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Principal:
        """What `as_json` said."""
        return cls(
            int(found.get("account", 0)),
            str(found.get("application", "")),
            str(found.get("address", "")),
            str(found.get("scope", "")),
        )


# What the server does of its own accord: the first objects of a database, missing folders.
ITSELF = Principal()


@lru_cache(maxsize=REMEMBERED_MAX)
def message_of(asks: Principal, *, is_server: bool, behalf: Principal | None = None) -> bytes:
    """What a write says of who asks: the connection's account, and for whom it does."""
    found = asks.as_json() | {"server": is_server}
    if behalf is not None:
        found["behalf"] = behalf.as_json()
    return orjson.dumps(found)


@lru_cache(maxsize=REMEMBERED_MAX)
def principal_of(message: bytes) -> Principal:
    """Who asks, by `message_of`; raises NoPerm where it speaks for another and may not.

    Only a registered server (CFG.REGISTER) speaks for others: for its own clients.
    """
    found = orjson.loads(message)
    behalf = found.get("behalf")
    if behalf is None:
        return Principal.from_json(found)
    if found.get("server") is not True:
        raise NoPerm("only a registered server writes on behalf of others")
    return Principal.from_json(behalf)


@lru_cache(maxsize=REMEMBERED_MAX)
def words_of(message: bytes) -> bytes:
    """Who asks, by `message_of`, as another server is told."""
    return orjson.dumps(principal_of(message).as_json())


@lru_cache(maxsize=REMEMBERED_MAX)
def principal_in(words: bytes) -> Principal:
    """What `words_of` said; raises BadValue."""
    try:
        return Principal.from_json(orjson.loads(words))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadValue(f"who asks can't be read: {error}") from None
