"""Files made at random are imported over one another: what differs is done, and done once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.effort import examples
from tests.unit.import_server import ImportServer
from tests.unit.importing import document, run

SKILLS, EMPLOYEES, GROUPS = ("s1", "s2", "s3"), ("e1", "e2", "e3"), ("g1", "g2")
annexes = st.dictionaries(
    st.sampled_from("ab"),
    st.dictionaries(st.sampled_from("xy"), st.integers(0, 2) | st.sampled_from(["", "v"])),
    max_size=2,
)


def some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), unique=True).map(sorted)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """Skills, persons with skills and groups of persons; in any order, all references inside."""
    levels = st.dictionaries(st.sampled_from(SKILLS), st.integers(0, 3), max_size=3)
    persons = {
        employee: {
            "tenant": "acme",
            "employeeId": employee,
            "userName": f"u-{employee}",
            "agent": True,
            **draw(st.fixed_dictionaries({}, optional={"firstName": st.sampled_from(["A", ""])})),
            **draw(st.fixed_dictionaries({}, optional={"state": st.just("disabled")})),
            "agentInfo": {"skillLevels": draw(levels)},
        }
        for employee in draw(some(EMPLOYEES))
    }
    groups = {
        name: {
            "group": {"tenant": "acme", "name": name, "userProperties": draw(annexes)},
            "agents": draw(some(tuple(persons))) if persons else [],
        }
        for name in draw(some(GROUPS))
    }
    return {"persons": persons, "groups": groups}


def written(content: dict[str, Any], order: str) -> dict[str, bytes]:
    """The content as one file, or as two in an order that the references do not care for."""
    skills = [{"tenant": "acme", "name": name} for name in SKILLS]
    people = {"persons": list(content["persons"].values())}
    rest = {"agentGroups": list(content["groups"].values())}
    if order == "one":
        return {"a.json": document(tenants=[{"name": "acme"}], skills=skills, **people, **rest)}
    low = document(tenants=[{"name": "acme"}], skills=skills)
    high = document(**people, **rest)
    return (
        {"1.json": high, "2.json": low} if order == "backward" else {"1.json": low, "2.json": high}
    )


@examples(30)
@given(
    st.lists(
        st.tuples(files(), st.sampled_from(["one", "forward", "backward"])), min_size=1, max_size=4
    )
)
def test_each_import_does_what_differs_and_a_second_one_nothing(
    imports: list[tuple[dict[str, Any], str]],
) -> None:
    server = ImportServer()
    known: set[str] = set()
    for content, order in imports:
        named = {"acme", *SKILLS, *content["persons"], *content["groups"]}
        data = written(content, order)
        dry = run(server, data, dry_run=True).plan
        transactions = server.transactions
        plan = run(server, data).plan
        assert dry.totals() == plan.totals()
        assert len(plan.creates) == len(named - known)
        assert len(plan.updates) <= len(named & known)
        assert plan.unchanged == len(named) - plan.count
        assert (server.transactions > transactions) == bool(plan.count)
        known |= named
        check_stated(server, content)
        before = repr(server.objects)
        again = run(server, data).plan
        assert (again.count, again.unchanged) == (0, len(named))
        assert repr(server.objects) == before


def check_stated(server: ImportServer, content: dict[str, Any]) -> None:
    """What the files state is what the server has."""
    skills = {dbid: one["name"] for dbid, one in server.objects["CfgSkill"].items()}
    people = {one["employeeID"]: one for one in server.objects["CfgPerson"].values()}
    numbers = {one["employeeID"]: dbid for dbid, one in server.objects["CfgPerson"].items()}
    groups = {one["groupInfo"]["name"]: one for one in server.objects["CfgAgentGroup"].values()}
    for employee, stated in content["persons"].items():
        found = people[employee]
        levels = found.get("agentInfo", {}).get("skillLevels", ())
        held = {skills[one["skillDBID"]]: one["level"] for one in levels}
        assert held == stated["agentInfo"]["skillLevels"]
        if "state" in stated:
            assert found["state"] == stated["state"]
        if "firstName" in stated:
            assert found.get("firstName", "") == stated["firstName"]
    for name, stated in content["groups"].items():
        found = groups[name]
        # The order of a list does not matter.
        assert set(found.get("agentDBIDs", ())) == {numbers[one] for one in stated["agents"]}
        held = found["groupInfo"].get("userProperties", {})
        for section, options in stated["group"]["userProperties"].items():
            assert {**held.get(section, {}), **options} == held.get(section, {})
