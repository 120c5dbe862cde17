"""CFG.HISTORY and CFG.PASSWD on a real master and proxy, and the verbs that use them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.neighbours.waiting import wait_until

ONCE = Retry(NoBackoff(), 0)  # redis-py tries a refused sign-in again, with pauses


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module")
def master(folder: Path) -> Iterator[Master]:
    with Master(folder) as master:
        yield master


@pytest.fixture(scope="module")
def proxy(folder: Path, master: Master) -> Iterator[Proxy]:
    with Proxy(folder, master) as proxy:
        yield proxy


def skill(master: Master, name: str) -> str:
    done = master.cli("create", "CfgSkill", json.dumps({"tenantDBID": 1, "name": name}), "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["key"])


def records(server: Master | Proxy, *arguments: object) -> tuple[int, int, list[dict]]:
    with server.client() as client:
        revision, following, found = client.execute_command("CFG.HISTORY", *arguments)
    return revision, int(following), [json.loads(one) for one in found]


def test_a_record_says_when_who_and_what(master: Master) -> None:
    key = skill(master, "French")
    dbid = int(key.partition(":")[2])
    delta = json.dumps({"changed": {"state": "disabled"}})
    with master.client() as client:
        since = client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta, "ID", "my-write") - 1
        client.execute_command("CFG.DELETE", "CfgSkill", dbid)
    _, following, found = records(master, "SINCE", since, "FILTER", "key", key)
    assert following == 0
    assert [record["changes"][0]["op"] for record in found] == ["update", "delete"]
    assert found[0]["revision"] == since + 1
    assert found[0]["id"] == "my-write"
    assert found[0]["actor"]["account"] == "CfgPerson:100"
    assert found[0]["changes"][0]["delta"] == {"changed": {"state": "disabled"}}
    assert found[0]["time"] <= found[1]["time"]


def test_pages_continue_without_gap_or_repeat(master: Master) -> None:
    for number in range(5):
        skill(master, f"page {number}")
    head, _, everything = records(master)
    since, seen = 0, []
    while True:
        _, since, page = records(master, "SINCE", since, "LIMIT", 2)
        seen += [record["revision"] for record in page]
        if since == 0:
            break
    assert seen == [record["revision"] for record in everything]
    assert seen[-1] == head


def test_filters(master: Master) -> None:
    skill(master, "filtered")
    _, _, created = records(master, "FILTER", "class", "CfgSkill", "FILTER", "op", "create")
    assert created
    for record in created:
        assert ("create", "CfgSkill") in {(one["op"], one["class"]) for one in record["changes"]}
    _, _, mine = records(master, "FILTER", "user", "default")
    assert {record["actor"]["account"] for record in mine} == {"CfgPerson:100"}
    assert records(master, "FILTER", "account", "CfgPerson:4711")[2] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("LIMIT", 0), "BADVALUE LIMIT 0: 1 to 1000"),
        (("LIMIT", 1001), "BADVALUE LIMIT 1001: 1 to 1000"),
        (("FILTER", "shoe", "44"), "BADVALUE 'shoe' is no filter of the history"),
        (("FILTER", "user", "nobody"), "BADVALUE user 'nobody': there is no such user"),
        (("FILTER", "key", "CfgSkill"), "BADKEY"),
        (("NONSENSE",), "syntax error"),
    ],
)
def test_refusals(master: Master, arguments: tuple[object, ...], words: str) -> None:
    with master.client() as client, pytest.raises(redis.ResponseError) as refused:
        client.execute_command("CFG.HISTORY", *arguments)
    assert words in str(refused.value)


def test_a_proxy_tells_its_masters_history(master: Master, proxy: Proxy) -> None:
    skill(master, "seen through the proxy")
    assert records(proxy, "FILTER", "class", "CfgSkill") == records(
        master, "FILTER", "class", "CfgSkill"
    )


def test_the_history_verb(master: Master) -> None:
    key = skill(master, "on the command line")
    shown = master.cli("history", "CfgSkill/name=on the command line,tenant_dbid=1", "--json")
    assert shown.returncode == 0, shown.stderr
    (record,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert record["changes"][0]["object"]["name"] == "on the command line"
    assert key in master.cli("history", key, "--user", "default").stdout
    # People are named, not numbered; of a transaction with many objects the first ones stand there.
    line = master.cli("history", key).stdout.splitlines()[0]
    assert " default 127.0.0.1:" in line
    first = master.cli("history", "--limit", "1").stdout.splitlines()
    assert len(first) == 22
    assert re.fullmatch(r"  … and \d+ more objects", first[-1])
    assert len(master.cli("history", "--limit", "3", "--json").stdout.splitlines()) == 3
    newest = str(record["revision"])
    assert master.cli("history", "--since", newest).returncode == 1
    assert master.cli("history", key, "--user", "nobody").returncode == 2


def test_a_password_changes_everywhere_and_is_nowhere(folder: Path) -> None:
    new = "a new pass phrase, Žluťoučký"
    (folder / "own").mkdir()
    with Master(folder / "own") as master, Proxy(folder / "own", master) as proxy:
        wrong = master.cli("passwd", CSP_PASSWORD="wrong", CSP_NEW_PASSWORD=new)
        assert wrong.returncode == 4
        with master.client(retry=ONCE) as client:
            with pytest.raises(redis.RedisError, match="the old password is wrong"):
                client.execute_command("CFG.PASSWD", "wrong", new)
            with pytest.raises(redis.ResponseError, match="the new password is empty"):
                client.execute_command("CFG.PASSWD", PASSWORD, "")
            with pytest.raises(redis.ResponseError, match="no user 'nobody'"):
                client.execute_command("CFG.PASSWD", "nobody", PASSWORD, new)
        with proxy.client(retry=ONCE) as client, pytest.raises(redis.RedisError) as refused:
            client.execute_command("CFG.PASSWD", PASSWORD, new)
        assert f"127.0.0.1:{master.port}" in str(refused.value)

        done = master.cli("passwd", CSP_NEW_PASSWORD=new)
        assert done.returncode == 0, done.stderr
        for server in (master, proxy):
            wait_until(lambda at=server: not signs_in(at, PASSWORD), 10, "the old one ends")
            assert signs_in(server, new)
        with redis.Redis("127.0.0.1", master.port, username="default", password=new) as told:
            _, _, found = told.execute_command("CFG.HISTORY", "FILTER", "key", "CfgPerson:100")
        assert b'"op":"update"' in found[-1]
        assert not any(new.encode() in one or b"argon2" in one for one in found)
        assert master.place is not None
        held = b"".join(path.read_bytes() for path in master.place.files())
        assert new.encode() not in held
        assert new not in master.log_text() + done.stdout + done.stderr


def signs_in(server: Master | Proxy, password: str) -> bool:
    try:
        with redis.Redis(
            "127.0.0.1", server.port, username="default", password=password, retry=ONCE
        ) as one:
            return bool(one.execute_command("DBSIZE"))
    except (redis.AuthenticationError, redis.ResponseError):
        return False


def test_another_users_password_is_stored_for_their_sign_in(master: Master) -> None:
    person = {"tenantDBID": 1, "userName": "ann", "employeeID": "ann", "isAgent": False}
    assert master.cli("create", "CfgPerson", json.dumps(person)).returncode == 0
    assert master.cli("passwd", "ann", CSP_NEW_PASSWORD="hers").returncode == 0
    assert signs_in(master, PASSWORD)


def test_password_change_false_refuses(folder: Path) -> None:
    (folder / "off").mkdir()
    with Master(folder / "off") as master:
        set_ = master.cli("option", "CfgApplication:99", "confserv", "password-change", "false")
        assert set_.returncode == 0, set_.stderr
        with master.client() as client:
            wait_until(
                lambda: client.config_get("password-change") == {"password-change": "no"},
                10,
                "the option holds",
            )
        done = master.cli("passwd", CSP_NEW_PASSWORD="x")
        assert done.returncode == 4
        assert "password-change is false" in done.stderr
