"""What somebody with few rights tries, to learn of what he may not read: each finds nothing.

He asks twice, for what is hidden and for what was never there, and looks for a difference; or he
uses somebody else's connection, or his own under another account.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw, command

SECRET = "one who attacks"  # of accounts that live as long as a test
FEW = "few"
TAKEN_BACK = ["invalidate", None]


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    """With two workers: what goes from one to the other is attacked too."""
    with Master(tmp_path, workers=2).start() as server:
        yield server


def make_person(admin: redis.Redis, name: str) -> str:
    body = {"tenantDBID": 1, "userName": name, "employeeID": name, "isAgent": False}
    made = admin.execute_command("CFG.CREATE", "CfgPerson", json.dumps(body | {"password": SECRET}))
    return f"CfgPerson:{made[1]}"


def make_skill(admin: redis.Redis, name: str) -> str:
    body = json.dumps({"tenantDBID": 1, "name": name})
    return f"CfgSkill:{admin.execute_command('CFG.CREATE', 'CfgSkill', body)[1]}"


def rename(admin: redis.Redis, key: str, name: str) -> None:
    name_, _, dbid = key.partition(":")
    admin.execute_command("CFG.UPDATE", name_, dbid, json.dumps({"changed": {"name": name}}))


def connect(master: Master, user: str = FEW, password: str = SECRET) -> Raw:
    """A connection in RESP3."""
    connection = Raw(master.port)
    assert isinstance(connection.call("HELLO", 3, "AUTH", user, password), dict)
    return connection


@pytest.fixture
def admin(master: Master) -> Iterator[redis.Redis]:
    """With a person FEW who may work with applications and read nothing else."""
    with master.client() as client:
        person = make_person(client, FEW)
        client.execute_command("CFG.GRANT", "CfgApplication:100", person, "R,X")
        yield client


@pytest.mark.parametrize("old", [SECRET, "no password of his"])
def test_a_password_change_does_not_tell_which_users_there_are(
    master: Master, admin: redis.Redis, old: str
) -> None:
    make_person(admin, "hidden")
    client = connect(master)
    for new in ("another one", "x"):  # the second may be against the rules of whom it is for
        hidden = client.call("CFG.PASSWD", "hidden", old, new)
        missing = client.call("CFG.PASSWD", "absent", old, new)
        assert str(hidden).replace("hidden", "absent") == str(missing)
        assert "BADKEY" in str(missing)
    client.close()


def test_a_connection_of_another_account_is_no_target(master: Master, admin: redis.Redis) -> None:
    """Neither is anybody told what he did not ask for, nor does a key reach who may not read it."""
    client = connect(master)
    others = [connect(master, "default", PASSWORD) for _ in range(6)]  # on both workers
    numbers = [*(one.call("CLIENT", "ID") for one in others), 999_999]
    for number in numbers:
        refusal = client.call("CLIENT", "TRACKING", "ON", "REDIRECT", number)
        assert "The client ID you want redirect to does not exist" in str(refusal)
    own = [connect(master) for _ in range(6)]
    for one in own:
        number = one.call("CLIENT", "ID")
        assert client.call("CLIENT", "TRACKING", "ON", "REDIRECT", number) == "OK"
    for one in (client, *others, *own):
        one.close()


@pytest.mark.parametrize("is_target", [True, False])
def test_a_target_is_lost_where_another_account_signs_in(
    master: Master, admin: redis.Redis, is_target: bool
) -> None:
    """On the target, or on who is told through it; of this worker or of another."""
    make_person(admin, "other")
    for _ in range(5):
        client, target = connect(master), connect(master)
        number = target.call("CLIENT", "ID")
        assert client.call("CLIENT", "TRACKING", "ON", "REDIRECT", number) == "OK"
        assert (target if is_target else client).call("AUTH", "other", SECRET) in ("OK", TAKEN_BACK)
        heard = "tracking-redir-broken"
        wait_until(lambda one=client, heard=heard: heard in str(one.read()), 10, "it is lost")
        client.close()
        target.close()


def test_bcast_tells_no_key_that_may_not_be_read(master: Master, admin: redis.Redis) -> None:
    """As Redis did (its PR 15371); nor where tracking began under an account that read all."""
    hidden, seen = make_skill(admin, "hidden"), make_skill(admin, "seen")
    admin.execute_command("CFG.GRANT", seen, f"CfgPerson:{dbid_of(admin, FEW)}", "R")
    fresh, former = connect(master), connect(master, "default", PASSWORD)
    for one in (fresh, former):
        assert one.call("CLIENT", "TRACKING", "ON", "BCAST") == "OK"
    former.send(command("AUTH", FEW, SECRET))
    assert "OK" in (answers := former.read_all(2))
    assert TAKEN_BACK in answers
    rename(admin, hidden, "hidden 2")
    rename(admin, seen, "seen 2")
    for one in (fresh, former):
        assert one.read() == ["invalidate", [seen]]
        one.close()


def test_another_account_on_a_subscribed_connection_is_told_what_it_may_read(
    master: Master, admin: redis.Redis
) -> None:
    """As Redis did not (its PR 15468)."""
    hidden, seen = make_skill(admin, "hidden"), make_skill(admin, "seen")
    admin.execute_command("CFG.GRANT", seen, f"CfgPerson:{dbid_of(admin, FEW)}", "R")
    client = connect(master, "default", PASSWORD)
    assert client.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    client.send(command("AUTH", FEW, SECRET))
    answers = client.read_all(2)
    assert "OK" in answers
    assert '"op":"resync"' in str(answers)
    rename(admin, hidden, "hidden 2")
    rename(admin, seen, "seen 2")
    event = json.loads(client.read()[2])
    assert f"CfgSkill:{event['DBID']}" == seen
    client.close()


def test_who_may_not_use_the_application_any_more_is_told_of_nothing(
    master: Master, admin: redis.Redis
) -> None:
    """Subscriptions need what reads need; with the right all is told of again."""
    seen, few = make_skill(admin, "seen"), f"CfgPerson:{dbid_of(admin, FEW)}"
    admin.execute_command("CFG.GRANT", seen, few, "R")
    client = connect(master)
    assert client.call("SUBSCRIBE", "cfg:CfgSkill")[0] == "subscribe"
    assert client.call("CLIENT", "TRACKING", "ON", "BCAST") == "OK"
    admin.execute_command("CFG.REVOKE", "CfgApplication:100", few)
    told = client.read_all(2)
    assert TAKEN_BACK in told
    assert [json.loads(one[2])["op"] for one in told if one != TAKEN_BACK] == ["delete"]
    rename(admin, seen, "seen 2")
    assert "NOPERM" in str(client.call("GET", seen))
    admin.execute_command("CFG.GRANT", "CfgApplication:100", few, "R,X")
    told = client.read_all(2)
    assert TAKEN_BACK in told
    event = next(json.loads(one[2]) for one in told if one != TAKEN_BACK)
    assert (event["op"], event["object"]["name"]) == ("create", "seen 2")
    client.close()


def test_an_alarm_names_users_to_administrators_alone(master: Master, admin: redis.Redis) -> None:
    """CFG.STATUS is for everybody who has signed in, and may name who tries to."""
    client = connect(master)
    for _ in range(101):  # one more than the rule allows within a minute
        assert "WRONGPASS" in str(client.call("AUTH", "somebody", "wrong"))
    text = wait_until(lambda: master.alarms().get("sign-ins fail"), 10, "the alarm")["text"]
    assert "somebody" in text
    told = client.call("CFG.STATUS")["alarms"]
    assert [(one["name"], one["text"]) for one in told] == [("sign-ins fail", "")]
    client.close()


def test_roles_are_objects_with_their_members(master: Master, admin: redis.Redis) -> None:
    """Row F90: a role is served with its persons and groups, to who may read it."""
    person = make_person(admin, "member")
    group = {"groupInfo": {"tenantDBID": 1, "name": "members"}, "type": "defaultgroup"}
    made = admin.execute_command("CFG.CREATE", "CfgAccessGroup", json.dumps(group))
    members = [
        {"objectType": "person", "objectDBID": int(person.partition(":")[2])},
        {"objectType": "accessgroup", "objectDBID": int(made[1])},
    ]
    role = {"tenantDBID": 1, "name": "role", "members": members}
    key = f"CfgRole:{admin.execute_command('CFG.CREATE', 'CfgRole', json.dumps(role))[1]}"
    client = connect(master)
    assert client.call("GET", key) is None
    admin.execute_command("CFG.GRANT", key, f"CfgPerson:{dbid_of(admin, FEW)}", "R")
    assert json.loads(client.call("GET", key))["members"] == members
    client.close()


def dbid_of(admin: redis.Redis, user: str) -> int:
    found = admin.execute_command("CFG.FIND", "CfgPerson", "user_name", user)
    return int(json.loads(found)["DBID"])
