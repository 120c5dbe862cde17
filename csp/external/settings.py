"""What a backend is told of a directory: the sections of options that name its servers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from csp.tables.options import Value

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Settings:
    """The settings of one directory; each section names a server, or what the module takes."""

    module: str  # gauth_ldap
    # In order, every option of the table by name, checked, with defaults: `ldap-url`.
    sections: tuple[Mapping[str, Value], ...] = field(repr=False)

    def to_json(self) -> bytes:
        """The same settings are always the same bytes; they may hold a password."""
        told = {"module": self.module, "sections": [dict(one) for one in self.sections]}
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> Settings:
        """The settings that `to_json` wrote; raises ValueError."""
        found = orjson.loads(data)
        return cls(str(found["module"]), tuple(dict(one) for one in found["sections"]))


def digest_of(settings: bytes) -> bytes:
    """What tells one directory from another."""
    return hashlib.blake2b(settings, digest_size=DIGEST_BYTES).digest()
