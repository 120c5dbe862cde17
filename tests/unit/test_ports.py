"""What an Application says of its server's ports, and what of it is not taken."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from csp.process.port_infos import PORTS_MAX, PURPOSES, PortInfos, read_ports
from csp.process.ports import Port, Purpose, Security


def infos(*ports: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    return {
        "portInfos": [
            {"id": name, "port": tcp, "transportParams": words} for name, tcp, words in ports
        ],
        **more,
    }


def said(words: str, name: str = "extra") -> PortInfos:
    """One port beside the default one."""
    return read_ports(infos(("default", "7000", ""), (name, "7001", words)))


def of_default(words: str, **stated: str) -> PortInfos:
    named = {name.replace("_", "-"): value for name, value in stated.items()}
    return read_ports(infos(("default", "7000", words)), stated=named)


def test_without_ports_there_is_the_default_one() -> None:
    assert read_ports({}) == PortInfos((Port(0),))


def test_the_default_port_comes_first_wherever_it_stands() -> None:
    found = read_ports(infos(("ui", "7002", "user=1"), ("default", "7000", "")))
    assert [(one.number, one.id, one.tcp) for one in found.ports] == [
        (0, "default", 7000),
        (1, "ui", 7002),
    ]
    assert not found.problems


@pytest.mark.parametrize(
    ("words", "purpose", "security"),
    [
        ("", Purpose.CLIENTS, Security.UNSECURED),
        ("tls=0;user=0", Purpose.CLIENTS, Security.UNSECURED),
        ("user=1", Purpose.USER_INTERFACE, Security.UNSECURED),
        ("ha-sync=1;tls=1", Purpose.HA_SYNC, Security.SECURED),
        ("management=1;upgrade=1", Purpose.MANAGEMENT, Security.AUTO),
        ("sentinel=1;tls=1", Purpose.SENTINEL, Security.SECURED),
        ("agent-check=1", Purpose.AGENT_CHECK, Security.UNSECURED),
        ("tls=1;tls-mutual=1;certificate-user=cn;", Purpose.CLIENTS, Security.SECURED),
    ],
)
def test_purpose_and_security(words: str, purpose: Purpose, security: Security) -> None:
    found = said(words)
    assert (found.ports[1].purpose, found.ports[1].security) == (purpose, security)
    assert not found.problems


def test_files_and_networks() -> None:
    port = said(
        "tls=1;tls-mutual=1;certificate=/c.pem,/ca.pem;certificate-key=/my keys/k.pem;"
        "certificate-user=uri;cipher-list=HIGH:!aNULL;"
        "proxy-protocol=10.0.0.1,fd00::/8;addresses=192.168.0.0/16"
    ).ports[1]
    assert port.tls == {
        **{"certificate": "/c.pem,/ca.pem", "certificate-key": "/my keys/k.pem"},
        **{"certificate-user": "uri", "tls-mutual": "1", "cipher-list": "HIGH:!aNULL"},
    }
    assert port.proxy_from == (ip_network("10.0.0.1/32"), ip_network("fd00::/8"))
    assert port.listed == (ip_network("192.168.0.0/16"),)


@pytest.mark.parametrize(
    ("words", "word", "reason"),
    [
        ("tls=1; tls-mutual=1", " tls-mutual=1", "a space"),
        ("tls =1", "tls =1", "a space"),
        ("tls= 1", "tls= 1", "a space"),
        ("tls=1;tls-mutal=1", "tls-mutal=1", "no such parameter"),
        ("tls", "tls", "name=value"),
        ("tls=", "tls=", "name=value"),
        ("tls=yes", "tls=yes", "0 or 1"),
        ("tls=1;tls=0", "tls=0", "twice"),
        ("tls=1;upgrade=1", "upgrade=1", "one of them"),
        ("tls-mutual=1", "tls-mutual=1", "needs tls=1"),
        ("tls=1;certificate-user=cn", "certificate-user=cn", "needs tls-mutual=1"),
        ("tls=1;tls-mutual=1;certificate-user=ou", "certificate-user=ou", "cn or uri"),
        ("addresses=10.0.0.1/8", "addresses=10.0.0.1/8", "host bits"),
        ("proxy-protocol=balancer", "proxy-protocol=balancer", "does not appear to be"),
        ("addresses=" + ",".join(["::1"] * 65), "addresses=" + ",".join(["::1"] * 65), "65 add"),
        ("user=1;management=1", "management=1", "one purpose"),
        ("ha-sync=1;management=1", "management=1", "one purpose"),
        ("sentinel=1;management=1", "sentinel=1", "one purpose"),
        ("agent-check=1;tls=1", "agent-check=1", "in the clear"),
        ("agent-check=1;proxy-protocol=::1", "agent-check=1", "no proxy-protocol"),
    ],
)
def test_a_port_of_which_something_is_not_understood_stays_shut(
    words: str, word: str, reason: str
) -> None:
    found = said(words)
    assert [one.id for one in found.ports] == ["default"]
    [problem] = found.problems
    assert (problem.port, problem.word) == ("extra", word)
    assert reason in problem.reason
    assert str(problem).startswith(f"port extra, {word}: ")


@pytest.mark.parametrize(
    "words",
    [
        "tls=1; tls-mutual=1; addresses=10.0.0.0/8",
        "tls=1 ;tls-mutual =1;addresses= 10.0.0.0/8",
        "tls=;tls-mutual;addresses=",
        "tls=0;tls=1;tls-mutual=0;tls-mutual=1;addresses=10.0.0.1/8",
    ],
)
def test_what_restricts_the_default_port_and_is_miswritten_is_not_left_out(words: str) -> None:
    found = of_default(words)
    port = found.ports[0]
    assert found.problems
    assert port.security is Security.SECURED
    assert port.tls["tls-mutual"] == "1"
    assert {str(one) for one in port.listed} == {"127.0.0.0/8", "::1/128"}


def test_a_restriction_that_is_switched_off_is_off_however_it_is_written() -> None:
    port = of_default("tls =0; tls-mutual=0").ports[0]
    assert (port.security, port.tls) == (Security.UNSECURED, {})


@pytest.mark.parametrize("tcp", ["0", "65536", "-1", "", "http", "²"])
def test_what_is_no_port_number(tcp: str) -> None:
    found = read_ports(infos(("default", "7000", ""), ("ui", tcp, "user=1")))
    assert [one.id for one in found.ports] == ["default"]
    assert "is not a port" in found.problems[0].reason


def test_two_ports_of_one_number() -> None:
    found = read_ports(infos(("default", "7000", ""), ("a", "7000", ""), ("b", "7001", "")))
    assert [(one.number, one.id) for one in found.ports] == [(0, "default"), (1, "b")]
    assert [one.port for one in found.problems] == ["a"]


def test_more_ports_than_a_server_has() -> None:
    found = read_ports(infos(*((f"p{n}", str(7000 + n), "") for n in range(PORTS_MAX))))
    assert len(found.ports) == PORTS_MAX
    assert [one.port for one in found.problems] == [f"p{PORTS_MAX - 1}"]


@pytest.mark.parametrize("word", [f"{name}=1" for name in PURPOSES])
def test_the_default_port_has_no_other_purpose(word: str) -> None:
    found = of_default(f"{word};tls=1")
    assert (found.ports[0].purpose, found.ports[0].security) == (Purpose.CLIENTS, Security.SECURED)
    [problem] = found.problems
    assert (problem.port, problem.word) == ("default", word)


def test_a_port_for_the_peer_is_for_it_alone() -> None:
    found = said("user=1;ha-sync=1")
    assert found.ports[1].purpose is Purpose.HA_SYNC
    assert [one.word for one in found.problems] == ["user=1"]


@pytest.mark.parametrize("words", ["tls=on", "tls=1;upgrade=1", "tls=1;foo=1"])
def test_the_default_port_is_read_in_the_strictest_way(words: str) -> None:
    found = of_default(words)
    assert found.ports[0].security is Security.SECURED
    assert len(found.problems) == 1


def test_a_bad_list_of_the_default_port_lets_in_this_machine_alone() -> None:
    found = of_default("addresses=10.0.0.0/8,nonsense")
    assert [str(one) for one in found.ports[0].listed] == ["127.0.0.0/8", "::1/128"]
    assert len(found.problems) == 1


def test_port_over_application_over_host() -> None:
    """F105, as far as it is said where a server starts."""
    application = infos(
        ("default", "7000", "tls=1;certificate=/port.pem"),
        ("plain", "7001", ""),
        options={"security": {"certificate": "/app.pem", "certificate-key": "/app.key", "tls": 1}},
    )
    host = {
        "userProperties": {
            "security": {"certificate-key": "/host.key", "trusted-ca": "/host.ca", "tls-crl": ""}
        }
    }
    default, plain = read_ports(application, host).ports
    assert default.tls == {
        "certificate": "/port.pem",
        "trusted-ca": "/host.ca",
    }
    assert (plain.security, plain.tls) == (Security.UNSECURED, {})


@pytest.mark.parametrize(
    ("port", "application", "host", "key"),
    [
        ("", "certificate,certificate-key", "certificate,certificate-key", "/app.key"),
        ("", "certificate-key", "certificate,certificate-key", "/app.key"),
        ("", "certificate", "certificate,certificate-key", None),
        ("certificate", "certificate,certificate-key", "certificate-key", None),
        ("certificate-key", "certificate", "certificate-key", "/port.key"),
        ("", "", "certificate,certificate-key", "/host.key"),
    ],
)
def test_a_key_is_no_further_away_than_its_certificate(
    port: str, application: str, host: str, key: str | None
) -> None:
    """F105: else a certificate whose file holds its key would get another one's."""

    def stated(level: str, names: str) -> dict[str, str]:
        endings = {"certificate": "pem", "certificate-key": "key"}
        return {name: f"/{level}.{endings[name]}" for name in names.split(",") if name}

    words = ";".join(["tls=1", *(f"{name}={text}" for name, text in stated("port", port).items())])
    found = read_ports(
        infos(("default", "7000", words), options={"security": stated("app", application)}),
        {"userProperties": {"security": stated("host", host)}},
    )
    assert found.ports[0].tls.get("certificate-key") == key


def test_the_command_line_stands_before_what_the_application_says() -> None:
    port = of_default("upgrade=1;certificate=/a", tls="1", certificate="/b").ports[0]
    assert (port.security, port.tls) == (Security.SECURED, {"certificate": "/b"})
    port = of_default("tls=1;tls-mutual=1", tls="0").ports[0]
    assert (port.security, port.tls) == (Security.UNSECURED, {})
    port = of_default("tls=1;tls-mutual=1", upgrade="1").ports[0]
    assert (port.security, port.tls) == (Security.AUTO, {"tls-mutual": "1"})
    assert of_default("tls=1").ports[0].security is Security.SECURED


def test_who_starts_in_the_clear_gets_in_from_this_machine() -> None:
    words = "addresses=10.0.0.0/8"
    assert len(of_default(words, tls="1").ports[0].listed) == 1
    listed = of_default(words, tls="0").ports[0].listed
    assert [str(one) for one in listed] == ["10.0.0.0/8", "127.0.0.0/8", "::1/128"]
