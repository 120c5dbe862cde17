"""What a TLS port has by what is stated for it: its files, versions, and whom it asks."""

from __future__ import annotations

import pytest

from csp.process.ports import Port, Security
from csp.tls.settings import BOTH, DEMANDED, SettingsRefused, settings_of, tls_ports

CERTIFICATE = {"certificate": "/tls/own.pem", "certificate-key": "/tls/own.key"}


def test_files_are_taken_in_the_order_in_which_they_stand() -> None:
    found = settings_of({"certificate": "/a/leaf.pem, /a/issuer.pem", "certificate-key": "/a/k"})
    assert found.certificate == ("/a/leaf.pem", "/a/issuer.pem")
    assert found.key == "/a/k"
    assert found.paths == ("/a/leaf.pem", "/a/issuer.pem", "/a/k")


def test_without_a_key_of_its_own_the_first_file_holds_it() -> None:
    assert settings_of({"certificate": "/a/all.pem,/a/issuer.pem"}).key == "/a/all.pem"


@pytest.mark.parametrize(
    ("stated", "spoken"),
    [
        ("", BOTH),
        ("SSLv23", BOTH),
        ("TLSv12", "tlsv1.2"),
        ("TLSv1.3", "tlsv1.3"),
        ("tlsv13,tlsv12", BOTH),
    ],
)
def test_versions_are_named_as_the_original_does(stated: str, spoken: str) -> None:
    assert settings_of(CERTIFICATE | {"sec-protocol": stated}).protocols == spoken


@pytest.mark.parametrize("old", ["SSLv3", "TLSv1", "TLSv11", "TLSv12,TLSv1.1"])
def test_versions_that_are_not_safe_are_refused(old: str) -> None:
    with pytest.raises(SettingsRefused, match="not safe"):
        settings_of(CERTIFICATE | {"sec-protocol": old})


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({}, "no certificate is named"),
        ({"certificate": " , "}, "no certificate is named"),
        ({"certificate": "tls/own.pem"}, "tls/own.pem is no whole path"),
        ({**CERTIFICATE, "certificate-key": "/a,/b"}, "names 2 files"),
        ({**CERTIFICATE, "tls-mutual": "1"}, "needs trusted-ca"),
        ({**CERTIFICATE, "sec-protocol": "best"}, "best is none of SSLv23, TLSv12, TLSv13"),
    ],
)
def test_what_makes_no_port_is_refused_with_words(stated: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsRefused, match=words):
        settings_of(stated)


def test_authorities_count_where_clients_are_asked_alone() -> None:
    trusted = CERTIFICATE | {"trusted-ca": "/a/ca.pem", "tls-crl": "/a/crl.pem"}
    assert settings_of(trusted).trusted == ()
    found = settings_of(trusted | {"tls-mutual": "1"})
    assert (found.mutual, found.trusted, found.revoked) == (
        DEMANDED,
        ("/a/ca.pem",),
        ("/a/crl.pem",),
    )


def test_a_port_that_states_nonsense_leaves_the_others_alone() -> None:
    ports = [
        Port(0, "default"),
        Port(1, "good", security=Security.SECURED, tls=CERTIFICATE),
        Port(2, "bad", security=Security.AUTO),
    ]
    good, bad = tls_ports(ports)
    assert (good.number, good.settings) == (1, settings_of(CERTIFICATE))
    assert (bad.number, bad.settings) == (2, None)
    assert "no certificate is named" in bad.refusal
