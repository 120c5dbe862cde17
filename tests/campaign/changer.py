"""Changes pairs of objects at a steady rate, here and there, and finds out what became of each.

A change goes to the master or through the writable proxy; its outcome is asked of any of them.

Every change moves the pair to another posting list (last name); some also create and delete
skills (names, counts) or set a password (account records), so that every room of the store works.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

import orjson
import redis

from tests.campaign.exchange import Command, exchange, is_nothing_done, is_unknown
from tests.campaign.history import History
from tests.neighbours.server import Server

OUTCOME_SECONDS_MAX = 20.0
RETRY_SECONDS = 0.05
LAST_NAMES = 40
CHURN_EVERY = 4  # changes, one of which creates skills and deletes others
CHURN_SKILLS = 3
SKILLS_MAX = 300
SKILLS_GONE = 30  # at once, so that most changes change the count
PASSWORD_EVERY = 60


class Changer(threading.Thread):
    """Writes a new value to a random pair, both objects in one transaction, until stopped."""

    def __init__(
        self, servers: Sequence[Server], history: History, seed: int, a_second: int
    ) -> None:
        super().__init__(name="changer", daemon=True)
        self.servers, self.history = servers, history
        self.random = random.Random(seed)
        self.interval = 1 / a_second
        self.values = itertools.count(1)
        self.stopping = threading.Event()
        self.connections: dict[Server, redis.Connection] = {}
        self.through: Counter[Server] = Counter()  # changes that were committed
        self.unknown = 0
        self.last_revision = 0
        self.skills: list[int] = []  # that exist, oldest first

    def run(self) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            try:
                self._change()
            except Exception as error:  # noqa: BLE001 - a thread's fault is the campaign's
                self.history.fault(f"changer: {type(error).__name__}: {error}")
                return
            due = max(due + self.interval, time.monotonic() - 1)
            self.stopping.wait(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self.stopping.set()
        self.join(OUTCOME_SECONDS_MAX * 2)

    def _change(self) -> None:
        pair, value = self.random.randrange(len(self.history.pairs)), next(self.values)
        identity = f"campaign-{value}"
        self.history.sent(value, pair)
        server = self.random.choice(self.servers)
        revision = self._send(server, pair, value, identity)
        if revision is None:
            self.unknown += 1
            revision = self._outcome(identity)
        if revision:
            self.history.committed(value, revision)
            self.last_revision = revision
            self.through[server] += 1
        else:
            self.history.rejected(value)

    def _send(self, server: Server, pair: int, value: int, identity: str) -> int | None:
        """The revision, 0 if surely nothing was done, None if nobody knows."""
        try:
            commands = self._commands(pair, value, identity)
            final = exchange(self._connected(server), commands)[-1]
        except (redis.ConnectionError, redis.TimeoutError):
            self._disconnect(server)
            return None
        if isinstance(final, redis.ResponseError):
            if is_unknown(final):
                return None
            if not is_nothing_done(final):
                self.history.fault(f"changer: refused: {type(final).__name__}: {final}")
            return 0
        assert isinstance(final, list)
        self.skills += [int(reply[1]) for reply in final if isinstance(reply, list)]
        return int(final[0])

    def _commands(self, pair: int, value: int, identity: str) -> list[Command]:
        changed: dict[str, object] = {"lastName": f"Number{value % LAST_NAMES}"}
        if value % PASSWORD_EVERY == 0:
            changed["password"] = identity
        annex = {"changed": {"campaign": {"value": value}}}
        delta = orjson.dumps({"changed": changed, "userProperties": annex})
        commands: list[Command] = [("MULTI",)]
        for dbid in self.history.pairs[pair]:
            commands.append(("CFG.UPDATE", "CfgPerson", str(dbid), delta, "ID", identity))
        if value % CHURN_EVERY == 0:
            for number in range(CHURN_SKILLS):
                skill = orjson.dumps({"tenantDBID": 1, "name": f"churn{value}.{number}"})
                commands.append(("CFG.CREATE", "CfgSkill", skill, "ID", identity))
            surplus = len(self.skills) - SKILLS_MAX
            for _ in range(surplus + SKILLS_GONE if surplus > 0 else 0):
                # Forgotten even where the change fails: a skill too many does no harm.
                gone = str(self.skills.pop(0))
                commands.append(("CFG.DELETE", "CfgSkill", gone, "ID", identity))
        commands.append(("EXEC",))
        return commands

    def _outcome(self, identity: str) -> int:
        """Asks one server after the other until one knows; 0 for rejected."""
        end = time.monotonic() + OUTCOME_SECONDS_MAX
        for server in itertools.cycle(self.random.sample(self.servers, len(self.servers))):
            if time.monotonic() > end:
                break
            try:
                connection = self._connected(server)
                connection.send_command("CFG.OUTCOME", identity)
                words = _text(connection.read_response()).split()
            except redis.ResponseError:
                words = ["unknown"]
            except (redis.ConnectionError, redis.TimeoutError):
                self._disconnect(server)
                words = ["unknown"]
            if words[0] == "committed":
                return int(words[1])
            if words[0] == "rejected":
                return 0
            time.sleep(RETRY_SECONDS)
        raise TimeoutError(f"the outcome of {identity} is still unknown")

    def _connected(self, server: Server) -> redis.Connection:
        if server not in self.connections:
            self.connections[server] = server.raw()
        return self.connections[server]

    def _disconnect(self, server: Server) -> None:
        connection = self.connections.pop(server, None)
        if connection is not None:
            connection.disconnect()


def _text(reply: object) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)
