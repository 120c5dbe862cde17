"""Limits all sessions of a proxy to what its option `scope` names.

1. The loop's views do it for all that is read and told; here is what goes another way.
2. What shows all there is, whoever asks, is refused: a feed, sums, the explainer.
3. A place in this server's changes is one of another server's only with the same scope: so the
   stream that tokens name is another one (restoring.py then tells `resync`).
"""

from __future__ import annotations

from hashlib import blake2b

from csp.errors import NoPerm
from csp.model.scope import Scope, read_scope
from csp.worker.call import Call, Lane

OPTION = "scope"


def text_of_scope(lane: Lane) -> str:
    """The option as it stands; empty: no scope."""
    return str(lane.info.options.get(OPTION, ""))


def scope_of(lane: Lane) -> Scope | None:
    """What all sessions are limited to; None: to nothing."""
    return read_scope(text_of_scope(lane))


def check_whole(call: Call) -> None:
    """Raises NoPerm where this server shows a part alone."""
    if scope_of(call.lane) is not None:
        verb = call.args[0].decode("ascii", "replace").upper()
        raise NoPerm(
            f"this proxy shows a part alone ([csproxy] {OPTION}), and has no {verb}: ask its master"
        )


def stream_of(lane: Lane) -> bytes:
    """The stream that tokens of this server name."""
    stream = lane.reader.stream
    scope = scope_of(lane)
    if scope is None:
        return stream
    return blake2b(repr(sorted(scope)).encode(), key=stream, digest_size=len(stream)).digest()
