"""Runs the commands of docs/operating/security.md, and looks what each account may do then."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.neighbours.server import PASSWORD, ROOT, Master, Proxy
from tests.neighbours.waiting import wait_until

PAGE = (ROOT / "docs" / "operating" / "security.md").read_text()
BLOCKS = re.findall(r"^## ([^\n]+)|```sh\n(.*?)```", PAGE, re.S | re.M)
NEW_PASSWORD = "a new password"
COMMAND_SECONDS_MAX = 60
LOOKS = ("To look", "To hide, and to take back")
DOORS = PAGE.partition("\n# The doors\n")[2]  # tests/server/test_security_doors.py runs these
ALL = "R,C,U,X,D,RP,CP"


def procedures() -> dict[str, list[str]]:
    """The blocks under each heading."""
    found: dict[str, list[str]] = {}
    heading = ""
    for title, block in BLOCKS:
        heading = title or heading
        if block:
            found.setdefault(heading, []).append(block)
    return found


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """One on which all procedures of the page were carried out, but those that only look."""
    with Master(tmp_path_factory.mktemp("security")) as master:
        for heading, blocks in procedures().items():
            if heading not in LOOKS and f"\n## {heading}\n" not in DOORS:
                for block in blocks:
                    shell(master, block)
        yield master


def shell(master: Master, block: str) -> str:
    """Runs a block as an administrator's shell would, to its end."""
    csp = f'csp() {{ "{sys.executable}" -m csp "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-ec", csp + block],
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "CSP_SERVER": f"127.0.0.1:{master.port}"}
        | {"CSP_PASSWORD": PASSWORD, "CSP_NEW_PASSWORD": NEW_PASSWORD},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout


def signed_in(master: Master, user: str) -> redis.Redis:
    return redis.Redis(
        "127.0.0.1", master.port, username=user, password=NEW_PASSWORD, decode_responses=True
    )


def key_of(master: Master, class_name: str, **keys: str) -> str:
    with master.client() as client:
        words = [part for pair in keys.items() for part in pair]
        found = json.loads(client.execute_command("CFG.FIND", class_name, *words))
    return f"{class_name}:{found['DBID']}"


def rights(master: Master, user: str, key: str) -> str:
    with master.client() as client:
        return str(json.loads(client.execute_command("CFG.ACCESS", user, key))["rights"])


def update(client: redis.Redis, key: str, **attributes: str) -> object:
    cls, _, dbid = key.partition(":")
    return client.execute_command("CFG.UPDATE", cls, dbid, json.dumps({"changed": attributes}))


def test_the_page_has_a_procedure_for_each_kind_of_account() -> None:
    assert {"A desktop", "A supervisor", "An administrator", "A proxy"} <= procedures().keys()


def test_a_desktop_reads_its_tenant_and_changes_its_own_person_alone(master: Master) -> None:
    ann, sue = (key_of(master, "CfgPerson", user_name=name) for name in ("ann", "sue"))
    with signed_in(master, "ann") as client:
        assert client.execute_command("CFG.REGISTER", "Desk")
        assert client.get(sue) is not None
        assert client.get("CfgPerson:100") is None
        assert client.get(key_of(master, "CfgHost", name="sales-host")) is not None
        assert update(client, ann, firstName="Ann")
        with pytest.raises(redis.exceptions.NoPermissionError):
            update(client, sue, firstName="Sue")
        assert {json.loads(one)["userName"] for one in persons(client)} == {"ann", "sue", "adam"}


def persons(client: redis.Redis) -> list[str]:
    found: list[str] = client.execute_command("CFG.READ", "CfgPerson")[2]
    return found


def test_a_supervisor_changes_the_people_of_his_team(master: Master) -> None:
    ann, adam = (key_of(master, "CfgPerson", user_name=name) for name in ("ann", "adam"))
    with signed_in(master, "sue") as client:
        assert update(client, ann, lastName="Lee")
        with pytest.raises(redis.exceptions.NoPermissionError):
            update(client, adam, lastName="Smith")


def test_an_administrator_grants_in_his_tenant_and_in_no_other(master: Master) -> None:
    ann = key_of(master, "CfgPerson", user_name="ann")
    assert rights(master, "adam", ann) == ALL
    with signed_in(master, "adam") as client:
        assert client.execute_command("CFG.PERMISSIONS", ann)[1]
        assert client.execute_command("CFG.GRANT", ann, "SYSTEM", "R")
        assert client.execute_command("CFG.REVOKE", ann, "SYSTEM")
        with pytest.raises(redis.ResponseError, match="BADKEY"):
            client.execute_command("CFG.PERMISSIONS", "CfgTenant:1")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command("CFG.ACCESS", "ann", ann)


def test_a_proxy_signs_in_by_the_account_that_the_page_makes(
    master: Master, tmp_path: Path
) -> None:
    with Proxy(tmp_path, master, app="first"):
        pass  # makes its Application, as `default`
    shell(
        master, "csp grant CfgApplication/name=first CfgPerson/user_name=proxies R,X"
    )  # which the page says in words
    follower = Proxy(tmp_path, master, app="first", extra=(), environment={"CSP_USER": "proxies"})
    follower.environment["CSP_PASSWORD"] = NEW_PASSWORD
    follower.forget()
    with follower as proxy:
        with proxy.client(protocol=3) as client:
            wait_until(lambda: client.execute_command("CFG.STATUS")["link"] == "up", 10)
        with redis.Redis(
            "127.0.0.1", proxy.port, username="ann", password=NEW_PASSWORD, decode_responses=True
        ) as client:
            assert len(persons(client)) == 3


def test_what_the_page_looks_at_is_there(master: Master) -> None:
    listed, explained = procedures()["To look"]
    text = shell(master, listed)
    assert "Sales desktops" in text
    assert "R,X,propagate" in text
    told = shell(master, explained)
    assert told.startswith("ann (")
    assert " has R,X on CfgPerson:" in told
    assert "'Sales desktops'" in told


def test_hiding_and_taking_back(master: Master) -> None:
    hide, replace = procedures()["To hide, and to take back"]
    granted, revoked = hide.strip().splitlines()
    sue = key_of(master, "CfgPerson", user_name="sue")
    with signed_in(master, "ann") as client:
        shell(master, granted)
        assert client.get(sue) is None
        shell(master, revoked)
        assert client.get(sue) is not None
    shell(master, granted)
    shell(master, replace)
    assert rights(master, "ann", sue) == "R,X"
