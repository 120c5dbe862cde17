"""What somebody signs in with, or a server is told to keep, is shown nowhere: a hunt.

1. Every command that tells something is asked by an administrator, over a master and its proxy;
   then the exports, the logs, the files of both, and what /proc shows of each process.
2. A core is asked for in earnest: a server is started where processes may leave one, and each of
   its own is killed by a signal that leaves one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest
import redis

from csp.model.types import CLASSES
from csp.tables.commands import COMMANDS
from tests.neighbours.certificates import Authority
from tests.neighbours.ports import free_port
from tests.neighbours.secured import add_ports
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

PROXY_PASSWORD = "what-the-proxy-5igns-in-with"
BIND_PASSWORD = "what-the-directory-a5ks-for"
ANN_PASSWORD = "what-ann-5igns-in-with"
FIRST_PASSWORD = "what-ann-began-w1th"
# And the lines of a private key, once there is one.
SECRETS = [PROXY_PASSWORD, BIND_PASSWORD, ANN_PASSWORD, FIRST_PASSWORD, PASSWORD]
GONE_SECONDS_MAX = 20.0
pytestmark = pytest.mark.needs("openssl")

# What can be asked without anything being known beforehand; the rest is asked for below.
QUESTIONS = (
    *(("INFO", section) for section in ("all", "everything", "default", "clients", "server")),
    ("CONFIG", "GET", "*"),
    ("CLIENT", "LIST"),
    ("CLIENT", "INFO"),
    ("ACL", "LIST"),
    ("ACL", "USERS"),
    ("ACL", "GETUSER", "default"),
    ("SLOWLOG", "GET", "100"),
    ("LATENCY", "LATEST"),
    ("CFG.STATUS",),
    ("CFG.METRICS",),
    ("CFG.HISTORY",),
    ("CFG.HISTORY", "SESSIONS"),
    ("CFG.CLASSES",),
    ("PUBSUB", "CHANNELS"),
    ("COMMAND", "DOCS"),
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """A master and a proxy of it, with secrets of each kind stated, used, and refused."""
    folder = tmp_path_factory.mktemp("secrets")
    shown = Authority(folder / "authority").issue(until_days=200)
    SECRETS.extend(shown.key.read_text().splitlines()[1:-1])
    words = f"upgrade=1;certificate={shown.certificate};certificate-key={shown.key}"
    with ExitStack() as stack:
        master = stack.enter_context(Master(folder))
        add_ports(master, master, {"secure": (free_port(), words)})
        with master.client() as client:
            _person(client, "proxies", PROXY_PASSWORD)
            members = {
                "added": {"memberIDs": [{"type": "person", "DBID": _found(client, "proxies")}]}
            }
            group = _find(client, "CfgAccessGroup", "name", "Super Administrators")
            client.execute_command("CFG.UPDATE", "CfgAccessGroup", group, json.dumps(members))
        proxy = Proxy(folder, master, environment={"CSP_USER": "proxies"})
        proxy.environment["CSP_PASSWORD"] = PROXY_PASSWORD
        stack.enter_context(proxy)
        add_ports(master, proxy, {"secure": (free_port(), words)})
        with master.client() as client:
            ann = _person(client, "ann", FIRST_PASSWORD)
            client.execute_command("CFG.PASSWD", "ann", PASSWORD, ANN_PASSWORD)
            for class_name, dbid, attribute in (
                ("CfgApplication", _find(client, "CfgApplication", "name", proxy.app), "options"),
                ("CfgTenant", 1, "userProperties"),
                ("CfgPerson", ann, "userProperties"),
            ):
                section = {"ldap-url": "ldap://localhost", "password": BIND_PASSWORD}
                delta = {attribute: {"changed": {"gauth_ldap": section, "gauth_ldap_1": section}}}
                revision = client.execute_command("CFG.UPDATE", class_name, dbid, json.dumps(delta))
        with proxy.client() as client:
            client.execute_command("CFG.SYNC", revision)
        for server in (master, proxy):
            with signed_in(server, "ann", ANN_PASSWORD) as client:
                assert client.ping()
            with (
                pytest.raises(redis.AuthenticationError),
                signed_in(server, "ann", FIRST_PASSWORD) as client,
            ):
                client.ping()
        yield {"master": master, "proxy": proxy}


def _person(client: redis.Redis, user: str, password: str) -> int:
    words = {"userName": user, "employeeID": user, "tenantDBID": 1, "password": password}
    return int(client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(words))[1])


def _find(client: redis.Redis, class_name: str, *keys: str) -> int:
    return int(json.loads(client.execute_command("CFG.FIND", class_name, *keys))["DBID"])


def _found(client: redis.Redis, user: str) -> int:
    return _find(client, "CfgPerson", "user_name", user)


def signed_in(server: Server, user: str, password: str) -> redis.Redis:
    return redis.Redis("127.0.0.1", server.port, username=user, password=password)


def shown_in(text: str | bytes) -> list[str]:
    """The secrets in a text."""
    data = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret.encode() in data]


def processes(server: Server) -> dict[str, psutil.Process]:
    assert server.process is not None
    return {"supervisor": psutil.Process(server.process.pid), **server.children()}


@pytest.fixture(params=["master", "proxy"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    return servers[request.param]


def test_no_command_tells_a_secret(server: Server) -> None:
    connection = server.raw(3)
    told = b""
    for question in (*QUESTIONS, *(("CFG.READ", name) for name in CLASSES)):
        connection.send_command(*question)
        told += repr(connection.read_response()).encode()
    connection.disconnect()
    assert shown_in(told) == []
    assert told.count(b"sealed:1:") >= 3  # the directories' options were among it


def test_all_commands_that_tell_something_are_asked() -> None:
    told = {"|".join(one[:2]) if "|".join(one[:2]) in COMMANDS else one[0] for one in QUESTIONS}
    assert told <= COMMANDS.keys()


def test_no_message_to_a_subscriber_tells_a_secret(servers: dict[str, Server]) -> None:
    master, proxy = servers["master"], servers["proxy"]
    with proxy.client(decode_responses=False) as hearing, master.client() as client:
        listener = hearing.pubsub(ignore_subscribe_messages=True)
        listener.subscribe("cfg")
        assert listener.get_message(timeout=5) is None  # its confirmation
        delta = {"userProperties": {"changed": {"gauth_ldap_2": {"password": BIND_PASSWORD}}}}
        ann = _found(client, "ann")
        client.execute_command("CFG.UPDATE", "CfgPerson", ann, json.dumps(delta))
        client.execute_command("CFG.PASSWD", "ann", PASSWORD, ANN_PASSWORD)
        message = wait_until(lambda: listener.get_message(timeout=1), 10, "the change")
    assert shown_in(message["data"]) == []
    assert b"gauth_ldap_2" in message["data"]


@pytest.mark.parametrize("layout", ["csp", "raw"])
def test_no_export_has_a_secret(server: Server, layout: str) -> None:
    done = server.cli("export", "--format", layout)
    assert done.returncode == 0, done.stderr
    assert shown_in(done.stdout + done.stderr) == []
    assert "sealed:1:" in done.stdout


def test_no_log_has_a_secret(server: Server) -> None:
    assert shown_in(server.log.read_bytes()) == []


def test_no_file_of_a_server_has_a_secret_or_can_be_read_by_others(server: Server) -> None:
    folders = [server.runtime, server.state]
    files = [one for folder in folders for one in folder.rglob("*") if one.is_file()]
    assert files
    for file in files:
        assert shown_in(file.read_bytes()) == [], file
    for name in Path("/dev/shm").glob(f"csp-*{server.port}*"):
        assert stat.S_IMODE(name.stat().st_mode) == 0o600, name
        guarded = [file, *file.parents]
        assert any(stat.S_IMODE(one.stat().st_mode) & 0o077 == 0 for one in guarded[:2]), file


def test_memory_that_processes_share_has_no_secret(server: Server) -> None:
    names = list(Path("/dev/shm").glob(f"csp-*{server.port}*"))
    assert len(names) >= 2
    for name in names:
        with name.open("rb") as file:
            assert shown_in(b"".join(filled(file))) == [], name


def filled(file: BinaryIO) -> Iterator[bytes]:
    """What is not a hole in a file that is mostly holes."""
    at = 0
    while True:
        try:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError:
            return  # there is nothing any more
        end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
        yield os.pread(file.fileno(), end - at, at)
        at = end


def test_neither_arguments_nor_environment_show_a_secret(server: Server) -> None:
    for role, process in processes(server).items():
        for what in ("cmdline", "environ"):
            shown = Path(f"/proc/{process.pid}/{what}").read_bytes()
            assert shown_in(shown) == [], f"{what} of {role}"


# ---------------------------------------------------------------- cores


@pytest.fixture
def cores() -> Iterator[None]:
    """What is started meanwhile may leave a core, as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def core_of_a_stranger(folder: Path) -> list[Path]:
    """The core that a process which is not guarded leaves, to show that cores can be had here."""
    waiting = [sys.executable, "-c", "print('here', flush=True); input()"]
    with subprocess.Popen(
        waiting, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSEGV)
    return list(folder.glob("core*"))


@pytest.mark.long
@pytest.mark.usefixtures("cores")
def test_no_process_of_a_server_leaves_a_core(tmp_path: Path) -> None:
    folder, beside = tmp_path / "server", tmp_path / "beside"
    folder.mkdir()
    beside.mkdir()
    if not core_of_a_stranger(beside):
        pytest.skip("the kernel writes no core into the folder of a process here")
    with Master(folder) as server:
        for role, process in server.children().items():
            process.send_signal(signal.SIGSEGV)
            wait_until(lambda one=process: not one.is_running(), GONE_SECONDS_MAX, f"{role} died")
        wait_until(server.answers, 30, "the children are there again")
        assert server.process is not None
        server.process.send_signal(signal.SIGSEGV)
        assert server.process.wait(GONE_SECONDS_MAX) == -signal.SIGSEGV
    assert list(folder.glob("core*")) == []


def test_each_process_has_a_limit_that_forbids_cores(server: Server) -> None:
    for role, process in processes(server).items():
        assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0), role
