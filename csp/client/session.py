"""What a client and its subscriptions hold together over lost connections: token, place, gaps."""

# 1. A token is tried first wherever a connection is opened, and dropped when it is refused.
# 2. No server that is behind what this client has seen is used: MINREV is said at each connection.
# 3. What had to be read anew is counted, so that who runs the client sees it.

from __future__ import annotations

from dataclasses import dataclass, field

from csp.client.address import Address, parse_address
from csp.client.incoming import Value
from csp.client.values import as_text, plain


@dataclass(slots=True)
class Session:
    """Of one client and all its siblings."""

    application: str = ""  # registered as at each connection; empty: as none
    token: str = field(default="", repr=False)
    user: str = ""  # as the server knows who signed in by a ticket
    seen: int = 0  # the newest revision that this client was shown
    restored: int = 0  # sign-ins by a token
    moves: int = 0  # to another server, because the present one drained and said so
    rereads: int = 0  # gaps told, after each of which the application has to read anew

    def saw(self, revision: int) -> None:
        """Something of this revision was shown."""
        self.seen = max(self.seen, revision)

    def granted(self, value: Value) -> Address | None:
        """Takes the reply of CFG.REGISTER; the address of the server's backup, if it has one."""
        told = plain(value)
        self.token = as_text(told.get("token", ""))
        self.restored += int(told.get("restored", 0))
        self.saw(int(told.get("revision", 0)))
        backup = as_text(told.get("backup", ""))
        try:
            return parse_address(backup) if backup else None
        except ValueError:
            return None  # its Application says something that is no address
