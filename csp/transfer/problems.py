"""Collects what is wrong with the files of an import, so that all of it is reported at once."""

# 1. A problem names file, object, path and rule.
# 2. At most PROBLEMS_MAX are kept; how many there were in all is counted.
# 3. Nothing is written while there is one.

from __future__ import annotations

from dataclasses import dataclass, field

PROBLEMS_MAX = 100  # more than anybody reads at once; the rest is counted


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule, and where."""

    file: str
    rule: str
    object: str = ""
    path: str = ""

    def __str__(self) -> str:
        where = [part for part in (self.object, self.path) if part]
        return f"{self.file}: {' '.join(where)}{': ' if where else ''}{self.rule}"


@dataclass(slots=True)
class Problems:
    """The problems found so far."""

    found: list[Problem] = field(default_factory=list)
    count: int = 0
    seen: set[Problem] = field(default_factory=set)

    def add(self, file: str, rule: str, *, object: str = "", path: str = "") -> None:
        problem = Problem(*(_printable(text) for text in (file, rule, object, path)))
        if problem in self.seen:
            return
        self.count += 1
        if len(self.found) < PROBLEMS_MAX:
            self.found.append(problem)
            self.seen.add(problem)

    def check(self) -> None:
        """Raises ImportRefused if anything is wrong."""
        if self.count:
            raise ImportRefused(self)


def _printable(text: str) -> str:
    """The text with whatever no terminal takes in escaped form: a file's name may be any bytes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class ImportRefused(Exception):
    """The files break rules; nothing was written."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(f"{problems.count} problems")
        self.problems = problems
