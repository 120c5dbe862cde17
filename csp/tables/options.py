"""Offers the option table (options.toml): what each option is, and what a stated value means."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from csp.tables.rows import naming_row

TABLE = Path(__file__).parent / "options.toml"
TRUE = frozenset(("true", "yes", "on", "1"))
FALSE = frozenset(("false", "no", "off", "0"))
HONOURED, NOT_YET, OBSOLETE = "honoured", "not yet", "obsolete"

NETWORKS_MAX = 256  # of a list: it is looked through for each connection

Value = bool | int | str
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Option:
    """One option of one section."""

    section: str
    name: str
    type: str
    default: Value
    effect: str
    status: str
    text: str
    unit: str = ""
    min: int | None = None
    max: int | None = None
    words: tuple[str, ...] = ()
    why: str = ""
    introduced: str = ""
    limit: str = ""
    scale: int = 1
    secret: bool = False

    @property
    def valid(self) -> str:
        """The valid values, in words."""
        if self.type == "bool":
            return "true, false"
        if self.words:
            return ", ".join(self.words)
        if self.type == "networks":
            return "addresses and networks, joined by commas"
        if self.type != "int" or (self.min is None and self.max is None):
            return "any text" if self.type == "string" else "an integer"
        if self.max is None:
            return f"{self.min} or more"
        return f"{self.min or 0} to {self.max}"


def _rows(section: str, name: str, row: dict[str, Any]) -> Iterator[Option]:
    row = dict(row)
    also = row.pop("also", "")
    if "words" in row:
        row["words"] = tuple(row["words"])
    with naming_row("options.toml", f"{section}.{name}"):
        found = [Option(one, name, **row) for one in filter(None, (section, also))]
    yield from found


def load(path: Path = TABLE) -> dict[tuple[str, str], Option]:
    """The table, by section and name."""
    return {
        (one.section, one.name): one
        for section, rows in tomllib.loads(path.read_text("utf-8")).items()
        for name, row in rows.items()
        for one in _rows(section, name, row)
    }


OPTIONS: dict[tuple[str, str], Option] = load()
SECTIONS: frozenset[str] = frozenset(section for section, _ in OPTIONS)
# Names that stand for many: `level-reassign-<id>`, by section and the text before the bracket.
FAMILIES: dict[tuple[str, str], Option] = {
    (section, name.partition("<")[0]): one
    for (section, name), one in OPTIONS.items()
    if "<" in name
}
# The names of those that are secret, by section.
SECRETS: dict[str, frozenset[str]] = {
    section: frozenset(name for of, name in OPTIONS if of == section and OPTIONS[of, name].secret)
    for section in SECTIONS
}
NUMBERED = re.compile(r"(.+)_[0-9]+")  # a further server of the same kind: `gauth_ldap_1`


def secret_names(section: str) -> frozenset[str]:
    """The secret options of a section, or of one that is numbered after it."""
    found = SECRETS.get(section)
    if found is None:
        numbered = NUMBERED.fullmatch(section)
        found = SECRETS.get(numbered[1]) if numbered else None
    return found or frozenset()


def find(section: str, name: str) -> Option | None:
    """The option of that name, or the family that it belongs to."""
    found = OPTIONS.get((section, name))
    if found is not None:
        return found
    for (of, start), family in FAMILIES.items():
        if section == of and name.startswith(start):
            return family
    return None


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
    if option.type == "networks":
        return ", ".join(map(str, networks_of(text)))
    if option.words:
        for word in option.words:
            if word.lower() == text.lower():
                return word
        raise ValueError(f"{text!r} is none of {option.valid}")
    return text


def networks_of(text: str) -> tuple[Network, ...]:
    """The networks of a list joined by commas; ValueError says what is none.

    An address is the network of itself alone; 10.1.2.3/8 is no network: it has bits behind its 8.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) > NETWORKS_MAX:
        raise ValueError(f"{len(words)} networks are too many; at most {NETWORKS_MAX}")
    return tuple(map(ip_network, words))


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
