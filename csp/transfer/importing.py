"""Imports files: reads, resolves, plans, then writes, or does nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from csp.transfer.collecting import Collection
from csp.transfer.definitions import Definitions
from csp.transfer.forms import ENVIRONMENT_NAME, FORMS, OWN_FORM, OWN_SECTIONS
from csp.transfer.granting import LEFT_OUT
from csp.transfer.interpolate import interpolate
from csp.transfer.missing import Missing
from csp.transfer.plan import Plan, make_plan
from csp.transfer.present import Present
from csp.transfer.problems import Problems
from csp.transfer.raw.definitions import RawDefinitions
from csp.transfer.raw.definitions import Server as Lookup
from csp.transfer.raw.words import CLASS_OF_SECTION, RAW_FORM
from csp.transfer.reading import METADATA, RawObject, Reader
from csp.transfer.references import WrongValue
from csp.transfer.rehearsal import rehearse
from csp.transfer.run import Progress, Sink, run

FORMS_READ = ("JSON", "COMPACT_JSON", OWN_FORM, RAW_FORM)
VERSION_MAJOR = "1"


class Server(Sink, Lookup, Protocol):
    """What an import asks of a server."""

    def revision(self) -> int: ...


@dataclass(slots=True)
class Wishes:
    """What the person wants of an import."""

    variables: Mapping[str, str] = field(default_factory=dict)
    create_missing: bool = False
    section: str | None = None  # files hold bare objects of this section


@dataclass(slots=True)
class Prepared:
    """An import that can be carried out."""

    plan: Plan
    revision: int  # that it was planned at
    warnings: list[str] = field(default_factory=list)


Open = Callable[[str], BinaryIO]


def prepare(
    files: Sequence[str],
    server: Server,
    wishes: Wishes,
    problems: Problems,
    *,
    open_file: Open,
    progress: Progress = lambda done, of: None,
) -> Prepared:
    """Reads, resolves, compares and tries; raises ImportRefused if anything is wrong."""
    revision = server.revision()
    present = Present(server)
    collection = Collection(problems)
    named = Definitions(collection, present.default_folders(), present.environment())
    numbered = RawDefinitions(collection, server)
    warnings: list[str] = []
    with ExitStack() as stack:
        for file in files:
            try:
                stream = stack.enter_context(open_file(file))
            except OSError as problem:
                problems.add(file, f"can't be read: {problem.strerror or problem}")
                continue
            one = _File(file, stream, wishes, problems)
            one.define(named, numbered)
            warnings += one.warnings()
    named.convert()
    numbered.convert()
    registry, items = collection.registry, collection.items
    present.match(registry, problems)
    Missing(registry, items, present, create=wishes.create_missing).fill(problems)
    plan = make_plan(items, present, problems)
    problems.check()
    rehearse(plan, revision, server, present, problems, progress)
    problems.check()
    return Prepared(plan, revision, warnings)


def carry_out(prepared: Prepared, server: Server, problems: Problems, progress: Progress) -> int:
    """Writes; the revision after it."""
    return run(prepared.plan, prepared.revision, server, problems, progress)


class _File:
    """One file: its form and sections are checked whether or not any object comes."""

    def __init__(self, file: str, stream: BinaryIO, wishes: Wishes, problems: Problems) -> None:
        self._wishes = wishes
        self._problems = problems
        self._reader = Reader(file, stream, problems, on_section=self._begin)
        self._unknown = False  # the section that is being read is no class's

    def define(self, named: Definitions, numbered: RawDefinitions) -> None:
        """Reads the file, and hands every object on to what reads its form."""
        for raw in self._reader.objects(self._wishes.section):
            self._name_environment(named)
            if self._unknown:
                continue
            if self._is_raw:
                numbered.define(raw)
                continue
            if raw.variables:
                self._fill(raw)
            named.define(raw)

    def warnings(self) -> Iterator[str]:
        """What the file itself says that it lacks."""
        left_out = self._reader.metadata.get(LEFT_OUT)
        if left_out:
            yield (
                f"{self._reader.file} lacks the grants of {left_out} objects, which who exported "
                f"it could not read: these stay as they are here"
            )

    @property
    def _is_raw(self) -> bool:
        return self._reader.metadata.get("formatName") == RAW_FORM

    def _fill(self, raw: RawObject) -> None:
        where = f"{raw.section}[{raw.index}] (line {raw.line})"

        def report(path: str, rule: str) -> None:
            self._problems.add(raw.file, rule, object=where, path=path)

        raw.value = interpolate(raw.value, self._wishes.variables, report)

    def _name_environment(self, named: Definitions) -> None:
        """Once, before the first object: what the file calls tenant 1."""
        name = self._reader.metadata.pop(ENVIRONMENT_NAME, None)
        if name is None or self._is_raw:
            return
        try:
            named.call_environment(name)
        except WrongValue as problem:
            self._report(problem.rule, ENVIRONMENT_NAME)

    # ------------------------------------------------------------------ form and sections

    def _begin(self, name: str) -> None:
        """A section begins, or `__metadata__` has been read."""
        if name == METADATA:
            self._check_form()
            return
        rule = self._why_not(name)
        self._unknown = rule is not None
        if rule is not None:
            self._problems.add(self._reader.file, rule, object=name)

    def _check_form(self) -> None:
        form = self._reader.metadata.get("formatName")
        version = self._reader.metadata.get("formatVersion")
        if form not in FORMS_READ:
            rule = f"{form!r} is not a form that can be imported: {', '.join(FORMS_READ)}"
            self._report(rule, "formatName")
        if str(version).partition(".")[0] != VERSION_MAJOR:
            rule = f"{version!r}: only version {VERSION_MAJOR} of the form is known"
            self._report(rule, "formatVersion")

    def _report(self, rule: str, path: str) -> None:
        self._problems.add(self._reader.file, rule, object=METADATA, path=path)

    def _why_not(self, section: str) -> str | None:
        if self._is_raw:
            if section not in CLASS_OF_SECTION:
                known = ", ".join(CLASS_OF_SECTION)
                return f"there is no class whose raw section is {section!r}; there are {known}"
            return None
        if section not in FORMS:
            return f"there is no class whose section is {section!r}; there are {', '.join(FORMS)}"
        own = self._reader.metadata.get("formatName") == OWN_FORM
        if section in OWN_SECTIONS and not own:
            return f'mutagen\'s form has no {section}: say "formatName": "{OWN_FORM}"'
        return None
