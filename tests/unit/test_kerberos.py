"""The Kerberos backend: what is read of a token, and tickets of a real realm (F101)."""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.external.backend import Directory, Kind, Unusable, Verdict
from csp.external.settings import Settings
from csp.kerberos import acceptor
from csp.kerberos.acceptor import KerberosBackend
from csp.kerberos.token import AP_REQ, KERBEROS, NoToken, authenticator_in, digest_of
from csp.tables.options import OPTIONS
from tests.neighbours.kdc import Kdc

DEFAULTS = {name: row.default for (of, name), row in OPTIONS.items() if of == "gauth_kerberos"}


def element(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 + len(digits))) + digits + value


def token(cipher: bytes = b"c" * 200, *, options: bytes = bytes(5), kvno: bool = False) -> bytes:
    """As a client's library makes it, around a ciphertext that says nothing."""
    version = element(0xA1, element(0x02, b"\x02")) if kvno else b""
    encrypted = element(0xA0, element(0x02, b"\x12")) + version + element(0xA2, element(4, cipher))
    request = b"".join(
        element(0xA0 + number, value)
        for number, value in enumerate(
            (
                element(0x02, b"\x05"),
                element(0x02, b"\x0e"),
                element(0x03, options),
                element(0x61, b"a ticket" * 20),
                element(0x30, encrypted),
            )
        )
    )
    return element(0x60, KERBEROS + AP_REQ + element(0x6E, element(0x30, request)))


# Tokens.


@pytest.mark.parametrize("kvno", [False, True])
def test_the_authenticator_is_found(kvno: bool) -> None:
    assert authenticator_in(token(b"secret" * 50, kvno=kvno)) == b"secret" * 50


def test_what_stands_around_the_authenticator_changes_nothing() -> None:
    assert digest_of(token()) == digest_of(token(options=b"\0\x20\0\0\0", kvno=True))
    assert digest_of(token()) != digest_of(token(b"d" * 200))


def test_a_length_that_is_not_the_shortest_is_refused() -> None:
    short = token(b"c" * 20)
    inner = authenticator_in(short)
    long = short.replace(b"\x04\x14" + inner, b"\x04\x81\x14" + inner)
    assert long != short
    with pytest.raises(NoToken):
        digest_of(long)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (b"", "cut off"),
        (b"\x60", "cut off"),
        (token() + b"\0", "not one element"),
        (token()[:-1], "cut off"),
        (element(0x60, bytes.fromhex("06062b0601050502") + b"x"), "SPNEGO"),
        (element(0x60, KERBEROS + b"\x02\x00" + b"x"), "not the first one"),
        (b"NTLMSSP" * 20, "not one element"),
        (element(0x60, KERBEROS + AP_REQ + element(0x6E, element(0x30, b""))), "five fields"),
        (bytes((0x60, 0x80)) + token()[4:], "shortest form"),
        (bytes(64 * 1024 + 1), "larger than"),
    ],
)
def test_what_is_no_token_is_said(found: bytes, said: str) -> None:
    with pytest.raises(NoToken, match=said):
        digest_of(found)


@given(st.binary(max_size=400))
def test_whatever_comes_is_a_token_or_none(found: bytes) -> None:
    for one in (found, token()[: len(found)] + found, element(0x60, KERBEROS + AP_REQ + found)):
        try:
            assert len(digest_of(one)) == 64
        except NoToken:
            continue


@given(st.integers(0, len(token()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_another_token_or_beside_the_authenticator(
    at: int, change: int
) -> None:
    changed = bytearray(token())
    changed[at] ^= change
    try:
        found = authenticator_in(bytes(changed))
    except NoToken:
        return
    assert len(found) == 200


# Tickets of a real realm.


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    with Kdc(tmp_path_factory.mktemp("kdc"), {"ann": "right-for-ann-1"}) as realm:
        yield realm


@pytest.fixture
def here(kdc: Kdc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kdc:
    """The realm, for this process, with a replay cache of the test's own."""
    for name, value in (kdc.variables | kdc.replay_cache(tmp_path.name)).items():
        monkeypatch.setenv(name, value)
    return kdc


def opened(kdc: Kdc, **stated: Any) -> Directory:
    given = {"SPN": "csp/localhost@EXAMPLE.TEST", "keytab": str(kdc.keytab)}
    return KerberosBackend().open(Settings("gauth_kerberos", (DEFAULTS | given | stated,)))


def ask(asked: Directory, found: str) -> Verdict:
    return asked.authenticate("", base64.b64decode(found), time.monotonic() + 5)


NEEDS = pytest.mark.needs("krb5kdc", "kadmin.local", "kinit", "faketime")


@NEEDS
def test_a_ticket_names_its_principal_and_a_reply(here: Kdc) -> None:
    found = here.token("ann")
    verdict = ask(opened(here), found)
    assert verdict.kind is Kind.ACCEPTED
    assert verdict.facts["principal"] == "ann@EXAMPLE.TEST"
    assert verdict.facts["digest"] == digest_of(base64.b64decode(found))
    assert len(base64.b64decode(verdict.facts["reply"])) > 100
    assert "reply" not in repr(verdict)


@NEEDS
def test_without_mutual_authentication_there_is_no_reply(here: Kdc) -> None:
    verdict = ask(opened(here), here.token("ann", mutual=False))
    assert verdict.kind is Kind.ACCEPTED
    assert verdict.facts["reply"] == ""


@NEEDS
@pytest.mark.parametrize("spn", ["csp/localhost@EXAMPLE.TEST", ""])
def test_a_replay_is_refused_by_this_machine(here: Kdc, spn: str) -> None:
    found = here.token("ann")
    assert ask(opened(here, SPN=spn), found).kind is Kind.ACCEPTED
    again = ask(opened(here, SPN=spn), found)
    assert again.kind is Kind.REFUSED
    assert "replay" in again.words


@NEEDS
@pytest.mark.parametrize("variable", ["KRB5RCACHETYPE", "KRB5RCACHENAME"])
def test_the_cache_can_be_switched_off_and_that_is_said(
    here: Kdc, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str
) -> None:
    monkeypatch.delenv("KRB5RCACHENAME")
    monkeypatch.setenv(variable, "none:" if variable == "KRB5RCACHENAME" else "none")
    with caplog.at_level(logging.WARNING, "csp.kerberos"):
        asked = opened(here)
    assert any(variable in one.getMessage() for one in caplog.records)
    found = here.token("ann")
    assert ask(asked, found).facts["digest"] == ask(asked, found).facts["digest"]


@NEEDS
@pytest.mark.parametrize("cache", ["file2:/nonexistent/cache", "nonsense:cache"])
def test_without_a_cache_that_can_be_used_nobody_gets_in(
    here: Kdc, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    asked, found = opened(here), here.token("ann")
    kept = os.environ["KRB5RCACHENAME"]
    monkeypatch.setenv("KRB5RCACHENAME", cache)
    with pytest.raises(Unusable, match=r"[Rr]eplay cache"):
        ask(asked, found)
    monkeypatch.setenv("KRB5RCACHENAME", kept)
    assert ask(asked, here.token("ann")).kind is Kind.ACCEPTED


@NEEDS
def test_tickets_for_others_and_of_other_times_are_refused(here: Kdc, tmp_path: Path) -> None:
    cache = here.sign_in("ann")
    here.add_service("csp/other", tmp_path / "other.keytab")
    asked = opened(here)
    other = ask(asked, here.token("ann", service="csp@other", cache=cache))
    assert other.kind is Kind.REFUSED
    assert "csp/other" in other.words
    assert ask(asked, here.token("ann", cache=cache)).kind is Kind.ACCEPTED
    skewed = ask(asked, here.token("ann", cache=cache, at="+10m"))  # its ticket is cached
    assert skewed.kind is Kind.REFUSED
    assert "skew" in skewed.words


@NEEDS
def test_an_expired_ticket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    realm = Kdc(tmp_path / "kdc", {"ann": "right-for-ann-1"})
    for name, value in (realm.variables | realm.replay_cache("here")).items():
        monkeypatch.setenv(name, value)
    try:
        realm.start("-2h")
        found = realm.token("ann", cache=realm.sign_in("ann", at="-2h"), at="-2h")
    finally:
        realm.stop()
    verdict = ask(opened(realm), found)
    assert verdict.kind is Kind.REFUSED
    assert "expired" in verdict.words


@NEEDS
def test_a_principal_of_another_realm_is_refused(here: Kdc) -> None:
    verdict = ask(opened(here, realm="OTHER.TEST"), here.token("ann"))
    assert verdict.kind is Kind.REFUSED
    assert "OTHER.TEST" in verdict.words


@NEEDS
def test_a_token_that_was_changed_is_refused(here: Kdc) -> None:
    found = bytearray(base64.b64decode(here.token("ann")))
    found[-1] ^= 1
    verdict = opened(here).authenticate("", bytes(found), time.monotonic() + 5)
    assert verdict.kind is Kind.REFUSED
    assert "integrity" in verdict.words


@NEEDS
def test_what_is_no_token_is_refused(here: Kdc) -> None:
    verdict = opened(here).authenticate("", b"no token", time.monotonic() + 5)
    assert verdict.kind is Kind.REFUSED
    assert "token" in verdict.words


@NEEDS
@pytest.mark.parametrize(
    "stated", [{"keytab": "/nonexistent/keytab"}, {"SPN": "csp/elsewhere@EXAMPLE.TEST"}]
)
def test_a_key_that_is_not_there_is_said(here: Kdc, stated: dict[str, str]) -> None:
    with pytest.raises(Unusable) as refused:
        ask(opened(here, **stated), here.token("ann"))
    assert next(iter(stated.values())) in str(refused.value)


@NEEDS
def test_the_keytab_of_the_environment_is_taken(here: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_KTNAME", str(here.keytab))
    assert ask(opened(here, keytab=""), here.token("ann")).kind is Kind.ACCEPTED


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "WHY_NOT", "No module named 'gssapi'")
    with pytest.raises(Unusable, match=r"pip install csp\[kerberos\]"):
        KerberosBackend().open(Settings("gauth_kerberos", (DEFAULTS,)))
