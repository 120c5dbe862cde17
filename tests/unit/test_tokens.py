"""Tokens as texts, and what a worker thinks of those that clients show."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.model.sessions import CERTIFICATE
from csp.model.token import Token, is_signed, is_token, read_token
from csp.model.token_keys import KEYS_DBID, TOKENS, TokenKey
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from csp.observe.clock import wall_ms
from csp.worker.register import TOGETHER_MS
from csp.worker.restoring import TOKEN_WAIT_MS
from csp.worker.tokens import CHECK_MS
from tests.unit.fake_loop import Server

KEYS = [TokenKey(1, 1_000, b"a" * 32), TokenKey(2, 2_000, b"b" * 32)]
STREAM = bytes(range(16))
LIFE_MS = 24 * 3600 * 1000


def token(**changed: object) -> Token:
    now = wall_ms()
    made = Token(
        version=1,
        key_id=2,
        stream=STREAM,
        revision=7,
        mark=0xABCD,
        account=100,
        application=105,
        credential=10,
        issued_ms=now,
        expires_ms=now + LIFE_MS,
        bookmark_ms=0,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def sealed(key: TokenKey = KEYS[1], **changed: object) -> bytes:
    return token(**changed).sealed(key.derived(TOKENS))


def test_a_token_is_read_as_it_was_sealed() -> None:
    made = token(revision=2**63 - 2, mark=2**64 - 1, bookmark_ms=86_400_000)
    text = made.sealed(b"k" * 32)
    assert (len(text), text[:5]) == (125, b"csp1.")
    assert read_token(text) == made
    assert is_signed(text, b"k" * 32)


def test_the_signature_is_keyed_blake2b_of_all_before_it() -> None:
    text = token().sealed(b"k" * 32)
    both = base64.urlsafe_b64decode(text[5:])
    body, sign = both[:-16], both[-16:]
    assert sign == hashlib.blake2b(body, key=b"k" * 32, digest_size=16).digest()


def test_whatever_is_changed_of_a_token_spoils_it() -> None:
    text = token().sealed(b"k" * 32)
    assert not is_signed(text, b"l" * 32)
    for at in range(5, len(text)):
        other = b"B" if text[at : at + 1] == b"A" else b"A"
        assert not is_signed(text[:at] + other + text[at + 1 :], b"k" * 32)


@pytest.mark.parametrize(
    "text",
    [b"", b"secret", b"csp1.", b"csp1.secret", b"csp1." + b"=" * 120, b"csp2." + b"A" * 120,
     b"csp1." + b"A" * 119, b"csp1." + b"A" * 121, b"csp1." + b"A" * 119 + b"\xff"],
)  # fmt: skip
def test_a_password_is_no_token(text: bytes) -> None:
    assert not is_token(text)
    assert read_token(text) is None
    assert not is_signed(text, b"k" * 32)


@given(st.binary(max_size=200), st.integers(0, 125))
def test_rubbish_is_no_token(rubbish: bytes, kept: int) -> None:
    for text in (rubbish, b"csp1." + rubbish, token().sealed(b"k" * 32)[:kept] + rubbish):
        fields = read_token(text)
        assert (fields is None) or text[:5] == b"csp1."
        assert is_signed(text, b"l" * 32) is False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    reader = server.reader
    reader.put("CfgPerson", 100, userName="default")
    reader.put("CfgApplication", 105, name="desk")
    reader.objects[ACCOUNT_CLASS_ID, 100] = (10, {"revision": 10})
    rows = [{"id": key.id, "made": key.made_ms, "secret": key.secret.hex()} for key in KEYS]
    reader.objects[ACCOUNT_CLASS_ID, KEYS_DBID] = (1, {"keys": rows})
    server.connect(2, authenticated=False, user="", account_dbid=0, administrator=False)
    yield server
    server.close()


def refusal(server: Server, text: bytes, user: str = "default") -> str:
    """Why a sign-in by this token is refused, at once and without auth."""
    said = str(server.ask("AUTH", user, text, conn=2))
    assert not server.loop.sessions[2].authenticated
    return said


def test_the_newest_key_signs(server: Server) -> None:
    server.loop.pass_time(CHECK_MS)
    assert server.loop.token_key == (2, STREAM, KEYS[1].derived(TOKENS))


def test_a_good_token_signs_in_and_registers(server: Server) -> None:
    server.writer.accept()
    for key in KEYS:
        text = sealed(key, key_id=key.id, bookmark_ms=3_000)
        assert server.ask("AUTH", "default", text, conn=2) == "OK"
        session = server.loop.sessions[2]
        assert (session.user, session.account_dbid) == ("default", 100)
        assert (session.credential_revision, session.application_dbid) == (10, 105)
        assert len(server.lane.registrations) == 1
        server.loop.pass_time(TOGETHER_MS)
        verb, req, wishes = server.writer.take()
        assert verb == b"REGISTER"
        assert [one["application"] for one in orjson.loads(wishes)] == ["desk"]
        server.writer.answer("DONE", req, "0", "{}")
        server.loop.poll()
        place = {"subs": 1, "mark": 0xABCD, "bookmark_ms": 3_000, "lost": False}
        assert server.loop.started[2] == (7, place)
        assert server.ask("RESET", conn=2) == "RESET"
        server.loop.pass_time(TOGETHER_MS)
        verb, _, ended = server.writer.take()
        assert (verb, orjson.loads(ended)) == (b"UNREGISTER", ["0-2"])
        assert not session.authenticated


def test_hello_takes_one_too(server: Server) -> None:
    greeting = server.ask("HELLO", "3", "AUTH", "default", sealed(), conn=2)
    assert isinstance(greeting, dict)
    assert greeting[b"proto"] == 3


def test_a_token_of_another_history_is_lost_but_signs_in(server: Server) -> None:
    assert server.ask("AUTH", sealed(stream=b"x" * 16, mark=0), conn=2) == "OK"
    assert server.loop.started[2][1]["lost"]
    assert server.loop.started[2][1]["mark"] is not None


def test_a_token_ahead_of_this_server_waits_for_it(server: Server) -> None:
    text = sealed(revision=12)
    assert server.raw("AUTH", text, conn=2) is None
    assert not server.loop.sessions[2].authenticated
    server.publish(12)
    assert server.later(conn=2) == "OK"
    server.ask("RESET", conn=2)
    assert server.raw("AUTH", sealed(revision=99), conn=2) is None
    server.loop.pass_time(TOKEN_WAIT_MS)
    assert server.later(conn=2) == "OK", "its place fails no sign-in"


@pytest.mark.parametrize("what", ["disabled", "password", "certificate-only"])
def test_what_became_of_the_account_while_its_token_waited_counts(
    server: Server, what: str
) -> None:
    """The wait is for the very changes among which the account's own may be."""
    assert server.raw("AUTH", sealed(revision=12), conn=2) is None
    if what == "password":
        server.reader.objects[ACCOUNT_CLASS_ID, 100] = (11, {"revision": 11})
    else:
        only = {"authentication": {"certificate-only": "true"}}
        changed = {"state": "disabled"} if what == "disabled" else {"userProperties": only}
        server.reader.put("CfgPerson", 100, userName="default", **changed)
    server.publish(12)
    assert str(server.later(conn=2)).startswith("WRONGPASS")
    assert not server.loop.sessions[2].authenticated
    assert len(server.lane.registrations) == 0


def test_what_is_worth_nothing_is_refused_at_once(server: Server) -> None:
    good = sealed()
    forged = good[:50] + (b"A" if good[50:51] != b"A" else b"B") + good[51:]
    for text, why in (
        (forged, "WRONGPASS the token is not valid"),
        (sealed(KEYS[0]), "WRONGPASS the token is not valid"),
        (sealed(key_id=3), "WRONGPASS the token is not valid"),
        (sealed(version=2), "WRONGPASS the token is not valid"),
        (sealed(expires_ms=wall_ms() - 1), "WRONGPASS the token is older"),
        (sealed(account=101), "WRONGPASS the token is not valid"),
        (sealed(credential=9), "WRONGPASS the password has changed"),
        (sealed(application=106), "NOPERM the token's application is gone"),
    ):
        assert refusal(server, text).startswith(why)
        verb, req, _, user, reason = server.auth.take()
        assert (verb, user) == (b"REFUSED", b"default")
        assert reason.decode().startswith(why)
        server.auth.answer("DONE", req)
    assert refusal(server, good, user="ann").startswith("WRONGPASS the token is not valid")
    assert server.loop.started == {}


def test_a_certificate_only_account_s_token_is_good_where_its_certificate_was_shown(
    server: Server,
) -> None:
    only = {"authentication": {"certificate-only": "true"}}
    server.reader.put("CfgPerson", 100, userName="default", userProperties=only)
    assert refusal(server, sealed()).endswith("the account is certificate-only")
    server.lane.certificates.became(2, 200, CERTIFICATE)
    assert refusal(server, sealed()).endswith("the account is certificate-only"), "another's"
    server.lane.certificates.became(2, 100, CERTIFICATE)
    assert server.ask("AUTH", "default", sealed(), conn=2) == "OK"


def test_a_disabled_account_or_application_ends_it(server: Server) -> None:
    good = sealed()
    server.reader.put("CfgPerson", 100, userName="default", state="disabled")
    assert refusal(server, good).startswith("WRONGPASS")
    server.reader.put("CfgPerson", 100, userName="default")
    server.reader.put("CfgApplication", 105, name="desk", state="disabled")
    assert refusal(server, good).startswith("NOPERM the token's application is gone or disabled")
    server.reader.put("CfgApplication", 105, name="desk", type="configurationserver")
    assert refusal(server, good).startswith("NOPERM configuration servers sign in with")


def test_another_application_is_no_permission(server: Server) -> None:
    from csp.model.keys import KEYS as FILTER_KEYS

    server.reader.put("CfgApplication", 106, name="other")
    key_id = FILTER_KEYS["CfgApplication", "name"].key_id
    server.reader.finds[key_id, b"other"] = [106]
    server.reader.finds[key_id, b"desk"] = [105]
    assert server.ask("AUTH", sealed(), conn=2) == "OK"
    assert str(server.ask("CFG.REGISTER", "other", conn=2)).startswith("NOPERM the token")
    server.loop.sessions[2].proto = 3
    granted = server.ask("CFG.REGISTER", "desk", conn=2)
    assert isinstance(granted, dict)
    assert (granted[b"restored"], granted[b"token"]) == (1, b"token of 105")


def test_a_place_that_somebody_holds_does_not_fail_the_sign_in(server: Server) -> None:
    server.reader.put("CfgApplication", 105, name="desk", isServer=True)
    assert server.ask("AUTH", sealed(), conn=2) == "OK"
    server.writer.answer("FAIL", server.writer.take()[1], "BUSY application desk is connected")
    server.loop.poll()
    assert server.loop.closing == set()
    assert len(server.lane.registrations) == 0


def test_a_configuration_server_gets_no_token(server: Server) -> None:
    from csp.model.keys import KEYS as FILTER_KEYS

    server.reader.put(
        "CfgApplication", 107, name="proxy1", isServer=True, type="configurationserver"
    )
    server.reader.finds[FILTER_KEYS["CfgApplication", "name"].key_id, b"proxy1"] = [107]
    server.ask("HELLO", "3")
    assert server.raw("CFG.REGISTER", "proxy1") is None
    server.writer.answer("DONE", server.writer.take()[1], "0", '{"since":1,"replaced":[]}')
    granted = server.later()
    assert isinstance(granted, dict)
    assert (granted[b"restored"], granted[b"token"]) == (0, b"")


def test_another_account_on_a_subscribed_connection_loses_its_place(server: Server) -> None:
    assert server.ask("AUTH", sealed(), conn=2) == "OK"
    session = server.loop.sessions[2]
    session.subscriptions, session.proto = 1, 3
    server.loop.started.clear()
    assert server.ask("AUTH", sealed(), conn=2) == "OK"
    assert server.loop.lost == set()
    session.account_dbid = 101
    assert server.ask("AUTH", sealed(), conn=2) == "OK"
    assert server.loop.lost == {2}
    assert server.loop.started == {}


def test_a_token_stands_for_no_password_that_changes(server: Server) -> None:
    said = str(server.ask("CFG.PASSWD", sealed(), b"new"))
    assert said.startswith("WRONGPASS a token does not stand for the old password")
    said = str(server.ask("CFG.PASSWD", b"old", sealed()))
    assert said.startswith("BADVALUE the new password has the form of a token")


def test_nothing_shows_a_key(server: Server) -> None:
    assert KEYS[0].secret.hex() not in repr(KEYS)
    assert repr(KEYS[0].secret) not in repr(KEYS)
    for class_ in CLASSES.values():
        assert class_.id != ACCOUNT_CLASS_ID
