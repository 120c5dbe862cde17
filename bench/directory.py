"""Measures local sign-ins while a directory is slow: its people wait, nobody else may.

1. The directory is a real slapd behind a line that holds each connection's first bytes for seconds;
   as many of its people as of csp's own come, and sit there while the others sign in.
2. Own people sign in for the first time, which compares a hash, and again, which compares none: the
   second are quick, so whatever holds them up is seen.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click
import orjson

from bench.desktops import step, write_script
from bench.get import csp_peer
from bench.load import Peer
from bench.report import Row
from bench.storm import WrongReplies, storm_of
from csp.resp import request
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.slapd import SEARCHER, SEARCHER_PASSWORD, Slapd, Slow

AT_MOST = 1.5
AT_ONCE = 10  # own people who sign in abreast
ROUNDS_MAX = 3  # each waits until the directory has answered all
STORMS = 5  # of people who sign in again, in a round
FAR_PASSWORD = "kept-by-the-directory-1"
ANSWER_SECONDS_MAX = 60.0
REPLY_SECONDS_MAX = 120.0
LIBRARY = {"authentication": {"library": "gauth_ldap"}}


def measure(users: int, answer_seconds: float, rounds: int, notes: dict[str, Any]) -> list[Row]:
    """Rows of the slowest hundredth of sign-ins beside a slow directory, against without."""
    again: list[float] = []
    first: list[float] = []
    seen = notes[f"{users} sign-ins beside a directory of {answer_seconds} s, p99 in ms"] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        far = [f"far{number}" for number in range(users)]
        slapd = stack.enter_context(Slapd(folder / "slapd", dict.fromkeys(far, FAR_PASSWORD)))
        slow = Slow(slapd.port, answer_seconds)
        stack.callback(slow.close)
        master = stack.enter_context(Master(folder))
        proxy = stack.enter_context(Proxy(folder, master))
        rounds = min(rounds, ROUNDS_MAX)
        groups = [[f"own{group}x{one}" for one in range(users)] for group in range(2 * rounds)]
        click.echo(f"{users} people of a directory, {len(groups) * users} of csp's own")
        _people(master, proxy, far, [one for group in groups for one in group])
        _ask_directory(master, proxy, slapd.url().replace(str(slapd.port), str(slow.port)))
        storms = _Storms(folder, csp_peer("csp", proxy))
        for number in range(rounds):
            alone, beside = groups[2 * number], groups[2 * number + 1]
            without = storms.p99(alone), storms.again(alone)
            with _waiting(proxy, far):
                within = storms.p99(beside), storms.again(beside)
            first.append(within[0] / without[0])
            again.append(within[1] / without[1])
            seen[f"round {number + 1}"] = {"without": without, "with": within}
    name = f"own sign-ins beside {users} at a slow directory"
    return [
        Row(f"{name}, again: p99", "without", again, AT_MOST),
        Row(f"{name}, for the first time: p99", "without", first, AT_MOST),
    ]


class _Storms:
    """Sign-ins of a group of people on connections of their own."""

    def __init__(self, folder: Path, peer: Peer) -> None:
        self._script = folder / "sign-ins.script"
        self._peer = peer

    def p99(self, users: list[str]) -> float:
        """Milliseconds, of all of them once."""
        write_script(self._script, [[step(("AUTH", user, PASSWORD))] for user in users])
        return storm_of(self._peer, self._script, len(users), AT_ONCE).p99_ms

    def again(self, users: list[str]) -> float:
        """The median of that over some storms."""
        return median(self.p99(users) for _ in range(STORMS))


def _people(master: Master, proxy: Proxy, far: list[str], own: list[str]) -> None:
    """All persons, each kind in one transaction."""
    kinds: tuple[tuple[list[str], dict[str, str]], ...] = (
        (far, {"externalID": "{user}"}),
        (own, {"password": PASSWORD}),
    )
    connection = master.raw(socket_timeout=REPLY_SECONDS_MAX)
    for users, words in kinds:
        commands: list[tuple[Any, ...]] = [("MULTI",)]
        for user in users:
            person: dict[str, Any] = {"userName": user, "employeeID": user, "tenantDBID": 1}
            person |= {name: text.format(user=user) for name, text in words.items()}
            commands.append(("CFG.CREATE", "CfgPerson", orjson.dumps(person)))
        connection.send_packed_command(connection.pack_commands([*commands, ("EXEC",)]))
        for _ in commands:
            connection.read_response()
        made = connection.read_response()
        if isinstance(made, Exception) or any(isinstance(one, Exception) for one in made):
            raise WrongReplies(f"the people could not be made: {made}")
    connection.disconnect()
    _level(master, proxy)


def _ask_directory(master: Master, proxy: Proxy, url: str) -> None:
    """From now on the proxy asks the directory about its people; waits until it does."""
    section = {"ldap-url": url, "app-user": SEARCHER, "password": SEARCHER_PASSWORD}
    section |= {"connect-timeout": 30, "response-timeout": 30}
    options = {"changed": LIBRARY | {"gauth_ldap": section}}
    with master.client() as client:
        found = client.execute_command("CFG.FIND", "CfgApplication", "name", proxy.app)
        delta = orjson.dumps({"options": options})
        dbid = orjson.loads(found)["DBID"]
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, delta)
    _level(master, proxy)


def _level(master: Server, proxy: Server) -> None:
    """The proxy has what the master has."""
    with master.client(protocol=3) as above, proxy.client() as below:
        below.execute_command("CFG.SYNC", above.execute_command("CFG.STATUS")["revision"])


@contextmanager
def _waiting(proxy: Proxy, users: list[str]) -> Iterator[None]:
    """All of them have asked and have no answer yet; afterwards each has one."""
    with ExitStack() as stack:
        waiting = []
        for user in users:
            one = socket.create_connection(("127.0.0.1", proxy.port), ANSWER_SECONDS_MAX)
            waiting.append(stack.enter_context(one))
            one.sendall(request("AUTH", user, FAR_PASSWORD))
        yield
        replies = [one.recv(256) for one in waiting]
    if b"+OK\r\n" not in replies:
        raise WrongReplies(f"the directory let nobody in: {replies[0]!r}")
