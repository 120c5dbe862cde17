"""Knows which applications are connected, and lets a daemon application be connected only once.

REGISTER carries JSON: {"session": ID unique in this server, "application": name, "dbid": …,
"daemon": true where the application's type is a server type, "shared": true where it is a
configuration server's, "instance": ID of the program's run
(empty: unknown), "host": …, "pid": …, "address": …}.
The answer is {"since": milliseconds UTC, "replaced": [session, …]}.
A list of such is of sessions that came back by a token and whose places nobody can hold alone; it
answers {}.  UNREGISTER carries a list of sessions and answers {}.

1. At most one instance holds a daemon application's place; others may be connected many times.
2. The same instance takes its own place at once: its older session is dropped, and named in
   `replaced` so that the worker can close it. Sessions of one process of a configuration server,
   its session and its feeds, share the place.
3. A session ends when its worker says so, or when the worker's channel breaks.
4. The server's own Application has its place from the start, and nobody else gets it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from csp.errors import BadValue, Busy

SESSIONS_MAX = 200_000  # more than RLIMIT_NOFILE lets connect: a worker that forgets is found


@dataclass(frozen=True)
class Session:
    """One registered connection."""

    session: str
    application: str
    dbid: int
    daemon: bool
    shared: bool
    instance: str
    host: str
    pid: int
    address: str
    since_ms: int
    channel: Hashable  # the worker's connection that it came by

    def shares(self, other: Session) -> bool:
        """Whether both may hold one place: connections of one process."""
        same = (self.instance, self.host, self.pid) == (other.instance, other.host, other.pid)
        return self.shared and other.shared and bool(self.instance) and same

    def as_row(self) -> dict[str, Any]:
        """What status and console show of it."""
        return {
            "session": self.session,
            "application": self.application,
            "dbid": self.dbid,
            "instance": self.instance,
            "host": self.host,
            "pid": self.pid,
            "address": self.address,
            "since": self.since_ms,
        }


class Registry:
    """The sessions of one server, by session and by application."""

    def __init__(self, own: Session | None = None) -> None:
        self._own = own  # the server itself
        self._sessions: dict[str, Session] = {}
        self._holders: dict[str, set[str]] = {}  # daemon application's name -> its sessions
        self._servers: frozenset[int] | None = frozenset()  # None: to be gathered anew

    def __len__(self) -> int:
        return len(self._sessions)

    def rows(self) -> list[dict[str, Any]]:
        """All sessions, oldest first."""
        ordered = sorted(self._sessions.values(), key=lambda held: held.since_ms)
        return [held.as_row() for held in ordered]

    def register(self, wish: dict[str, Any], channel: Hashable, now_ms: int) -> dict[str, Any]:
        """Takes a session in, or raises Busy naming who holds the place."""
        asked = _session_of(wish, channel, now_ms)
        why = self._why_not(asked)
        if why is not None:
            raise Busy(why)
        replaced: list[str] = []
        if asked.daemon:
            replaced = sorted(
                one for one in self._holders_of(asked) if not self._sessions[one].shares(asked)
            )
            for older in replaced:
                self.unregister(older)
        # A connection that registers again, under another name too, has one place.
        self.unregister(asked.session)
        self._sessions[asked.session] = asked
        if asked.shared:
            self._servers = None
        if asked.daemon:
            self._holders.setdefault(asked.application, set()).add(asked.session)
        return {"since": now_ms, "replaced": replaced}

    def unregister(self, session: str) -> None:
        """Ends a session; one that has ended already is no error."""
        ended = self._sessions.pop(session, None)
        if ended is None or not ended.daemon:
            return
        if ended.shared:
            self._servers = None
        holders = self._holders[ended.application]
        holders.discard(session)
        if not holders:
            del self._holders[ended.application]

    def servers(self) -> frozenset[int]:
        """The DBIDs of the configuration servers' Applications that are connected."""
        if self._servers is None:
            held = (self._sessions[one] for each in self._holders.values() for one in each)
            self._servers = frozenset(one.dbid for one in held if one.shared)
        return self._servers

    def drop_channel(self, channel: Hashable) -> list[Session]:
        """Ends all sessions of a worker that went away."""
        gone = [held for held in self._sessions.values() if held.channel == channel]
        for held in gone:
            self.unregister(held.session)
        return gone

    def _holders_of(self, asked: Session) -> set[str]:
        """Whoever else holds the place that is asked for; all are of one instance."""
        return self._holders.get(asked.application, set()) - {asked.session}

    def _why_not(self, asked: Session) -> str | None:
        if len(self._sessions) >= SESSIONS_MAX and asked.session not in self._sessions:
            return f"{SESSIONS_MAX} sessions are registered already"
        if not asked.daemon:
            return None
        holder = next((self._sessions[one] for one in self._holders_of(asked)), None)
        if self._own is not None and self._own.application == asked.application:
            holder = self._own
        if holder is None:
            return None
        if asked.instance and asked.instance == holder.instance:
            return None
        since = datetime.fromtimestamp(holder.since_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return (
            f"application {asked.application} is connected already: "
            f"host {holder.host or '?'}, pid {holder.pid}, since {since} UTC; "
            "stop that one, or use another application"
        )


def itself(application: str, host: str, pid: int, now_ms: int) -> Session:
    """The place that a server holds in its own register."""
    return Session("itself", application, 0, True, False, "", host, pid, "", now_ms, None)


def _session_of(wish: dict[str, Any], channel: Hashable, now_ms: int) -> Session:
    try:
        return Session(
            session=str(wish["session"]),
            application=str(wish["application"]),
            dbid=int(wish.get("dbid", 0)),
            daemon=bool(wish.get("daemon", False)),
            shared=bool(wish.get("shared", False)),
            instance=str(wish.get("instance", "")),
            host=str(wish.get("host", "")),
            pid=int(wish.get("pid", 0)),
            address=str(wish.get("address", "")),
            since_ms=now_ms,
            channel=channel,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadValue(f"bad registration: {error}") from error
