"""An estate is the same for the same seed, of the size asked for, and in many scripts."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest

from csp.transfer.estate.layout import lay_out
from csp.transfer.estate.writing import estate, write_estate


def written(agents: int, seed: int, object_bytes: int | None = None) -> bytes:
    stream = io.BytesIO()
    write_estate(stream, agents, seed, object_bytes)
    return stream.getvalue()


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert written(120, 5) == written(120, 5)
    assert written(120, 5) != written(120, 6)


def test_it_is_one_document_with_every_class() -> None:
    document = json.loads(written(300, 1))
    assert document.pop("__metadata__")["formatName"] == "CSP"
    assert set(document) == {
        *("tenants", "hosts", "appPrototypes", "applications", "folders", "physicalSwitches"),
        *("switches", "agentLogins", "dns", "skills", "places", "persons", "agentGroups"),
        "accessGroups",
    }
    assert all(document.values())
    agents = [one for one in document["persons"] if one["agent"]]
    assert len(agents) == 300
    assert len(document["tenants"]) >= 2
    assert len({one["userName"] for one in document["persons"]}) == len(document["persons"])


def test_names_are_in_many_scripts() -> None:
    names = "".join(
        person["firstName"] + person["lastName"]
        for section, people in estate(2_000, 1)
        if section == "persons"
        for person in people
    )
    scripts = {unicodedata.name(char, "?").split()[0] for char in names}
    assert {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "CJK"} <= scripts
    assert any(unicodedata.bidirectional(char) in ("R", "AL") for char in names)
    assert any(len(char.encode()) == 4 for char in names)


@pytest.mark.parametrize("wanted", [1_000, 2_500])
def test_the_mean_size_is_near_what_was_asked(wanted: int) -> None:
    sizes = [
        len(json.dumps(value, ensure_ascii=False).encode())
        for _, values in estate(1_000, 2, wanted)
        for value in values
    ]
    assert 0.8 * wanted < sum(sizes) / len(sizes) < 1.2 * wanted
    assert max(sizes) < 22_000


def test_every_agent_is_in_one_tenant() -> None:
    for agents in (1, 7, 2_000, 50_000):
        tenants = lay_out(agents, 1)
        assert sum(tenant.agents for tenant in tenants) == agents
        firsts = [tenant.first_agent for tenant in tenants]
        assert firsts == sorted(firsts)
