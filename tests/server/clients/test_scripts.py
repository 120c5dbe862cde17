"""Libraries that the tests can't run: what they send when they connect, and what must come back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from csp.resp import Verbatim, request
from tests.neighbours.server import PASSWORD, Server
from tests.server.clients.test_as_redis import Wire

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.toml"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_it_can_go_on(served: Server, script: Path) -> None:
    wires: dict[str, Wire] = {}
    for step in tomllib.loads(script.read_text())["steps"]:
        name = step.get("connection", "first")
        if name not in wires:
            wires[name] = Wire(served.port)
        commands = [[_word(word) for word in command] for command in step["send"]]
        wires[name].socket.sendall(b"".join(request(*command) for command in commands))
        for command, expected in zip(commands, step["expect"], strict=True):
            reply = wires[name].read()
            problem = why_not(expected, command, reply)
            assert problem is None, f"{script.stem} {command}: {problem}: {reply!r}"


def _word(word: str) -> str:
    return PASSWORD if word == "$PASSWORD" else word


def why_not(expected: str, command: list[str], reply: Any) -> str | None:
    """Why a reply is not what was expected."""
    kind, _, rest = expected.partition(" ")
    if kind == "error":
        return None if str(reply).startswith(rest) else f"no error that begins with {rest}"
    if kind == "hello":
        return _why_not_hello(reply, int(rest))
    right = {
        "ok": reply in ("OK", "QUEUED"),
        "pong": reply == "PONG",
        "echo": reply == command[-1].encode(),
        "integer": type(reply) is int,
        "text": isinstance(reply, bytes | str | Verbatim),
        "list": isinstance(reply, list | tuple),
        "map": isinstance(reply, dict | list),
        "null": reply is None,
    }[kind]
    return None if right else f"not {kind}"


def _why_not_hello(reply: Any, proto: int) -> str | None:
    if isinstance(reply, list):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    if not isinstance(reply, dict):
        return "no map"
    if reply[b"proto"] != proto or type(reply[b"id"]) is not int:
        return "proto or id"
    texts = (b"server", b"version", b"mode", b"role")
    return None if all(isinstance(reply[name], bytes) for name in texts) else "texts"
