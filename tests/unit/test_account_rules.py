"""The rules of accounts: inherited, overridden, cut off, and what each means (F93 in domain.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from csp.errors import BadValue
from csp.rules.accounts import (
    FOR_EVER_MS,
    MINUTE_MS,
    SECTION,
    AccountRules,
    check_password,
    rules_of,
)
from csp.tables.options import OPTIONS


def estate(**tenants: Mapping[str, Any]) -> Any:
    """A look-up over tenants t1, t2, …, each below the one before it."""

    def get(class_name: str, dbid: int) -> Mapping[str, Any] | None:
        if class_name != "CfgTenant" or f"t{dbid}" not in tenants:
            return None
        parent = dbid - 1 if dbid > 2 else 0  # none is stated below Environment
        section = {SECTION: tenants[f"t{dbid}"]}
        return {"class": class_name, "DBID": dbid, "parentTenantDBID": parent,
                "userProperties": section}  # fmt: skip

    return get


def person(tenant: int, dbid: int = 200, **own: Any) -> dict[str, Any]:
    section = {name.replace("_", "-"): one for name, one in own.items()}
    annex = {SECTION: section}
    return {"class": "CfgPerson", "DBID": dbid, "tenantDBID": tenant, "userProperties": annex}


def test_no_rule_anywhere_is_no_limit() -> None:
    rules = rules_of(estate(t1={}), person(1))
    assert rules == AccountRules(lock_ms=30 * MINUTE_MS)
    check_password(rules, "CfgPerson:200", "x")


def test_rules_are_inherited_value_by_value_from_environment_down() -> None:
    get = estate(
        t1={"password-min-length": "8", "max-account-sessions": 3},
        t2={"password-min-length": 12},
        t3={"password-req-number": "true"},
    )
    assert rules_of(get, person(2)).min_length == 12
    assert rules_of(get, person(2)).sessions == 3
    lowest = rules_of(get, person(3))
    assert (lowest.min_length, lowest.sessions, lowest.needs) == (12, 3, ("password-req-number",))


@pytest.mark.parametrize("words", ["true", SECTION, f"other, {SECTION}"])
def test_a_tenant_that_overrides_the_section_takes_nothing_from_above(words: str) -> None:
    get = estate(
        t1={"password-min-length": 8},
        t2={"tenant-override-section": words, "password-no-repeats": 2},
        t3={},
    )
    for tenant in (2, 3):
        rules = rules_of(get, person(tenant))
        assert (rules.min_length, rules.no_repeats) == (0, 2)


def test_a_person_overrides_what_is_his() -> None:
    get = estate(
        t1={"account-expiration": 10, "password-expiration": 20, "account-lockout-threshold": 3}
    )
    rules = rules_of(get, person(1))
    assert (rules.idle_days, rules.password_days, rules.lock_attempts) == (10, 20, 3)
    assert rules_of(get, person(1, override_account_expiration="1")).idle_days == 0
    assert rules_of(get, person(1, override_password_expiration="yes")).password_days == 0
    assert rules_of(get, person(1, account_override_lockout="true")).lock_attempts == 0


def test_the_default_account_never_expires_and_is_never_locked_for_good() -> None:
    """F89."""
    get = estate(
        t1={
            **{"account-expiration": 10, "password-expiration": 20, "max-account-sessions": 1},
            **{"account-lockout-threshold": 3, "account-lockout-duration": 0},
        }
    )
    assert rules_of(get, person(1)).lock_ms == FOR_EVER_MS
    rules = rules_of(get, person(1, 100))
    assert (rules.idle_days, rules.password_days, rules.sessions) == (0, 0, 0)
    assert (rules.lock_attempts, rules.lock_ms) == (3, 30 * MINUTE_MS)


def test_a_wrong_value_counts_as_the_default_and_is_named() -> None:
    get = estate(t1={"password-min-length": 8}, t2={"password-min-length": "65", "x": 1})
    rules = rules_of(get, person(2))
    assert rules.min_length == 0
    (problem,) = rules.problems
    assert problem.startswith(f"CfgTenant:2 [{SECTION}] password-min-length: 65 is not in")


def test_a_cycle_of_tenants_ends() -> None:
    def get(_: str, dbid: int) -> Mapping[str, Any]:
        return {"DBID": dbid, "parentTenantDBID": 3 if dbid == 2 else 2}

    assert rules_of(get, person(2)).min_length == 0


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("password-min-length", "1234567", "12345678"),
        ("password-req-alpha", "12345678", "1234567a"),
        ("password-req-mixed-case", "abcdefgh", "abcdefgH"),
        ("password-req-number", "abcdefgh", "abcdefg1"),
        ("password-req-punctuation", "abcdefgh", "abcdefg!"),
    ],
)
def test_each_rule_of_composition_names_itself(name: str, bad: str, good: str) -> None:
    value = 8 if name.endswith("length") else "true"
    rules = rules_of(estate(t1={name: value}), person(1))
    with pytest.raises(BadValue, match=name):
        check_password(rules, "CfgPerson:200", bad)
    check_password(rules, "CfgPerson:200", good)


def test_every_option_of_the_section_is_read() -> None:
    """None is in the table in vain."""
    for (section, name), option in OPTIONS.items():
        if section != SECTION or name == "tenant-override-section":
            continue
        value = {"bool": "true", "int": str(option.max)}[option.type]
        base = {"account-expiration": 1, "password-expiration": 1, "account-lockout-threshold": 1}
        is_own = "override" in name
        got = rules_of(
            estate(t1=base if is_own else {**base, name: value}),
            person(1, **({name.replace("-", "_"): value} if is_own else {})),
        )
        assert got != rules_of(estate(t1=base), person(1)), name
