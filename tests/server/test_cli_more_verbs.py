"""The verbs option, config and completion, and bin/confserv's flags, each as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp import __version__
from csp.cli.confserv import FLAGS, IGNORED, REFUSED, VALUE
from tests.effort import parametrize_few
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, ROOT, Master, run_cli
from tests.neighbours.waiting import wait_until


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("more-verbs")) as master:
        yield master


# -- option ------------------------------------------------------------------------------------


def test_an_option_lives(master: Master) -> None:
    key = "CfgApplication/name=confserv"
    assert master.cli("option", key, "mine", "colour").returncode == 1
    for kind, value, held in (
        ("string", "12", "12"),
        ("int", "-12", -12),
        ("base64", "AAEC", {"base64": "AAEC"}),
    ):
        done = master.cli("option", key, "mine", "colour", value, "--type", kind)
        assert done.returncode == 0, done.stderr
        shown = master.cli("option", key, "mine", "colour", "--json")
        assert json.loads(shown.stdout)["value"] == held
    assert master.cli("option", key, "mine", "colour", "--delete").returncode == 0
    assert master.cli("option", key, "mine", "colour", "--delete").returncode == 1


def test_an_annex_entry_is_no_option(master: Master) -> None:
    key = "CfgApplication:99"
    assert master.cli("option", key, "mine", "size", "big", "--annex").returncode == 0
    assert master.cli("option", key, "mine", "size").returncode == 1
    shown = json.loads(master.cli("get", key, "--json").stdout)
    assert shown["userProperties"]["mine"] == {"size": "big"}
    tenant = master.cli("option", "CfgTenant:1", "mine", "size", "small")
    assert tenant.returncode == 0, tenant.stderr
    assert master.cli("option", "CfgTenant:1", "mine", "size").stdout == "small\n"


@parametrize_few(
    "arguments",
    [
        ("x", "--type", "int"),
        ("3000000000", "--type", "int"),
        ("*", "--type", "base64"),
        ("x", "--delete"),
        ("--password",),
    ],
    quick=1,
)
def test_what_is_no_value_is_usage(master: Master, arguments: tuple[str, ...]) -> None:
    done = master.cli("option", "CfgApplication:99", "mine", "bad", *arguments)
    assert done.returncode == 2, done.stdout
    assert master.cli("option", "CfgApplication:99", "mine", "bad").returncode == 1


# -- config ------------------------------------------------------------------------------------


def test_config_shows_and_checks(master: Master) -> None:
    shown = {
        (row["section"], row["option"]): row
        for row in json.loads(master.cli("config", "show", "--json").stdout)
    }
    assert shown["confserv", "packet-size"]["from"] == "Application object"
    assert shown["confserv", "client-response-timeout"] == {
        **{"section": "confserv", "option": "client-response-timeout", "value": 600},
        **{"from": "default", "status": "honoured"},
    }
    assert master.cli("config", "check").returncode == 0
    for name, value in (("packet-size", "huge"), ("no-such", "1"), ("encoding", "UTF-16")):
        assert master.cli("option", "CfgApplication:99", "confserv", name, value).returncode == 0
    checked = master.cli("config", "check", "--json")
    assert checked.returncode == 1
    problems = {one["option"]: one["problem"] for one in json.loads(checked.stdout)["problems"]}
    assert problems == {
        "packet-size": "'huge' is not an integer; 1024000 is used",
        "no-such": "there is no such option",
        "encoding": "everything is UTF-8",
    }
    assert "encoding" in master.cli("config", "check", "confserv").stdout
    for name in problems:
        master.cli("option", "CfgApplication:99", "confserv", name, "--delete")
    assert master.cli("config", "show", "nobody").returncode == 1
    assert master.cli("config", "check", "default").returncode == 2


def test_config_schema() -> None:
    schema = json.loads(run_cli("config", "schema", "--json").stdout)
    size = schema["properties"]["csproxy"]["properties"]["packet-size"]
    assert size["default"] == 1024000
    assert size["x-status"] == "honoured"
    text = run_cli("config", "schema").stdout
    assert "gauth_ldap" in text
    assert "everything is UTF-8" in text


# -- version and completion --------------------------------------------------------------------


def test_version() -> None:
    assert run_cli("--version").stdout == f"csp {__version__}\n"


@pytest.fixture
def command_path(tmp_path: Path) -> str:
    """A folder with `csp` in it, before all others."""
    program = tmp_path / "csp"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m csp "$@"\n')
    program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def shell(*arguments: str, path: str) -> str:
    done = subprocess.run(
        arguments,
        env=os.environ | {"PATH": path, "HOME": path.partition(":")[0]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_bash_completes(command_path: str) -> None:
    script = """
        source <(csp completion bash)
        words() { COMP_WORDS=(csp "$@"); COMP_CWORD=$#; COMPREPLY=()
                  _csp_completion csp; echo "${COMPREPLY[@]}"; }
        words rea; words history --s; words config sh
    """
    verbs, options, inner = shell("bash", "-c", script, path=command_path).splitlines()
    assert verbs == "read"
    assert options.split() == ["--server", "--since"]
    assert inner == "show"


@pytest.mark.needs("zsh")
def test_zsh_loads_the_script(command_path: str) -> None:
    script = (
        "autoload -U compinit; compinit -u -D; source <(csp completion zsh); print $_comps[csp]"
    )
    assert shell("zsh", "-f", "-c", script, path=command_path).strip() == "_csp_completion"


@pytest.mark.needs("fish")
def test_fish_completes(command_path: str) -> None:
    script = "csp completion fish | source; complete -C 'csp rea'"
    assert shell("fish", "-c", script, path=command_path).split()[0] == "read"


# -- bin/confserv ------------------------------------------------------------------------------


def confserv(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "bin" / "confserv", *arguments],
        env=os.environ | {"CSP_PASSWORD": PASSWORD} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@parametrize_few("flag", ["-V", "-v"], quick=1)
def test_confserv_says_its_version(flag: str) -> None:
    done = confserv(flag)
    assert (done.returncode, done.stdout) == (0, f"csp {__version__}\n")


@parametrize_few(
    ("line", "words"),
    [
        ("-bogus", "there is no flag '-bogus'"),
        ("-host h -port 2020", "-app is missing"),
        ("-host h -app a", "-port is missing"),
        ("-port 2020 -app a", "-host is missing"),
        ("-host h -port 0 -app a", "-port '0' is no port"),
        ("-host h -port 2020 -app", "-app needs a value"),
        ("-host h -port 2020 -app a -log-nonsense x", "[log] has no option nonsense"),
        ("-host h -port 2020 -app a -log-verbose loud", "'loud' is none of"),
        ("-host h -port 2020 -app a -c file", "-c is a master's flag"),
        ("-s confserv", "a master needs its database"),
        ("-s confserv -c /nowhere.conf --db sqlite:///x", "-c /nowhere.conf can't be read"),
    ],
    quick=2,
)
def test_confserv_refuses_a_wrong_line(line: str, words: str) -> None:
    done = confserv(*line.split())
    assert done.returncode == 1
    assert words in done.stderr


@parametrize_few("flag", [one.name for one in FLAGS.values() if one.fate == REFUSED], quick=1)
def test_confserv_says_why_it_refuses_a_flag(flag: str) -> None:
    done = confserv(flag, "x")
    assert done.returncode == 1
    assert FLAGS[flag].text in done.stderr


@pytest.fixture
def runtime() -> Iterator[str]:
    """A runtime folder: a socket's path is limited to 108 bytes, pytest's folders are long."""
    with tempfile.TemporaryDirectory(prefix="csp-test-") as folder:
        yield folder


def test_confserv_logs_before_the_master_is_there(tmp_path: Path, runtime: str) -> None:
    log = tmp_path / "bootstrap.log"
    ignored = [one for one in FLAGS.values() if one.fate == IGNORED]
    extra = [
        word for one in ignored for word in ((one.name, "1") if one.takes == VALUE else (one.name,))
    ]
    errors = tmp_path / "errors"
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [
                *(ROOT / "bin" / "confserv", "-host", "127.0.0.1", "-port", str(free_port())),
                *("-app", "proxy1", "-l", "/no/licence.lic", "-log-all", str(log), *extra),
                *("--listen", f"127.0.0.1:{free_port()}"),
            ],
            env=os.environ | {"CSP_PASSWORD": PASSWORD, "CSP_RUNTIME_DIR": runtime},
            stdin=subprocess.DEVNULL,
            stderr=stream,
        )
    try:
        wait_until(lambda: log.exists() and "04502" in log.read_text(), 20, "lines in the log")
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)
    said = errors.read_text()
    assert "there is no licence file /no/licence.lic" in said
    for one in ignored:
        assert f"{one.name} has no effect" in said


def test_confserv_runs_a_master(tmp_path: Path, runtime: str) -> None:
    port = free_port()
    (tmp_path / "confserv.conf").write_text(f"[confserv]\nport = {port}\nserver = dbserver\n")
    environment = os.environ | {
        **{"CSP_PASSWORD": PASSWORD, "CSP_DEFAULT_PASSWORD": PASSWORD},
        **{"CSP_RUNTIME_DIR": runtime, "CSP_DB": f"sqlite:///{tmp_path}/m.db"},
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [ROOT / "bin" / "confserv", "-s", "confserv", "-c", tmp_path / "confserv.conf"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        wait_until(
            lambda: run_cli("status", "--server", f"127.0.0.1:{port}").returncode == 0,
            30,
            "the master serves",
        )
    finally:
        process.terminate()
        process.wait(20)


def test_a_secret_option_comes_by_standard_input_alone(master: Master) -> None:
    where = ("CfgApplication/name=confserv", "gauth_ldap", "password")
    refused = master.cli("option", *where, "in-an-argument-1")
    assert refused.returncode == 2
    assert "give it on standard input" in refused.stderr
    assert "in-an-argument-1" not in refused.stderr
    done = master.cli("option", *where, "-", "--json", told="by-a-pipe-1\n")
    assert done.returncode == 0, done.stderr
    assert "value" not in json.loads(done.stdout)
    shown = master.cli("option", *where)
    assert shown.stdout.startswith("sealed:1:")
    assert master.cli("option", *where, "--delete").returncode == 0


# -- switchover --------------------------------------------------------------------------------


def test_f71_a_switchover_is_for_administrators_and_for_pairs(master: Master) -> None:
    """The original refuses it to everybody."""
    person = {"userName": "operator", "password": "operates!", "employeeID": "operator"}
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(person | {"tenantDBID": 1}))
    refused = master.cli("switchover", CSP_USER="operator", CSP_PASSWORD="operates!")
    assert refused.returncode == 4
    assert "NOPERM" in refused.stderr
    done = master.cli("switchover")
    assert done.returncode == 2
    assert "NOREF this server is single: its Application has no backup" in done.stderr
    shown = json.loads(master.cli("status", "--json").stdout)
    assert [shown[name] for name in ("role", "serving", "peer", "seamless")] == ["single", 1, "", 0]
