"""However a verb ends, it says why in one line and by its exit code; nothing is a traceback."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.cli.main import VERBS
from csp.exits import EXIT_DONE, EXIT_INTERRUPTED, EXIT_LIMITS, EXIT_USAGE
from tests.effort import parametrize_few
from tests.neighbours.server import PASSWORD, ROOT, Master
from tests.neighbours.waiting import wait_until
from tests.unit.importing import document

SKILL = '{"tenantDBID":1,"name":"NAME"}'
# What each verb is asked that prints something; those that run servers are not asked here.
PRINTING: dict[str, list[list[str]]] = {
    "import": [["import", "--dry-run", "{file}"], ["import", "--dry-run", "--json", "{file}"]],
    "export": [["export"], ["export", "--format", "raw"]],
    "estate": [["estate", "--agents", "20"]],
    "get": [["get", "CfgTenant:1"], ["get", "--json", "CfgPerson/user_name=default"]],
    "read": [["read", "CfgFolder"], ["read", "--json", "CfgTenant"]],
    "count": [["count", "CfgTenant"], ["count", "--json", "CfgTenant"]],
    "create": [["create", "CfgSkill", SKILL.replace("NAME", "{unique}")]],
    "update": [["update", "CfgTenant:1", "--json", '{"changed":{"chargeableNumber":"{unique}"}}']],
    "delete": [["delete", "--json", "CfgSkill/name={skill}"]],
    "option": [["option", "CfgApplication:99", "confserv", "packet-size"]],
    "grant": [["grant", "CfgTenant:1", "CfgPerson:100", "R,C,U,X,D,RP,CP,propagate", "--json"]],
    "revoke": [["revoke", "CfgHost:1", "CfgPerson:100", "--json"]],
    "permissions": [["permissions", "CfgTenant:1"], ["permissions", "CfgTenant:1", "--json"]],
    "access": [
        ["access", "default", "CfgTenant:1"],
        ["access", "default", "CfgTenant:1", "--json"],
    ],
    "status": [["status"], ["status", "--json", "--classes"]],
    "metrics": [["metrics"], ["metrics", "--json"]],
    "clients": [["clients"], ["clients", "--json"]],
    "verify": [["verify", "--json"]],
    "history": [["history"], ["history", "--json"]],
    "config": [["config", "show"], ["config", "schema"], ["config", "schema", "--json"]],
    "completion": [["completion", "bash"]],
    "store": [["store", "stat"], ["store", "dump", "CfgTenant"], ["store", "verify"]],
}
SERVERS = {"master", "proxy"}
# Watched below; says nothing but its exit code; concern a pair, or all clients of the server.
NOT_ASKED = SERVERS | {"watch", "passwd", "switchover", "drain"}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("ends")) as master:
        yield master


Done = subprocess.CompletedProcess[str]


def shell(master: Master, words: list[str | bytes], redirect: str) -> Done:
    """Runs `csp WORDS` with standard streams as the shell's words say."""
    return subprocess.run(
        ["bash", "-c", f'exec "$@" {redirect}', "-", sys.executable, "-m", "csp", *words],
        env=environment(master),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        text=True,
        errors="backslashreplace",
        check=False,
    )


def environment(master: Master) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "CSP_PASSWORD": PASSWORD,
        "CSP_SERVER": f"127.0.0.1:{master.port}",
        "CSP_RUNTIME_DIR": str(master.runtime),
    }


def only_line(done: Done) -> str:
    """What was said: one line."""
    assert "Traceback" not in done.stderr, done.stderr
    (line,) = done.stderr.splitlines() or [""]
    return line


def words_of(master: Master, words: list[str], folder: Path, serial: int) -> list[str | bytes]:
    file = folder / "file.json"
    file.write_bytes(document(skills=[{"tenant": "Environment", "name": f"f{serial}"}]))
    name = f"u{serial}-{os.getpid()}"
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgSkill", SKILL.replace("NAME", f"d-{name}"))
    places = {"{file}": str(file), "{unique}": name, "{skill}": f"d-{name},tenant_dbid=1"}
    for place, value in places.items():
        words = [word.replace(place, value) for word in words]
    return list(words)


EVERY = [words for kinds in PRINTING.values() for words in kinds]


def test_every_verb_is_asked() -> None:
    assert set(PRINTING) | NOT_ASKED == set(VERBS)


@parametrize_few(
    "serial", range(len(EVERY)), ids=[" ".join(one[:3])[:40] for one in EVERY], quick=2
)
def test_output_that_has_no_room(master: Master, tmp_path: Path, serial: int) -> None:
    words = words_of(master, EVERY[serial], tmp_path, serial)
    done = shell(master, words, "> /dev/full")
    assert only_line(done) == "csp: standard output can't be written: No space left on device"
    assert done.returncode == EXIT_LIMITS
    closed = shell(master, words_of(master, EVERY[serial], tmp_path, 100 + serial), ">&-")
    assert only_line(closed) == "csp: standard output can't be written: it is closed"
    assert closed.returncode == EXIT_USAGE
    unread = shell(master, words_of(master, EVERY[serial], tmp_path, 200 + serial), "| true")
    assert "Traceback" not in unread.stderr
    assert "Error" not in unread.stderr


@parametrize_few("verb", sorted(set(VERBS) - SERVERS), quick=2)
def test_arguments_that_are_no_text(master: Master, verb: str) -> None:
    for words in (
        [b"\xff"],
        [b"CfgSkill", b"name=\xff"],
        [b"CfgSkill:\xff", b"{}"],
        [b"--json", b"\xff"],
    ):
        done = shell(master, [verb, *words], "")
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in (1, 2, 3, 4), (words, done.stderr)
        assert done.stderr


def test_standard_input_that_is_closed(master: Master) -> None:
    done = shell(master, ["import", "-"], "<&-")
    assert done.returncode == EXIT_USAGE
    assert "-: can't be read: standard input is closed" in done.stderr
    done = shell(master, ["create", "CfgSkill", "-"], "<&-")
    assert done.returncode == EXIT_USAGE
    assert "standard input is closed" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------- -o


@pytest.mark.parametrize("verb", [["export", "--class", "CfgTenant"], ["estate", "--agents", "20"]])
class TestOutputFile:
    """`-o`, of both verbs that have it."""

    def test_a_file_keeps_its_mode_and_a_link_stays(
        self, master: Master, tmp_path: Path, verb: list[str]
    ) -> None:
        real, link = tmp_path / "real", tmp_path / "link"
        real.write_text("before")
        real.chmod(0o644)
        link.symlink_to("real")
        done = shell(master, [*verb, "-o", str(link)], "")
        assert done.returncode == 0, done.stderr
        assert link.is_symlink()
        assert "tenants" in json.loads(real.read_text())
        assert stat.S_IMODE(real.stat().st_mode) == 0o644
        dangling = tmp_path / "dangling"
        dangling.symlink_to("made")
        assert shell(master, [*verb, "-o", str(dangling)], "").returncode == 0
        assert dangling.is_symlink()
        assert "tenants" in json.loads((tmp_path / "made").read_text())
        assert sorted(one.name for one in tmp_path.iterdir()) == [
            "dangling",
            "link",
            "made",
            "real",
        ]

    def test_a_pipe_is_written_through(
        self, master: Master, tmp_path: Path, verb: list[str]
    ) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
            done = shell(master, [*verb, "-o", str(pipe)], "")
            assert done.returncode == 0, done.stderr
            assert "tenants" in json.loads(reader.communicate(timeout=20)[0])
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    def test_a_device_is_written_through(
        self, master: Master, tmp_path: Path, verb: list[str]
    ) -> None:
        full, null = tmp_path / "full", tmp_path / "null"
        try:
            os.mknod(full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
            os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            null.write_bytes(b"")
        except PermissionError:
            pytest.skip("only root makes device nodes, and not on every file system")
        assert shell(master, [*verb, "-o", str(null)], "").returncode == 0
        done = shell(master, [*verb, "-o", str(full)], "")
        assert only_line(done) == f"csp: {full} can't be written: No space left on device"
        assert done.returncode == EXIT_LIMITS
        assert stat.S_ISCHR(full.stat().st_mode)
        assert stat.S_ISCHR(null.stat().st_mode)

    def test_standard_output_by_name(self, master: Master, tmp_path: Path, verb: list[str]) -> None:
        file = tmp_path / "file"
        file.write_text("before\n")
        assert shell(master, [*verb, "-o", "/dev/stdout"], f">> {file}").returncode == 0
        first, _, rest = file.read_text().partition("\n")
        assert first == "before"
        assert "tenants" in json.loads(rest)

    def test_what_can_not_be_written(self, master: Master, tmp_path: Path, verb: list[str]) -> None:
        loop = tmp_path / "loop"
        loop.symlink_to("loop")
        for path, why in (
            (str(tmp_path), "Is a directory"),
            (str(tmp_path / "none" / "file"), "No such file or directory"),
            (str(loop), "Too many levels of symbolic links"),
            (str(tmp_path / ("x" * 300)), "File name too long"),
        ):
            done = shell(master, [*verb, "-o", path], "")
            assert only_line(done) == f"csp: {path} can't be written: {why}"
            assert done.returncode == EXIT_USAGE
        assert [one.name for one in tmp_path.iterdir()] == ["loop"]


# ---------------------------------------------------------------------- Ctrl-C


@pytest.mark.long
def test_an_interrupted_import_says_what_was_done(master: Master, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    waiting = subprocess.Popen(
        [sys.executable, "-m", "csp", "import", str(pipe)],
        env=environment(master), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with pipe.open("wb"):  # open only when it reads
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=20)
    assert said.splitlines() == ["csp import: interrupted; nothing was written"]
    assert waiting.returncode == EXIT_INTERRUPTED

    file = tmp_path / "large.json"
    names = [f"large {number}" for number in range(15_000)]
    file.write_bytes(document(skills=[{"tenant": "Environment", "name": name} for name in names]))
    before = int(master.cli("count", "CfgSkill").stdout)
    running = subprocess.Popen(
        [sys.executable, "-m", "csp", "import", str(file)],
        env=environment(master), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with master.client() as client:
        wait_until(
            lambda: client.execute_command("CFG.COUNT", "CfgSkill") > before, 60, "a first write"
        )
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == EXIT_INTERRUPTED
    assert "Traceback" not in said
    assert "of 15000 changes are known to be done" in said.splitlines()[-1]
    again = master.cli("import", str(file), "--json")
    assert again.returncode == 0, again.stderr
    assert int(master.cli("count", "CfgSkill").stdout) == before + 15_000


def test_watch_ends_when_it_is_interrupted(master: Master) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "csp", "watch"],
        env=environment(master), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with master.client() as client:
        wait_until(
            lambda: "name=csp-watch" in str(client.execute_command("CLIENT", "LIST")), 20, "it"
        )
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=20)
    assert (watching.returncode, said) == (EXIT_DONE, "")


# ---------------------------------------------------------------------- what an import may take


def test_no_secret_of_csp_is_filled_in(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    for name in ("CSP_PASSWORD", "CSP_NEW_PASSWORD", "CSP_DEFAULT_PASSWORD", "CSP_DB", "CSP_ANY"):
        annex = {"s": {"a": "${%s}" % name}}  # noqa: UP031
        skill = {"tenant": "Environment", "name": "v", "userProperties": annex}
        file.write_bytes(document(skills=[skill]))
        done = master.cli("import", str(file), **{name: "secret"} if name != "CSP_PASSWORD" else {})
        assert done.returncode == EXIT_USAGE
        assert f"the variable {name} is not set" in done.stderr


def test_the_own_application_is_spoken_of(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    other = {"serverInfo": {"port": "1"}, "portInfos": [{"id": "default", "port": "1"}]}
    file.write_bytes(document(applications=[{"name": "confserv", **other}]))
    for options in (["--dry-run"], ["--json"]):
        done = master.cli("import", str(file), *options)
        assert done.returncode == 0, done.stderr
        assert "'confserv' is this server's own Application" in done.stderr
        assert "portInfos and serverInfo.port" in done.stderr
    assert "own Application" in json.loads(done.stdout)["warnings"][0]
