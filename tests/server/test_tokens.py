"""Tokens at real servers: sessions restored on any of them, without a gap, and ended in time."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from csp.model.token import read_token
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import (
    DESK,
    create_desk,
    create_skills,
    let_in,
    rename_skill,
    set_writable,
    status,
    wait_level,
)
from tests.server.hot_stage import Raw, command
from tests.unit.importing import document

NAMES = itertools.count()


class Estate:
    """A master, two proxies, a skill to rename and an application to register as."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master = Master(folder, workers=2)

    def __enter__(self) -> Estate:
        self.master.start()
        self.first = Proxy(self.folder, self.master, workers=2, app="first").start()
        self.second = Proxy(self.folder, self.master, app="second").start()
        (self.dbid,) = create_skills(self.master, ["restored"])
        for name in (DESK, "Other"):
            create_desk(self.master, name)
        self.level()
        return self

    def __exit__(self, *problem: object) -> None:
        for server in (self.second, self.first, self.master):
            server.__exit__(*problem)

    def level(self) -> None:
        for proxy in (self.first, self.second):
            wait_level(self.master, proxy)

    def rename(self, count: int = 1) -> int:
        """Renames the skill so often; the last revision."""
        names = (f"r{next(NAMES)}" for _ in range(count))
        return rename_skill(self.master, self.dbid, names)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with Estate(tmp_path_factory.mktemp("tokens")) as estate:
        yield estate


def registered(server: Server, *auth: str) -> tuple[Raw, dict[str, Any]]:
    """A RESP3 connection that has registered, and what CFG.REGISTER said."""
    raw = Raw(server.port)
    user, secret = auth if len(auth) == 2 else ("default", *(auth or (PASSWORD,)))
    assert raw.call("HELLO", 3, "AUTH", user, secret)["proto"] == 3
    return raw, raw.call("CFG.REGISTER", DESK)


def told(raw: Raw, count: int) -> list[int]:
    return [json.loads(raw.read()[2])["revision"] for _ in range(count)]


def bookmark(raw: Raw) -> dict[str, Any]:
    """The next bookmark; messages before it are passed over."""
    while True:
        message = raw.read()
        if message[1] == "cfg.notice":
            found: dict[str, Any] = json.loads(message[2])
            assert found["op"] == "bookmark", found
            return found


def test_a_session_goes_on_at_another_server_without_a_gap(estate: Estate) -> None:
    raw, granted = registered(estate.first)
    assert granted["restored"] == 0
    raw.send(
        command("CFG.FROM", "NOW", "BOOKMARKS", 1_000) + command("SUBSCRIBE", "cfg", "cfg.notice")
    )
    assert [raw.read()[0] for _ in range(3)] == ["cfg.from", "subscribe", "subscribe"]
    last = estate.rename(3)
    assert told(raw, 3) == [last - 2, last - 1, last]
    marked = bookmark(raw)
    token = read_token(marked["token"].encode())
    assert token is not None
    assert (token.revision, f"{token.mark:016x}") == (marked["revision"], marked["mark"])
    raw.close()
    missed = estate.rename(4)
    estate.level()
    for server in (estate.second, estate.master, estate.first):
        again, granted = registered(server, marked["token"])
        assert granted["restored"] == 1
        assert again.call("SUBSCRIBE", "cfg:CfgSkill")[0] == "subscribe"
        assert told(again, 4) == list(range(last + 1, missed + 1))
        assert again.is_silent()
        again.close()


def test_bookmarks_go_on_as_the_session_asked_for_them(estate: Estate) -> None:
    raw, _ = registered(estate.first)
    raw.send(command("CFG.FROM", "NOW", "BOOKMARKS", 1_000) + command("SUBSCRIBE", "cfg.notice"))
    assert [raw.read()[0] for _ in range(2)] == ["cfg.from", "subscribe"]
    token = bookmark(raw)["token"]
    again, _ = registered(estate.first, token)
    assert again.call("SUBSCRIBE", "cfg.notice")[0] == "subscribe"
    assert read_token(bookmark(again)["token"].encode()) is not None


def test_a_token_of_a_cursor_that_rests_keeps_its_place(estate: Estate) -> None:
    _, granted = registered(estate.master)
    last = estate.rename(2)
    again, granted = registered(estate.master, granted["token"])
    again.close()
    raw, _ = registered(estate.master, granted["token"])
    assert raw.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    assert told(raw, 2) == [last - 1, last]


def test_from_now_undoes_the_place(estate: Estate) -> None:
    _, granted = registered(estate.master)
    last = estate.rename(2)
    raw, _ = registered(estate.master, granted["token"])
    assert raw.call("CFG.FROM", "NOW") == ["cfg.from", last, status(estate.master)["mark"]]
    assert raw.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    assert told(raw, 0) == []
    assert raw.is_silent()
    newest = estate.rename()
    assert told(raw, 1) == [newest]


def test_forged_and_foreign_tokens_are_refused_at_once(estate: Estate) -> None:
    _, granted = registered(estate.first)
    good = granted["token"]
    for at in (6, 40, len(good) - 1):
        forged = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        raw = Raw(estate.first.port)
        assert str(raw.call("AUTH", forged)).startswith("-WRONGPASS the token is not valid here")
        assert str(raw.call("GET", "CfgTenant:1")).startswith("-NOAUTH")
    raw = Raw(estate.first.port)
    assert raw.call("AUTH", good) == "OK"
    said = str(raw.call("CFG.REGISTER", "Other"))
    assert said.startswith("-NOPERM the token of this session is another application's")
    raw = Raw(estate.first.port)
    assert str(raw.call("AUTH", good[:-1])).startswith("-WRONGPASS invalid username-password")
    assert wait_until(lambda: "the token is not valid here" in estate.first.log_text())
    for server in (estate.master, estate.first):
        assert good not in server.log_text(1_000_000)


def ann(estate: Estate) -> tuple[str, int]:
    """Somebody whose account may end, and whom every server knows: her name and DBID."""
    user = f"ann {next(NAMES)}"
    person = {"tenantDBID": 1, "userName": user, "employeeID": user}
    with estate.master.client() as client:
        made = client.execute_command(
            "CFG.CREATE", "CfgPerson", json.dumps({**person, "password": PASSWORD})
        )
    let_in(estate.master, int(made[1]))
    for proxy in (estate.first, estate.second):
        wait_level(estate.master, proxy)
    return user, int(made[1])


def answers(server: Server, user: str, token: str, word: str) -> bool:
    """Whether a sign-in by the token is answered with this word."""
    raw = Raw(server.port)
    said = str(raw.call("AUTH", user, token))
    raw.close()
    return said.startswith(word)


def test_a_disabled_account_ends_its_tokens_everywhere(estate: Estate) -> None:
    user, dbid = ann(estate)
    _, granted = registered(estate.first, user, PASSWORD)
    with estate.master.client() as client:
        for state, word in (("disabled", "-WRONGPASS"), ("enabled", "OK")):
            delta = json.dumps({"changed": {"state": state}})
            client.execute_command("CFG.UPDATE", "CfgPerson", dbid, delta)
            for server in (estate.master, estate.first, estate.second):
                wait_until(functools.partial(answers, server, user, granted["token"], word))


def test_a_changed_password_ends_its_tokens_everywhere(estate: Estate) -> None:
    _, granted = registered(estate.first)
    with estate.master.client() as client:
        client.execute_command("CFG.PASSWD", PASSWORD, "another horse")
        client.execute_command("CFG.PASSWD", "another horse", PASSWORD)
    for proxy in (estate.first, estate.second):
        wait_level(estate.master, proxy)
    for server in (estate.master, estate.first, estate.second):
        raw = Raw(server.port)
        assert str(raw.call("AUTH", granted["token"])).startswith(
            "-WRONGPASS the password has chan"
        )


def age_keys(master: Master) -> None:
    """As if a day had passed since the last one was made."""
    engine = create_engine(master.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE token_keys SET made_ms = made_ms - 86400000"))
    engine.dispose()


def token_of(server: Server, key_id: int) -> str:
    """A token that is signed with this key, which has come to the server."""

    def fresh() -> str:
        raw, granted = registered(server)
        raw.close()
        found = read_token(granted["token"].encode())
        assert found is not None
        return str(granted["token"]) if found.key_id == key_id else ""

    return wait_until(fresh, what=f"the server signs with key {key_id}")


def test_two_keys_are_good_also_with_the_master_down_and_after_a_restart(tmp_path: Path) -> None:
    with Master(tmp_path).start() as master, Proxy(tmp_path, master).start() as proxy:
        create_desk(master)
        wait_level(master, proxy)
        tokens = [token_of(proxy, 1)]
        for number in (2, 3):
            before = status(master)["revision"]
            age_keys(master)
            assert master.stop() == 0
            master.start()
            assert status(master)["revision"] == before + 1
            wait_level(master, proxy)
            tokens.append(token_of(proxy, number))
        assert master.stop() == 0
        for _ in range(2):
            for token, answer in zip(tokens, ("-WRONGPASS", "OK", "OK"), strict=True):
                assert str(Raw(proxy.port).call("AUTH", token)).startswith(answer)
            assert proxy.stop() == 0
            proxy.start()
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert not any(token.encode() in path.read_bytes() for token in tokens), path


def test_f109_t57_sessions_are_restored_across_a_pool_that_shows_its_own_name(
    estate: Estate, tmp_path: Path
) -> None:
    """The original shows the pool's name too, but restores no session there."""
    with estate.master.client() as client:
        _, host = client.execute_command("CFG.CREATE", "CfgHost", '{"name":"balancer.example"}')
        pool = {
            **{"name": "pool", "appPrototypeDBID": 1, "isServer": True, "tenantDBIDs": [1]},
            **{"workDirectory": ".", "commandLine": "-"},
            "serverInfo": {"hostDBID": host, "port": "2020"},
        }
        _, dbid = client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(pool))
    members = (estate.first, estate.second)
    for member in members:
        at = (f"CfgApplication/name={member.app}", "csproxy", "proxy-cluster-name", "pool")
        assert estate.master.cli("option", *at).returncode == 0
        wait_until(lambda member=member: status(member)["application"] == "pool")
    raw, granted = registered(estate.first)
    token = granted["token"]
    raw.close()
    again, granted = registered(estate.second, token)
    again.close()
    told = [granted[name] for name in ("restored", "server", "server_dbid", "server_address")]
    assert told == [1, "pool", dbid, "balancer.example:2020"]
    assert granted["backup"] == ""
    assert [status(member)["alarms"] for member in members] == [[], []]  # it runs nowhere
    # An import knows the member all the same.
    set_writable(estate.master, estate.first)
    file = tmp_path / "file.json"
    file.write_bytes(
        document(applications=[{"name": estate.first.app, "serverInfo": {"port": "1"}}])
    )
    done = estate.first.cli("import", str(file), "--dry-run")
    assert f"'{estate.first.app}' is this server's own Application" in done.stderr, done.stderr
