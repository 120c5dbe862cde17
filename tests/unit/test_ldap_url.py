"""What an ldap-url says, and that a user's name is never a part of a filter."""

from __future__ import annotations

import ldap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap.filter import escape_filter_chars

from csp.external.backend import Unusable
from csp.ldap.server import read_server
from csp.ldap.url import read_url
from csp.tables.options import OPTIONS

BASE = "ldap://dir.example:1389/ou=people,dc=x"
DEFAULTS = {name: one.default for (of, name), one in OPTIONS.items() if of == "gauth_ldap"}


def test_the_parts_of_a_url() -> None:
    one = read_url(f"{BASE}??one?(&(objectClass=person)(uid=X))")
    assert (one.uri, one.host, one.port) == ("ldap://dir.example:1389", "dir.example", 1389)
    assert (one.base, one.scope) == ("ou=people,dc=x", ldap.SCOPE_ONELEVEL)
    assert one.filter_for("ann") == "(&(objectClass=person)(uid=ann))"


@pytest.mark.parametrize(
    ("url", "port"), [("ldap://h/??sub?(uid=X)", 389), ("ldaps://[::1]/dc=x??sub?(uid=X)", 636)]
)
def test_ports_that_are_not_said(url: str, port: int) -> None:
    assert read_url(url).port == port


def test_the_scope_is_the_whole_tree_where_none_is_stated() -> None:
    assert read_url(f"{BASE}???(uid=X)").scope == ldap.SCOPE_SUBTREE
    assert read_url(f"{BASE}??base?(uid=X)").scope == ldap.SCOPE_BASE


def test_x_stands_for_the_user_only_where_it_is_a_word() -> None:
    one = read_url(f"{BASE}??sub?(|(mail=X@example.com)(class=X500)(uid=X)(n=5%25))")
    assert one.filter_for("ann") == "(|(mail=ann@example.com)(class=X500)(uid=ann)(n=5%))"


@pytest.mark.parametrize("user", ["*)(uid=*", "a%sX", "X", r"\2a", "ann)(|(uid=*", "a\0b"])
def test_odd_names_are_escaped(user: str) -> None:
    text = read_url(f"{BASE}??sub?(uid=X)").filter_for(user)
    assert text == f"(uid={escape_filter_chars(user)})"
    assert not set("*()\0") & set(text[5:-1])


@given(st.text(max_size=50))
def test_no_name_closes_a_bracket(user: str) -> None:
    text = read_url(f"{BASE}??sub?(&(uid=X)(o=1))").filter_for(user)
    assert (text.count("("), text.count(")"), text.count("*")) == (3, 3, 0)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is not set"),
        ("uid=X", "no LDAP URL"),
        ("http://h/??sub?(uid=X)", "no LDAP URL"),
        ("ldap:///dc=x??sub?(uid=X)", "names no server"),
        (BASE, "has no X"),
        (f"{BASE}??sub?(uid=x)", "has no X"),
        (f"{BASE}??sub?(objectClass=*)", "has no X"),
        ("ldap://h:port/??sub?(uid=X)", "port"),
    ],
)
def test_wrong_urls_say_what_is_wrong(url: str, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        read_url(url)


def test_a_server_shows_no_password() -> None:
    stated = {"ldap-url": f"{BASE}??sub?(uid=X)", "app-user": "cn=a", "password": "search-it-1"}
    server = read_server(DEFAULTS | stated)
    assert "search-it-1" not in repr(server)
    assert server.password() == "search-it-1"
    assert [one for one in server.problems() if "unencrypted" in one]


@pytest.mark.parametrize("more", [{"start-tls": True}, {"ldap-url": "ldaps://h/??sub?(uid=X)"}])
def test_an_encrypted_way_is_no_problem(more: dict[str, object]) -> None:
    server = read_server(DEFAULTS | {"ldap-url": f"{BASE}??sub?(uid=X)"} | more)
    assert list(server.problems()) == []
