"""Says who decides whether a password is a person's: csp, or which directories, by which settings.

Options stand in the server's Application, in the annex of the person's tenant and in his own.

1. The nearest that states one counts: person before tenant before server. Of [authentication] that
   is each option by itself; the sections of a module ([gauth_ldap], [gauth_ldap_1], …) are one
   thing and come from one place, so that no mixture of two directories is ever asked.
2. Who is named a module that can't be asked is refused, not let in by another way.
3. A secret option is opened here, for the object and the section that it was sealed for; what can't
   be opened refuses whom it is for.
4. The account `default` is csp's own whatever server and tenant say, so that a directory's outage
   locks nobody out for good; only its own annex says otherwise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from csp.model.sealing import NoSealer, Sealed, Sealer
from csp.rules.accounts import DEFAULT_ACCOUNT
from csp.tables.options import OPTIONS, Option, Value, parse_value

SECTION: Final = "authentication"
INTERNAL: Final = "internal"
MODULES: Final = ("gauth_ldap", "gauth_radius")  # that take passwords
BESIDES: Final = "gauth_kerberos"  # takes tickets, and is asked whatever `library` says
SERVERS_MAX: Final = 10  # sections of a module
DIGEST_BYTES: Final = 16
SHOWN_CHARACTERS_MAX: Final = 120

Sections = Mapping[str, Mapping[str, Any]]
NO_SEALER: Final = NoSealer()


class CantOpen(Exception):
    """A secret option can't be read; the text says which."""


@dataclass(frozen=True)
class Level:
    """One place where options stand."""

    class_name: str
    dbid: int
    sections: Sections = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.class_name}:{self.dbid}"


@dataclass(frozen=True)
class Problem:
    """An option that is wrong, or not taken."""

    place: str  # whose it is: CfgTenant:101
    section: str
    option: str
    reason: str


@dataclass(frozen=True)
class Settings:
    """The settings of one directory; each section names a server, or what the module takes."""

    module: str  # gauth_ldap
    # In order, every option of the table by name, checked, with defaults: `ldap-url`.
    sections: tuple[Mapping[str, Value], ...] = field(repr=False)

    @property
    def name(self) -> str:
        """What the directory is called in logs and alarms."""
        first = self.sections[0] if self.sections else {}
        where = next((str(first[name]) for name in _NAMING if first.get(name)), "")
        return f"{self.module} {where.partition('?')[0]}".strip()[:SHOWN_CHARACTERS_MAX]

    def to_json(self) -> bytes:
        """The same settings are always the same bytes; they may hold a password."""
        told = {"module": self.module, "sections": [dict(one) for one in self.sections]}
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> Settings:
        """The settings that `to_json` wrote; raises ValueError."""
        found = orjson.loads(data)
        return cls(str(found["module"]), tuple(dict(one) for one in found["sections"]))


# The option by which a directory of a module is known.
_NAMING: Final = ("ldap-url", "servers", "realm")


@dataclass(frozen=True)
class SignIn:
    """How a person signs in."""

    is_external: bool = False
    login: str = ""  # what the directory knows him as
    directories: tuple[Settings, ...] = ()  # in order; external and empty: refused
    refusal: str = ""  # why none can be asked, for administrators
    problems: tuple[Problem, ...] = field(default=(), compare=False)


class Levels:
    """The options of a person, his tenant and the server, the nearest first."""

    def __init__(
        self,
        person: Mapping[str, Any],
        tenant: Mapping[str, Any] | None,
        server: Level,
        sealer: Sealer,
    ) -> None:
        self.is_own_alone = int(person.get("DBID") or 0) == DEFAULT_ACCOUNT
        self.problems: list[Problem] = []
        self._sealer = sealer
        self._levels = [_annex(person)]
        # The account `default` takes the rest from the others once its own annex names a directory.
        if not self.is_own_alone or self.value("enforce-external-auth") or self.value("library"):
            if tenant is not None:
                self._levels.append(_annex(tenant))
            self._levels.append(server)

    def value(self, name: str) -> Value | None:
        """An option of [authentication] where it is stated; None where nowhere."""
        found = self.nearest(name)
        return None if found is None else found[1]

    def nearest(self, name: str) -> tuple[int, Value] | None:
        """The same with how far away it is."""
        for distance, level in enumerate(self._levels):
            stated = level.sections.get(SECTION) or {}
            if name in stated:
                option = OPTIONS[SECTION, name]
                return distance, self._parsed(level, SECTION, option, stated[name])
        return None

    def enforced(self, word: str) -> int | None:
        """How far away it is that one of the two is set; None where it is not."""
        found = self.nearest(word)
        return found[0] if found is not None and found[1] else None

    def settings(self, module: str) -> Settings | None:
        """What the nearest that has sections of a module says of it; raises CantOpen."""
        for level in self._levels:
            own = sorted(_own_sections(module, level.sections))
            if own:
                names = [name for _, name in own[:SERVERS_MAX]]
                return Settings(module, tuple(self._section(level, module, one) for one in names))
        return None

    def _section(self, level: Level, module: str, section: str) -> Mapping[str, Value]:
        values = {name: one.default for (of, name), one in OPTIONS.items() if of == module}
        for name, stated in level.sections[section].items():
            if name not in values:
                self._tell(level, section, name, "there is no such option")
                continue
            option = OPTIONS[module, name]
            text = self._opened(level, section, name, stated) if option.secret else stated
            values[name] = self._parsed(level, section, option, text)
        return values

    def _opened(self, level: Level, section: str, name: str, stated: object) -> str:
        try:
            place = Sealed(level.class_name, level.dbid, section, name)
            return self._sealer.open(place, str(stated))
        except ValueError as why:
            raise CantOpen(str(why)) from None

    def _parsed(self, level: Level, section: str, option: Option, stated: object) -> Value:
        try:
            return parse_value(option, stated)
        except ValueError as error:
            reason = "a wrong value" if option.secret else str(error)
            self._tell(level, section, option.name, f"{reason}; {option.default!r} is used")
            return option.default

    def _tell(self, level: Level, section: str, name: str, reason: str) -> None:
        self.problems.append(Problem(str(level), section, name, reason))


def sign_in_of(
    person: Mapping[str, Any],
    tenant: Mapping[str, Any] | None,
    server: Level,
    sealer: Sealer = NO_SEALER,
) -> SignIn:
    """How this person signs in, by his own annex, his tenant's and the server's options."""
    levels = Levels(person, tenant, server, sealer)
    words = [word.strip() for word in str(levels.value("library") or "").split(",")]
    words = [word for word in words if word and word != BESIDES]
    if not _is_external(levels, person, words):
        return SignIn(problems=tuple(levels.problems))
    login = str(person.get("externalID") or "").strip() or str(person.get("userName") or "")
    found, refusal = _directories(levels, words)
    return SignIn(True, login, found, refusal, tuple(levels.problems))


def _is_external(levels: Levels, person: Mapping[str, Any], words: list[str]) -> bool:
    """Whether a directory decides, whether or not there is one to ask."""
    if words == [INTERNAL]:
        return False
    external = levels.enforced("enforce-external-auth")
    internal = levels.enforced("enforce-internal-auth")
    if external is not None or internal is not None:
        # The nearer one; where one place says both, nobody gets in by a password that is no more.
        return internal is None or (external is not None and external <= internal)
    return bool(words) and bool(str(person.get("externalID") or "").strip())


def _directories(levels: Levels, words: list[str]) -> tuple[tuple[Settings, ...], str]:
    """Whom to ask, in order, or why nobody can be asked."""
    if not words:
        return (), f"[{SECTION}] enforce-external-auth is set, and library names no module"
    found = []
    for word in words:
        if word not in MODULES:
            known = ", ".join(MODULES)
            return (), f"[{SECTION}] library names {word!r}: there are {known}"
        try:
            settings = levels.settings(word)
        except CantOpen as why:
            return (), str(why)
        if settings is None:
            return (), f"[{SECTION}] library names {word}, and there is no section [{word}]"
        found.append(settings)
    return tuple(found), ""


def _own_sections(module: str, sections: Sections) -> Iterator[tuple[int, str]]:
    """The sections of a module, with their places in the order."""
    pattern = re.compile(rf"{module}(?:_([0-9]{{1,4}}))?")
    for name, stated in sections.items():
        match = pattern.fullmatch(name)
        if match and stated:
            yield int(match[1] or 0), name


def digest_of(settings: bytes) -> bytes:
    """What tells one directory from another."""
    return hashlib.blake2b(settings, digest_size=DIGEST_BYTES).digest()


def _annex(obj: Mapping[str, Any]) -> Level:
    return level_of(obj, "userProperties")


def level_of(obj: Mapping[str, Any], kind: str) -> Level:
    """The options (`options` or `userProperties`) of an object."""
    return Level(str(obj.get("class")), int(obj.get("DBID") or 0), obj.get(kind) or {})
