"""A raw export means the same whatever DBIDs its objects have, and wherever it is imported."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csp.model.types import MAX_DBID
from csp.transfer.estate.writing import write_estate
from csp.transfer.exporting import NAMED, RAW, Layout, Report, export
from tests.unit.import_master import ImportMaster
from tests.unit.importing import document, person, run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImportMaster]:
    master = ImportMaster(tmp_path_factory.mktemp("source"))
    stream = io.BytesIO()
    write_estate(stream, 20, 5)
    run(master, {"estate.json": stream.getvalue()})
    yield master
    master.close()


def exported(master: ImportMaster, layout: Layout) -> bytes:
    report = Report()
    data = b"".join(export(master, report, layout=layout))
    assert not report.lost
    return data


def renumbered(value: Any, number: Callable[[int], int], key: str = "") -> Any:
    """The file with another number for each that is a DBID: 0 is none."""
    if isinstance(value, dict):
        return {name: renumbered(one, number, name) for name, one in value.items()}
    if isinstance(value, list):
        return [renumbered(one, number, key) for one in value]
    is_dbid = key.endswith("DBID") and isinstance(value, int) and value
    return number(value) if is_dbid else value


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_other_numbers_are_the_same_objects(source: ImportMaster, seed: int) -> None:
    numbers: dict[int, int] = {}
    free = iter(random.Random(seed).sample(range(1, MAX_DBID), 1_000))

    def number(dbid: int) -> int:
        if dbid not in numbers:
            numbers[dbid] = next(free)
        return numbers[dbid]

    file = renumbered(json.loads(exported(source, RAW)), number)
    assert not run(source, {"raw.json": json.dumps(file).encode()}, dry_run=True).plan.count


def test_another_database_has_the_same_objects_under_its_own_numbers(
    source: ImportMaster, tmp_path: Path
) -> None:
    other = ImportMaster(tmp_path)
    extra = document(tenants=[{"name": "acme"}], persons=[person(str(n)) for n in range(9)])
    run(other, {"extra.json": extra})
    raw = exported(source, RAW)
    run(other, {"raw.json": raw})
    assert not run(other, {"raw.json": raw}).plan.count
    theirs, mine = json.loads(exported(other, NAMED)), json.loads(exported(source, NAMED))
    for section, objects in mine.items():
        if section != "__metadata__":
            assert [one for one in objects if one not in theirs[section]] == []
    numbers = [
        [one["DBID"] for one in json.loads(exported(master, RAW))["CFGPerson"]]
        for master in (source, other)
    ]
    assert numbers[0] != numbers[1]
    other.close()


def test_sections_and_objects_are_sorted(source: ImportMaster) -> None:
    data = exported(source, RAW)
    assert exported(source, RAW) == data
    _, *sections = json.loads(data).items()
    assert [name for name, _ in sections] == sorted(name for name, _ in sections)
    for _, objects in sections:
        numbers = [one["DBID"] for one in objects]
        assert numbers == sorted(numbers)
