"""A proxy's links to its master by TLS: its start, its feed, what is refused, files that change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.effort import parametrize_few
from tests.neighbours import secrets
from tests.neighbours.certificates import Authority, Certificate, encrypted_key
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.secured_ports import SecuredPorts, give_secured_ports
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.tls_front import TlsFront
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.needs("haproxy")
SKILLS = 400
TEXT = "x" * 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("link-tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "authority")


@pytest.fixture(scope="module")
def master(folder: Path) -> Iterator[Master]:
    """With more to load than the buffers of a link hold."""
    with Master(folder, workers=2) as server, server.client() as client:
        with client.pipeline(transaction=False) as pipe:
            for number in range(SKILLS):
                pipe.execute_command("CFG.CREATE", "CfgSkill", skill(f"skill {number}", TEXT))
            pipe.execute()
        yield server


@pytest.fixture(scope="module")
def own_ports(master: Master, authority: Authority) -> SecuredPorts:
    """Of csp's own TLS; others below are of a balancer, whose certificate can be any."""
    return give_secured_ports(master, authority.below().issue(), authority.root)


def skill(name: str, text: str = "") -> str:
    value: dict[str, object] = {"name": name, "tenantDBID": 1}
    if text:
        value["userProperties"] = {"section": {"option": text}}
    return json.dumps(value)


def up(authority: Authority, own: Certificate | None = None, *more: str) -> tuple[str, ...]:
    """The options of a proxy that trusts the authority."""
    words = ["--create-app", "--tls", "--tls-ca", str(authority.root), *more]
    if own is not None:
        words += ["--tls-cert", str(own.certificate), "--tls-key", str(own.key)]
    return tuple(words)


def state_of(server: Server) -> str:
    with server.client(protocol=3) as client:
        return str(client.execute_command("CFG.STATUS")["state"])


def test_a_proxy_loads_and_follows_by_tls(
    folder: Path, master: Master, authority: Authority, own_ports: SecuredPorts
) -> None:
    own = authority.issue("a proxy")
    with (
        Proxy(folder, own_ports.mutual, app="by-tls", extra=up(authority, own)) as proxy,
        master.client() as above,
        proxy.client() as client,
    ):
        wait_until(lambda: state_of(proxy) == "ready", 30, "it is loaded")
        assert client.execute_command("CFG.COUNT", "CfgSkill") >= SKILLS
        made = above.execute_command("CFG.CREATE", "CfgSkill", skill("told by tls"))
        key = f"CfgSkill:{made[0]}"
        wait_until(lambda: client.exists(key), 10, "the change is there")
        done = proxy.cli("verify", "--master", f"127.0.0.1:{master.port}")
        assert done.returncode == 0, done.stdout + done.stderr


def test_writes_and_questions_go_up_by_tls(
    folder: Path, master: Master, authority: Authority, own_ports: SecuredPorts
) -> None:
    with (
        Proxy(folder, own_ports.tls, app="writes-tls", extra=up(authority)) as proxy,
    ):
        at = ("CfgApplication/name=writes-tls", "csproxy", "proxy-writable", "true")
        assert master.cli("option", *at).returncode == 0

        def created() -> bool:
            done = proxy.cli("create", "CfgSkill", skill("through", TEXT), "--id", "through")
            return done.returncode == 0

        wait_until(created, 20, "a write is passed on")
        assert proxy.cli("history").returncode == 0


def test_a_link_by_tls_that_breaks_comes_up_again(
    folder: Path, master: Master, authority: Authority
) -> None:
    with TlsFront(folder, master.port, authority.issue()) as front:
        link = CuttingLink(front.port)
        try:
            with (
                Proxy(folder, link.port, app="cut-tls", extra=up(authority)) as proxy,
                master.client() as above,
                proxy.client() as client,
            ):
                for number in range(3):
                    link.cut()
                    made = above.execute_command("CFG.CREATE", "CfgSkill", skill(f"cut {number}"))
                    key = f"CfgSkill:{made[0]}"
                    wait_until(lambda key=key: client.exists(key), 20, "the change is there")
        finally:
            link.close()


@parametrize_few(
    "kind",
    ["other CA", "expired", "other name", "no certificate", "plain", "locked key"],
    quick=1,
)
def test_a_master_that_is_not_trusted_is_told_nothing(
    folder: Path, tmp_path: Path, master: Master, authority: Authority, kind: str
) -> None:
    """Nothing to serve, and the reason in the log: of who starts as of who was up before."""
    good, more = authority.issue(), ("--create-app", "--tls", "--tls-ca", str(authority.root))
    ca, words = None, ""
    if kind == "other CA":
        good, words = Authority(tmp_path / "other").issue(), "its certificate is refused"
    elif kind == "expired":
        good, words = authority.expired(), "its certificate is refused: certificate has expired"
    elif kind == "other name":
        good, words = authority.other_name(), "its certificate is refused: IP address mismatch"
    elif kind == "no certificate":
        ca, words = authority.root, "it wants a certificate, and none was given"
    elif kind == "locked key":
        own = authority.issue("own")
        secrets.note("a key's password")
        locked = encrypted_key(own, "a key's password")
        more += ("--tls-cert", str(own.certificate), "--tls-key", str(locked))
        words = f"{locked} opens only with a password"
    elif kind == "plain":
        words = "TLS"
    front = TlsFront(folder, master.port, good, ca=ca)
    with front:
        port = master.port if kind == "plain" else front.port
        proxy = Proxy(folder, port, app="trusts-not", extra=more).start(ready=False)
        try:
            wait_until(lambda: "04502" in proxy.log_text(), 20, "it is said in the log")
            assert words in proxy.log_text()
            assert "Traceback" not in proxy.log_text()
        finally:
            proxy.stop()


def test_a_proxy_that_was_up_goes_on_with_the_files_of_now(
    folder: Path, tmp_path: Path, master: Master, authority: Authority
) -> None:
    """Its own certificate ran out; a new one is put in place, and nothing is started anew."""
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"

    def put(one: Certificate) -> None:
        for source, target in ((one.certificate, certificate), (one.key, key)):
            shutil.copyfile(source, target.with_suffix(".new"))
            target.with_suffix(".new").rename(target)

    put(authority.issue("a proxy"))
    own = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with (
        TlsFront(folder, master.port, authority.issue(), ca=authority.root) as front,
        Proxy(folder, front.port, app="renewed", extra=up(authority, None, *own)) as proxy,
    ):
        wait_until(lambda: state_of(proxy) == "ready", 30, "it is loaded")
        put(authority.expired("a proxy"))
        front.use(authority.issue())
        refused = "it refuses our certificate"
        wait_until(lambda: refused in proxy.log_text(), 20, "the reason is in the log")
        with proxy.client() as client:
            assert client.execute_command("CFG.COUNT", "CfgSkill") >= SKILLS
        put(authority.issue("a proxy"))
        with master.client() as above, proxy.client() as client:
            made = above.execute_command("CFG.CREATE", "CfgSkill", skill(f"renewed {front.port}"))
            wait_until(lambda: client.exists(f"CfgSkill:{made[0]}"), 30, "the change is there")


def test_options_of_tls_without_it_are_wrong_usage(folder: Path, authority: Authority) -> None:
    proxy = Proxy(folder, 1, extra=("--tls-ca", str(authority.root)))
    proxy.start(ready=False)
    assert proxy.process is not None
    assert proxy.process.wait(20) == 2
    assert "--tls-ca is for TLS: say --tls too" in proxy.log_text()
