"""A loop over an estate in which rights are granted; whoever signs in is one of its persons."""

from __future__ import annotations

from csp.model.entry import mark_of
from csp.worker import keyspace, scan, status
from csp.worker.call import Call, Handler, State
from csp.worker.ports import View
from tests.property.granted_world import GrantedWorld
from tests.server.hot_stage import STREAM, TIME_MS, HotServer, OpenLane, Raw

# Commands of the slow lane that show objects.
SLOW: dict[str, Handler] = {
    **scan.HANDLERS,
    **keyspace.HANDLERS,
    "cfg.classes": status.HANDLERS["cfg.classes"],
}


class AccountLane(OpenLane):
    """`AUTH as <DBID>`: from now on that person; the application that he serves is `default`."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[int, State] = {}

    def reader_of(self, conn: int) -> View:
        """As SlowLane."""
        found: View | None = self.loop.reader_of(conn)
        assert found is not None
        return found

    def finish(self, conn: int, reply: bytes, place: int = 0) -> None:
        """A handler that may answer later has answered."""
        self.states.pop(conn, None)
        self.loop.reply(conn, reply)

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        session = self.loop.session(conn)
        verb = args[0].lower().decode()
        if verb == "auth" and len(args) == 3:
            session.authenticated = True
            session.account_dbid = int(args[2])
            return b"+OK\r\n"
        if verb == "serve":
            session.application_dbid = int(args[1])
            return b"+OK\r\n"
        if verb == "scope":
            containers = [tuple(map(int, one.split(b":"))) for one in args[1:]]
            self.loop.accounts.limit_to(None if containers == [(0, 0)] else containers)
            return b"+OK\r\n"
        if verb == "may":
            return b":%d\r\n" % self.loop.rights_on(conn, int(args[1]), int(args[2]))
        name = "|".join(one.lower().decode() for one in args[:2])
        handler = SLOW.get(name) or SLOW.get(verb)
        if handler is None:
            return super().command(conn, args)
        number, refusal = self.loop.judge(conn, args)
        if refusal or not number:
            return refusal
        state = self.states[conn] = State()
        call = Call(self, conn, session, state, verb, args)  # type: ignore[arg-type]
        return handler(call)


class GrantedServer(HotServer):
    """A HotServer whose objects, and what is granted on them, are a world's."""

    lane_class = AccountLane

    def __init__(self, world: GrantedWorld, **limits: int) -> None:
        self.world = world
        super().__init__([], **limits)

    def load(self) -> None:
        self.writer.load_begin(STREAM)
        for image in self.world.images():
            self.writer.load(image)
        self.writer.load_end(1, 7, TIME_MS)
        self.marks[1] = 7
        self.control.generation = 1
        self.control.state = 1

    def publish(self) -> int:
        """What the world has gathered; its revision."""
        revision = self.writer.published + 1
        entry = self.world.take(revision, self.writer.mark)
        self.marks[revision] = mark_of(entry)
        self.writer.apply(entry)
        self.writer.reclaim()
        return revision

    def connect_as(self, dbid: int) -> Raw:
        """A connection of a person."""
        raw = Raw(self.port, 0)
        assert raw.call("AUTH", "as", dbid) == "OK"
        return raw
