"""What an import asks of a server, asked over csp.client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from csp.client import CannotConnect, Client, ConnectionLost
from csp.errors import CspError
from csp.model.places import Place
from csp.model.rights import Grants, account_of, grant_of
from csp.model.types import by_id
from csp.transfer.run import LinkLost

Object = dict[str, Any]
FINDS_A_PIPELINE = 1_000
GRANTS_A_PIPELINE = 500
TRANSACTION_SECONDS = 120.0  # the largest takes a busy master many seconds


class Link:
    """A server for an import."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def revision(self) -> int:
        return int(self.client.status()["revision"])

    def count(self, class_name: str) -> int:
        return self.client.count(class_name)

    def read(self, class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[Object]:
        return self.client.read(class_name, extra=extra)

    def find_many(self, class_name: str, keys: list[dict[str, str | int]]) -> list[Object | None]:
        found: list[Object | None] = []
        for at in range(0, len(keys), FINDS_A_PIPELINE):
            replies = self.client.pipeline(
                ("CFG.FIND", class_name, *(part for pair in key.items() for part in pair))
                for key in keys[at : at + FINDS_A_PIPELINE]
            )
            for reply in replies:
                if isinstance(reply, CspError):
                    raise reply
                found.append(orjson.loads(reply) if isinstance(reply, bytes) else None)
        return found

    def get_many(self, class_name: str, dbids: Sequence[int]) -> list[Object | None]:
        """Objects by DBID, None for those that are not there."""
        reply = self.client.read_call("MGET", *(f"{class_name}:{dbid}" for dbid in dbids))
        assert isinstance(reply, list)
        return [orjson.loads(one) if isinstance(one, bytes) else None for one in reply]

    def own_grants(self, places: Sequence[Place]) -> list[Grants | CspError]:
        found: list[Grants | CspError] = []
        for at in range(0, len(places), GRANTS_A_PIPELINE):
            replies = self.client.pipeline(
                ("CFG.PERMISSIONS", f"{by_id[class_id].name}:{dbid}")
                for class_id, dbid in places[at : at + GRANTS_A_PIPELINE]
            )
            found += map(_own, replies)
        return found

    def exchange(self, requests: Sequence[bytes]) -> list[Any]:
        try:
            connection = self.client.opened()
            connection.send(b"".join(requests))
            return [connection.reply(TRANSACTION_SECONDS) for _ in requests]
        except (CannotConnect, ConnectionLost) as problem:
            self.client.close()
            raise LinkLost(problem.text) from problem


def _own(reply: Any) -> Grants | CspError:
    """The own grants of an access list: [revision, own, inherited]."""
    if isinstance(reply, CspError):
        return reply
    return {account_of(_text(key)): grant_of(_text(words)) for key, words in reply[1]}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
