"""Pastes what the pages of pairs and chains say, and looks whether it comes about.

1. Every command of these pages is one of csp, with options and JSON as they are: looked at without
   a server.
2. What stands in the blocks runs on real servers, with ports, addresses and DBIDs of the test in
   place of the page's. tests/server/test_pool.py and test_discovery.py do the same with theirs.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import redis

from csp.cli.main import VERBS
from csp.model.delta import apply_delta
from csp.model.objects import check_object
from csp.model.types import CLASSES
from csp.process.standing import ROLE_BACKUP
from tests.neighbours.applications import make_proxy_application, place_master
from tests.neighbours.master_pair import MasterPair, shown_by
from tests.neighbours.ports import free_port, is_listening
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import PASSWORD, ROOT, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, wait_level
from tests.server.test_security_page import shell

HERE = "127.0.0.1"
PAGES = ("high-availability", "master-pair", "proxy-pair", "chain", "discovery", "pool", "drain")
SOME_SERVER: dict[str, Any] = {
    **{"DBID": 99, "name": "some", "type": "configurationserver", "appPrototypeDBID": 99},
    **{"version": "1", "isServer": True, "tenantDBIDs": [1], "workDirectory": "."},
    "appServerDBIDs": [{"appServerDBID": 99}],
    **{"commandLine": "-", "serverInfo": {"hostDBID": 97, "port": "2020"}},
}
RECORDER = "csp() { printf '%s\\x1f' \"$@\"; printf '\\x1e'; }\n"  # shows its words, does nothing


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / "operating" / f"{page}.md").read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)
    return [block for of, block in found if of in ("", "sh") and re.search(r"^csp ", block, re.M)]


def commands(block: str) -> list[list[str]]:
    """The words of each command of a block, as a shell splits them."""
    done = subprocess.run(
        ["bash", "-ec", RECORDER + block], capture_output=True, text=True, check=True
    )
    return [one.split("\x1f")[:-1] for one in done.stdout.split("\x1e")[:-1]]


WRITTEN = [
    pytest.param(words, id=f"{page}: {' '.join(words[:2])} {number}")
    for page in PAGES
    for number, words in enumerate(one for block in blocks(page) for one in commands(block))
]


@pytest.mark.parametrize("words", WRITTEN)
def test_a_command_of_the_pages_is_one(words: list[str]) -> None:
    verb, *rest = words
    command = import_module(f"csp.cli.{VERBS[verb][0]}").command
    values = command.make_context(verb, list(rest)).params
    if verb == "create":
        check_object(CLASSES[rest[0]], json.loads(rest[1]), strict=True)
    elif verb == "update":
        cls = CLASSES[re.split("[:/]", rest[0])[0]]
        delta = json.loads(rest[1])
        alone = "appServerDBIDs" in delta.get("added", {})
        some = SOME_SERVER | ({"appServerDBIDs": []} if alone else {})
        apply_delta(cls, some, delta, strict=True)
    assert values


def renumbered(text: str, numbers: Mapping[int, int]) -> str:
    """With ports and DBIDs of the test."""
    return re.sub(r"\b\d+\b", lambda one: str(numbers.get(int(one[0]), one[0])), text)


def is_started_so(server: Server, words: list[str], **stead: str) -> bool:
    """Whether a command line of the page is that by which the test starts a server."""
    stated = [stead.get(word, word).replace("0.0.0.0", HERE) for word in words]
    own = server.arguments()
    at = own.index("--workers")
    return sorted(stated) == sorted(own[:at] + own[at + 2 :])


def dbid_of(server: Server, class_name: str, name: str) -> int:
    with server.client() as client:
        return int(json.loads(client.execute_command("CFG.FIND", class_name, "name", name))["DBID"])


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("pages")) as master:
        place_master(master, (HERE, master.port))
        yield master


def status(port: int) -> dict[str, Any]:
    with redis.Redis(
        HERE, port, username="default", password=PASSWORD, protocol=3, decode_responses=True
    ) as client:
        found: dict[str, Any] = client.execute_command("CFG.STATUS")
    return found


@pytest.mark.long
def test_two_proxies_become_a_pair_switch_over_and_are_parted(master: Master) -> None:
    begin, ports, join, part, drill = blocks("proxy-pair")
    with ExitStack() as stack:
        halves = [
            stack.enter_context(Proxy(master.folder, master, app=name))
            for name in ("proxy-a", "proxy-b")
        ]
        one, other = halves
        numbers = {number: free_port() for number in (2031, 2032, 2041, 2042)}
        numbers |= {2020: master.port, 2021: one.port, 2022: other.port}
        numbers[112] = dbid_of(master, "CfgApplication", other.app)
        for half, words in zip(halves, commands(renumbered(begin, numbers)), strict=True):
            assert is_started_so(half, words, master=HERE)
        address = json.dumps({"changed": {"IPaddress": HERE}})
        done = master.cli("update", f"CfgHost/name={socket.gethostname()}", address)
        assert done.returncode == 0, done.stderr
        shell(master, renumbered(ports, numbers))
        for half in halves:
            half.stop()
            half.start()
        shell(master, renumbered(join, numbers))
        at_one, at_other = numbers[2041], numbers[2042]
        wait_until(lambda: status(at_one)["seamless"] == 1, 60, "the two are a pair")
        wait_until(lambda: status(at_other)["role"] == "backup", 20, "the other one stands by")
        wait_until(lambda: not is_listening(other.port), 20, "clients are refused there")
        look, there, look_other, back = renumbered(drill, numbers).strip().split("\n")
        shell(master, f"{look}\n{there}\n{look_other}")
        wait_until(lambda: is_listening(other.port), 20, "the other one serves")
        wait_until(lambda: status(at_other)["seamless"] == 1, 60, "it can go back")
        shell(master, back)
        wait_until(lambda: status(at_one)["role"] == "primary", 20, "it is as before")
        shell(master, renumbered(part, numbers))
        for half, at in zip(halves, (at_one, at_other), strict=True):
            wait_until(lambda at=at: status(at)["role"] == "single", 20, "there is no pair")
            wait_until(lambda port=half.port: is_listening(port), 20, "both serve")


@pytest.mark.long
@pytest.mark.parametrize(
    ("block", "names", "dbids"),
    [(0, ("far", "behind"), (111,)), (1, ("middle-1", "middle-2", "below"), (111, 112))],
    ids=["two sites", "chain"],
)
def test_who_follows_whom_is_as_the_page_says(
    master: Master, block: int, names: tuple[str, ...], dbids: tuple[int, ...]
) -> None:
    """The one above dies, and who follows it goes on at the next that its Application names."""
    text = blocks("chain")[block]
    middle = [Proxy(master.folder, master, app=name, extra=()) for name in names[:-1]]
    last = Proxy(master.folder, middle[0], app=names[-1], extra=())
    numbers = {2020: middle[0].port}
    for number, made in zip((*dbids, 0), (*middle, last), strict=True):
        numbers[number] = make_proxy_application(master, made.app, (HERE, made.port), above=())
    *updates, started = re.findall(r"^csp .*?(?=^csp |\Z)", text, re.S | re.M)
    shell(master, renumbered("".join(updates), numbers))
    [words] = commands(renumbered(started, numbers))
    above = {"far.site-two": HERE, "middle-1": HERE}
    assert is_started_so(last, [*words, "--listen", last.listen], **above)
    with ExitStack() as stack:
        for made in (*middle, last):
            stack.enter_context(made)
        wait_level(master, last)
        middle[0].kill()
        create_skills(master, [f"after {names[0]}"])
        wait_level(master, last)
        assert last.log_text().count(" 51302 ") == 1  # it has loaded once


@pytest.mark.long
def test_two_masters_become_a_pair_and_switch_over(postgres: Postgres, tmp_path: Path) -> None:
    begin, configured, drill = blocks("master-pair")
    with MasterPair(tmp_path, postgres.new_url()) as pair:
        numbers = {2020: pair.first.port, 2021: pair.second.port}
        for server, words in zip(
            (pair.first, pair.second), commands(renumbered(begin, numbers)), strict=True
        ):
            url = next(word for word in words if word.startswith("postgresql:"))
            assert is_started_so(server, words, **{url: server.url})
        host, application, update = re.findall(r"^csp .*?(?=^csp |\Z)", configured, re.S | re.M)
        shell(pair.first, host)
        numbers[140] = dbid_of(pair.first, "CfgHost", "master-b")
        shell(pair.first, renumbered(application, numbers))
        numbers[141] = dbid_of(pair.first, "CfgApplication", pair.second.app)
        shell(pair.first, renumbered(update, numbers))
        paired = lambda: shown_by(pair.first).peer_dbid == numbers[141]  # noqa: E731
        wait_until(paired, 20, "the pair is shown")
        shell(pair.first, drill)
        pair.wait_primary(pair.second)
        pair.wait_stands_by(pair.first)
        assert shown_by(pair.first).role == ROLE_BACKUP


@pytest.mark.long
def test_a_member_of_a_pool_tells_its_name_and_drains(master: Master) -> None:
    pooled = blocks("high-availability")[1]
    [drained] = blocks("drain")
    with Proxy(master.folder, master, app="proxy-1") as member, master.client() as author:
        _, host = author.execute_command("CFG.CREATE", "CfgHost", '{"name": "balancer.example"}')
        shell(master, renumbered(pooled, {120: host}))
        told = lambda: status(member.port)  # noqa: E731
        wait_until(lambda: told()["application"] == "pool", 20, "it tells the pool's name")
        assert told()["member"] == member.app
        begin, end = drained.replace("proxy1:2020", f"{HERE}:{member.port}").strip().split("\n")
        shell(master, begin)
        wait_until(lambda: told()["draining"], 10, "its clients are led away")
        shell(master, end)
        wait_until(lambda: not told()["draining"], 10, "it is back")
