"""Says how a server stands in its pair: what its writer knows, and every process may tell.

1. The writer alone shows it (`StoreForOrigin.show_standing`); workers and the supervisor read it.
2. `role` and `serving` stand beside it as words of the control segment, for who reads them in each
   turn; they are stored first, so that the text never says more.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Protocol

# What a server is in a pair; a pair's backup takes no writes and stands ready.
ROLE_SINGLE = 0
ROLE_PRIMARY = 1
ROLE_BACKUP = 2
ROLE_NAMES = ("single", "primary", "backup")

NO_PAIR = "this server is single: its Application has no backup, and is nobody's backup"
WHY_CHARACTERS_MAX = 500  # what is longer is cut off


@dataclass(frozen=True)
class Standing:
    """What a server is in its pair now."""

    role: int = ROLE_SINGLE  # ROLE_*
    serving: bool = True  # whether its ports for clients are to be open
    peer: str = ""  # the name of the other one's Application; empty: there is none
    peer_dbid: int = 0
    peer_address: str = ""  # HOST:PORT where clients go that have to leave this one; empty: unknown
    peer_state: str = ""  # `serving`, `ready`, `behind`, `away`: the last that was heard of it
    number: int = 0  # of the pair's row in the master's database; 0: the configuration alone counts
    why_not: str = ""  # why a switchover now would not be seamless; empty: it would be

    def pack(self) -> bytes:
        """As it stands in the control segment."""
        told = asdict(self) | {"why_not": self.why_not[:WHY_CHARACTERS_MAX]}
        return json.dumps(told, separators=(",", ":")).encode()


class Shown(Protocol):
    """Where it is shown: the control segment (`csp._fastpath.Control`)."""

    role: int
    serving: bool

    def standing(self) -> bytes: ...
    def set_standing(self, text: bytes) -> None: ...


def show(control: Shown, standing: Standing) -> bool:
    """Shows it; whether ports for clients have to be opened or shut for it."""
    is_other = control.serving != standing.serving
    control.role = standing.role
    control.serving = standing.serving
    control.set_standing(standing.pack())
    return is_other


def shown(control: Shown) -> Standing:
    """What was shown last; a single server's where nothing was."""
    text = control.standing()
    if not text:
        return Standing()
    found: dict[str, Any] = json.loads(text)
    return Standing(**found)
