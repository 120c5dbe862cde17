"""A byte that changes in memory is found in the background, named once, and mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, status, wait_level
from tests.server.test_verify import flip_byte

TEXT = b"a very special skill"


def hurried(master: Master, app: str) -> None:
    """The Application's options, so that a pass begins a second after the start."""
    key = f"CfgApplication/name={app}"
    assert master.cli("option", key, "csp", "scrub-pause", "1").returncode == 0


@pytest.mark.parametrize("which", ["master", "proxy"])
def test_damage_is_found_and_mended(tmp_path: Path, which: str) -> None:
    with Master(tmp_path).start() as master:
        dbids = create_skills(master, ["english", TEXT.decode(), "french"])
        server: Server = master
        if which == "proxy":
            server = Proxy(tmp_path, master).start()
        with server:
            hurried(master, server.app)
            wait_level(master, server)
            server.stop()
            server.start()  # loaded anew: the text lies first in the record
            wait_until(lambda: figures(server)["scrubs"] > 0, 10, "a pass without findings")
            assert figures(server)["damaged"] == 0
            shown = status(server)
            generation = int(shown["generation"])
            assert flip_byte(shown["instance"], generation, TEXT, 100)
            wait_until(lambda: "damaged record" in server.alarms(), 20, "the alarm")
            wait_until(lambda: int(status(server)["generation"]) > generation, 20, "loaded anew")
            with server.client() as client:
                answer = client.execute_command("GET", f"CfgSkill:{dbids[1]}")
            assert TEXT.decode() in answer
            lines = [one for one in server.log_text(100_000).split("\n") if "51321" in one]
            assert len(lines) == 1
            assert f"CfgSkill {dbids[1]}, revision" in lines[0]
            assert figures(server)["damaged"] == 1
            assert server.cli("verify").returncode == 0
            wait_until(lambda: not server.alarms(), 10, "a pass without findings")


def figures(server: Server) -> dict[str, int]:
    """The scrubber's figures as INFO has them."""
    with server.client() as client:
        rows = client.info("csp")
    return {name: int(rows[name]) for name in ("scrubbed", "scrubs", "damaged")}
