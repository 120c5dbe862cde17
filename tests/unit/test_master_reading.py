"""A load reads its database in pieces, however large the objects and however slow the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csp.master import load, postgres, reading
from csp.model.types import CLASSES
from tests.neighbours.databases import Place, PostgresPlace
from tests.unit.master_stage import Stage

SKILL = CLASSES["CfgSkill"]
LARGE = 60
BODY_BYTES = 200_000


def fill(stage: Stage) -> None:
    """Objects of 200 KB, with small ones between them."""
    sections = {f"s{number}": {"text": "x" * 250} for number in range(BODY_BYTES // 266)}
    for first in range(0, LARGE, 20):
        creates = []
        for number in range(first, first + 20):
            for name, properties in ((f"large {number}", sections), (f"small {number}", {})):
                skill = {"tenantDBID": 1, "name": name, "userProperties": properties}
                creates.append(("CFG.CREATE", "CfgSkill", skill))
        outcome = stage.exec(*creates)
        assert outcome.error is None, outcome


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    fill(found)
    yield found
    found.close()


def test_a_chunk_is_bounded_by_bytes(stage: Stage) -> None:
    sizes, dbids = [], []
    with reading.reading(stage.origin.database) as connection:
        after = 0
        while rows := reading.objects_after(connection, SKILL.id, after):
            sizes.append(sum(len(row.body) for row in rows))
            dbids += [row.dbid for row in rows]
            after = rows[-1].dbid
        assert reading.object_row(connection, SKILL.id, 102).dbid == 102
        assert reading.object_row(connection, SKILL.id, 9999) is None
    assert dbids == list(range(101, 101 + 2 * LARGE))
    assert max(sizes) < reading.READ_BYTES + 2 * BODY_BYTES
    assert len(sizes) >= LARGE * BODY_BYTES // reading.READ_BYTES


def test_all_accounts_are_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ACCOUNT_ROWS", 2)
    for number in range(5):
        stage.create("CfgPerson", tenantDBID=1, userName=f"u{number}", employeeID=f"{number}",
                     password=f"p{number}")  # fmt: skip
    with reading.reading(stage.origin.database) as connection:
        assert [row.dbid for row in reading.accounts(connection)] == [100, *range(101, 106)]


@pytest.mark.long
def test_no_statement_of_a_load_has_to_end_in_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(place, PostgresPlace):
        pytest.skip("of PostgreSQL alone")
    first = Stage(place)
    fill(first)
    first.close()
    place.server.execute(
        "CREATE FUNCTION octet_length(text, OUT integer) AS "
        "'SELECT pg_sleep(0.005); SELECT pg_catalog.octet_length($1)' LANGUAGE sql",
        place.name,
    )
    place.server.execute(
        f"ALTER DATABASE {place.name} SET search_path = public, pg_catalog", place.name
    )
    monkeypatch.setattr(postgres, "STATEMENT_MS_MAX", 200)
    second = Stage(place)
    assert second.host.loads == 1
    assert second.host.records == first.host.records
    *_, sums = second.records.sums(None, 0, 2**31)
    assert sums is not None
    assert sums.classes[SKILL.id][0] == 2 * LARGE
    place.server.execute(f"ALTER DATABASE {place.name} RESET search_path", place.name)
    place.server.execute("DROP FUNCTION public.octet_length(text)", place.name)
    second.close()


def test_keys_of_other_classes_are_looked_up_between_the_chunks(stage: Stage) -> None:
    """A question beside the chunks, on the same connection."""
    with reading.reading(stage.origin.database) as connection:
        rows = load.Rows(connection)
        images = rows.images(SKILL)
        next(images)
        tenant = rows.get("CfgTenant", 1)
        assert tenant is not None
        assert tenant["DBID"] == 1
        assert len(list(images)) == 2 * LARGE - 1
