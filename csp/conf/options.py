"""Turns the options of an Application object into values: checked, with defaults, frozen.

1. A value that breaks its rule is never half taken: the default holds and a problem says so.
2. Setting an option that is not honoured is one problem (a warning to log), never an error.
3. Sections that belong to nobody here are left alone: an Application may carry others' options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from csp.conf.table import HONOURED, OBSOLETE, OPTIONS, SECTIONS, Option, Value, find

TRUE = frozenset(("true", "yes", "on", "1"))
FALSE = frozenset(("false", "no", "off", "0"))
# The loop wants a number where an option's 0 means "no limit".
NO_LIMIT = 2**62

# Further directories, tried in order: their options are those of [gauth_ldap].
FURTHER_LDAP = re.compile(r"gauth_ldap_[0-9]+")

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Problem:
    """One option that was set and is not (wholly) taken."""

    section: str
    option: str
    reason: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.option}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Options:
    """All options of a server, with defaults; `stated` are those that its Application sets."""

    values: Mapping[tuple[str, str], Value]
    stated: frozenset[tuple[str, str]] = frozenset()
    problems: tuple[Problem, ...] = field(default=())

    def get(self, section: str, name: str) -> Value:
        """The value of an option of the table."""
        return self.values[section, name]

    def flag(self, section: str, name: str) -> bool:
        """The value of a bool option."""
        return bool(self.values[section, name])

    def number(self, section: str, name: str) -> int:
        """The value of an int option, in its own unit."""
        return int(self.values[section, name])


def parse_value(option: Option, stated: Any) -> Value:
    """The value of a stated text or number; ValueError says the rule."""
    text = str(stated).strip() if not isinstance(stated, dict) else ""
    if isinstance(stated, dict):
        raise ValueError("a binary value is not allowed here")
    if option.type == "bool":
        if text.lower() in TRUE or text.lower() in FALSE:
            return text.lower() in TRUE
        raise ValueError(f"{text!r} is neither true nor false")
    if option.type == "int":
        return _number(option, text)
    if option.words:
        for word in option.words:
            if word.lower() == text.lower():
                return word
        raise ValueError(f"{text!r} is none of {option.valid}")
    return text


def _number(option: Option, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise ValueError(f"{text!r} is not an integer")
    number = int(text)
    low = option.min if option.min is not None else number
    high = option.max if option.max is not None else number
    if not low <= number <= high:
        raise ValueError(f"{number} is not in the range {option.valid}")
    return number


def load(sections: Sections, *, mode: str = "proxy", app_name: str = "") -> Options:
    """The options of a server from its Application's `options` and its mode, master or proxy."""
    values: dict[tuple[str, str], Value] = {key: one.default for key, one in OPTIONS.items()}
    stated, problems = set(), []
    for section, option, name, given in _known(sections, mode, app_name):
        if option is None:
            problems.append(Problem(section, name, "there is no such option"))
            continue
        key = (option.section, name)
        try:
            value = parse_value(option, given)
        except ValueError as error:
            problems.append(Problem(section, name, f"{error}; {option.default!r} is used"))
            continue
        if not FURTHER_LDAP.fullmatch(section):
            stated.add(key)
        if option.status == HONOURED:
            values[key] = value
        elif value != option.default:
            why = option.why if option.status == OBSOLETE and option.why else option.status
            problems.append(Problem(section, name, why))
            values[key] = value
    return Options(values, frozenset(stated), tuple(problems))


def _known(
    sections: Sections, mode: str, app_name: str
) -> Iterator[tuple[str, Option | None, str, Any]]:
    """What is stated in sections of the table: (section as stated, option, name, value)."""
    other = "confserv" if mode == "proxy" else "csproxy"
    for section, options in sections.items():
        own = "confserv" if mode == "master" and section == app_name else section
        if FURTHER_LDAP.fullmatch(section):
            own = "gauth_ldap"
        if own not in SECTIONS or own == other:
            continue
        for name, given in options.items():
            yield section, find(own, name), name, given


def loop_limits(options: Options, *, mode: str = "proxy", connections: int = 0) -> dict[str, int]:
    """The limits of a worker's loop; `connections` is what the limit of open files allows."""
    own = "csproxy" if mode == "proxy" else "confserv"
    limits: dict[str, int] = {}
    for (section, name), option in OPTIONS.items():
        if option.limit and section in (own, "csp"):
            limits[option.limit] = options.number(section, name) * option.scale
    if not limits["output_bytes"]:
        limits["output_bytes"] = NO_LIMIT
    if connections:
        limits["connections"] = min(limits["connections"] or connections, connections)
    elif not limits["connections"]:
        del limits["connections"]
    return limits


def changes(before: Options, after: Options) -> dict[str, list[tuple[str, str]]]:
    """What differs, by when it takes effect: now, reconnect, restart."""
    found: dict[str, list[tuple[str, str]]] = {}
    for key, option in OPTIONS.items():
        if before.values.get(key) != after.values.get(key):
            found.setdefault(option.effect, []).append(key)
    return found
