"""Takes the authenticator out of a client's first Kerberos token, and nothing that is not one.

    60 len                          RFC 2743 3.1: the mechanism's name, then its token
      06 09 …                       Kerberos 5
      01 00                         an AP-REQ (RFC 4121 4.1), RFC 4120 5.5.1:
      6E len                        [APPLICATION 14]
        30 len                      [0] 5, [1] 14, [2] options, [3] ticket, [4] authenticator
          … A4 len 30 len           [0] etype, [1] kvno (may be missing), [2] cipher

1. Lengths are as DER has them, the shortest form, and everything ends where it says: csp and the
   library that decrypts it read the same authenticator, so who repacks a token is known again.
2. What is digested is the authenticator's ciphertext alone. It holds the client's clock and is
   guarded by the session key; whoever copies a token can change what stands around it, not this.
"""

from __future__ import annotations

import hashlib
from typing import Final

TOKEN_BYTES_MAX: Final = 64 * 1024  # of Active Directory's, with all groups, at most 48,000
KERBEROS: Final = bytes.fromhex("06092a864886f712010202")
AP_REQ: Final = b"\x01\x00"
APPLICATION_0, APPLICATION_14, SEQUENCE, OCTETS = 0x60, 0x6E, 0x30, 0x04
INTEGER: Final = 0x02
SPNEGO: Final = bytes.fromhex("06062b0601050502")


class NoToken(ValueError):
    """It is no Kerberos token; the text says why."""


def digest_of(token: bytes) -> str:
    """SHA-256 of the authenticator in a token, hexadecimal; raises NoToken."""
    return hashlib.sha256(authenticator_in(token)).hexdigest()


def authenticator_in(token: bytes) -> bytes:
    """The ciphertext of the authenticator in a token; raises NoToken."""
    if len(token) > TOKEN_BYTES_MAX:
        raise NoToken(f"the token is larger than {TOKEN_BYTES_MAX} bytes")
    inner = _whole(token, APPLICATION_0)
    if inner.startswith(SPNEGO):
        raise NoToken("the token is SPNEGO: make it with the mechanism Kerberos 5")
    if not inner.startswith(KERBEROS + AP_REQ):
        raise NoToken("the token is not the first one of the mechanism Kerberos 5")
    request = _whole(inner[len(KERBEROS + AP_REQ) :], APPLICATION_14)
    fields = _fields(_whole(request, SEQUENCE))
    if [number for number, _ in fields] != [0, 1, 2, 3, 4]:
        raise NoToken("the token's AP-REQ has not the five fields of one")
    return _ciphertext(fields[4][1])


def _ciphertext(data: bytes) -> bytes:
    fields = _fields(_whole(data, SEQUENCE))
    if [number for number, _ in fields] not in ([0, 2], [0, 1, 2]):
        raise NoToken("the token's authenticator is not encrypted data")
    for number, value in fields[:-1]:
        if not _whole(value, INTEGER):
            raise NoToken(f"the token's authenticator has no number in field {number}")
    return _whole(fields[-1][1], OCTETS)


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """The fields of a sequence: the numbers of their tags, and what they hold."""
    found = []
    while data:
        tag, value, data = _element(data)
        if not 0xA0 <= tag <= 0xA4:
            raise NoToken(f"the token has {tag:#04x} where the tag of a field is meant")
        found.append((tag - 0xA0, value))
    return found


def _whole(data: bytes, tag: int) -> bytes:
    """What an element holds that fills the data."""
    found, value, rest = _element(data)
    if found != tag or rest:
        raise NoToken(f"the token has not one element {tag:#04x} where it is meant")
    return value


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, value and what follows."""
    if len(data) < 2:
        raise NoToken("the token is cut off")
    tag, size, at = data[0], data[1], 2
    if size >= 0x80:
        count = size - 0x80
        at += count
        size = int.from_bytes(data[2:at], "big")
        if count not in (1, 2, 3) or len(data) < at or size < max(0x80, 1 << 8 * (count - 1)):
            raise NoToken("the token has a length that is not the shortest form")
    if len(data) < at + size:
        raise NoToken("the token is cut off")
    return tag, data[at : at + size], data[at + size :]
