"""Turns secrets into hashes before anything is stored, in bounded time.

argon2id costs some 40 ms and the writer serves everybody, so one batch of requests may spend at
most STRONG_MAX of them.  What a bulk import brings beyond that is hashed with a small scrypt
(under 1 ms, salted) whose algorithm word ends in `-bulk`: auth replaces it by argon2id at the first
sign-in, when it has the password in hand.

1. No secret leaves this file; what comes out is an algorithm word and a hash in PHC form.
2. A hash that comes with its `passwordHashAlgorithm` is kept as it came, for later.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from argon2 import PasswordHasher

from csp.rules.transaction import Hashed

STRONG_MAX: Final = 4  # argon2id hashes per batch of writes: 4 x 40 ms is the longest pause
ARGON2ID: Final = "argon2id"
SCRYPT_BULK: Final = "scrypt-bulk"
SCRYPT_LN: Final = 7  # 2**7 rounds of r=8: 128 KiB, some 0.3 ms; weak against a stolen database
SCRYPT_R: Final = 8
GENERATED_BYTES: Final = 15  # 120 bits, 20 characters

# OWASP's smallest recommendation for argon2id: 19 MiB, two passes, one lane.
_argon2id = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


class Hasher:
    """Hashes the secrets of one batch of writes."""

    def __init__(self) -> None:
        self._strong_left = STRONG_MAX

    def next_batch(self) -> None:
        self._strong_left = STRONG_MAX

    def hash(self, secret: str, algorithm: str | int | None) -> Hashed:
        """The hash to keep; with an algorithm given, the secret is a foreign hash already."""
        if algorithm not in (None, "", 0):
            return Hashed(f"imported-{algorithm}", secret)
        if self._strong_left > 0:
            self._strong_left -= 1
            return strong(secret)
        return _bulk(secret)


def strong(secret: str) -> Hashed:
    return Hashed(ARGON2ID, _argon2id.hash(secret))


def generate() -> str:
    """A password for an account that nobody chose one for."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def _bulk(secret: str) -> Hashed:
    salt = secrets.token_bytes(16)
    key = hashlib.scrypt(secret.encode(), salt=salt, n=1 << SCRYPT_LN, r=SCRYPT_R, p=1, dklen=32)
    parameters = f"ln={SCRYPT_LN},r={SCRYPT_R},p=1"
    return Hashed(SCRYPT_BULK, f"$scrypt${parameters}${_text(salt)}${_text(key)}")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
