"""Whatever stands anywhere in a file, an import takes it or says what is wrong with it."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.transfer.estate.writing import write_estate
from csp.transfer.exporting import NAMED, RAW, Layout, Report, export
from csp.transfer.importing import Wishes, prepare
from csp.transfer.problems import ImportRefused, Problems
from tests.effort import examples
from tests.unit.import_master import ImportMaster
from tests.unit.importing import run

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 101, 1 << 31, 1 << 70, 1.5, 7.0, "", "x", "x" * 300, "ü"),
    *([], {}, [None], [[]], [{}], {"": ""}, {"name": 1}, {"type": "dn"}, {"type": []}, "\u0000"),
    *({"type": "folder", "owner": {"type": "folder"}}, {"DBID": {}}, {"CfgX": []}, "${X}", "@1"),
]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImportMaster]:
    master = ImportMaster(tmp_path_factory.mktemp("odd"))
    stream = io.BytesIO()
    write_estate(stream, 12, 7)
    run(master, {"estate": stream.getvalue()})  # type: ignore[arg-type]
    yield master
    master.close()


def holders(value: Any) -> Iterator[Any]:
    """All objects and lists within a value."""
    if isinstance(value, dict | list) and value:
        yield value
        for member in value.values() if isinstance(value, dict) else value:
            yield from holders(member)


@pytest.mark.parametrize("layout", [NAMED, RAW], ids=["own", "raw"])
@examples(40)
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 6))
def test_odd_values_anywhere(master: ImportMaster, layout: Layout, seed: int, count: int) -> None:
    chosen = random.Random(seed)
    content = json.loads(b"".join(export(master, Report(), layout=layout)))
    for _ in range(count):
        section = chosen.choice([name for name in content if name != "__metadata__"])
        places = list(holders(content[section]))
        if not places:
            continue
        place = chosen.choice(places)
        at = chosen.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[at] = chosen.choice(ODD)
    data = json.dumps(content).encode()
    problems = Problems()
    try:
        prepare(["file"], master, Wishes(), problems, open_file=lambda name: io.BytesIO(data))
    except ImportRefused:
        assert problems.count
