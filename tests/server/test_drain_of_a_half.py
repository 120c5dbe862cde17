"""A pair's half that drains has the other one take over, and its clients follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from csp.client import Client, Credentials
from tests.neighbours.pairs import ProxyPair
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until


@pytest.mark.long
def test_a_half_that_drains_hands_over_and_its_clients_follow(tmp_path: Path) -> None:
    with Master(tmp_path).start() as master, ProxyPair(tmp_path, master) as pair:
        first, second = pair.halves
        client = Client(f"127.0.0.1:{first.port}", Credentials("default", PASSWORD))
        with client.subscribe("cfg") as changes:
            with first.administrator() as administrator:
                administrator.execute_command("CFG.DRAIN", "OVER", 4)
            wait_until(lambda: changes.next(0.2) is None and client.session.moves, 30, "it moves")
            assert client.session.rereads == 0
            assert changes._client.address.port == second.port
        pair.wait_serving(second)
