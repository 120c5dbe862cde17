"""Fills the stores of a real master and a real proxy, and sees them serve, warn and recover."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from csp.exits import EXIT_LIMITS
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.limits_stage import lowered, options_of, skill

RESERVE = ("--reserve", "16M")
LARGE = [60_000] * 3  # option values of an object
OBJECTS_MAX = 200  # far more than fit
LOG_CHARACTERS_MAX = 1_000_000
RECOVERY_SECONDS_MAX = 12
CHANGED_MAX = 120  # a new database begins with some seventy objects, in one transaction
LOWER_CASCADE = f"import csp.rules.transaction as t\nt.CHANGED_OBJECTS_MAX = {CHANGED_MAX}"

# As if /dev/shm had what containers have by default.
LOWER_SHARED_MEMORY = """
import os
real = os.statvfs
def small(path):
    found = list(real(path))
    found[2] = (64 << 20) // found[1]
    return os.statvfs_result(found)
os.statvfs = small
"""


def status(server: Server) -> dict[str, Any]:
    with server.client() as client:
        return dict(client.execute_command("CFG.STATUS"))


def logged(server: Server, event: str) -> None:
    """Waits for an event of the log: the alarm is shown a moment before it is written down."""
    wait_until(lambda: event in server.log_text(LOG_CHARACTERS_MAX), 5, f"event {event}")


def make(client: redis.Redis, name: str, sizes: list[int]) -> int:
    body = skill(name, userProperties=options_of(sizes))
    return int(client.execute_command("CFG.CREATE", "CfgSkill", body)[1])


def fill_up(client: redis.Redis, sizes: list[int]) -> tuple[list[int], str]:
    """Creates until it is refused: what was made, and the refusal."""
    made: list[int] = []
    for number in range(OBJECTS_MAX):
        try:
            made.append(make(client, f"{len(sizes)} {number}", sizes))
        except redis.ResponseError as error:
            return made, str(error)
    raise AssertionError(f"{OBJECTS_MAX} objects were taken")


def test_a_full_master_refuses_growth_alone_and_recovers(tmp_path: Path) -> None:
    with Master(tmp_path, extra=RESERVE) as master, master.client() as client:
        made, refusal = fill_up(client, LARGE)
        assert len(made) > 10
        assert refusal.startswith("BUSY the store is full")
        assert "--reserve" in refusal
        assert refusal.endswith("nothing was changed")
        assert fill_up(client, [20_000])[1].startswith("BUSY the store is full")
        wait_until(lambda: "store full" in master.alarms(), 5, "the alarm")
        logged(master, "51310")
        # A refused transaction leaves nothing; reads go on.
        before = status(master)["revision"]
        with client.pipeline(transaction=True) as pipeline:
            for number in range(3):
                body = skill(f"piped {number}", userProperties=options_of(LARGE))
                pipeline.execute_command("CFG.CREATE", "CfgSkill", body)
            with pytest.raises(redis.ResponseError, match="BUSY"):
                pipeline.execute()
        assert status(master)["revision"] == before
        assert all(client.strlen(f"CfgSkill:{dbid}") > 180_000 for dbid in made)
        # What shrinks goes on, and the alarm ends by itself.
        delta = json.dumps({"userProperties": {"deleted": {"a": ["k0"]}}})
        client.execute_command("CFG.UPDATE", "CfgSkill", made[0], delta)
        assert client.strlen(f"CfgSkill:{made[0]}") < 130_000
        for dbid in made[1:]:
            client.execute_command("CFG.DELETE", "CfgSkill", dbid)
        make(client, "again", LARGE)
        wait_until(lambda: "store full" not in master.alarms(), 5, "the alarm's end")
        logged(master, "51311")
        revision = status(master)["revision"]
        assert master.stop() == 0
        # The database has what was answered.
        with master.start(), master.client() as client:
            assert status(master)["revision"] == revision
            assert client.exists(f"CfgSkill:{made[0]}", f"CfgSkill:{made[1]}") == 1


def test_a_full_proxy_serves_and_recovers_by_itself(tmp_path: Path) -> None:
    with (
        Master(tmp_path) as master,
        Proxy(tmp_path, master, extra=("--create-app", *RESERVE)) as proxy,
    ):
        with master.client() as client, proxy.client() as reader:
            made: list[int] = []
            while "store full" not in proxy.alarms():
                made.append(make(client, f"large {len(made)}", LARGE))
                assert len(made) < OBJECTS_MAX
            make(client, "last", LARGE)
            last = status(master)["revision"]
            wait_until(lambda: status(proxy)["master_revision"] == last, 5, "the proxy to hear")
            shown = status(proxy)
            assert shown["lag"] > 0
            assert shown["link"] == "up"
            logged(proxy, "51304")
            logged(proxy, "51310")
            assert reader.strlen(f"CfgSkill:{made[0]}") > 180_000
            events = reader.pubsub()
            events.subscribe(f"cfg:CfgSkill:{made[1]}")
            events.get_message(timeout=5)
            for dbid in made[:-2]:
                client.execute_command("CFG.DELETE", "CfgSkill", dbid)
            revision = make(client, "after", [10])
            assert revision
            revision = status(master)["revision"]
            recovered = f"the proxy at revision {revision}"
            wait_until(
                lambda: status(proxy)["revision"] == revision, RECOVERY_SECONDS_MAX, recovered
            )
            wait_until(lambda: "store full" not in proxy.alarms(), 5, "the alarm's end")
            logged(proxy, "51311")
            assert reader.exists(f"CfgSkill:{made[0]}") == 0
            assert reader.strlen(f"CfgSkill:{made[-1]}") > 180_000
            message = events.get_message(timeout=5)
            assert message is not None
            assert json.loads(message["data"])["op"] == "delete"
        verified = proxy.cli("verify")
        assert verified.returncode == 0, verified.stderr


def test_what_one_deletion_may_change(tmp_path: Path) -> None:
    with lowered(tmp_path, LOWER_CASCADE) as master, master.client() as client:
        one, two = make(client, "one", []), make(client, "two", [])
        for number in range(CHANGED_MAX):
            body = {
                "tenantDBID": 1,
                "userName": f"u{number}",
                "employeeID": f"e{number}",
                "isAgent": True,
                "agentInfo": {
                    "skillLevels": [
                        {"skillDBID": dbid, "level": 1}
                        for dbid in ((one, two) if number else (two,))
                    ]
                },
            }
            client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(body))
        revision = status(master)["revision"]
        with pytest.raises(
            redis.ResponseError, match=f"^TOOBIG a .* at most {CHANGED_MAX} objects"
        ):
            client.execute_command("CFG.DELETE", "CfgSkill", two)
        assert status(master)["revision"] == revision
        assert client.exists(f"CfgSkill:{two}") == 1
        assert client.execute_command("CFG.DELETE", "CfgSkill", one) == revision + 1
        assert client.execute_command("CFG.COUNT", "CfgPerson", "FILTER", "skill_dbid", one) == 0


def test_a_database_that_does_not_fit_is_refused_at_the_start(tmp_path: Path) -> None:
    with Master(tmp_path) as master, master.client() as client:
        for number in range(80):
            make(client, f"large {number}", LARGE)
    master.extra = RESERVE
    master.start(ready=False)
    assert master.process is not None
    assert master.process.wait(20) == 2
    assert "the configuration does not fit into --reserve, 16777216 bytes" in master.log_text()


def test_a_shared_memory_that_is_too_small_is_refused_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"exit {EXIT_LIMITS}") as refusal:
        lowered(tmp_path, LOWER_SHARED_MEMORY).start()
    assert "/dev/shm has 64 MiB, a store needs 512 MiB at least" in str(refusal.value)
