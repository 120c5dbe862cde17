"""F8: a proxy follows under an account that is an administrator; another gets no feed.

It serves what it has, raises an alarm with the master's words, and goes on when it is let in.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from tests.neighbours import secrets
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, rename_skill, wait_level

USER, SECRET = "follower", "its own horse"
ALARM = "master refuses"
LOST = "its account has no Change Permissions on CfgTenant:1 any more"
LOG_CHARACTERS_MAX = 200_000


@pytest.fixture
def person(master: Master) -> int:
    """The account of the proxy, which may read everything and is no administrator yet."""
    secrets.note(SECRET)
    words = {"tenantDBID": 1, "userName": USER, "employeeID": USER, "password": SECRET}
    with master.client() as client:
        dbid = int(client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(words))[1])
    change_members(master, "Users", dbid)
    return dbid


def make_administrator(master: Master, person: int, how: str = "added") -> None:
    """Puts him among the Super Administrators, or takes him out of them ("deleted")."""
    change_members(master, "Super Administrators", person, how)


def change_members(master: Master, name: str, person: int, how: str = "added") -> None:
    with master.client() as client:
        words = ("name", name, "tenant_dbid", 1)
        group = json.loads(client.execute_command("CFG.FIND", "CfgAccessGroup", *words))
        delta = json.dumps({how: {"memberIDs": [{"type": "person", "DBID": person}]}})
        client.execute_command("CFG.UPDATE", "CfgAccessGroup", group["DBID"], delta)


def skill_at(proxy: Proxy, dbid: int) -> str:
    with proxy.client() as client:
        return str(json.loads(client.get(f"CfgSkill:{dbid}"))["name"])


def test_an_account_that_is_no_administrator_any_more(
    tmp_path: Path, master: Master, person: int
) -> None:
    make_administrator(master, person)
    (dbid,) = create_skills(master, ["english"])
    environment = {"CSP_USER": USER, "CSP_PASSWORD": SECRET}
    with Proxy(tmp_path, master, environment=environment) as proxy:
        wait_level(master, proxy)
        assert proxy.alarms() == {}
        make_administrator(master, person, "deleted")
        rename_skill(master, dbid, ["danish"])
        wait_until(lambda: ALARM in proxy.alarms(), 20, "the alarm")
        assert "refuses the feed: NOPERM 'cfg.feed'" in proxy.alarms()[ALARM]["text"]
        shown = proxy.cli("status").stdout
        assert "ALARM 51332 master refuses, since " in shown
        assert "give the account Change Permissions on CfgTenant:1" in shown
        assert f"the master ends the feed: {LOST}" in proxy.log_text(LOG_CHARACTERS_MAX)
        assert skill_at(proxy, dbid) == "english"  # it serves what it has
        with (
            redis.Redis("127.0.0.1", master.port, username=USER, password=SECRET) as client,
            pytest.raises(redis.exceptions.NoPermissionError, match="administrator"),
        ):
            client.execute_command("CFG.FEED", "FROM", "-", "0", "-", "FORMAT", "3")
        make_administrator(master, person)
        wait_until(lambda: proxy.alarms() == {}, 20, "it is let in again")
        wait_until(lambda: skill_at(proxy, dbid) == "danish", 20, "the change")
        text = proxy.log_text(LOG_CHARACTERS_MAX)
        assert (text.count(" 51332 "), text.count(" 51333 ")) == (1, 1)


@pytest.mark.long
def test_an_account_that_never_was_one_is_told_at_the_start(
    tmp_path: Path, master: Master, person: int
) -> None:
    port = {"id": "default", "port": "2020"}
    words = {"name": "proxy1", "appPrototypeDBID": 1, "tenantDBIDs": [1], "portInfos": [port]}
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(words))
    environment = {"CSP_USER": USER, "CSP_PASSWORD": SECRET}
    proxy = Proxy(tmp_path, master, environment=environment, extra=())
    with proxy.start(ready=False):
        wait_until(lambda: " 51332 " in proxy.log_text(LOG_CHARACTERS_MAX), 20, "the alarm")
        assert "refuses the feed: NOPERM 'cfg.feed'" in proxy.log_text(LOG_CHARACTERS_MAX)
