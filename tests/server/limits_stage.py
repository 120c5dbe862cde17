"""Servers with low limits, and clients that see every byte, for the tests of limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.neighbours.server import PASSWORD, ROOT, Master, Server
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw

MIB = 1 << 20


def signed_in(server: Server) -> Raw:
    """A connection that is signed in and sees replies byte by byte."""
    raw = Raw(server.port)
    assert raw.call("AUTH", PASSWORD) == "OK"
    return raw


def is_served(server: Server) -> bool:
    """Whether a new client is served."""
    raw = signed_in(server)
    try:
        return raw.call("PING") == "PONG"
    finally:
        raw.close()


def skill(name: str, **more: Any) -> bytes:
    """A skill as CFG.CREATE takes it."""
    return json.dumps({"tenantDBID": 1, "name": name, **more}, ensure_ascii=False).encode()


def create(raw: Raw, name: str, **more: Any) -> int:
    """Creates a skill; its DBID."""
    reply = raw.call("CFG.CREATE", "CfgSkill", skill(name, **more))
    assert isinstance(reply, list), reply
    return int(reply[1])


def options_of(sizes: list[int]) -> dict[str, Any]:
    """An annex with option values of these sizes."""
    return {"a": {f"k{number}": "x" * size for number, size in enumerate(sizes)}}


def pattern(size: int) -> str:
    """A pattern of that many bytes."""
    return "cfg:" + "x" * (size - 5) + "*"


def lowered(folder: Path, code: str, **options: Any) -> Master:
    """A master in whose processes this code runs first: for limits that no option sets."""
    (folder / "sitecustomize.py").write_text(code + "\n")
    return Master(folder, environment={"PYTHONPATH": f"{folder}:{ROOT}"}, **options)


def with_options(master: Master, **options: int) -> Master:
    """Starts the master, sets options of its Application, and starts it again."""
    named = {name.replace("_", "-"): value for name, value in options.items()}
    with master.start(), master.client() as client:
        dbid = client.execute_command("CFG.STATUS")["application_dbid"]
        delta = {"options": {"changed": {"confserv": named}}}
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, json.dumps(delta))
    master.start()
    wait_until(lambda: _in_force(master, named), 15, f"options {named}")
    return master


def _in_force(master: Master, named: dict[str, int]) -> bool:
    if not master.answers():
        return False
    with master.client() as client:
        shown = client.config_get(*named)
    return all(shown.get(name) == str(value) for name, value in named.items())
