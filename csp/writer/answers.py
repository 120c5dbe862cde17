"""Answers the workers' questions that are not writes; `Answers` lists them.

Every question is answered once, though some only in a later turn of the loop, and whatever fails
in it ends that question alone.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from typing import TypeVar

from csp.errors import CspError
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.pairs import PairRow
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.observe.clock import wall_ms
from csp.observe.faults import told_fault
from csp.process.channel.answering import Message, Peer
from csp.process.origin import AnyOrigin, AskingOrigin, EntriesPage, Later
from csp.writer.registry import Registry

T = TypeVar("T")
AGAIN_MS = 2_000  # within which workers have told a new writer of all that have registered

log = logging.getLogger("csp.writer")


class Answers:
    """Knows the answer to each verb."""

    def __init__(self, origin: AnyOrigin, registry: Registry, identity: str) -> None:
        self._origin = origin
        self._identity = identity
        self._registry = registry
        # As it was told last. None: who is connected has not said so to this writer yet.
        self._present: tuple[int, ...] | None = None
        self._began_ms = -1
        self._awaiting: dict[int, tuple[Peer, bytes]] = {}  # who hears of the next change
        self._verbs: dict[bytes, Callable[[Peer, Message], None]] = {
            b"HEAD": self._head,
            b"CHAIN": self._chain,
            b"PRESENT": self._ask_present,
            b"REGISTER": self._register,
            b"UNREGISTER": self._unregister,
            b"SESSIONS": self._note_sessions,
            b"ACCOUNTS": self._note_accounts,
            b"TICKET": self._use_ticket,
            b"PAIR": self._take_row,
            b"PEER": self._hear_peer,
            b"SWITCHOVER": self._switch_over,
        }
        if origin.forwards:  # else the reading process answers these
            self._verbs |= {
                b"HISTORY": functools.partial(self._history, origin),
                b"ENTRIES": functools.partial(self._entries, origin),
                b"SESSIONLOG": functools.partial(self._sessions, origin),
            }

    def take(self, peer: Peer, message: Message) -> None:
        """Answers, now or later."""
        verb, request = message[0], message[1]
        known = self._verbs.get(verb)
        if known is None:
            peer.fail(request, f"ERR the writer knows no {verb[:32]!r}")
            return
        try:
            known(peer, message)
        except CspError as error:
            peer.fail(request, error.line)
        except (ValueError, IndexError, KeyError, TypeError) as error:
            peer.fail(request, f"ERR {verb.decode()} can't be read: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this question's alone
            peer.fail(request, told_fault(log, f"a question ({verb.decode()})", error).line)

    def forget(self, peer: Peer) -> None:
        """A worker went: its sessions end."""
        self._awaiting.pop(peer.number, None)
        self._registry.drop_channel(peer.number)

    def _head(self, peer: Peer, message: Message) -> None:
        found = self._origin.head()
        self._when_known(peer, message[1], found, lambda revision: (revision,))

    def _chain(self, peer: Peer, message: Message) -> None:
        """CHAIN req: this server, and those above."""
        peer.done(message[1], self._identity, *self._origin.above())

    def _ask_present(self, peer: Peer, message: Message) -> None:
        """PRESENT req dbid…: which servers are registered here and above, as soon as they are
        others than those.
        """
        known = tuple(int(word) for word in message[2:])
        if self._present is None or known == self._present:
            self._awaiting[peer.number] = peer, message[1]
        else:
            peer.done(message[1], *self._present)

    def tell_present(self, now_ms: int) -> None:
        """Called once a turn, with the monotonic clock: tells who waits for it which servers have
        come and gone.
        """
        there = self._registry.servers() | self._origin.servers_above()
        if self._present is None:
            self._began_ms = now_ms if self._began_ms < 0 else self._began_ms
            if now_ms < self._began_ms + AGAIN_MS:
                return
        elif len(there) == len(self._present) and there.issuperset(self._present):
            return
        self._present = tuple(sorted(there))
        awaiting, self._awaiting = self._awaiting, {}
        for peer, request in awaiting.values():
            peer.done(request, *self._present)

    def _when_known(
        self,
        peer: Peer,
        request: bytes,
        found: T | Later[T],
        words: Callable[[T], tuple[int | str | bytes, ...]],
    ) -> None:
        def answer(value: T | Exception) -> None:
            if isinstance(value, Exception):
                line = value.line if isinstance(value, CspError) else f"ERR {value}"
                peer.fail(request, line)
            else:
                peer.done(request, *words(value))

        if isinstance(found, Later):
            found.then(answer)
        else:
            answer(found)

    def _register(self, peer: Peer, message: Message) -> None:
        """REGISTER req wish, or a list of wishes none of which can be refused."""
        now_ms = wall_ms()
        wish = json.loads(message[2])
        if isinstance(wish, list):
            for one in wish:
                self._registry.register(one, peer.number, now_ms)
            peer.done(message[1], 0, "{}")
            return
        answer = self._registry.register(wish, peer.number, now_ms)
        peer.done(message[1], 0, json.dumps(answer))

    def _unregister(self, peer: Peer, message: Message) -> None:
        """UNREGISTER req list of sessions."""
        for session in json.loads(message[2]):
            self._registry.unregister(str(session))
        peer.done(message[1], 0, "{}")

    def _history(self, origin: AskingOrigin, peer: Peer, message: Message) -> None:
        """HISTORY req question: what a master's reading process says."""
        found = origin.history(HistoryQuestion.from_json(message[2]))
        self._when_known(peer, message[1], found, HistoryPage.words)

    def _note_accounts(self, peer: Peer, message: Message) -> None:
        """ACCOUNTS req notes."""
        self._origin.note_accounts(message[2])
        peer.done(message[1])

    def _use_ticket(self, peer: Peer, message: Message) -> None:
        """TICKET req digest: 1 where nobody has used it yet, else 0."""
        found = self._origin.use_ticket(message[2].decode())
        self._when_known(peer, message[1], found, lambda is_new: (int(is_new),))

    def _hear_peer(self, peer: Peer, message: Message) -> None:
        """PEER req dbid standing: what the other half of the pair says of itself."""
        peer.done(message[1], self._origin.hear_peer(int(message[2]), message[3]))

    def _take_row(self, peer: Peer, message: Message) -> None:
        """PAIR req pair number active: who of a pair is to serve from now on."""
        pair, number, active = (int(word) for word in message[2:5])
        found = self._origin.take_row(PairRow(pair, number, active))
        self._when_known(peer, message[1], found, lambda revision: (revision,))

    def _switch_over(self, peer: Peer, message: Message) -> None:
        """SWITCHOVER req: the other one of the pair is to take over."""
        self._when_known(peer, message[1], self._origin.switch_over(), lambda _: ())

    def _note_sessions(self, peer: Peer, message: Message) -> None:
        """SESSIONS req records."""
        self._origin.note_sessions(message[2])
        peer.done(message[1])

    def _sessions(self, origin: AskingOrigin, peer: Peer, message: Message) -> None:
        """SESSIONLOG req question: the same."""
        found = origin.sessions(SessionsQuestion.from_json(message[2]))
        self._when_known(peer, message[1], found, SessionsPage.words)

    def _entries(self, origin: AskingOrigin, peer: Peer, message: Message) -> None:
        """ENTRIES req revision: the same."""
        found = origin.entries(int(message[2]))
        self._when_known(peer, message[1], found, EntriesPage.words)
