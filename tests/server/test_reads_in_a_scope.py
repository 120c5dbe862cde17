"""F91: what does not lie in a server's scope is hidden from everybody, in every read."""

from __future__ import annotations

import random

import pytest

from csp.model.places import FOLDER, TENANT, Place
from tests.property.granted_world import FOLDERS, PERSONS, random_change, random_world
from tests.server.granted_server import GrantedServer
from tests.server.hot_stage import Raw
from tests.server.test_reads_by_account import Checked, with_default

NO_SCOPE = ("0:0",)


class CheckedInScope(Checked):
    """One account at a server that has a scope."""

    scope: set[Place] | None = None

    def readable(self) -> set[Place]:
        return self.world.within(self.scope, super().readable())


def set_scope(raw: Raw, scope: set[Place] | None) -> None:
    words = NO_SCOPE if scope is None else [f"{class_id}:{dbid}" for class_id, dbid in scope]
    assert raw.call("SCOPE", *words) == "OK"


def random_scope(random_: random.Random) -> set[Place] | None:
    kind = random_.randrange(8)
    if kind == 0:
        return None
    if kind == 1:
        return set()
    found = {(FOLDER.id, dbid) for dbid in random_.sample(FOLDERS, random_.randrange(1, 4))}
    return found | ({(TENANT.id, 1)} if kind == 2 else set())


@pytest.mark.parametrize("seed", range(4))
def test_every_read_in_scopes_that_change_while_changes_flow(seed: int) -> None:
    random_ = random.Random(seed)
    server = GrantedServer(with_default(random_world(random_)))
    try:
        teller = Raw(server.port, 0)
        accounts = [CheckedInScope(server, dbid) for dbid in random_.sample(PERSONS, 4)]
        for _ in range(8):
            for one in accounts:
                one.check()
            if random_.random() < 0.5:
                scope = random_scope(random_)
                set_scope(teller, scope)
                for one in accounts:
                    one.scope = scope
            else:
                random_change(random_, server.world)
                server.publish()
    finally:
        server.stop()
