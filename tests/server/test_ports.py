"""Several ports of one server, each for its purpose, of a real master and a real proxy."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.neighbours import secrets
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

WORDS = {
    "ui": "user=1",
    "ha": "ha-sync=1",
    "management": "management=1",
    "bad": "user=1; tls=1",
}
ANN = "a horse that is correct"
secrets.note(ANN)
HELD: list[socket.socket] = []
RESERVE = 16  # csp/_fastpath/loop/conn.pxi


def client(port: int, user: str = "default", password: str = PASSWORD) -> redis.Redis:
    return redis.Redis(
        *("127.0.0.1", port),
        username=user,
        password=password,
        socket_timeout=20,
        decode_responses=True,
        protocol=3,
    )


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def change(master: Master, app: str, **delta: Any) -> None:
    """Changes an Application as `csp update` does."""
    done = master.cli("update", f"CfgApplication/name={app}", json.dumps(delta))
    assert done.returncode == 0, done.stderr


def add_ports(master: Master, app: str, words: dict[str, str]) -> dict[str, int]:
    """Adds ports beside the default one, by id with their transport parameters."""
    ports = {name: held_port() for name in words}
    rows = [
        {"id": name, "port": str(ports[name]), "transportParams": text}
        for name, text in words.items()
    ]
    change(master, app, added={"portInfos": rows})
    return ports


def held_port() -> int:
    """A port that nobody else gets before a server is started (restart)."""
    port = free_port()
    held = socket.socket()  # without SO_REUSEADDR: no other bind
    held.bind(("127.0.0.1", port))
    HELD.append(held)
    return port


def let_go() -> None:
    while HELD:
        HELD.pop().close()


def restart(*servers: Server) -> None:
    """Stops the servers, the last one first, and starts them with the ports that are theirs now."""
    for server in reversed(servers):
        server.stop()
    let_go()
    for server in servers:
        server.start()


def say_of_default(master: Master, app: str, words: str) -> None:
    row = {"id": "default", "port": str(master.port), "transportParams": words}
    change(master, app, changed={"portInfos": [row]})


def make(master: Master, app_type: str, **application: Any) -> int:
    """Makes an Application that is a server; its DBID."""
    name = application["name"]
    prototype = create(master, "CfgAppPrototype", name=f"of {name}", type=app_type)
    common = {"isServer": True, "tenantDBIDs": [1], "workDirectory": ".", "commandLine": name}
    return create(master, "CfgApplication", appPrototypeDBID=prototype, **(common | application))


def create(master: Master, class_name: str, **obj: Any) -> int:
    with master.client() as one:
        return int(one.execute_command("CFG.CREATE", class_name, json.dumps(obj))[1])


def dbid_of(master: Master, app: str) -> int:
    with master.client() as one:
        found = one.execute_command("CFG.FIND", "CfgApplication", "name", app)
        return int(json.loads(found)["DBID"])


def state_of(server: Server) -> dict[str, Any]:
    with server.client(protocol=3) as one:
        found: dict[str, Any] = one.execute_command("CFG.STATUS")
    return found


class Doors:
    """A master and a proxy of it with a port for each purpose."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.master = stack.enter_context(Master(folder, workers=2))
        self.proxy = stack.enter_context(Proxy(folder, self.master))
        self.ports = {
            "master": add_ports(self.master, "confserv", WORDS),
            "proxy": add_ports(self.master, "proxy1", WORDS),
        }
        for app, backup in (("confserv", "second"), ("proxy1", "first")):
            dbid = make(self.master, "configurationserver", name=backup)
            warm = {"serverInfo": {"backupServerDBID": dbid}, "redundancyType": "htwarmstanby"}
            change(self.master, app, changed=warm)
        make(self.master, "configurationserver", name="stranger")
        make(self.master, "statserver", name="stat")
        create(
            self.master,
            "CfgPerson",
            **{"tenantDBID": 1, "userName": "ann", "password": ANN, "employeeID": "ann"},
        )
        restart(self.master, self.proxy)
        for ports in self.ports.values():
            wait_until(lambda port=ports["ha"]: is_open(port), 20, "the other ports are open")

    def server(self, which: str) -> Server:
        return {"master": self.master, "proxy": self.proxy}[which]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with ExitStack() as stack:
        yield Doors(tmp_path_factory.mktemp("ports"), stack)


@pytest.mark.parametrize("which", ["master", "proxy"])
def test_all_ports_but_a_misspelt_one_are_open_and_told(doors: Doors, which: str) -> None:
    server, ports = doors.server(which), doors.ports[which]
    assert {name for name in WORDS if is_open(ports[name])} == {"ui", "ha", "management"}
    log = server.log_text(1_000_000)
    assert f"port ui is open at 127.0.0.1:{ports['ui']}: user-interface, unsecured" in log
    assert "port bad,  tls=1: there is a space beside `;` or `=`" in log
    alarm = server.alarms()["ports"]
    assert "port bad,  tls=1: there is a space" in alarm["text"]
    shown = state_of(server)["ports"].split("; ")
    assert shown == [
        f"default 127.0.0.1:{server.port} clients unsecured",
        f"ui 127.0.0.1:{ports['ui']} user-interface unsecured",
        f"ha 127.0.0.1:{ports['ha']} ha-sync unsecured",
        f"management 127.0.0.1:{ports['management']} management unsecured",
    ]


@pytest.mark.parametrize("which", ["master", "proxy"])
def test_f106_t15_a_port_for_user_interfaces_refuses_servers(doors: Doors, which: str) -> None:
    with client(doors.ports[which]["ui"]) as one:
        assert one.execute_command("DBSIZE") > 0
        for name in ("stat", "second", "first", "confserv"):
            with pytest.raises(redis.ResponseError, match=f"user interfaces, and {name} is a serv"):
                one.execute_command("CFG.REGISTER", name)
        with pytest.raises(redis.ResponseError, match="is for configuration servers"):
            one.execute_command("CFG.FEED", "FROM", "-", "0", "-", "FORMAT", "3")
        assert one.execute_command("CFG.REGISTER", "default")["application_dbid"] == 100


def test_f106_t15_no_proxy_follows_by_a_port_for_user_interfaces(
    doors: Doors, tmp_path: Path
) -> None:
    with Proxy(tmp_path, doors.ports["master"]["ui"], app="astray").start(ready=False) as proxy:
        words = "this port is for user interfaces, and astray is a server"
        wait_until(lambda: words in proxy.log_text(1_000_000), 30, "the refusal")
        assert not proxy.answers()


@pytest.mark.parametrize(("which", "peer"), [("master", "second"), ("proxy", "first")])
def test_f107_t15_a_port_for_ha_sync_is_the_peers_alone(
    doors: Doors, which: str, peer: str
) -> None:
    with client(doors.ports[which]["ha"]) as one:
        for words in (["DBSIZE"], ["GET", "CfgPerson:100"], ["CFG.STATUS"], ["SUBSCRIBE", "a"]):
            with pytest.raises(redis.ResponseError, match="for the peer of this server"):
                one.execute_command(*words)
        for name in ("default", "stat", "stranger", "confserv" if which == "proxy" else "proxy1"):
            with pytest.raises(redis.ResponseError, match="is neither its backup nor the server"):
                one.execute_command("CFG.REGISTER", name)
        with pytest.raises(redis.ResponseError, match="for the peer of this server"):
            one.execute_command("DBSIZE")
        assert one.execute_command("CFG.REGISTER", peer)["application_dbid"] > 0
        assert one.execute_command("DBSIZE") > 0
        assert json.loads(one.execute_command("GET", "CfgPerson:100"))["userName"] == "default"


def test_f107_a_pipeline_at_the_port_for_ha_sync_is_refused_as_a_whole(doors: Doors) -> None:
    """Reads of many keys at once take another way through the loop, and EXEC one more."""
    with client(doors.ports["master"]["ha"]) as one:
        pipe = one.pipeline(transaction=False)
        for _ in range(200):
            pipe.execute_command("GET", "CfgPerson:100")
        pipe.execute_command("MULTI")
        pipe.execute_command("GET", "CfgPerson:100")
        pipe.execute_command("EXEC")
        replies = pipe.execute(raise_on_error=False)
        assert all("for the peer of this server" in str(one) for one in replies[:202])
        assert isinstance(replies[202], redis.ResponseError)


@pytest.mark.parametrize("which", ["master", "proxy"])
def test_a_port_for_management_takes_administrators_alone(doors: Doors, which: str) -> None:
    port = doors.ports[which]["management"]
    with client(port) as one:
        assert one.execute_command("DBSIZE") > 0
    with client(port, "ann", ANN) as one, pytest.raises(redis.ResponseError, match="administrat"):
        one.execute_command("PING")
    with client(doors.server(which).port, "ann", ANN) as one:
        assert one.ping()


def test_administrators_get_in_when_clients_have_all_connections(doors: Doors) -> None:
    master, port = doors.master, doors.ports["master"]["management"]
    key = f"CfgApplication/name={master.app}"
    count = state_of(master)["sessions"] + 20
    with ExitStack() as stack:
        control = [stack.enter_context(client(port)) for _ in range(8)]  # of both workers

        def limits() -> set[str]:
            return {str(one.config_get("maxclients")["maxclients"]) for one in control}

        assert len(limits()) == 1
        assert master.cli("option", key, "csp", "max-clients", str(count)).returncode == 0
        wait_until(lambda: limits() == {str(count)}, 10, "the limit")
        while not all(is_refused(stack, master.port) for _ in range(20)):
            pass  # whoever has just gone counts no more
        rest = [is_refused(stack, port) for _ in range(2 * RESERVE)]
        assert rest[0] is False
        assert RESERVE - 5 <= rest.count(False) <= RESERVE + 5, "others come and go meanwhile"
        assert rest[-1] is True
        assert is_refused(stack, master.port)
        control[0].execute_command("CFG.STATUS")
    assert master.cli("option", key, "csp", "max-clients", "--delete").returncode == 0
    wait_until(master.answers, 10, "others get in again")


def is_refused(stack: ExitStack, port: int) -> bool:
    """Opens a connection that stays; whether it was told that there are too many."""
    one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
    one.sendall(b"PING\r\n")
    try:
        return not one.recv(100).startswith(b"+PONG")
    except ConnectionResetError:
        return True


def test_clients_are_shown_with_the_port_by_which_they_came(doors: Doors) -> None:
    port = doors.ports["master"]["ui"]
    with client(port) as one, doors.master.client(protocol=3) as other:
        one.client_setname("by-ui")
        rows = {row["name"]: row for row in other.client_list()}
        assert rows["by-ui"]["port"] == "ui"
        assert rows["by-ui"]["laddr"] == f"127.0.0.1:{port}"
        own = one.client_info()
        assert (own["port"], own["laddr"]) == ("ui", f"127.0.0.1:{port}")


def test_t16_user_on_the_default_port_is_not_taken_and_told(doors: Doors) -> None:
    master = doors.master
    say_of_default(master, "confserv", "user=1")
    words = "user=1 of the default port is not taken: cut off would be every server, among them "
    wait_until(lambda: words in master.log_text(1_000_000), 10, "the warning names the servers")
    [line] = [one for one in master.log_text(1_000_000).split("\n") if words in one]
    assert "proxy1" in line
    assert "port default, user=1: the default port is everybody's" in master.log_text(1_000_000)
    assert "port default, user=1" in master.alarms()["ports"]["text"] or "bad" in str(
        master.alarms()["ports"]["text"]
    )
    say_of_default(master, "confserv", "")
    assert doors.proxy.answers()


def test_t16_a_narrowed_default_port_names_who_is_cut_off(tmp_path: Path) -> None:
    with Master(tmp_path) as master:
        host = create(master, "CfgHost", name="far", IPaddress="192.0.2.7")
        own = dbid_of(master, "confserv")
        near = create(master, "CfgHost", name="near", IPaddress="10.1.2.3")
        for name, at in (("far-stat", host), ("near-stat", near)):
            make(
                master,
                "statserver",
                name=name,
                serverInfo={"hostDBID": at},
                appServerDBIDs=[{"appServerDBID": own}],
            )
        words = "addresses=127.0.0.0/8,10.0.0.0/8"
        say_of_default(master, "confserv", words)
        told = "the Application states other ports, which are opened at the next start"
        wait_until(lambda: told in master.log_text(1_000_000), 10, "what is to come")
        assert state_of(master)["narrowed"] == ""
        restart(master)
        told = (
            "the default port takes clients of 127.0.0.0/8, 10.0.0.0/8 alone: cut off is "
            "every client from elsewhere, among them far-stat"
        )
        wait_until(lambda: told in master.log_text(1_000_000), 20, "the warning")
        assert state_of(master)["narrowed"] == told
        assert told in master.cli("status").stdout


@pytest.mark.long
def test_ports_change_at_the_next_start(doors: Doors) -> None:
    proxy, port = doors.proxy, held_port()
    row = {"id": "ui", "port": str(port), "transportParams": "user=1"}
    change(doors.master, "proxy1", changed={"portInfos": [row]})
    words = f"ui {port} user-interface unsecured"
    wait_until(lambda: words in proxy.log_text(1_000_000), 10, "it is told")
    assert is_open(doors.ports["proxy"]["ui"])
    assert not is_open(port)
    restart(proxy)
    assert is_open(port)
    assert not is_open(doors.ports["proxy"]["ui"])
    doors.ports["proxy"]["ui"] = port


def test_a_port_that_is_taken_keeps_nobody_else_from_serving(tmp_path: Path) -> None:
    with Master(tmp_path) as master:
        ports = add_ports(master, "confserv", {"ui": "user=1", "management": "management=1"})
        master.stop()
        let_go()
        with socket.create_server(("127.0.0.1", ports["ui"])):
            master.start()
            wait_until(lambda: is_open(ports["management"]), 20, "the other one is open")
            wait_until(lambda: "ports" in master.alarms(), 10, "the alarm")
            assert "Address already in use" in master.alarms()["ports"]["text"]
        restart(master)
        wait_until(lambda: is_open(ports["ui"]), 20, "it is free again")
        wait_until(lambda: "ports" not in master.alarms(), 10, "the alarm is over")


@pytest.mark.long
def test_a_proxy_opens_its_ports_while_its_master_is_away(tmp_path: Path) -> None:
    with Master(tmp_path) as master, Proxy(tmp_path, master) as proxy:
        ports = add_ports(master, "proxy1", {"ui": "user=1"})
        restart(proxy)
        assert is_open(ports["ui"])
        proxy.stop()
        master.stop()
        proxy.start()
        with client(ports["ui"]) as one:
            assert one.execute_command("DBSIZE") > 0


@pytest.mark.long
def test_lists_of_addresses_hold_at_each_port(tmp_path: Path) -> None:
    with Master(tmp_path) as master:
        ports = add_ports(
            master,
            "confserv",
            {
                "near": "addresses=127.0.0.0/8,::1",
                "far": "addresses=10.0.0.0/8",
                "balanced": "proxy-protocol=127.0.0.1;addresses=192.0.2.0/24",
                "strange": "proxy-protocol=10.0.0.1",
            },
        )
        restart(master)
        wait_until(lambda: says(ports["near"], b"PING\r\n").startswith(b"+PONG"), 20, "it is open")
        header = b"PROXY TCP4 %s 127.0.0.1 5000 7000\r\nPING\r\n"
        assert says(ports["far"], b"PING\r\n") == b""
        assert says(ports["balanced"], header % b"192.0.2.9").startswith(b"+PONG")
        assert says(ports["balanced"], header % b"198.51.100.9") == b""
        assert says(ports["balanced"], b"PING\r\n") == b""
        assert says(ports["strange"], header % b"192.0.2.9") == b""
        shown = state_of(master)["ports"]
        assert "far 127.0.0.1:" in shown
        assert "balanced 127.0.0.1:" in shown
        assert "clients unsecured behind 1 balancers from 1 networks" in shown


def says(port: int, data: bytes) -> bytes:
    """What comes back; nothing where the connection was ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        try:
            one.sendall(data)
            return one.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            return b""
