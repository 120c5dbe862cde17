"""Every kind of wrong file is refused, with file, object, path and rule, and nothing is written."""

from __future__ import annotations

import json

import pytest

from tests.unit.import_server import ImportServer
from tests.unit.importing import METADATA, document, person, refused, run

TENANT = [{"name": "acme"}]


@pytest.fixture
def server() -> ImportServer:
    return ImportServer()


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "line 1 column 1: the file must hold one JSON object"),
        (b"[]", "line 1 column 1: the file must hold one JSON object"),
        (b"{}", "there is no __metadata__"),
        (b'{"tenants": []}', "__metadata__ must come first"),
        (b'{"__metadata__": {"formatName": "CSP",}}', "line 1 column"),
        (b'{"__metadata__": 1}', "__metadata__ is an object"),
        (document(tenants=[])[:-1], "'}' expected"),
        (document() + b"x", "more text after the end"),
        (document(tenants={}), "tenants must be a list of objects"),
        (document(tenants=["acme"]), "a member of tenants must be an object"),
        (document(tenants=[{"name": float("nan")}]), "NaN is not JSON"),
        (b"\xef\xbb\xbf" + document(), "begins with a byte order mark"),
        ('{"__metadata__": {}}'.encode("utf-16"), "begins with a byte order mark"),
        (document(tenants=[{"name": "\xff"}]).replace(b"\\u00ff", b"\xff"), "not UTF-8 at byte"),
        (document() [:-1] + b', "tenants": [], "tenants": []}', "the key 'tenants' is there twice"),
    ],
)  # fmt: skip
def test_malformed_file(server: ImportServer, data: bytes, rule: str) -> None:
    problem = only(refused(server, {"a.json": data}))
    assert problem.startswith("a.json: ")
    assert rule in problem


def test_malformed_position_counts_lines(server: ImportServer) -> None:
    text = json.dumps({"__metadata__": METADATA, "tenants": TENANT}, indent=1)
    lines = text.replace('"acme"', '"acme",,').split("\n")
    at = next(number for number, line in enumerate(lines, 1) if ",," in line)
    assert f"line {at} column" in only(refused(server, {"a.json": "\n".join(lines).encode()}))


def test_key_twice_is_named_with_its_path(server: ImportServer) -> None:
    data = document(tenants=[{"name": "acme", "userProperties": {"s": {"k": 1, "k2": 2}}}])
    problem = only(refused(server, {"a.json": data.replace(b'"k2"', b'"k"')}))
    assert "tenants[0] (line 1) userProperties.s.k: the key 'k' is there twice" in problem


@pytest.mark.parametrize(
    ("section", "value", "path", "rule"),
    [
        ("persons", person("1", nickname="x"), "nickname", "has no such attribute"),
        ("persons", person("1", agent="yes"), "agent", "true or false is expected"),
        ("persons", person("1", firstName=3), "firstName", "a string is expected, not a number"),
        ("persons", person("1", firstName="x" * 256), "firstName", "at most 255"),
        ("persons", person("1", firstName="\ud800"), "firstName", "surrogate"),
        ("persons", person("1", firstName="a\0"), "firstName", "NUL"),
        ("persons", person("1", state="sleepy"), "state", "is not in CfgObjectState"),
        (
            "persons",
            person("1", agent=True, agentInfo={"skillLevels": 7}),
            "agentInfo.skillLevels",
            "an object is expected, not a number",
        ),
        (
            "persons",
            person("1", agent=True, agentInfo={"agentLogins": [{"wrapupTime": 1}]}),
            "agentInfo.agentLogins[0].agentLogin",
            "is missing",
        ),
        ("persons", person("1", userProperties={"s": 1}), "userProperties.s", "holds keys"),
        ("persons", person("1", userProperties={"s": {"k": []}}), "userProperties.s.k", "expected"),
        ("places", {"tenant": "acme", "name": "p", "contract": 7}, "contract", "a string"),
        ("places", {"tenant": "acme", "name": ""}, "name", "must not be empty"),
        ("places", {"name": "p"}, "tenant", "is missing"),
        ("persons", {"tenant": "acme", "employeeId": "1"}, "userName", "is mandatory"),
    ],
)  # fmt: skip
def test_wrong_value(
    server: ImportServer, section: str, value: object, path: str, rule: str
) -> None:
    files = {"t.json": document(tenants=TENANT), "a.json": document(**{section: [value]})}
    problem = only(refused(server, files))
    assert problem.startswith(f"a.json: {section}[0] (line 1)")
    assert f" {path}: " in problem
    assert rule in problem


def test_unknown_classes_are_named(server: ImportServer) -> None:
    data = document(tenants=TENANT, wizards=[{}])
    problems = refused(server, {"a.json": data})
    assert any("there is no class whose section is 'wizards'" in one for one in problems)


def test_forms_are_checked(server: ImportServer) -> None:
    other = {"__metadata__": {"formatName": "XML", "formatVersion": "1.1.1"}, "tenants": TENANT}
    assert "'XML' is not a form" in only(refused(server, {"a.json": json.dumps(other).encode()}))
    raw = {"__metadata__": {"formatName": "RAW", "formatVersion": "1.1.1"}, "tenants": TENANT}
    assert "no class whose raw section is 'tenants'" in only(
        refused(server, {"a.json": json.dumps(raw).encode()})
    )
    new = {"__metadata__": {"formatName": "CSP", "formatVersion": "2.0"}, "tenants": TENANT}
    assert "only version 1" in only(refused(server, {"a.json": json.dumps(new).encode()}))
    own = {
        "__metadata__": {"formatName": "JSON", "formatVersion": "1.0.0"},
        "agentLogins": [{"tenant": "Environment", "switch": "s", "loginCode": "1"}],
    }
    assert "mutagen's form has no agentLogins" in only(
        refused(server, {"a.json": json.dumps(own).encode()})
    )


def test_the_same_object_twice(server: ImportServer) -> None:
    files = {
        "a.json": document(tenants=TENANT, persons=[person("1")]),
        "b.json": document(persons=[person("1", firstName="Ann")]),
    }
    problem = only(refused(server, files))
    assert problem.startswith("b.json: persons[0] (line 1) CfgPerson '1' of CfgTenant 'acme'")
    assert "the same object as a.json, persons[0] (line 1)" in problem


def test_two_objects_with_one_unique_value(server: ImportServer) -> None:
    persons = [person("1"), person("2", userName="u-1")]
    problem = only(refused(server, {"a.json": document(tenants=TENANT, persons=persons)}))
    assert "userName: the userName is taken by persons[0]" in problem


def test_unresolved_reference(server: ImportServer) -> None:
    one = person("1", agent=True, agentInfo={"skillLevels": {"Juggling": 3}})
    problem = only(refused(server, {"a.json": document(tenants=TENANT, persons=[one])}))
    assert "a.json: persons[0] (line 1)" in problem
    assert "agentInfo.skillLevels[0].skill: there is no CfgSkill 'Juggling'" in problem


def test_unresolved_tenant_is_reported_where_it_is_stated(server: ImportServer) -> None:
    problem = only(refused(server, {"a.json": document(persons=[person("1")])}))
    assert "tenant: there is no CfgTenant 'acme'" in problem


def test_ambiguous_reference(server: ImportServer) -> None:
    data = document(
        tenants=TENANT,
        physicalSwitches=[
            {"name": "pbx1", "type": "sipswitch"},
            {"name": "pbx2", "type": "sipswitch"},
        ],
        switches=[
            {"tenant": "acme", "name": "sw", "physicalSwitch": "pbx1"},
            {"tenant": "acme", "name": "sw", "physicalSwitch": "pbx2"},
        ],
        persons=[
            person(
                "1",
                agent=True,
                agentInfo={"agentLogins": [{"agentLogin": {"switch": "sw", "loginCode": "7"}}]},
            )
        ],
    )
    problem = only(refused(server, {"a.json": data}))
    assert "agentLogins[0].agentLogin.switch" in problem
    assert "is ambiguous: 2 objects of CfgSwitch are named so" in problem


def test_unset_variable_is_named_with_its_path(server: ImportServer) -> None:
    data = document(tenants=[{"name": "acme", "chargeableNumber": "${NUMBER}"}])
    problem = only(refused(server, {"a.json": data}))
    assert "tenants[0] (line 1) chargeableNumber: the variable NUMBER is not set" in problem


def test_all_problems_are_reported_but_not_without_end(server: ImportServer) -> None:
    persons = [person(str(number), nickname="x", agent=1) for number in range(200)]
    problems = refused(server, {"a.json": document(tenants=TENANT, persons=persons)})
    assert len(problems) == 100
    assert any("nickname" in one for one in problems)
    assert any(" agent: " in one for one in problems)


def test_a_refusal_of_the_server_names_the_object(server: ImportServer) -> None:
    # The user name is taken by an object that the files do not speak of.
    run(server, {"a.json": document(tenants=TENANT, persons=[person("1")])})
    problem = only(refused(server, {"b.json": document(persons=[person("9", userName="u-1")])}))
    assert problem.startswith("b.json: persons[0] (line 1) CfgPerson '9' of CfgTenant 'acme'")
    assert 'userName "u-1": is taken by CfgPerson:101' in problem


# ---------------------------------------------------------------------- what is wrong with a text


def bytes_of(text: str) -> bytes:
    head = '{"__metadata__": {"formatName": "CSP", "formatVersion": "1.0.0"}'
    return (head + text + "}").encode()


WRONG_TEXTS: dict[str, tuple[bytes, str]] = {
    "a number as long as a page": (
        bytes_of(', "skills": [{"tenant": "acme", "name": "a", "x": ' + "9" * 5000 + "}]"),
        "a number has thousands of digits",
    ),
    "a comma in a list": (
        bytes_of(', "tenants": [{"name": "a"},]'),
        "a comma with nothing after it",
    ),
    "a comma at the end": (bytes_of(', "tenants": [],'), "a comma with nothing after it"),
    "UTF-16 without a mark": (
        bytes_of("").decode().encode("utf-16-le"),
        "every other byte is 0, as in UTF-16",
    ),
    "UTF-16 of the other order": (
        bytes_of("").decode().encode("utf-16-be"),
        "every other byte is 0, as in UTF-16",
    ),
    "no such section": (bytes_of(', "skils": []'), "there is no class whose section is 'skils'"),
    "half a surrogate": (bytes_of(', "skills\\ud800": []'), r"'skills\ud800'"),
    "no such form": (
        b'{"__metadata__": {"formatName": "XML", "formatVersion": "1.0.0"}, "skills": []}',
        "'XML' is not a form that can be imported",
    ),
    "no such version": (
        b'{"__metadata__": {"formatName": "CSP", "formatVersion": "2.0.0"}}',
        "'2.0.0': only version 1 of the form is known",
    ),
    "a section that mutagen has not": (
        b'{"__metadata__": {"formatName": "JSON", "formatVersion": "1.0.0"}, "formats": []}',
        "mutagen's form has no formats",
    ),
    "a raw section of another form": (
        b'{"__metadata__": {"formatName": "RAW", "formatVersion": "1.0.0"}, "skills": []}',
        "there is no class whose raw section is 'skills'",
    ),
    "an exponent": (
        bytes_of(', "tenants": [{"name": "t", "userProperties": {"s": {"k": 1e2}}}]'),
        'a string, a whole number or {"base64": …} is expected',
    ),
}


@pytest.mark.parametrize("name", WRONG_TEXTS)
def test_a_wrong_text_is_told_in_words(server: ImportServer, name: str) -> None:
    data, words = WRONG_TEXTS[name]
    assert words in only(refused(server, {"a.json": data}))


def test_a_name_that_is_too_long_is_one_problem(server: ImportServer) -> None:
    skill = {"tenant": "acme", "name": "x" * 256}
    problem = only(refused(server, {"a.json": document(tenants=TENANT, skills=[skill])}))
    assert "256 characters" in problem
    whole = {"tenant": "acme", "employeeId": "1", "userName": "u", "agent": True}
    whole["agentInfo"] = {"skillLevels": {"Sales": 7.0}}  # type: ignore[assignment]
    skills = [{"tenant": "acme", "name": "Sales"}]
    document_ = document(tenants=TENANT, skills=skills, persons=[whole])
    problem = only(refused(server, {"a.json": document_}))
    assert "7.0 is written with a fraction or exponent; a whole number is expected, 7" in problem


def test_a_dollar_may_be_written_by_its_number(server: ImportServer) -> None:
    text = bytes_of(
        ', "tenants": [{"name": "a\\u0024{X}"}, {"name": "b${X}"}, {"name": "c\\u0024\\u0024{X}"}]'
    )
    run(server, {"a.json": text}, variables={"X": "1"})
    names = {one["name"] for one in server.objects["CfgTenant"].values()}
    assert names == {"Environment", "a1", "b1", "c${X}"}
