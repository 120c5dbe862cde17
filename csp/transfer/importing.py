"""Imports files: reads, resolves, plans, then writes, or does nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from csp.transfer.collecting import Collection
from csp.transfer.definitions import Definitions
from csp.transfer.forms import FORMS, OWN_SECTIONS
from csp.transfer.interpolate import interpolate
from csp.transfer.missing import Missing
from csp.transfer.plan import Plan, make_plan
from csp.transfer.present import Present, Source
from csp.transfer.problems import Problems
from csp.transfer.raw.definitions import RawDefinitions
from csp.transfer.raw.definitions import Server as Lookup
from csp.transfer.raw.words import CLASS_OF_SECTION, RAW_FORM
from csp.transfer.reading import RawObject, Reader
from csp.transfer.run import Progress, Sink, run

OWN_FORM = "CSP"
FORMS_READ = ("JSON", "COMPACT_JSON", OWN_FORM, RAW_FORM)
VERSION_MAJOR = "1"


class Server(Source, Sink, Lookup, Protocol):
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


Open = Callable[[str], BinaryIO]


def prepare(
    files: Sequence[str], server: Server, wishes: Wishes, problems: Problems, *, open_file: Open
) -> Prepared:
    """Reads, resolves and compares; raises ImportRefused if anything is wrong."""
    revision = server.revision()
    present = Present(server)
    collection = Collection(problems)
    named = Definitions(collection, present.default_folders(), present.environment())
    numbered = RawDefinitions(collection, server)
    with ExitStack() as stack:
        for file in files:
            try:
                stream = stack.enter_context(open_file(file))
            except OSError as problem:
                problems.add(file, f"can't be read: {problem.strerror or problem}")
                continue
            reader = Reader(file, stream, problems)
            for raw in _known(reader, wishes, problems):
                (numbered if _is_raw(reader) else named).define(raw)
    named.convert()
    numbered.convert()
    registry, items = collection.registry, collection.items
    present.match(registry, problems)
    Missing(registry, items, present, create=wishes.create_missing).fill(problems)
    plan = make_plan(items, present, problems)
    problems.check()
    return Prepared(plan, revision)


def carry_out(prepared: Prepared, server: Server, problems: Problems, progress: Progress) -> int:
    """Writes; the revision after it."""
    return run(prepared.plan, prepared.revision, server, problems, progress)


def _known(reader: Reader, wishes: Wishes, problems: Problems) -> Iterator[RawObject]:
    """The objects of classes that csp has, variables filled in."""
    checked = False
    for raw in reader.objects(wishes.section):
        if not checked and wishes.section is None:
            _check_form(reader, problems)
            checked = True
        rule = _why_not(raw.section, reader, wishes)
        if rule is not None:
            problems.add(raw.file, rule, object=raw.section)
            continue
        if raw.variables and not _is_raw(reader):
            where = f"{raw.section}[{raw.index}] (line {raw.line})"

            def report(path: str, rule: str, file: str = raw.file, where: str = where) -> None:
                problems.add(file, rule, object=where, path=path)

            raw.value = interpolate(raw.value, wishes.variables, report)
        yield raw


def _check_form(reader: Reader, problems: Problems) -> None:
    form = reader.metadata.get("formatName")
    version = reader.metadata.get("formatVersion")
    if form not in FORMS_READ:
        rule = f"{form!r} is not a form that can be imported: {', '.join(FORMS_READ)}"
        problems.add(reader.file, rule, object="__metadata__", path="formatName")
    if str(version).partition(".")[0] != VERSION_MAJOR:
        rule = f"{version!r}: only version {VERSION_MAJOR} of the form is known"
        problems.add(reader.file, rule, object="__metadata__", path="formatVersion")


def _is_raw(reader: Reader) -> bool:
    return reader.metadata.get("formatName") == RAW_FORM


def _why_not(section: str, reader: Reader, wishes: Wishes) -> str | None:
    if _is_raw(reader):
        if section not in CLASS_OF_SECTION:
            known = ", ".join(CLASS_OF_SECTION)
            return f"there is no class whose raw section is {section!r}; there are {known}"
        return None
    if section not in FORMS:
        return f"there is no class whose section is {section!r}; there are {', '.join(FORMS)}"
    own = reader.metadata.get("formatName") == OWN_FORM or wishes.section is not None
    if section in OWN_SECTIONS and not own:
        return f'mutagen\'s form has no {section}: say "formatName": "{OWN_FORM}"'
    return None
