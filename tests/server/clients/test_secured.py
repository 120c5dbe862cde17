"""Every client of the matrix by rediss://: a master, a proxy, a balancer, and redis-server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import coredis
import pytest
import redis
import redis.asyncio
import valkey

from tests.needs import NODE_FOLDER
from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.redis_server import RedisServer
from tests.neighbours.secured_ports import SecuredPorts, give_secured_ports
from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.neighbours.tls_front import TlsFront
from tests.server.clients.secured import CHANNEL, KEY, Secured, Seen, seen

pytestmark = [pytest.mark.needs("redis-server"), pytest.mark.needs("haproxy")]
MANY = 2_000
ASIDE = 4  # of them, side by side
SECONDS_MAX = 60.0
OBJECT = json.dumps({"class": "CfgTenant", "DBID": 1, "name": "x" * 300})


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secured")


@pytest.fixture(scope="session")
def authority(folder: Path) -> Authority:
    return Authority(folder / "authority")


@pytest.fixture(scope="session", params=["asks for no certificate", "demands a certificate"])
def demanded(request: pytest.FixtureRequest, authority: Authority) -> Path | None:
    """The authority of whom connects, where he has to show that he is of it."""
    return authority.root if "demands" in request.param else None


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Certificate:
    return authority.below().issue()


@pytest.fixture(scope="session")
def secured_master(
    folder: Path, authority: Authority, certificate: Certificate
) -> Iterator[tuple[Master, SecuredPorts]]:
    with Master(folder, workers=2) as master:
        yield master, give_secured_ports(master, certificate, authority.root)


@pytest.fixture(scope="session")
def secured_proxy(
    folder: Path,
    authority: Authority,
    certificate: Certificate,
    secured_master: tuple[Master, SecuredPorts],
) -> Iterator[SecuredPorts]:
    """Its own link goes up by TLS, with a certificate."""
    master, ports = secured_master
    own = authority.issue("proxy1")
    up = ("--tls", "--tls-ca", str(authority.root))
    up += ("--tls-cert", str(own.certificate), "--tls-key", str(own.key))
    with Proxy(folder, ports.mutual, workers=2, extra=("--create-app", *up)) as proxy:
        app = proxy.app
        yield give_secured_ports(master, certificate, authority.root, to=proxy, app=app)


ELSEWHERE = [
    pytest.param(place, marks=pytest.mark.long)
    for place in ("redis-server", "csp-proxy", "csp-by-balancer")
]


@pytest.fixture(
    scope="session",
    params=["csp", *(pytest.param(one, marks=pytest.mark.long) for one in ELSEWHERE)],
)
def secured(
    request: pytest.FixtureRequest,
    folder: Path,
    authority: Authority,
    certificate: Certificate,
    demanded: Path | None,
    new_skill: Callable[[], str],
) -> Iterator[Secured]:
    own = authority.issue("a client") if demanded else None
    if request.param != "redis-server":
        master, ports = request.getfixturevalue("secured_master")

        def create() -> None:
            with master.client() as author:
                author.execute_command("CFG.CREATE", "CfgSkill", new_skill())

        if request.param == "csp-proxy":
            ports = request.getfixturevalue("secured_proxy")
        if request.param != "csp-by-balancer":
            yield Secured(ports.mutual if demanded else ports.tls, authority, create, own)
            return
        with TlsFront(folder, master.port, certificate, ca=demanded) as front:
            yield Secured(front.port, authority, create, own)
        return
    server = RedisServer(folder, password=PASSWORD, certificate=certificate, ca=demanded)
    with server, server.client() as client:
        client.set(KEY, OBJECT)

        def publish() -> None:
            with server.client() as author:
                author.publish(CHANNEL, "{}")

        yield Secured(server.secured_port, authority, publish, own)


@pytest.fixture(scope="session")
def new_skill(_numbers: Iterator[int]) -> Callable[[], str]:
    return lambda: json.dumps({"tenantDBID": 1, "name": f"secured {next(_numbers)}"})


# ---- the libraries


def blocking(library: Any, **more: Any) -> Callable[[Secured], Seen]:
    def run(at: Secured) -> Seen:
        options = at.python_options() | more
        with library.Redis.from_url(at.url, **options) as client, client.pubsub() as pubsub:
            pubsub.subscribe(CHANNEL)
            assert pubsub.get_message(timeout=10)["type"] == "subscribe"
            text = client.get(KEY)
            pipe = client.pipeline(transaction=False)
            for _ in range(MANY):
                pipe.get(KEY)
            many = pipe.execute()
            at.change()
            told = pubsub.get_message(timeout=10)
            return seen(text, many, told["channel"], told["data"])

    return run


def redis_asyncio(at: Secured) -> Seen:
    async def run() -> Seen:
        async with redis.asyncio.Redis.from_url(at.url, **at.python_options()) as client:
            pubsub = client.pubsub()
            await pubsub.subscribe(CHANNEL)
            assert (await pubsub.get_message(timeout=10))["type"] == "subscribe"
            text = await client.get(KEY)
            # Each on a connection of its own, for which it reads all that the system trusts first.
            many = await asyncio.gather(*(client.get(KEY) for _ in range(ASIDE)))
            pipe = client.pipeline(transaction=False)
            for _ in range(MANY - ASIDE):
                pipe.get(KEY)
            many += await pipe.execute()
            await asyncio.to_thread(at.change)
            told = await pubsub.get_message(timeout=10)
            await pubsub.aclose()
            return seen(text, many, told["channel"], told["data"])

    return asyncio.run(run())


def coredis_library(at: Secured) -> Seen:
    async def run() -> Seen:
        client = coredis.Redis(
            host=at.host,
            port=at.port,
            username="default",
            password=PASSWORD,
            decode_responses=True,
            ssl=True,
            ssl_context=at.context(),
        )
        async with client:
            text = await client.get(KEY)  # first: a subscription tries for ever to connect
            assert text is not None
            async with client.pubsub(channels=[CHANNEL]) as pubsub:
                await asyncio.to_thread(at.change)
                async for message in pubsub:
                    if message["type"] == "message":
                        told = message
                        break
            async with client.pipeline(transaction=False) as pipe:
                asked = [pipe.get(KEY) for _ in range(MANY)]
            many = [str(await one) for one in asked]
            return seen(text, many, str(told["channel"]), str(told["data"]))

    try:
        return asyncio.run(run())
    except BaseExceptionGroup as group:  # its pool is a group of tasks
        raise Refused(str(group.exceptions[0])) from group


def node(library: str) -> Callable[[Secured], Seen]:
    def run(at: Secured) -> Seen:
        process = subprocess.Popen(
            ["node", "secured.mjs", str(at.port), library, at.host],
            cwd=NODE_FOLDER,
            env=os.environ | at.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            assert process.stdout is not None
            try:
                first = process.stdout.readline()
                if first == "ready\n":
                    at.change()
                rest = process.communicate(timeout=SECONDS_MAX)[0]
            finally:
                process.kill()
        lines = (first + rest).splitlines()
        found = json.loads(lines[-1])
        if "error" in found:
            raise Refused(f"{found['code']} {found['error']}")
        return Seen(found["object"], found["many"], *found["message"])

    return run


def redis_cli(at: Secured) -> Seen:
    own = ("--cert", str(at.own.certificate), "--key", str(at.own.key)) if at.own else ()
    done = subprocess.run(
        [
            *("redis-cli", "-h", at.host, "-p", str(at.port), "--tls", "--no-auth-warning"),
            *("--cacert", str(at.authority.root), *own),
        ],
        input=f"GET {KEY}\n" * (MANY + 1),
        env=os.environ | {"REDISCLI_AUTH": PASSWORD},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode or not done.stdout.startswith("{"):
        raise Refused(done.stdout + done.stderr)
    text, *many = [line for line in done.stdout.splitlines() if line]
    return seen(text, many, CHANNEL, "-")  # it listens for ever: not asked to


class Refused(Exception):
    """A program outside of Python got no connection."""


NODE = [pytest.mark.needs("node"), pytest.mark.needs("node-modules")]
LIBRARIES = [
    pytest.param(blocking(redis), id="redis-py"),
    pytest.param(blocking(redis, protocol=3), id="redis-py-resp3"),
    pytest.param(
        blocking(redis, parser_class=redis._parsers._RESP2Parser), id="redis-py-without-hiredis"
    ),
    pytest.param(blocking(valkey), id="valkey-py"),
    pytest.param(redis_asyncio, id="redis-py-asyncio"),
    pytest.param(coredis_library, id="coredis"),
    pytest.param(node("ioredis"), id="ioredis", marks=NODE),
    pytest.param(node("iovalkey"), id="iovalkey", marks=NODE),
    pytest.param(node("redis"), id="node-redis", marks=NODE),
    pytest.param(redis_cli, id="redis-cli", marks=pytest.mark.needs("redis-cli")),
]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_reads_and_listens_by_tls(
    secured: Secured, library: Callable[[Secured], Seen]
) -> None:
    found = library(secured)
    assert (found.object["class"], found.object["DBID"]) == ("CfgTenant", 1)
    assert found.many == MANY
    assert found.channel == CHANNEL
    assert found.message


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_refuses_whom_it_does_not_trust(
    secured: Secured, tmp_path: Path, library: Callable[[Secured], Seen]
) -> None:
    """So that what the test above shows is not that nothing is looked at."""
    stranger = Authority(tmp_path / "other")
    refusals = (redis.ConnectionError, valkey.ConnectionError, Refused)
    with pytest.raises(refusals, match=r"(?i)certificate|verify|connection"):
        library(replace(secured, authority=stranger, own=stranger.issue()))
