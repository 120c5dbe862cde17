"""How long either end of a link between servers may be silent, as the connection states it (ADDP).

1. Stated by the first connection with the protocol `addp` in the server's Application: its
   `timeoutLocal` and `timeoutRemote`, seconds. What is not stated is DEFAULT_MS; 0: that end is not
   watched by these means.
2. Each end says something at a third of the shorter one, so that no single loss is taken for death.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PROTOCOL: Final = "addp"
DEFAULT_MS: Final = 10_000
SIGNS_A_TIMEOUT: Final = 3  # signs of life that are said within it
SECONDS_MAX: Final = 86_400  # more is as good as not being watched


@dataclass(frozen=True)
class Keepalive:
    """The two time-outs of a link, milliseconds."""

    local_ms: int = DEFAULT_MS  # of silence after which the server above is given up; 0: never
    remote_ms: int = DEFAULT_MS  # after which that one gives this one up

    @property
    def words(self) -> tuple[str, int, int]:
        """As CFG.REGISTER takes them."""
        return ("KEEPALIVE", self.local_ms, self.remote_ms)

    @property
    def sign_ms(self) -> int:
        """After so long without a word something is said."""
        stated = [one for one in (self.local_ms, self.remote_ms) if one] or [DEFAULT_MS]
        return min(stated) // SIGNS_A_TIMEOUT


USUAL: Final = Keepalive()


def keepalive_in(application: Mapping[str, Any]) -> Keepalive:
    """What the server's Application says of its connections to servers."""
    for connection in application.get("appServerDBIDs") or ():
        if str(connection.get("connProtocol", "")).lower() == PROTOCOL:
            return Keepalive(
                _ms(connection.get("timeoutLocal")), _ms(connection.get("timeoutRemote"))
            )
    return USUAL


def _ms(stated: object) -> int:
    if not isinstance(stated, int) or stated < 0:
        return DEFAULT_MS
    return min(stated, SECONDS_MAX) * 1_000
