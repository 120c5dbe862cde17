"""Asks one RADIUS server about one password: an Access-Request and the answer to it.

1. A request carries Message-Authenticator, and an answer without one is none, unless the server is
   listed as one that can't (BlastRADIUS, CVE-2024-3596). A Message-Authenticator that is there is
   always verified.
2. What is sent again is the same datagram: the server answers what it has decided already.
3. The socket is connected: only that address is heard, and a closed port is known at once.
4. An answer that doesn't verify is dropped and waited on: whoever can send datagrams could end a
   sign-in otherwise. What was dropped is said when nothing better came.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pyrad.packet import AccessAccept, AccessChallenge, AccessReject, AuthPacket, PacketError

from csp.external.backend import left
from csp.process.lookup import Endpoint
from csp.radius.settings import RadiusSettings, Server

USER_NAME, REPLY_MESSAGE, NAS_IDENTIFIER, USER_PASSWORD = 1, 18, 32, 2
MESSAGE_AUTHENTICATOR: Final = 80
DATAGRAM_BYTES_MAX: Final = 4096  # RFC 2865
NO_ANSWER: Final = (
    "no answer: it is away, or does not know this client or has another secret for it"
)


class Decision(Enum):
    """The codes of answers to an Access-Request."""

    ACCEPT = AccessAccept
    REJECT = AccessReject
    CHALLENGE = AccessChallenge


CODES: Final = frozenset(one.value for one in Decision)


@dataclass(frozen=True)
class Reply:
    """What the server decided."""

    decision: Decision
    words: str  # its Reply-Message


@dataclass(frozen=True)
class Silence:
    """Nothing that could be believed came in time."""

    why: str
    is_certain: bool = True  # it had the time for an answer that the settings say


class Exchange:
    """One question to one server."""

    def __init__(
        self, settings: RadiusSettings, server: Server, user: bytes, password: bytes
    ) -> None:
        packet = AuthPacket(secret=server.secret, message_authenticator=True)
        packet[USER_NAME] = [user]
        packet[USER_PASSWORD] = [packet.PwCrypt(password)]
        packet[NAS_IDENTIFIER] = [settings.nas_identifier.encode()]
        self._packet = packet
        self._datagram: bytes = packet.RequestPacket()
        self._server = server
        self._settings = settings
        self._dropped = ""  # why the last answer that came was none

    def ask(self, endpoint: Endpoint, deadline: float) -> Reply | Silence:
        """Sends it as often as the settings say; comes back before `deadline` (time.monotonic)."""
        attempt_s, began = self._settings.attempt_s, time.monotonic()
        try:
            with socket.socket(endpoint.family, socket.SOCK_DGRAM) as sock:
                sock.connect(endpoint.sockaddr)
                for _ in range(self._settings.attempts):
                    until = min(deadline, time.monotonic() + attempt_s)
                    found = self._attempt(sock, until)
                    if found is not None:
                        return found
        except OSError as error:
            return Silence(f"it can't be sent to: {error.strerror}")
        why = self._dropped or NO_ANSWER
        return Silence(why, is_certain=time.monotonic() - began >= attempt_s)

    def _attempt(self, sock: socket.socket, until: float) -> Reply | None:
        sock.send(self._datagram)
        while time.monotonic() < until:
            sock.settimeout(left(until))
            try:
                answer = sock.recv(DATAGRAM_BYTES_MAX)
            except TimeoutError:
                return None
            found = self._read(answer)
            if found is not None:
                return found
        return None

    def _read(self, answer: bytes) -> Reply | None:
        """The reply, if it is one to this request and can be believed."""
        packet = self._packet
        try:
            reply = packet.CreateReply(packet=answer)
            if not packet.VerifyReply(reply, answer):
                self._dropped = "its answers don't fit the shared secret and were dropped"
                return None
        except (PacketError, ValueError, KeyError, IndexError) as error:
            self._dropped = f"its answers can't be read and were dropped: {error}"
            return None
        if self._server.needs_signature and MESSAGE_AUTHENTICATOR not in reply:
            self._dropped = (
                "its answers without Message-Authenticator were dropped: have the server send it "
                "(CVE-2024-3596), or name it in without-message-authenticator"
            )
            return None
        if reply.code not in CODES:
            return None
        words = b" ".join(reply.get(REPLY_MESSAGE, []))
        return Reply(Decision(reply.code), words.decode("utf-8", "replace"))
