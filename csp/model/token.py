"""A token: who a session belongs to and up to where it was told everything, signed by its server.

The text is `csp1.` and 120 characters of base64url; `csp/_fastpath/loop/token.pxi` makes, reads and
checks it, here its fields get names.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from typing import Final

from csp._fastpath import token_fields, token_seal, token_signed

VERSION: Final = 1
# version spare key_id stream revision mark account application credential issued expires bookmark
_FIELDS = struct.Struct("<BxI16sQQIIQqqI")


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says."""

    version: int
    key_id: int
    stream: bytes
    revision: int
    mark: int  # 0: not known
    account: int  # DBID of the Person
    application: int  # and of the Application
    credential: int  # revision of the account record
    issued_ms: int
    expires_ms: int
    bookmark_ms: int  # how often the session asked for bookmarks; 0: not

    def sealed(self, key: bytes) -> bytes:
        """The text, signed with a derived key."""
        return token_seal(_FIELDS.pack(*astuple(self)), key)


def read_token(text: bytes) -> Token | None:
    """What the text says, signed by whomever; None where it is no token."""
    fields = token_fields(text)
    return None if fields is None else Token(*_FIELDS.unpack(fields))


def is_token(text: bytes) -> bool:
    """Whether a text is a token, and therefore no password."""
    return token_fields(text) is not None


def is_signed(text: bytes, key: bytes) -> bool:
    """Whether it is a token signed with this derived key; takes the same time either way."""
    return token_signed(text, key)
