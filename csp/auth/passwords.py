"""Compares a password with a stored hash, and makes a wrong user cost the same as a wrong password.

1. A comparison takes its full time whether or not there is such a user.
2. A hash of an algorithm that is not supported never matches.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

ARGON2ID = "argon2id"
SCRYPT_BULK = "scrypt-bulk"  # what a bulk import stores until the first sign-in

# The parameters that the master hashes with, so that the dummy below costs what a real one does.
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_dummy_hash = _hasher.hash("nobody has this password")


def is_password(password: bytes, algorithm: str, stored: str) -> bool:
    """Whether the password belongs to the hash; some 40 ms for argon2id, without the GIL."""
    if algorithm == ARGON2ID:
        try:
            return _hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
    if algorithm == SCRYPT_BULK:
        return _is_scrypt(password, stored)
    return compare_in_vain(password)


def hash_password(password: bytes) -> str:
    """The argon2id hash to keep; some 40 ms, without the GIL."""
    return _hasher.hash(password)


def compare_in_vain(password: bytes) -> bool:
    """Takes the time of a comparison and is always false."""
    try:
        _hasher.verify(_dummy_hash, password)
    except VerificationError:
        return False
    return False


def _is_scrypt(password: bytes, stored: str) -> bool:
    """A hash in the form $scrypt$ln=L,r=R,p=P$salt$key."""
    try:
        _, name, parameters, salt, key = stored.split("$")
        numbers = {part[0]: int(part.rpartition("=")[2]) for part in parameters.split(",")}
        if name != "scrypt":
            return False
        wanted = _from_text(key)
        found = hashlib.scrypt(
            password,
            salt=_from_text(salt),
            n=1 << numbers["l"],
            r=numbers["r"],
            p=numbers["p"],
            dklen=len(wanted),
        )
    except (ValueError, KeyError, binascii.Error):
        return False
    return hmac.compare_digest(found, wanted)


def _from_text(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
