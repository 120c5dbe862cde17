"""Seals secret options: whoever may read an object sees that one is set, and no more.

1. What the table calls secret (options.toml) is sealed by the master when a command states it:
   rows, records, events, the history and exports hold the sealed text alone.
2. It opens for the object, the section and the option that it was sealed for: moved elsewhere, say
   to a section that names another directory, it is worth nothing.
3. The key is the master's own; servers have it beside the keys of tokens, as an account record.
   A text that another master has sealed stays as it is, and can't be opened.
4. The seal is AES-SIV (RFC 5297), which needs no nonce: a text is sealed the same way each time,
   so stating it anew changes nothing.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from csp.errors import BadValue
from csp.model.types import ObjectClass
from csp.tables.options import secret_names

PREFIX: Final = "sealed:1:"
PURPOSE: Final = b"csp options"
KEY_BYTES: Final = 64  # AES-256, and as much for the tag
PAD_END: Final = b"\x80"  # of a text, before what fills it up
PAD_BYTES: Final = 32  # a text's length is told in steps of so many bytes

Object = dict[str, Any]
Sections = Mapping[str, Any]


class Sealed(NamedTuple):
    """Where an option stands that is to be sealed or opened."""

    class_name: str
    dbid: int
    section: str
    name: str

    def __str__(self) -> str:
        return f"{self.class_name}:{self.dbid} [{self.section}] {self.name}"


class Sealer:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESSIV(key)

    def seal(self, place: Sealed, text: str) -> str:
        """The text as it is kept; one that is sealed already stays as it is."""
        if text.startswith(PREFIX):
            return text
        data = text.encode() + PAD_END
        data += b"\0" * (-len(data) % PAD_BYTES)
        return PREFIX + urlsafe_b64encode(self._cipher.encrypt(data, _bound_to(place))).decode()

    def open(self, place: Sealed, sealed: str) -> str:
        """The text again; ValueError where it was sealed for another place or by another master.

        One that was never sealed, as options in a file, is returned as it is.
        """
        if not sealed.startswith(PREFIX):
            return sealed
        try:
            kept = urlsafe_b64decode(sealed.removeprefix(PREFIX))
            data = self._cipher.decrypt(kept, _bound_to(place))
        except (ValueError, InvalidTag):
            raise ValueError(
                f"{place} was sealed for another object or by another master: state it anew"
            ) from None
        return data.rstrip(b"\0").removesuffix(PAD_END).decode()


class NoSealer(Sealer):
    """What has no key: it seals nothing, and so lets no secret be stated."""

    def __init__(self) -> None:
        pass

    def seal(self, place: Sealed, text: str) -> str:
        raise BadValue(f"{place} is secret, and this server has no key to seal it with")

    def open(self, place: Sealed, sealed: str) -> str:
        if not sealed.startswith(PREFIX):
            return sealed
        raise ValueError(f"{place} is sealed, and the master's key to open it has not come yet")


def sealing_key(secret: bytes) -> bytes:
    """The key of a master with such a secret of its own."""
    return hashlib.blake2b(PURPOSE, key=secret, digest_size=KEY_BYTES).digest()


def seal_object(sealer: Sealer, cls: ObjectClass, dbid: int, obj: Object) -> Object:
    """The object with its secret options sealed; itself where it has none.

    Raises BadValue where a secret option is no text.
    """
    for path in cls.kvlists:
        sections = _at(obj, path)
        for section in sections:
            for name in secret_names(section) & sections[section].keys():
                place = Sealed(cls.name, dbid, section, name)
                value = sections[section][name]
                if not isinstance(value, str | int):
                    raise BadValue(f"{cls.name} {path}.{section}.{name}: a secret is a string")
                if value != "" and not str(value).startswith(PREFIX):
                    steps = (*path.split("."), section, name)
                    obj = _with(obj, steps, sealer.seal(place, str(value)))
    return obj


def open_options(sealer: Sealer, class_name: str, dbid: int, sections: Sections) -> dict[str, Any]:
    """An object's options or annex with the secret ones as they were stated.

    Raises ValueError, in words for the administrator, where one can't be opened.
    """
    opened: dict[str, Any] = {}
    for section, options in sections.items():
        secret = secret_names(section) & options.keys()
        opened[section] = options if not secret else dict(options)
        for name in secret:
            place = Sealed(class_name, dbid, section, name)
            opened[section][name] = sealer.open(place, str(options[name]))
    return opened


def _bound_to(place: Sealed) -> list[bytes]:
    """What a seal holds for, beside the text: each word of the place."""
    return [str(word).encode() for word in place]


def _at(obj: Object, path: str) -> Mapping[str, Any]:
    found: Any = obj
    for step in path.split("."):
        found = found.get(step)
        if not isinstance(found, dict):
            return {}
    return {name: one for name, one in found.items() if isinstance(one, dict)}


def _with(obj: Object, steps: Sequence[str], value: str) -> Object:
    """A copy with one value replaced, which shares all else: nobody changes what is stored."""
    first, *rest = steps
    return {**obj, first: _with(obj[first], rest, value) if rest else value}
