"""A pool behind a real HAProxy with the configuration of docs/operating/pool.md, and its drill."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from csp.client import Address, Client, Credentials
from csp.worker.agent import AGE_OPTION
from tests.neighbours.certificates import Authority
from tests.neighbours.discovering import SIGN_IN
from tests.neighbours.haproxy import HAProxy
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, ROOT, Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.test_ports import is_open
from tests.server.test_security_page import shell

pytestmark = [pytest.mark.needs("haproxy"), pytest.mark.long]

PAGE = (ROOT / "docs" / "operating" / "pool.md").read_text()
CONFIGURATION = (ROOT / "deploy" / "haproxy" / "csp.cfg").read_text()
[MEMBERS] = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
[SECURED] = re.findall(r"```\n(frontend secured.*?)```", PAGE, re.S)
PROXIES = "proxies"  # the backend of the example
NAMES = ("proxy1", "proxy2")
KEY = "CfgTenant:1"


class Pool:
    """A master, two proxies with the ports of the page, and HAProxy as the example has it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.ports = {number: free_port() for number in (2020, 2021, 2022, 2031, 2032, 2443)}
        self.master = stack.enter_context(Master(folder, workers=1))
        self.members = [stack.enter_context(Proxy(folder, self.master, app=name)) for name in NAMES]
        shell(self.master, self.numbered(MEMBERS))
        for member in self.members:
            member.stop()
            member.start()
        for number in (2021, 2022, 2031, 2032):
            wait_until(lambda at=number: is_open(self.ports[at]), 20, "the members' ports")
        both = folder / "both.pem"
        self.authority = Authority(folder)
        issued = self.authority.issue("balancer")
        both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
        secured = SECURED.replace("/etc/haproxy/csp.pem", str(both))
        example = CONFIGURATION.replace("maxconn 20000", "maxconn 1000")  # descriptors of a test
        text = self.numbered(f"{example}\n{secured}")
        port = self.ports[2020]
        self.balancer = stack.enter_context(HAProxy(folder, text=text, port=port))
        for name in NAMES:
            self.wait_state(name, "UP")

    def numbered(self, text: str) -> str:
        """With ports that are free."""
        for number, port in self.ports.items():
            text = re.sub(rf"\b{number}\b", str(port), text)
        return text

    def state(self, name: str) -> str:
        return self.balancer.row(PROXIES, name)["status"]

    def wait_state(self, name: str, state: str, within: float = 20.0) -> None:
        wait_until(lambda: self.state(name).startswith(state), within, f"{name} is {state}")

    def weight(self, name: str) -> int:
        return int(self.balancer.row(PROXIES, name)["weight"])

    def serving(self, count: int) -> set[str]:
        """By which members so many new clients are served that are there together."""
        with ExitStack() as stack:
            found: set[str] = set()
            for _ in range(count):
                client = redis.Redis(port=self.balancer.port, protocol=3, **SIGN_IN)
                stack.enter_context(client)
                found.add(client.execute_command("CFG.STATUS")[b"application"].decode())
        return found

    def option(self, member: Proxy, name: str, value: str) -> None:
        key = f"CfgApplication/name={member.app}"
        done = self.master.cli("option", key, "csp", name, value)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with ExitStack() as stack:
        yield Pool(tmp_path_factory.mktemp("pool"), stack)


def test_a_member_that_drains_gets_no_new_clients(pool: Pool) -> None:
    with pool.members[0].client() as administrator:
        administrator.execute_command("CFG.DRAIN", "OVER", 60)
        try:
            pool.wait_state("proxy1", "DRAIN")
            assert pool.serving(4) == {"proxy2"}
        finally:
            administrator.execute_command("CFG.DRAIN", "OVER", 0)
    pool.wait_state("proxy1", "UP")
    assert pool.serving(8) == {"proxy1", "proxy2"}


def test_tls_ends_at_the_balancer_and_who_connects_is_known(pool: Pool) -> None:
    port, root = pool.ports[2443], str(pool.authority.root)
    with redis.Redis("localhost", port, ssl=True, ssl_ca_certs=root, **SIGN_IN) as client:
        assert client.get(KEY)
        assert client.client_info()["addr"].startswith("127.0.0.1:")  # not the balancer's source


def test_who_has_many_of_the_clients_that_he_may_have_weighs_less(pool: Pool) -> None:
    member = pool.members[1]
    pool.option(member, "max-clients", "40")
    try:
        with ExitStack() as stack:
            for _ in range(20):
                client = stack.enter_context(redis.Redis(port=member.port, **SIGN_IN))
                client.ping()
            wait_until(lambda: 20 <= pool.weight("proxy2") <= 55, 20, "half of it is left")
        wait_until(lambda: pool.weight("proxy2") > 60, 20, "it is free again")
    finally:
        pool.option(member, "max-clients", "0")


def test_who_is_older_than_he_may_be_is_down(pool: Pool) -> None:
    member = pool.members[0]
    pool.option(member, AGE_OPTION, "3")
    wait_until(lambda: option_in_force(member) == "3", 10, "the option holds")
    try:
        pool.master.stop()
        pool.wait_state("proxy1", "DOWN")
        assert pool.state("proxy2").startswith("UP"), "age does not count there"
    finally:
        pool.master.start()
        pool.option(member, AGE_OPTION, "0")
    pool.wait_state("proxy1", "UP", 60)


def option_in_force(member: Proxy) -> str:
    with member.client() as client:
        return str(client.config_get(AGE_OPTION)[AGE_OPTION])


def test_the_drill_a_member_dies_and_its_clients_miss_nothing(pool: Pool) -> None:
    address = Address("127.0.0.1", pool.balancer.port)
    with (
        pool.master.client() as author,
        Client(address, Credentials("default", PASSWORD)) as client,
        client.subscribe("cfg:CfgSkill") as changes,
    ):
        create_skill(author, 0)
        first = changes.next(20).revision
        dying, other = sorted(pool.members, key=has_subscriber, reverse=True)
        assert has_subscriber(dying)
        assert not has_subscriber(other)
        dying.kill()
        made = [create_skill(author, number) for number in range(1, 6)]
        assert [changes.next(60).revision for _ in made] == made
        assert made == list(range(first + 1, first + 6))
        pool.wait_state(dying.app, "DOWN")
        assert has_subscriber(other)
    dying.start()
    pool.wait_state(dying.app, "UP", 60)


def create_skill(author: redis.Redis, number: int) -> int:
    """The revision at which it is there."""
    skill = json.dumps({"name": f"pool {number}", "tenantDBID": 1})
    revision, _ = author.execute_command("CFG.CREATE", "CfgSkill", skill)
    return int(revision)


def has_subscriber(member: Proxy) -> bool:
    """Whether somebody has subscribed there."""
    with member.client() as client:
        return int(client.info("clients")["pubsub_clients"]) > 0
