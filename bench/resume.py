"""Measures what sessions cost that come back by token after a restart, and what tokens cost.

1. Each session was signed in, and missed so many changes while the proxy was down; it signs in by
   its token, subscribes, and gets them.  Beside it the same clients sign in by the password and do
   a desktop's reads: some objects by their keys, and the list of agents in brief.
2. Counted are the CPU of all processes of the proxy and the bytes that it sends, per session.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bench.cpu import cpu_seconds
from bench.fill import Filled, fill
from bench.report import Row, conclude
from csp.model.token import is_signed, read_token
from csp.resp import MORE, Decoder, request
from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.neighbours.waiting import wait_until

BYTES_AT_MOST = 1 / 20
CPU_AT_MOST = 1 / 10
TOKEN_AT_MOST = 4.0
AGENTS = 5_000
OBJECT_BYTES = 600
MISSED = 100
READS = 60  # objects that a desktop reads by their keys: a published trace has 30 to 150 requests
BATCH = 100  # sessions that come at once
RECEIVE_BYTES = 1 << 20
SECONDS_MAX = 20.0
TOKENS_A_ROUND = 20_000
DESK = "Desk"


@click.command()
@click.option("--sessions", default=10_000, show_default=True, help="That come back by token.")
@click.option("--anew", default=500, show_default=True, help="That read anew.")
@click.option("--rounds", default=3, show_default=True, help="Restarts of the proxy.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def resume(sessions: int, anew: int, rounds: int, keep: bool) -> None:
    """Sessions restored after a proxy's restart against a desktop's reads; tokens."""
    notes: dict[str, Any] = {"sessions": sessions, "anew": anew, "agents": AGENTS, "missed": MISSED}
    rows = _tokens(rounds, notes)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        held = fill(master, "CfgPerson", AGENTS, OBJECT_BYTES)
        _make_desk(master)
        proxy = stack.enter_context(Proxy(folder, master))
        rows += _sessions(master, proxy, held, sessions, anew, rounds, notes)
    sys.exit(conclude("resume", rows, notes, keep=keep))


def _tokens(rounds: int, notes: dict[str, Any]) -> list[Row]:
    """Making and checking one against the bare digest of as many bytes, all called from Python."""
    key, made, checked, bare = b"k" * 32, [], [], []
    body = bytes(74)
    token = read_token(b"csp1." + b"A" * 120)
    assert token is not None
    for _ in range(rounds):
        text = token.sealed(key)
        bare_s = _seconds(lambda: hashlib.blake2b(body, key=key, digest_size=16).digest())
        made.append(_seconds(lambda: _seal(body, key)) / bare_s)
        checked.append(_seconds(lambda text=text: is_signed(text, key)) / bare_s)
        bare.append(round(bare_s / TOKENS_A_ROUND * 1e6, 3))
    notes["bare keyed BLAKE2b, us"] = bare
    return [
        Row("a token made", "bare keyed BLAKE2b", made, TOKEN_AT_MOST),
        Row("a token checked", "bare keyed BLAKE2b", checked, TOKEN_AT_MOST),
    ]


def _seal(body: bytes, key: bytes) -> bytes:
    from csp._fastpath import token_seal

    return token_seal(body, key)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(TOKENS_A_ROUND):
        work()
    return time.process_time() - began


def _sessions(
    master: Master,
    proxy: Proxy,
    held: Filled,
    sessions: int,
    anew: int,
    rounds: int,
    notes: dict[str, Any],
) -> list[Row]:
    sent: list[float] = []
    cpu: list[float] = []
    for number in range(rounds):
        click.echo(f"{sessions} sessions sign in, the proxy is restarted, and they come back")
        tokens = _signed_in(proxy, sessions)
        assert proxy.stop() == 0
        _change(master, held, number)
        proxy.start()
        _level(master, proxy)
        restored = _spent(proxy, [(_comes_back(token), 3 + MISSED) for token in tokens])
        read = _spent(proxy, [(_reads_anew(held), 3 + READS)] * anew)
        sent.append(restored[1] / read[1])
        cpu.append(restored[0] / read[0])
        for name, (seconds, count) in (("by token", restored), ("anew", read)):
            notes.setdefault(f"{name}: cpu_us a session", []).append(round(seconds * 1e6, 1))
            notes.setdefault(f"{name}: bytes a session", []).append(round(count))
    what = "a desktop's reads at sign-in"
    return [
        Row("a session restored: bytes", what, sent, BYTES_AT_MOST),
        Row("a session restored: CPU", what, cpu, CPU_AT_MOST),
    ]


def _comes_back(token: bytes) -> bytes:
    return request("AUTH", "default", token) + request("SUBSCRIBE", "cfg.notice", "cfg:CfgPerson")


def _reads_anew(held: Filled) -> bytes:
    """Sign-in, objects by their keys, the agents in brief, and the subscription: as it begins."""
    keys = itertools.islice(itertools.count(held.first, 7), READS)
    reads = b"".join(request("GET", f"{held.class_name}:{dbid}") for dbid in keys)
    agents = request("CFG.READ", held.class_name, "BRIEF", "LIMIT", 10_000)
    return request("AUTH", "default", PASSWORD) + reads + agents + request("SUBSCRIBE", "cfg")


def _signed_in(proxy: Proxy, sessions: int) -> list[bytes]:
    words = request("AUTH", "default", PASSWORD) + request("CFG.REGISTER", DESK)
    found: list[bytes] = []
    for start in range(0, sessions, BATCH):
        count = min(BATCH, sessions - start)
        for values in _exchange(proxy.port, [(words, 2)] * count)[0]:
            told = values[1]
            assert isinstance(told, list), told
            found.append(told[told.index(b"token") + 1])
    return found


def _spent(proxy: Proxy, sessions: Sequence[tuple[bytes, int]]) -> tuple[float, float]:
    """CPU seconds and bytes per session."""
    processes = list(proxy.children().values())
    before, received = cpu_seconds(processes), 0
    for start in range(0, len(sessions), BATCH):
        received += _exchange(proxy.port, sessions[start : start + BATCH])[1]
    return (cpu_seconds(processes) - before) / len(sessions), received / len(sessions)


def _exchange(port: int, asked: Sequence[tuple[bytes, int]]) -> tuple[list[list[Any]], int]:
    """Connects all, sends each its words, reads so many values of each; and bytes in all."""
    selector = selectors.DefaultSelector()
    values: list[list[Any]] = []
    received, left = 0, len(asked)
    for words, count in asked:
        to = socket.create_connection(("127.0.0.1", port), SECONDS_MAX)
        values.append([])
        selector.register(to, selectors.EVENT_READ, (Decoder(), values[-1], count))
        to.sendall(words)
    while left:
        ready = selector.select(SECONDS_MAX)
        assert ready, (
            f"the proxy says nothing: {[(len(got), got[:4], got[-1:]) for got in values][:3]}"
        )
        for one, _ in ready:
            decoder, got, count = one.data
            to = one.fileobj
            data = to.recv(RECEIVE_BYTES)
            assert data, "the proxy closed a connection"
            received += len(data)
            decoder.feed(data)
            while (value := decoder.next()) is not MORE:
                got.append(value)
            if len(got) >= count:
                assert not any(isinstance(value, Exception) for value in got), got[:1]
                selector.unregister(to)
                to.close()
                left -= 1
    selector.close()
    return values, received


def _make_desk(master: Master) -> None:
    desk = {"name": DESK, "appPrototypeDBID": 10, "tenantDBIDs": [1], "isServer": False}
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(desk))


def _change(master: Master, held: Filled, number: int) -> None:
    with master.client() as client:
        pipe = client.pipeline(transaction=False)
        for at in range(MISSED):
            delta = json.dumps({"changed": {"firstName": f"r{number}.{at}"}})
            pipe.execute_command("CFG.UPDATE", held.class_name, held.first + at, delta)
        pipe.execute()


def _level(master: Master, proxy: Proxy) -> None:
    def is_level() -> bool:
        with master.client(protocol=3) as above, proxy.client(protocol=3) as below:
            told = [one.execute_command("CFG.STATUS")["revision"] for one in (above, below)]
        return told[0] == told[1]

    wait_until(is_level, SECONDS_MAX, "the proxy is level")
