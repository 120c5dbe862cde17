"""Options: values and units, what is honoured, and the limits of a worker's loop."""

from __future__ import annotations

import pytest

from csp.conf.options import NO_LIMIT, Options, in_force, load, loop_limits, parse_value
from csp.tables.options import OPTIONS, networks_of


def limits_of(options: Options, mode: str = "proxy") -> dict[str, int]:
    return loop_limits(in_force(options, mode), mode=mode, connections=924)


def test_defaults_are_the_protocols_limits() -> None:
    assert limits_of(load({})) == {
        "sign_in_ms": 40_000,
        "output_ms": 600_000,
        "output_bytes": 1024 * 1024,
        "page_bytes": 1_024_000,
        "request_bytes": 64 << 20,
        "request_args": 1_048_576,
        "connections": 924,
        "page_default": 1000,
        "page_objects": 10_000,
        "subscriptions": 10_000,
        "pattern_bytes": 256,
        "loose_patterns": 32,
        "loose_patterns_all": 1024,
        "tracked_keys": 10_000,
        "tracked_keys_all": 1_000_000,
        "read_wait_ms": 5000,
        "from_wait_ms": 10_000,
        "accepts": 64,
        "reply_bytes": 512 << 20,
        "turn_us": 10_000,
        "announce_ms": 2000,
        "held_bytes": 1 << 30,
        "check_briefs": 1,
        "address_connections": 0,
    }


@pytest.mark.parametrize("value", ["70", 70, " 70 "])
def test_a_number_may_be_text(value: object) -> None:
    options = load({"csproxy": {"client-connect-timeout": value}})
    assert options.number("csproxy", "client-connect-timeout") == 70
    assert limits_of(options)["sign_in_ms"] == 70_000
    assert not options.problems


@pytest.mark.parametrize("value", ["0", "65537", "x", "", "1.5", {"base64": ""}, "9" * 30])
def test_a_value_beyond_its_range_is_a_problem_and_the_default_holds(value: object) -> None:
    options = load({"csproxy": {"client-connect-timeout": value}})
    assert options.number("csproxy", "client-connect-timeout") == 40
    (problem,) = options.problems
    assert "client-connect-timeout" in str(problem)
    assert "40 is used" in str(problem)


def test_no_limit_is_written_as_zero() -> None:
    options = load({"csproxy": {"max-client-output-queue-size": 0}})
    assert limits_of(options)["output_bytes"] == NO_LIMIT


def test_what_is_not_honoured_is_one_problem_unless_it_is_the_default() -> None:
    options = load({"csproxy": {"objects-cache": "false", "proxy-writable": "no"}})
    assert [problem.option for problem in options.problems] == ["objects-cache"]
    assert "once for all workers" in options.problems[0].reason


def test_unknown_options_are_problems_and_unknown_sections_are_not() -> None:
    options = load({"csproxy": {"nothing": "1"}, "somebody-else": {"a": "b"}})
    assert [problem.option for problem in options.problems] == ["nothing"]


def test_families_of_options_are_known() -> None:
    options = load({"log-extended": {"level-reassign-24200": "alarm"}})
    assert [problem.reason for problem in options.problems] == ["not yet"]


def test_a_masters_section_is_named_like_its_application() -> None:
    sections = {"main": {"client-connect-timeout": 50}, "csproxy": {"client-connect-timeout": 60}}
    options = load(sections, mode="master", app_name="main")
    assert limits_of(options, mode="master")["sign_in_ms"] == 50_000
    assert limits_of(load(sections, app_name="main"))["sign_in_ms"] == 60_000


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("on", True), ("0", False)])
def test_flags(text: str, value: bool) -> None:
    assert parse_value(OPTIONS["csproxy", "proxy-writable"], text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7, 2001:DB8::7 ,2001:db8::/32,", "192.0.2.7/32, 2001:db8::7/128, 2001:db8::/32"),
    ],
)
def test_networks(text: str, value: str) -> None:
    option = OPTIONS["csp", "balancer-addresses"]
    assert parse_value(option, text) == value
    assert parse_value(option, value) == value


@pytest.mark.parametrize(
    "text", ["10.1.2.3/8", "balancer.example", "10.0.0.0/33", "10.0.0.0/8 10.0.0.1", "1,2,::1"]
)
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"IPv4|host bits"):
        parse_value(OPTIONS["csp", "balancer-addresses"], text)


def test_a_list_of_networks_has_an_end() -> None:
    with pytest.raises(ValueError, match="at most 256"):
        networks_of(",".join(["::1"] * 257))


def test_defaults_keep_their_own_rules() -> None:
    for option in OPTIONS.values():
        if option.words and option.default == "":
            continue
        assert parse_value(option, option.default) == option.default, option.name


def test_further_directories_have_the_options_of_the_first() -> None:
    options = load({"gauth_ldap_2": {"ldap_url": "ldap://b", "retry-attempts": "many", "hat": 1}})
    problems = {one.option: str(one) for one in options.problems}
    assert problems["ldap_url"] == (
        "[gauth_ldap_2] ldap_url: the spelling of older releases: use ldap-url"
    )
    assert "is not an integer" in problems["retry-attempts"]
    assert "no such option" in problems["hat"]


@pytest.mark.parametrize("name", ["delay-reload", "delay-reload-backup"])
def test_f56_f57_reloads_are_not_delayed_and_who_asks_for_it_is_told_why(name: str) -> None:
    """The original orders reloads in time, since each takes a server out of service."""
    (problem,) = load({"csproxy": {name: "30"}}).problems
    assert "a reload never closes service" in problem.reason
    assert not problem.is_wrong
