"""Who is asked of a directory, and of which: by server, tenant and person, the nearest first."""

from __future__ import annotations

from typing import Any

import pytest

from csp.external.settings import Level, Settings, SignIn, digest_of, sign_in_of
from csp.model.sealing import Sealed, Sealer
from csp.rules.accounts import DEFAULT_ACCOUNT

TENANT, OTHER = 101, 102
LDAP = {"library": "gauth_ldap"}
SERVER_URL = "ldap://server/dc=x??sub?(uid=X)"
TENANT_URL = "ldap://tenant/dc=x??sub?(uid=X)"
PERSON_URL = "ldap://person/dc=x??sub?(uid=X)"
SERVER = {"authentication": LDAP, "gauth_ldap": {"ldap-url": SERVER_URL}}
SEALER = Sealer(b"k" * 64)


def found(
    *,
    person: dict[str, Any] | None = None,
    tenant: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    external_id: str = "ann@dir",
    dbid: int = 1000,
) -> SignIn:
    """How a person signs in, by the annexes and options of each level."""
    who = {
        "class": "CfgPerson",
        "DBID": dbid,
        "userName": "ann",
        "externalID": external_id,
        "userProperties": person or {},
    }
    whose = {"class": "CfgTenant", "DBID": TENANT, "userProperties": tenant or {}}
    own = Level("CfgApplication", 99, SERVER if server is None else server)
    return sign_in_of(who, whose, own, SEALER)


def urls(sign_in: SignIn) -> list[str]:
    return [str(one["ldap-url"]) for two in sign_in.directories for one in two.sections]


def test_who_has_an_external_id_is_asked_of_the_servers_directory() -> None:
    one = found()
    assert one.is_external
    assert (one.login, urls(one)) == ("ann@dir", [SERVER_URL])


def test_without_an_external_id_csp_decides() -> None:
    assert not found(external_id="").is_external
    assert not found(external_id="  ").is_external


def test_without_a_library_csp_decides() -> None:
    assert not found(server={"gauth_ldap": {"ldap-url": SERVER_URL}}).is_external


def test_f103_enforced_is_external_without_an_external_id() -> None:
    server = {**SERVER, "authentication": LDAP | {"enforce-external-auth": "true"}}
    one = found(server=server, external_id="")
    assert one.is_external
    assert one.login == "ann"  # the user name stands for it


@pytest.mark.parametrize(
    ("tenant", "person", "wanted"),
    [
        ({}, {}, SERVER_URL),
        ({"gauth_ldap": {"ldap-url": TENANT_URL}}, {}, TENANT_URL),
        ({}, {"gauth_ldap": {"ldap-url": PERSON_URL}}, PERSON_URL),
        (
            {"gauth_ldap": {"ldap-url": TENANT_URL}},
            {"gauth_ldap": {"ldap-url": PERSON_URL}},
            PERSON_URL,
        ),
    ],
)
def test_f102_person_before_tenant_before_server(
    tenant: dict[str, Any], person: dict[str, Any], wanted: str
) -> None:
    assert urls(found(tenant=tenant, person=person)) == [wanted]


def test_f102_sections_of_two_levels_are_never_mixed() -> None:
    """A tenant's spare server must not be asked about a person of another directory."""
    tenant = {
        "gauth_ldap": {"ldap-url": TENANT_URL, "app-user": "cn=t"},
        "gauth_ldap_1": {"ldap-url": TENANT_URL},
    }
    (one,) = found(tenant=tenant, person={"gauth_ldap": {"ldap-url": PERSON_URL}}).directories
    assert [section["ldap-url"] for section in one.sections] == [PERSON_URL]
    assert one.sections[0]["app-user"] == ""


@pytest.mark.parametrize("level", ["tenant", "person"])
def test_f102_internal_is_honoured_of_a_tenant_and_of_a_person(level: str) -> None:
    server = {**SERVER, "authentication": LDAP | {"enforce-external-auth": "true"}}
    annex = {"authentication": {"library": "internal"}}
    assert not found(server=server, **{level: annex}).is_external


def test_f102_a_person_is_external_where_his_tenant_is_internal() -> None:
    one = found(tenant={"authentication": {"library": "internal"}}, person={"authentication": LDAP})
    assert urls(one) == [SERVER_URL]


def test_options_of_authentication_count_each_by_itself() -> None:
    """The tenant says who, the server says where."""
    tenant = {"authentication": {"enforce-external-auth": "true"}}
    assert urls(found(tenant=tenant, external_id="")) == [SERVER_URL]


@pytest.mark.parametrize(
    ("server", "tenant", "person", "is_external"),
    [
        ({"enforce-internal-auth": "true"}, {}, {}, False),
        ({"enforce-internal-auth": "true"}, {"enforce-external-auth": "true"}, {}, True),
        ({"enforce-external-auth": "true"}, {"enforce-internal-auth": "true"}, {}, False),
        ({"enforce-external-auth": "true"}, {"enforce-external-auth": "false"}, {}, True),
        ({"enforce-internal-auth": "true"}, {}, {"enforce-internal-auth": "false"}, True),
        ({}, {"enforce-internal-auth": "1", "enforce-external-auth": "1"}, {}, True),
    ],
)
def test_the_nearer_word_is_the_stronger(
    server: dict[str, str], tenant: dict[str, str], person: dict[str, str], is_external: bool
) -> None:
    one = found(
        server={**SERVER, "authentication": LDAP | server},
        tenant={"authentication": tenant},
        person={"authentication": person},
    )
    assert one.is_external is is_external


def test_further_servers_in_order_of_their_numbers() -> None:
    names = {f"gauth_ldap_{number}": f"ldap://s{number}/??sub?(uid=X)" for number in (10, 2, 1)}
    server = {"authentication": LDAP, **{name: {"ldap-url": url} for name, url in names.items()}}
    server["gauth_ldap"] = {"ldap-url": SERVER_URL}
    hosts = [url.split("/")[2] for url in urls(found(server=server))]
    assert hosts == ["server", "s1", "s2", "s10"]


def test_two_modules_in_the_order_of_library() -> None:
    server = {
        "authentication": {"library": "gauth_radius, gauth_ldap"},
        "gauth_ldap": {"ldap-url": SERVER_URL},
        "gauth_radius": {"servers": "a"},
    }
    assert [one.module for one in found(server=server).directories] == [
        "gauth_radius",
        "gauth_ldap",
    ]


def test_kerberos_in_library_is_no_module_for_passwords() -> None:
    server = {**SERVER, "authentication": {"library": "gauth_kerberos, gauth_ldap"}}
    assert urls(found(server=server)) == [SERVER_URL]
    server = {**SERVER, "authentication": {"library": "gauth_kerberos"}}
    assert not found(server=server).is_external


@pytest.mark.parametrize(
    ("authentication", "words"),
    [
        ({"library": "gauth_ldap"}, "there is no section [gauth_ldap]"),
        ({"library": "gauth_sap"}, "names 'gauth_sap'"),
        ({"library": "internal, gauth_ldap"}, "names 'internal'"),
        ({"enforce-external-auth": "true"}, "library names no module"),
    ],
)
def test_t40_who_is_external_and_can_t_be_asked_is_refused(
    authentication: dict[str, str], words: str
) -> None:
    one = found(server={"authentication": authentication})
    assert one.is_external
    assert one.directories == ()
    assert words in one.refusal


def test_the_account_default_stays_internal() -> None:
    server = {**SERVER, "authentication": LDAP | {"enforce-external-auth": "true"}}
    tenant = {"authentication": {"enforce-external-auth": "true"}}
    assert not found(server=server, tenant=tenant, dbid=DEFAULT_ACCOUNT).is_external
    own = {"authentication": {"enforce-external-auth": "true"}}
    assert urls(found(person=own, dbid=DEFAULT_ACCOUNT)) == [SERVER_URL]
    assert urls(found(person={"authentication": LDAP}, dbid=DEFAULT_ACCOUNT)) == [SERVER_URL]


def test_options_have_their_types_and_defaults() -> None:
    annex = {"gauth_ldap": {"ldap-url": PERSON_URL, "connect-timeout": 3, "start-tls": "yes"}}
    section = found(person=annex).directories[0].sections[0]
    assert (section["connect-timeout"], section["start-tls"]) == (3, True)
    assert (section["response-timeout"], section["app-user"]) == (10, "")


def test_wrong_options_are_told_and_have_their_defaults() -> None:
    annex = {
        "gauth_ldap": {"ldap-url": PERSON_URL, "connect-timeout": "soon", "conect-timeout": "3"},
        "authentication": {"enforce-external-auth": "perhaps"},
    }
    one = found(person=annex)
    assert one.directories[0].sections[0]["connect-timeout"] == 10
    told = {(problem.place, problem.section, problem.option) for problem in one.problems}
    assert told == {
        ("CfgPerson:1000", "gauth_ldap", "connect-timeout"),
        ("CfgPerson:1000", "gauth_ldap", "conect-timeout"),
        ("CfgPerson:1000", "authentication", "enforce-external-auth"),
    }


def test_a_sealed_password_is_opened_where_it_was_stated() -> None:
    place = Sealed("CfgTenant", TENANT, "gauth_ldap_1", "password")
    sealed = SEALER.seal(place, "search-it-1")
    annex = {
        "gauth_ldap": {"ldap-url": TENANT_URL},
        "gauth_ldap_1": {"ldap-url": TENANT_URL, "password": sealed},
    }
    one = found(tenant=annex)
    assert one.directories[0].sections[1]["password"] == "search-it-1"
    assert "search-it-1" not in repr(one)


def test_a_sealed_password_that_was_copied_refuses() -> None:
    place = Sealed("CfgTenant", OTHER, "gauth_ldap", "password")
    sealed = SEALER.seal(place, "search-it-1")
    one = found(person={"gauth_ldap": {"ldap-url": PERSON_URL, "password": sealed}})
    assert one.is_external
    assert one.directories == ()
    assert "state it anew" in one.refusal


def test_settings_come_back_as_they_went_and_tell_directories_apart() -> None:
    (one,) = found().directories
    assert Settings.from_json(one.to_json()) == one
    assert one.name == "gauth_ldap ldap://server/dc=x"
    (other,) = found(person={"gauth_ldap": {"ldap-url": PERSON_URL}}).directories
    assert digest_of(one.to_json()) != digest_of(other.to_json())
