"""A raw export means the same whatever DBIDs its objects have, and wherever it is imported."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.model.types import MAX_DBID
from csp.transfer.estate.writing import write_estate
from csp.transfer.exporting import NAMED, RAW, Layout, Report, export
from csp.transfer.problems import ImportRefused
from tests.effort import examples
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


@examples(5)
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


# Values that stand where a raw file has others.
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 120), st.floats(allow_nan=False), st.text(max_size=3),
    st.sampled_from([[], {}, [7], {"DBID": 7}, {"DBID": [7, 7]}, {"CfgX": {}}, {"list_pair": [1]}]),
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a file: what holds it, and key or index there."""
    of = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in list(of):
        yield value, key
        if isinstance(one, dict | list):
            yield from places(one)


@examples(20)
@given(data=st.data())
def test_a_damaged_file_is_imported_or_refused(source: ImportMaster, data: st.DataObject) -> None:
    file = json.loads(exported(source, RAW))
    for name, objects in file.items():
        if name != "__metadata__":
            file[name] = objects[:2] + objects[-2:]
    there = list(places({name: one for name, one in file.items() if name != "__metadata__"}))
    for _ in range(data.draw(st.integers(1, 4))):
        holder, key = data.draw(st.sampled_from(there))
        holder[key] = data.draw(ANYTHING)
    with suppress(ImportRefused):
        run(source, {"raw.json": json.dumps(file).encode()}, dry_run=True)


def without_grants(file: bytes) -> dict[str, list[dict[str, Any]]]:
    """Of a file by names: a raw one has no grants, and another tenant's Users have theirs."""
    found: dict[str, list[dict[str, Any]]] = json.loads(file)
    return {
        section: [{k: v for k, v in one.items() if k != "grants"} for one in objects]
        for section, objects in found.items()
        if section != "__metadata__"
    }


def test_another_database_has_the_same_objects_under_its_own_numbers(
    source: ImportMaster, tmp_path: Path
) -> None:
    other = ImportMaster(tmp_path)
    extra = document(tenants=[{"name": "acme"}], persons=[person(str(n)) for n in range(9)])
    run(other, {"extra.json": extra})
    raw = exported(source, RAW)
    run(other, {"raw.json": raw})
    assert not run(other, {"raw.json": raw}).plan.count
    theirs, mine = without_grants(exported(other, NAMED)), without_grants(exported(source, NAMED))
    for section, objects in mine.items():
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
