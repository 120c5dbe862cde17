"""Every verb that asks a server does so by TLS: rediss://, the four options, the environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from csp.cli.main import VERBS, main
from tests.effort import parametrize_few
from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.secured_ports import give_secured_ports
from tests.neighbours.server import PASSWORD, Master, Proxy, run_cli
from tests.neighbours.tls_front import TlsFront

pytestmark = pytest.mark.needs("haproxy")
PERSON = "CfgPerson/user_name=default"
SKILL = {"name": "by tls", "tenantDBID": 1}
# What each verb is asked here; together they ask all that take --server.
NOT_ASKED = {"switchover"}  # a single server has nobody to switch over to
ASKED = {
    "drain": ("drain", "--end"),
    "get": ("get", "CfgTenant:1"),
    "read": ("read", "CfgTenant"),
    "count": ("count", "CfgTenant"),
    "create": ("create", "CfgSkill", json.dumps(SKILL), "--id", "cli-tls"),
    "update": ("update", "CfgTenant:1", '{"changed": {"chargeableNumber": "1"}}'),
    "option": ("option", "CfgTenant:1", "section", "name", "value"),
    "status": ("status",),
    "metrics": ("metrics",),
    "clients": ("clients",),
    "verify": ("verify",),
    "history": ("history",),
    "permissions": ("permissions", "CfgTenant:1"),
    "access": ("access", "default", "CfgTenant:1"),
    "passwd": ("passwd",),
    "config": ("config", "show"),
    "export": ("export", "-o", "{folder}/out.json"),
    "import": ("import", "{folder}/in.json"),
    "grant": (
        "grant",
        "CfgSkill/name=granted,tenant_dbid=1",
        "CfgPerson/user_name=default",
        "R,CP",
    ),
    "revoke": ("revoke", "CfgSkill/name=revoked,tenant_dbid=1", PERSON),
    "delete": ("delete", "CfgSkill/name=deleted,tenant_dbid=1"),
    "watch": ("watch", "cfg:CfgTenant", "--seconds", "0.1"),
    "store": ("store", "stat"),
}


@dataclass(frozen=True)
class Files:
    """Whom an operator trusts, and who he is."""

    ca: Path
    own: Certificate

    def options(self) -> tuple[str, ...]:
        certificate, key = str(self.own.certificate), str(self.own.key)
        return ("--tls-ca", str(self.ca), "--tls-cert", certificate, "--tls-key", key)

    def environment(self) -> dict[str, str]:
        return {
            "CSP_TLS_CA": str(self.ca),
            "CSP_TLS_CERT": str(self.own.certificate),
            "CSP_TLS_KEY": str(self.own.key),
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli-tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "authority")


@pytest.fixture(scope="module")
def master(folder: Path) -> Iterator[Master]:
    with Master(folder) as server, server.client() as client:
        for name in ("granted", "revoked", "deleted"):
            client.execute_command("CFG.CREATE", "CfgSkill", json.dumps(SKILL | {"name": name}))
        person = client.execute_command("CFG.FIND", "CfgPerson", "user_name", "default")
        account = f"CfgPerson:{json.loads(person)['DBID']}"
        skill = client.execute_command("CFG.FIND", "CfgSkill", "name", "revoked", "tenant_dbid", 1)
        client.execute_command(
            "CFG.GRANT", f"CfgSkill:{json.loads(skill)['DBID']}", account, "R,CP"
        )
        yield server


@pytest.fixture(scope="module")
def secured(master: Master, authority: Authority) -> int:
    """The number of a port by TLS that demands a certificate; its own is good for long."""
    return give_secured_ports(master, authority.issue(until_days=90), authority.root).mutual


@pytest.fixture(scope="module")
def files(authority: Authority) -> Files:
    return Files(authority.root, authority.issue("an operator"))


def test_every_verb_that_takes_a_server_is_asked_here() -> None:
    context = click.Context(main)
    taking = set()
    for verb in VERBS:
        command = main.get_command(context, verb)
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        if any("--server" in one.opts for each in inner if each for one in each.params):
            taking.add(verb)
    assert taking == ASKED.keys() | NOT_ASKED


@parametrize_few("verb", ASKED, quick=4)
def test_a_verb_asks_by_tls(secured: int, files: Files, tmp_path: Path, verb: str) -> None:
    words = [one.replace("{folder}", str(tmp_path)) for one in ASKED[verb]]
    at = ("--server", f"rediss://127.0.0.1:{secured}", *files.options())
    if verb == "import":
        assert run_cli("export", "-o", words[1], *at).returncode == 0
    done = run_cli(*words, *at, CSP_NEW_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_environment_says_how_tls_is_spoken(secured: int, files: Files) -> None:
    at = f"rediss://127.0.0.1:{secured}"
    done = run_cli("count", "CfgTenant", CSP_SERVER=at, **files.environment())
    assert done.returncode == 0, done.stderr


def test_who_has_it_in_his_environment_still_reaches_a_plain_server(
    master: Master, files: Files
) -> None:
    at = f"127.0.0.1:{master.port}"
    done = run_cli("count", "CfgTenant", CSP_SERVER=at, **files.environment())
    assert done.returncode == 0, done.stderr


def test_a_name_may_be_expected_that_is_not_the_host(
    folder: Path, master: Master, authority: Authority
) -> None:
    with TlsFront(folder, master.port, authority.other_name()) as front:
        words = ("count", "CfgTenant", "--server", f"rediss://127.0.0.1:{front.port}")
        ca = ("--tls-ca", str(authority.root))
        assert run_cli(*words, *ca, "--tls-name", "elsewhere.example").returncode == 0
        refused = run_cli(*words, *ca)
        assert refused.returncode == 3
        assert "its certificate is refused: IP address mismatch" in refused.stderr


def test_what_is_refused_is_said_in_a_line(secured: int, files: Files, tmp_path: Path) -> None:
    words = ("count", "CfgTenant", "--server", f"rediss://127.0.0.1:{secured}")
    untrusted = run_cli(*words)
    assert untrusted.returncode == 3
    assert "csp count: no connection to 127.0.0.1" in untrusted.stderr
    assert "its certificate is refused" in untrusted.stderr
    missing = run_cli(*words, "--tls-ca", str(tmp_path / "none.pem"))
    assert missing.returncode == 3
    assert "none.pem can't be read: No such file or directory" in missing.stderr
    half = run_cli(*words, "--tls-key", str(files.own.key))
    assert half.returncode == 2
    assert "a key without its certificate" in half.stderr
    for done in (untrusted, missing, half):
        assert "Traceback" not in done.stderr


def test_options_of_tls_for_a_plain_server_are_wrong_usage(master: Master, files: Files) -> None:
    done = master.cli("count", "CfgTenant", *files.options())
    assert done.returncode == 2
    assert "--tls-ca is for TLS: name the server as rediss://HOST:PORT" in done.stderr


def test_a_proxy_by_tls_is_compared_with_a_plain_master(
    folder: Path, master: Master, authority: Authority, files: Files
) -> None:
    with (
        Proxy(folder, master, app="compared") as proxy,
        TlsFront(folder, proxy.port, authority.issue()) as front,
    ):
        at = ("--server", f"rediss://127.0.0.1:{front.port}", *files.options())
        done = run_cli("verify", "--master", f"redis://127.0.0.1:{master.port}", *at)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_plain_proxy_is_compared_with_a_master_by_tls(
    folder: Path, master: Master, secured: int, files: Files
) -> None:
    with Proxy(folder, master, app="plain") as proxy:
        above = ("--master", f"rediss://127.0.0.1:{secured}", *files.options())
        done = proxy.cli("verify", *above)
        assert done.returncode == 0, done.stdout + done.stderr
