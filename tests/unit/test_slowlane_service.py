"""CLIENT, COMMAND, INFO, CONFIG, SCAN and CFG.STATUS on a fake loop."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.model.keys import KEYS
from csp.model.types import CLASSES
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY
from csp.tables.commands import COMMANDS
from csp.worker import clients
from csp.worker.glob import compile_glob
from tests.effort import parametrize_few
from tests.unit.fake_loop import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


# In the order of Redis 7.2.
REDIS_FIELDS = (
    *("id", "addr", "laddr", "fd", "name", "age", "idle", "flags", "db", "sub", "psub", "ssub"),
    *("multi", "qbuf", "qbuf-free", "argv-mem", "multi-mem", "rbs", "rbp", "obl", "oll", "omem"),
    *("tot-mem", "events", "cmd", "user", "redir", "resp", "lib-name", "lib-ver"),
)


def text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode()


def test_client_names(server: Server) -> None:
    assert server.ask("CLIENT", "ID") == 1
    assert server.ask("CLIENT", "GETNAME") is None
    assert server.ask("client", "setname", "n") == "OK"
    assert server.ask("CLIENT", "GETNAME") == b"n"
    assert str(server.ask("CLIENT", "SETNAME", "a b")).startswith("ERR Client names cannot")
    assert server.ask("CLIENT", "SETINFO", "LIB-NAME", "redis-py") == "OK"
    assert server.ask("CLIENT", "SETINFO", "lib-ver", "8.1.0") == "OK"
    assert server.ask("CLIENT", "SETINFO", "lib-ver", "8 1") == (
        "ERR lib-ver cannot contain spaces, newlines or special characters."
    )
    assert server.ask("CLIENT", "SETINFO", "x", "y") == "ERR Unrecognized option 'x'"
    line = text(server.ask("CLIENT", "INFO"))
    assert "name=n " in line
    assert "lib-name=redis-py lib-ver=8.1.0" in line


def test_client_list_and_kill(server: Server) -> None:
    server.connect(2, address="10.0.0.1:5", subscriptions=2)
    server.connect(3, user="other")
    assert len(text(server.ask("CLIENT", "LIST")).splitlines()) == 3
    assert text(server.ask("CLIENT", "LIST", "TYPE", "pubsub")).startswith("id=2 addr=10.0.0.1:5 ")
    assert text(server.ask("CLIENT", "LIST", "ID", "3")).startswith("id=3 ")
    assert server.ask("CLIENT", "LIST", "x") == "ERR syntax error"
    assert server.ask("CLIENT", "LIST", "TYPE", "x") == "ERR Unknown client type 'x'"
    assert server.ask("CLIENT", "KILL", "1.1.1.1:1") == "ERR No such client"
    assert server.ask("CLIENT", "KILL", "10.0.0.1:5") == "OK"
    assert server.ask("CLIENT", "KILL", "ADDR", "127.0.0.1:50000", "ID", "3") == 1
    assert server.ask("CLIENT", "KILL", "ID", "1") == 0
    assert server.loop.closing == {2, 3}
    assert server.ask("CLIENT", "KILL", "ID", "0") == "ERR client-id should be greater than 0"


def test_kill_conditions(server: Server) -> None:
    server.reader.finds[KEYS["CfgPerson", "user_name"].key_id, b"bob"] = [101]
    server.connect(2, user="bob", age_ms=9_000)
    server.connect(3, user="bob", age_ms=11_000)
    assert server.ask("CLIENT", "KILL", "USER", "nobody") == "ERR No such user 'nobody'"
    assert server.ask("CLIENT", "KILL", "LADDR", "10.9.9.9:1", "USER", "bob") == 0
    assert server.ask("CLIENT", "KILL", "USER", "bob", "MAXAGE", "10") == 1
    assert server.loop.closing == {3}
    assert server.ask("CLIENT", "KILL", "LADDR", "127.0.0.1:7000", "SKIPME", "no") == 3
    assert server.loop.closing == {1, 2, 3}
    for wrong in (("MAXAGE", "0"), ("MAXAGE", "x"), ("SKIPME", "maybe"), ("FOO", "1"), ("ID",)):
        assert str(server.ask("CLIENT", "KILL", "ID", "9", *wrong)).startswith("ERR ")


def test_a_client_is_described_as_redis_does(server: Server) -> None:
    server.loop.sessions[1].command = COMMANDS["CLIENT"].number
    line = text(server.ask("CLIENT", "INFO")).strip()
    fields = dict(pair.partition("=")[::2] for pair in line.split(" "))
    assert list(fields) == [*REDIS_FIELDS, "worker", "port"]
    assert (fields["laddr"], fields["cmd"], fields["redir"]) == ("127.0.0.1:7000", "client", "-1")


def test_many_clients_are_listed_over_several_turns(server: Server) -> None:
    for conn in range(2, 5_000):
        server.connect(conn)
    clients.SLICE_SECONDS, before = 0.0, clients.SLICE_SECONDS
    try:
        assert server.raw("CLIENT", "LIST") is None
        server.loop.pass_time(0)
        assert len(text(server.later()).splitlines()) == 4_999
    finally:
        clients.SLICE_SECONDS = before


@pytest.mark.parametrize("word", ["POST", "post", "Host:"])
def test_another_protocol_is_closed_at_once_and_told_once(
    server: Server, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    for conn in (2, 3):
        server.connect(conn, authenticated=False)
        assert server.raw(word, "/", "HTTP/1.1", conn=conn) == b""
    assert server.loop.closing == {2, 3}
    told = [record.getMessage() for record in caplog.records]
    assert told == ["127.0.0.1:50000 speaks another protocol (HTTP?) and was closed"]


def test_what_viewers_ask(server: Server) -> None:
    server.reader.put("CfgPerson", 101, userName="ann")
    assert server.ask("SLOWLOG", "RESET") == "OK"
    assert server.ask("SLOWLOG", "GET", "-1") == []
    assert server.ask("TOUCH", "CfgPerson:101", "CfgPerson:102", "x") == 1
    assert server.ask("ROLE") == [b"master", 10, []]
    assert server.ask("LASTSAVE") == 1
    assert server.ask("ACL", "USERS") == [b"default"]
    assert server.ask("ACL", "LIST") == [b"user default on ~* &* +@all"]
    assert server.ask("ACL", "GETUSER", "nobody") is None
    assert server.ask("CONFIG", "GET", "SAVE") == [b"SAVE", b""]
    for parent in ("OBJECT", "MEMORY", "MODULE", "ACL", "SLOWLOG", "PUBSUB"):
        lines = server.ask(parent, "HELP")
        assert isinstance(lines, list)
        assert str(lines[0]).startswith(f"{parent} <subcommand>")
    assert server.ask("GETRANGE", "CfgPerson:101", "-99999", "-99998") == b"{"


def test_client_switches(server: Server) -> None:
    for word in ("NO-EVICT", "NO-TOUCH"):
        assert server.ask("CLIENT", word, "ON") == "OK"
        assert server.ask("CLIENT", word, "x") == "ERR syntax error"
    assert server.ask("CLIENT", "REPLY", "ON") == "OK"
    assert server.ask("CLIENT", "UNPAUSE") == "OK"
    assert server.ask("CLIENT", "GETREDIR") == -1


def test_command(server: Server) -> None:
    count = server.ask("COMMAND", "COUNT")
    rows = server.ask("COMMAND")
    assert isinstance(rows, list)
    assert len(rows) == count
    assert server.ask("COMMAND", "INFO", "get", "nope")[1] is None  # type: ignore[index]
    get = server.ask("COMMAND", "INFO", "GET")[0]  # type: ignore[index]
    assert get[:2] == [b"get", 2]  # type: ignore[index]
    assert get[3:6] == [1, 1, 1]  # type: ignore[index]
    assert server.ask("COMMAND", "GETKEYS", "MGET", "a", "b") == [b"a", b"b"]
    assert server.ask("COMMAND", "GETKEYS", "PING") == "ERR The command has no key arguments"
    assert server.ask("COMMAND", "GETKEYS", "nope", "x") == "ERR Invalid command specified"
    assert server.ask("COMMAND", "LIST", "FILTERBY", "PATTERN", "cfg.st*") == [b"cfg.status"]
    server.ask("HELLO", "3")
    docs = server.ask("COMMAND", "DOCS", "get", "client")
    assert isinstance(docs, dict)
    assert set(docs) == {b"get", b"client"}
    assert isinstance(server.ask("COMMAND", "HELP"), list)


def test_info(server: Server) -> None:
    body = text(server.ask("INFO"))
    keys = [line.partition(":")[0] for line in body.splitlines() if ":" in line]
    assert len(keys) == len(set(keys))  # clients put all sections into one map
    for part in (
        *(
            "redis_version:7.4.0\r\n",
            "redis_mode:standalone\r\n",
            "loading:0\r\n",
            "role:master\r\n",
        ),
        *("connected_slaves:0\r\n", "tcp_port:7000\r\n", "connected_clients:1\r\n", "# Csp\r\n"),
        *("used_memory:", "run_id:"),
    ):
        assert part in body, part
    assert text(server.ask("INFO", "replication")).startswith("# Replication\r\nrole:master\r\n")
    assert server.ask("INFO", "nonsense") == b""


def test_a_proxy_that_serves_is_a_master_to_clients_of_redis(tmp_path: Path) -> None:
    server = Server(tmp_path, mode="proxy", upstream="master.example:2020")
    server.control.links = (2, 12, 1)
    body = text(server.ask("INFO", "replication"))
    assert body.startswith("# Replication\r\nrole:master\r\n")
    assert "slave_read_only:1\r\n" in body
    assert "master_link_status" not in body  # ioredis waits for it to be up, and here is data
    assert server.ask("ROLE") == [b"master", 10, []]
    server.close()


def test_config(server: Server) -> None:
    assert server.ask("CONFIG", "GET", "save") == [b"save", b""]
    assert server.ask("CONFIG", "GET", "appendonly") == [b"appendonly", b"no"]
    assert server.ask("CONFIG", "GET", "nothing") == []
    assert server.ask("CONFIG", "GET", "packet-*") == [b"packet-size", b"1024"]
    server.ask("HELLO", "3")
    found = server.ask("CONFIG", "GET", "*")
    assert isinstance(found, dict)
    for name in (
        *("timeout", "databases", "maxclients", "replica-read-only", "slave-read-only"),
        *("save", "appendonly", "maxmemory", "notify-keyspace-events"),
    ):
        assert name.encode() in found
    assert "Unknown option" in str(server.ask("CONFIG", "SET", "zzz", "1"))
    assert "Application object" in str(server.ask("CONFIG", "SET", "timeout", "1"))
    assert server.ask("CONFIG", "RESETSTAT") == "OK"


def test_config_and_info_say_how_many_may_connect(tmp_path: Path) -> None:
    for option, shown in ((0, 900), (3, 3), (5_000, 900)):
        folder = tmp_path / str(option)
        folder.mkdir()
        server = Server(folder, options={"max-clients": option}, client_count_max=900)
        assert server.ask("CONFIG", "GET", "maxclients") == [b"maxclients", str(shown).encode()]
        assert f"maxclients:{shown}\r\n" in str(server.ask("INFO", "clients"), "ascii")  # type: ignore[arg-type]
        server.close()


def walk(server: Server, *options: str) -> list[bytes]:
    found, cursor = [], b"0"
    while True:
        answer = server.ask("SCAN", cursor, *options)
        assert isinstance(answer, list)
        cursor, keys = answer  # type: ignore[assignment]
        found += keys
        if cursor == b"0":
            return found


def test_scan(server: Server) -> None:
    for dbid in range(101, 140):
        server.reader.put("CfgPerson", dbid)
    server.reader.put("CfgSkill", 7)
    found = walk(server)
    assert len(found) == len(set(found)) == 40
    assert b"CfgSkill:7" in found
    assert walk(server, "TYPE", "CfgSkill") == [b"CfgSkill:7"]
    assert walk(server, "TYPE", "hash") == []
    assert len(walk(server, "TYPE", "string", "COUNT", "1000")) == 40
    assert walk(server, "MATCH", "*:10[12]") == [b"CfgPerson:101", b"CfgPerson:102"]
    assert server.ask("SCAN", "x") == "ERR invalid cursor"
    assert server.ask("SCAN", "0", "COUNT", "0") == "ERR syntax error"
    assert server.ask("SCAN", "0", "COUNT", "x") == "ERR value is not an integer or out of range"
    assert server.ask("DBSIZE") == 40
    assert server.ask("RANDOMKEY") in found
    assert sorted(server.ask("KEYS", "*")) == sorted(found)  # type: ignore[arg-type, type-var]


@parametrize_few(
    "words",
    [("KEYS", "*"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", "9"), ("PUBSUB", "CHANNELS")],
    quick=2,
)
def test_what_a_long_command_gathered_goes_with_its_reply(
    server: Server, words: tuple[str, ...]
) -> None:
    """A million keys are no more objects to the collector of cycles than one: it would not come."""
    for dbid in range(101, 140):
        server.reader.put("CfgPerson", dbid)

    def ask() -> None:
        if server.raw(*words) is None:
            server.loop.pass_time(1_000)
        server.loop.sent[1].clear()

    ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            ask()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_random_key_of_nothing(server: Server) -> None:
    assert server.ask("RANDOMKEY") is None


@given(st.text("ab*?[]^-\\", max_size=8), st.text("ab-]", max_size=6))
def test_glob_ends(pattern: str, name: str) -> None:
    compile_glob(pattern.encode())(name.encode())


def test_glob() -> None:
    assert compile_glob(b"a*b*c")(b"axxbyyc")
    assert not compile_glob(b"a*b*c")(b"axxbyy")
    assert compile_glob(b"[^a]?")(b"bz")
    assert compile_glob(b"\\*")(b"*")
    assert compile_glob(b"[c-a]")(b"b")
    # Exponential where stars nest.
    assert not compile_glob(b"*a" * 100)(b"a" * 99 + b"b" * 5000)


def test_status(server: Server) -> None:
    server.ask("HELLO", "3")
    server.reader.put("CfgPerson", 101)
    status = server.ask("CFG.STATUS")
    assert isinstance(status, dict)
    assert (status[b"mode"], status[b"revision"], status[b"lag"]) == (b"master", 10, 0)
    assert (status[b"mark"], status[b"stream"]) == (
        b"000000000000abcd",
        bytes(range(16)).hex().encode(),
    )
    assert (status[b"objects"], status[b"age"], status[b"generation"]) == (1, 0, 1)
    classes = server.ask("CFG.CLASSES")
    assert isinstance(classes, dict)
    assert set(classes) == {name.encode() for name in CLASSES}
    person = classes[b"CfgPerson"]
    assert isinstance(person, dict)
    assert person[b"count"] == 1
    assert b"user_name" in person[b"filters"]  # type: ignore[operator]
    assert b"password" not in person[b"attributes"]  # type: ignore[operator]


def test_sync(server: Server) -> None:
    assert server.ask("CFG.SYNC", "10") == 10
    assert server.raw("CFG.SYNC", "12") is None
    assert server.loop.wants_published
    server.publish(11)
    assert server.loop.sent[1] == []
    server.publish(12)
    assert server.later() == 12
    assert not server.loop.wants_published
    assert server.raw("CFG.SYNC", "99", "TIMEOUT", "50") is None
    server.loop.pass_time(60)
    assert str(server.later()).startswith("STALE revision 99 is not here after 50 ms; at 12")
    assert server.raw("CFG.SYNC") is None
    assert server.writer.take()[0] == b"HEAD"
    server.writer.answer("DONE", "1", "13")
    server.loop.poll()
    server.publish(13)
    assert server.later() == 13
    assert server.ask("CFG.SYNC", "TIMEOUT") == "ERR syntax error"


def test_a_backup_says_so_and_takes_no_writes_from_the_moment_on(server: Server) -> None:
    assert server.ask("CFG.STATUS")[1] == b"single"  # type: ignore[index]
    server.control.role = ROLE_BACKUP
    assert server.ask("CFG.STATUS")[1] == b"backup"  # type: ignore[index]
    assert str(server.ask("CFG.DELETE", "CfgSkill", "1")).startswith("READONLY")
    server.control.role = ROLE_PRIMARY
    assert server.ask("CFG.STATUS")[1] == b"primary"  # type: ignore[index]
    assert server.raw("CFG.DELETE", "CfgSkill", "1") is None


def test_whether_writes_are_taken_is_asked_each_time(server: Server) -> None:
    server.control.writable = False
    assert str(server.ask("CFG.DELETE", "CfgSkill", "1")).startswith("READONLY")
    server.control.writable = True
    assert server.raw("CFG.DELETE", "CfgSkill", "1") is None
