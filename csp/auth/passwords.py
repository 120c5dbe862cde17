"""Compares a password with a stored hash, and makes a wrong user cost the same as a wrong password.

1. A comparison takes the time of one argon2id hash, whether or not there is such a user, and in
   whatever form the password is stored.
2. A hash of a form that is not known, or that asks for more than the ceiling, never matches: who
   brings hashes decides neither how long auth works nor how much memory it takes.
3. A right password that is stored in another form than ours comes with its argon2id hash.

The original's forms are the MD5 and the SHA-256 digest of the password's UTF-8 bytes, without a
salt, in hexadecimal digits or base64: which one it is, its length says.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from typing import Final, NamedTuple

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from csp.model.accounts import DIGESTS, digest_in, read_base64

ARGON2ID: Final = "argon2id"
SCRYPT_BULK: Final = "scrypt-bulk"  # what a bulk import stores until the first sign-in
IMPORTED: Final = "imported-"  # and the number that came with it

# The ceiling of a stored hash's own parameters.
MEMORY_KIB_MAX: Final = 64 * 1024
PASSES_MAX: Final = 4
LANES_MAX: Final = 4
SCRYPT_LN_MAX: Final = 15
SCRYPT_R_MAX: Final = 8
SCRYPT_P_MAX: Final = 4

# The parameters that the master hashes with, so that the dummy below costs what a real one does.
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_dummy_hash = _hasher.hash("nobody has this password")


class Compared(NamedTuple):
    """What became of a comparison."""

    is_right: bool
    upgraded: str = ""  # the argon2id hash of a right password that is stored in another form


def compare(password: bytes, algorithm: str, stored: str) -> Compared:
    """Whether the password belongs to the hash; some 40 ms, without the GIL."""
    if algorithm == ARGON2ID and _is_allowed(stored):
        try:
            _hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return Compared(False)
        is_ours = not _hasher.check_needs_rehash(stored)
        return Compared(True, "" if is_ours else _hasher.hash(password))
    if _is_other(password, algorithm, stored):
        return Compared(True, _hasher.hash(password))
    return Compared(compare_in_vain(password))


def is_password(password: bytes, algorithm: str, stored: str) -> bool:
    """Whether the password belongs to the hash; it takes the time that this needs and no more."""
    if algorithm == ARGON2ID and _is_allowed(stored):
        try:
            return _hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
    return _is_other(password, algorithm, stored)


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


def _is_allowed(stored: str) -> bool:
    """Whether an argon2id hash keeps to the ceiling."""
    try:
        found = extract_parameters(stored)
    except InvalidHashError:
        return False
    is_small = found.memory_cost <= MEMORY_KIB_MAX and found.parallelism <= LANES_MAX
    return is_small and found.time_cost <= PASSES_MAX


def _is_other(password: bytes, algorithm: str, stored: str) -> bool:
    if algorithm == SCRYPT_BULK:
        return _is_scrypt(password, stored)
    if algorithm.startswith(IMPORTED):
        return _is_digest(password, stored)
    return False


def _is_digest(password: bytes, stored: str) -> bool:
    """A digest as the original stores it."""
    wanted = digest_in(stored)
    name = DIGESTS.get(len(wanted))
    if name is None:
        return False
    found = hashlib.new(name, password, usedforsecurity=False).digest()
    return hmac.compare_digest(found, wanted)


def _is_scrypt(password: bytes, stored: str) -> bool:
    """A hash in the form $scrypt$ln=L,r=R,p=P$salt$key."""
    try:
        _, name, parameters, salt, key = stored.split("$")
        numbers = {part[0]: int(part.rpartition("=")[2]) for part in parameters.split(",")}
        ln, r, p = numbers["l"], numbers["r"], numbers["p"]
        if name != "scrypt" or ln > SCRYPT_LN_MAX or r > SCRYPT_R_MAX or p > SCRYPT_P_MAX:
            return False
        wanted = read_base64(key)
        if not 0 < len(wanted) <= 64:
            return False
        found = hashlib.scrypt(
            password,
            salt=read_base64(salt),
            n=1 << ln,
            r=r,
            p=p,
            maxmem=64 * 1024 * 1024,
            dklen=len(wanted),
        )
    except (ValueError, KeyError, binascii.Error):
        return False
    return hmac.compare_digest(found, wanted)
