"""CLIENT TRACKING and its kin on a fake loop: words, refusals, what goes together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.worker.tracking import PREFIXES_MAX
from tests.unit.fake_loop import Server

ON = ("CLIENT", "TRACKING", "ON")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


def test_the_modes(server: Server) -> None:
    assert server.ask("CLIENT", "GETREDIR") == -1
    assert server.ask(*ON, "optin", "NOLOOP") == "OK"
    how = server.loop.tracking.how[1]
    assert (how["optin"], how["noloop"], how["bcast"], how["redirect"]) == (True, True, False, 0)
    assert server.ask("CLIENT", "GETREDIR") == 0
    info = server.ask("CLIENT", "TRACKINGINFO")
    assert info == [
        *(b"flags", [b"on", b"optin", b"noloop"]),
        *(b"redirect", 0, b"prefixes", []),
    ]
    assert server.ask("CLIENT", "CACHING", "YES") == "OK"
    assert server.ask("CLIENT", "TRACKINGINFO")[1] == [b"on", b"optin", b"caching-yes", b"noloop"]  # type: ignore[index]
    assert server.ask("CLIENT", "TRACKING", "OFF") == "OK"
    assert server.loop.tracking.how == {}


@pytest.mark.parametrize(
    ("before", "words", "refusal"),
    [
        ((), ("ON", "X"), "ERR syntax error"),
        ((), ("ON", "REDIRECT"), "ERR syntax error"),
        ((), ("MAYBE",), "ERR syntax error"),
        ((), ("ON", "REDIRECT", "x"), "ERR value is not an integer or out of range"),
        ((), ("ON", "REDIRECT", "7"), "ERR The client ID you want redirect to does not exist"),
        ((), ("ON", "PREFIX", "a"), "ERR PREFIX option requires BCAST mode to be enabled"),
        ((), ("ON", "BCAST", "OPTIN"), "ERR OPTIN and OPTOUT are not compatible with BCAST"),
        ((), ("ON", "OPTIN", "OPTOUT"), "ERR You can't specify both OPTIN mode and OPTOUT mode"),
        (("OPTIN",), ("ON", "OPTOUT"), "ERR You can't switch OPTIN/OPTOUT mode before disabling"),
        (("BCAST",), ("ON",), "ERR You can't switch BCAST mode on/off before disabling"),
        (
            (),
            ("ON", "BCAST", "PREFIX", "ab", "PREFIX", "a"),
            "ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single",
        ),
        (
            ("BCAST",),
            ("ON", "BCAST", "PREFIX", "a"),
            "ERR Prefix 'a' overlaps with an existing prefix ''. Prefixes for a single",
        ),
        ((), ("ON", "BCAST", "PREFIX", "x" * 257), "TOOBIG a prefix may have 256 bytes"),
    ],
)
def test_refusals_are_in_redis_words(
    server: Server, before: tuple[str, ...], words: tuple[str, ...], refusal: str
) -> None:
    if before:
        assert server.ask(*ON, *before) == "OK"
    assert str(server.ask("CLIENT", "TRACKING", *words)).startswith(refusal)


def test_prefixes_are_limited(server: Server) -> None:
    words = [word for at in range(PREFIXES_MAX + 1) for word in ("PREFIX", f"{at:03}")]
    refusal = f"TOOBIG a connection may have at most {PREFIXES_MAX} prefixes"
    assert server.ask(*ON, "BCAST", *words) == refusal
    assert server.ask(*ON, "BCAST", *words[2:]) == "OK"


def test_caching_belongs_to_optin_and_optout(server: Server) -> None:
    assert str(server.ask("CLIENT", "CACHING", "YES")).startswith("ERR CLIENT CACHING can be")
    server.ask(*ON, "OPTOUT")
    assert server.ask("CLIENT", "CACHING", "YES") == (
        "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
    )
    assert server.ask("CLIENT", "CACHING", "x") == "ERR syntax error"
    assert server.ask("CLIENT", "CACHING", "NO") == "OK"


def test_one_cursor_a_connection(server: Server) -> None:
    assert server.ask(*ON) == "OK"
    assert "a connection that tracks has one" in str(server.ask("CFG.FROM", "NOW"))


def test_not_while_a_cursor_rests(server: Server) -> None:
    server.loop.tracking.may = False
    assert str(server.ask(*ON)).startswith("ERR a cursor of CFG.FROM, or of a token, rests")
