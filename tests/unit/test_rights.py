"""The nearest grant of each account counts, and the union of what counts is what a session has."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from csp.errors import BadValue
from csp.model.grants import build_grants, grants_in
from csp.model.image import check_crc, parse_header, parse_keys
from csp.model.places import FOLDER, NOWHERE, TENANT, Place
from csp.model.rights import (
    ACCESS_GROUP,
    ALL,
    CREATE,
    PERSON,
    PROPAGATE,
    READ,
    SYSTEM,
    UPDATE,
    Account,
    account_key,
    account_of,
    grant_of,
    rights_in,
    rights_on,
    words_of,
)

ANN: Account = PERSON.id, 101
USERS: Account = ACCESS_GROUP.id, 2
ENVIRONMENT, ROOT, FOLDER_7, AGENT = (
    (TENANT.id, 1),
    (FOLDER.id, 3),
    (FOLDER.id, 7),
    (PERSON.id, 500),
)


class Estate:
    """A tenant, its root folder, a folder in it, and a person in that."""

    def __init__(self, granted: Mapping[Place, Mapping[Account, int]]) -> None:
        self.granted = granted

    def container(self, place: Place) -> Place:
        return {AGENT: FOLDER_7, FOLDER_7: ROOT, ROOT: ENVIRONMENT}.get(place, NOWHERE)

    def grants(self, place: Place) -> Mapping[Account, int]:
        return self.granted.get(place, {})


@pytest.mark.parametrize(
    ("granted", "rights"),
    [
        ({}, 0),
        ({ENVIRONMENT: {USERS: READ | PROPAGATE}}, READ),
        ({ENVIRONMENT: {USERS: READ}}, 0),
        ({ENVIRONMENT: {USERS: READ | PROPAGATE}, FOLDER_7: {USERS: PROPAGATE}}, 0),
        ({ENVIRONMENT: {USERS: READ | PROPAGATE}, FOLDER_7: {USERS: 0}}, READ),
        ({ENVIRONMENT: {USERS: READ | PROPAGATE}, AGENT: {USERS: 0}}, 0),
        ({ENVIRONMENT: {USERS: READ | PROPAGATE}, AGENT: {ANN: UPDATE}}, READ | UPDATE),
        ({ENVIRONMENT: {USERS: ALL | PROPAGATE}, ROOT: {USERS: CREATE | PROPAGATE}}, CREATE),
        ({ENVIRONMENT: {SYSTEM: ALL | PROPAGATE}}, 0),
    ],
)
def test_nearest_grant_of_each_account_counts(
    granted: Mapping[Place, Mapping[Account, int]], rights: int
) -> None:
    assert rights_on(Estate(granted), AGENT, {ANN, USERS}) == rights


def test_a_container_hands_down_what_propagates_alone() -> None:
    estate = Estate({FOLDER_7: {USERS: ALL}, ENVIRONMENT: {USERS: READ | PROPAGATE}})
    assert rights_on(estate, FOLDER_7, {USERS}) == ALL
    assert rights_in(estate, FOLDER_7, {USERS}) == READ


def test_a_circle_of_containers_ends() -> None:
    class Circle(Estate):
        def container(self, place: Place) -> Place:
            return {FOLDER_7: ROOT, ROOT: FOLDER_7}.get(place, NOWHERE)

    estate = Circle({ROOT: {USERS: READ | PROPAGATE}})
    assert rights_on(estate, FOLDER_7, {USERS}) == READ
    assert rights_on(estate, FOLDER_7, {ANN}) == 0


@pytest.mark.parametrize("words", ["R", "none", "none,propagate", "R,C,U,X,D,RP,CP,propagate"])
def test_words_of_a_grant(words: str) -> None:
    assert words_of(grant_of(words)) == words


@pytest.mark.parametrize("words", ["", "propagate", "R,none", "W", "r", "R,", "R P"])
def test_words_that_are_no_grant(words: str) -> None:
    with pytest.raises(BadValue, match=r"right"):
        grant_of(words)


def test_accounts_by_key() -> None:
    for key in ("CfgPerson:101", "CfgAccessGroup:2", "SYSTEM"):
        assert account_key(account_of(key)) == key
    with pytest.raises(BadValue, match="is no account"):
        account_of("CfgFolder:7")


def test_record_of_grants() -> None:
    grants = {USERS: READ | PROPAGATE, ANN: 0, SYSTEM: ALL}
    image = build_grants(101, FOLDER_7, grants, 48)
    check_crc(image)
    header = parse_header(image)
    assert (header.container, header.dbid, header.revision) == (FOLDER_7, 101, 48)
    assert grants_in(image) == grants
    assert len(parse_keys(image)) == len(grants) + 1
