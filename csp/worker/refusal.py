"""The refusals that Redis has too, in its exact words, since client libraries compare them."""

from __future__ import annotations

from csp.errors import CspError

SYNTAX = "syntax error"
NOT_INTEGER = "value is not an integer or out of range"
NOAUTH_HELLO = (
    "HELLO must be called with the client already authenticated, otherwise the HELLO "
    "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
    "RESP protocol version at the same time"
)


def text_of(data: bytes) -> str:
    """Bytes of a client as text of an error; what is not UTF-8 goes through unchanged."""
    return data.decode("utf-8", "surrogateescape")


def wrong_arity(name: str) -> CspError:
    """The name as the table has it: `get`, `client|id`."""
    return CspError(f"wrong number of arguments for '{name}' command")


def number(data: bytes, text: str = NOT_INTEGER) -> int:
    """An integer as Redis takes it: no sign but minus, no spaces, no leading zeros, 64 bits."""
    digits = data[1:] if data[:1] == b"-" else data
    if not digits.isdigit() or len(digits) > 19 or (digits[:1] == b"0" and len(data) > 1):
        raise CspError(text)
    value = int(data)
    if not -(2**63) <= value < 2**63:
        raise CspError(text)
    return value
