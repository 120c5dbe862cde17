"""Pages of CFG.READ that many ask for are built once a revision, and sent to all of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from csp.resp import MORE, Decoder, request
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until

PERSONS = 2_000
ASKED = ("CFG.READ", "CfgPerson", "FILTER", "is_agent", "false", "BRIEF", "LIMIT", "10000")
FIRST, SECOND, SHARED = range(3)  # what is asked for a second time is kept for the third


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """With so many persons that a page of them is sent in many pieces."""
    with Master(tmp_path_factory.mktemp("shared")) as master:
        with master.client() as client:
            for start in range(0, PERSONS, 500):
                pipe = client.pipeline(transaction=True)
                for number in range(start, start + 500):
                    pipe.execute_command("CFG.CREATE", "CfgPerson", _person(number))
                pipe.execute()
        yield master


def _person(number: int) -> str:
    words = {"userName": f"p{number:05}", "employeeID": f"{number:05}", "firstName": "x" * 60}
    return json.dumps(words | {"lastName": "y" * 60, "tenantDBID": 1, "isAgent": False})


@pytest.fixture
def client(master: Master) -> Iterator[redis.Redis]:
    with master.client(decode_responses=False) as client:
        # A revision of its own: nothing is kept yet.
        client.execute_command("CFG.CREATE", "CfgSkill", _skill())
        yield client


_numbers = itertools.count()


def _skill() -> str:
    return json.dumps({"name": f"s{next(_numbers)}", "tenantDBID": 1})


def shared(client: redis.Redis) -> int:
    """How many pages were sent that another request had made."""
    flat = list(_flat(client.execute_command("CFG.METRICS")))
    return int(flat[flat.index(b"pages_shared") + 1])


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for pair in value.items():
            yield from _flat(list(pair))
    elif isinstance(value, list):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def read(client: redis.Redis, *words: str) -> Any:
    return client.execute_command(*ASKED, *words)


def test_the_same_page_is_built_once_and_sent_again(client: redis.Redis) -> None:
    before = shared(client)
    pages = [read(client) for _ in range(5)]
    assert len(pages[FIRST][2]) > PERSONS
    assert all(page == pages[FIRST] for page in pages)
    assert shared(client) - before == 3


def test_other_words_and_another_revision_are_another_page(client: redis.Redis) -> None:
    for _ in range(3):
        whole = read(client)
    before = shared(client)
    few = client.execute_command(*ASKED[:-1], "10")
    assert len(few[2]) == 10
    revision, dbid = client.execute_command(
        "CFG.CREATE", "CfgPerson", _person(PERSONS + next(_numbers))
    )
    newer = read(client)
    assert newer[0] == revision
    assert len(newer[2]) == len(whole[2]) + 1
    assert shared(client) == before
    client.execute_command("CFG.DELETE", "CfgPerson", dbid)


def test_replies_keep_their_order_around_a_shared_page(master: Master, client: redis.Redis) -> None:
    wanted = read(client)
    read(client)
    commands = [("PING", "a"), ASKED, ("PING", "b"), ASKED, ASKED, ("PING", "c")]
    connection = master.raw()
    connection._sock.sendall(b"".join(request(*words) for words in commands))
    decoder, replies = Decoder(), []
    while len(replies) < len(commands):
        value = decoder.next()
        if value is MORE:
            decoder.feed(connection._sock.recv(1 << 16))
            continue
        replies.append(value)
    connection.disconnect()
    assert [reply for reply in replies if isinstance(reply, bytes)] == [b"a", b"b", b"c"]
    assert all(reply == wanted for reply in replies if isinstance(reply, list))


def test_who_does_not_read_holds_the_old_page_and_no_other(
    master: Master, client: redis.Redis
) -> None:
    old = read(client)
    read(client)
    slow = [master.raw() for _ in range(5)]
    for one in slow:
        one._sock.sendall(request(*ASKED))
    wait_until(lambda: shared(client) >= 1, 5)
    client.execute_command("CFG.CREATE", "CfgSkill", _skill())
    new = read(client)
    assert new[0] > old[0]
    for one in slow:
        assert one.read_response() == old
        one.disconnect()


def test_who_may_read_less_gets_no_page_of_who_may_read_more(
    master: Master, client: redis.Redis
) -> None:
    _, other = client.execute_command("CFG.CREATE", "CfgTenant", json.dumps({"name": "Other"}))
    hidden = json.loads(_person(90_000)) | {"tenantDBID": other}
    client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(hidden))
    join_users(client, "reader")
    whole = [read(client) for _ in range(3)]
    with redis.Redis("127.0.0.1", master.port, username="reader", password=PASSWORD) as reader:
        before = shared(client)
        few = [read(reader) for _ in range(2)]
        assert shared(client) == before
        assert few[0] == few[1]
        assert few[0][0] == whole[0][0]
        names = [{json.loads(one)["userName"] for one in page[2]} for page in (whole[0], few[0])]
        assert names[0] - names[1] == {"p90000"}
        assert read(reader) == few[0]
        assert read(client) == whole[0]


def join_users(client: redis.Redis, user: str) -> None:
    """Makes a person of Environment who reads all of it."""
    words = {"userName": user, "employeeID": user, "tenantDBID": 1, "isAgent": False}
    _, dbid = client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(words))
    client.execute_command("CFG.PASSWD", user, PASSWORD, PASSWORD)
    groups = client.execute_command("CFG.READ", "CfgAccessGroup", "FILTER", "tenant_dbid", 1)[2]
    (users,) = [one for one in map(json.loads, groups) if one["type"] == "usersgroup"]
    delta = {"added": {"memberIDs": [{"type": "person", "DBID": int(dbid)}]}}
    client.execute_command("CFG.UPDATE", "CfgAccessGroup", users["DBID"], json.dumps(delta))
