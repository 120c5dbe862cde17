"""Fills ${variables} into the strings of one object; $${ stands for the two characters ${ alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

VARIABLE = re.compile(r"\$(\$\{)|\$\{([a-zA-Z_][a-zA-Z0-9_]*)\}")

Report = Callable[[str, str], None]  # path, rule


def interpolate(value: Any, variables: Mapping[str, str], report: Report, path: str = "") -> Any:
    """A copy of value with every variable filled in; an unset one goes to report(path, rule)."""
    if isinstance(value, str):
        return _fill(value, variables, report, path) if "${" in value else value
    if isinstance(value, dict):
        filled: dict[str, Any] = {}
        for name, member in value.items():
            inner = f"{path}.{name}" if path else name
            key = _fill(name, variables, report, inner) if "${" in name else name
            if key in filled:
                report(inner, f"the key {key!r} is there twice once variables are filled in")
            filled[key] = interpolate(member, variables, report, inner)
        return filled
    if isinstance(value, list):
        return [
            interpolate(member, variables, report, f"{path}[{index}]")
            for index, member in enumerate(value)
        ]
    return value


def _fill(text: str, variables: Mapping[str, str], report: Report, path: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match.group(1):
            return "${"
        name = match.group(2)
        value = variables.get(name)
        if value is None:
            report(path, f"the variable {name} is not set; give --set {name}=VALUE")
            return match.group(0)
        return value

    return VARIABLE.sub(one, text)
