"""csp.client by TLS, blocking and for asyncio: whom it trusts, what it says, and what it sends."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from csp.client import CannotConnect, Change, ConnectionLost, Credentials, Tls
from tests.neighbours.certificates import (
    Authority,
    Certificate,
    encrypted_key,
    self_signed,
)
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.either_client import KINDS, Clients
from tests.neighbours.secured_ports import SecuredPorts, give_secured_ports
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.tls_front import TlsFront
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.needs("haproxy")
CREDENTIALS = Credentials("default", PASSWORD)
SOME_MB = 3 << 20

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "authority")


@pytest.fixture(scope="module")
def good(authority: Authority) -> Certificate:
    return authority.below().issue()


@pytest.fixture(scope="module")
def master(folder: Path) -> Iterator[Master]:
    with Master(folder) as server:
        yield server


# Of TLS: csp, as clients see it, and a balancer before it.
ENDS = ["csp", pytest.param("balancer", marks=pytest.mark.long)]


class At(NamedTuple):
    """A port of csp's own TLS, or one of a balancer that ends it."""

    port: int


@pytest.fixture(scope="module")
def own_ports(master: Master, good: Certificate, authority: Authority) -> SecuredPorts:
    return give_secured_ports(master, good, authority.root)


@pytest.fixture(scope="module", params=ENDS)
def front(
    request: pytest.FixtureRequest,
    folder: Path,
    master: Master,
    good: Certificate,
    own_ports: SecuredPorts,
) -> Iterator[At]:
    if request.param == "csp":
        yield At(own_ports.tls)
        return
    with TlsFront(folder, master.port, good) as server:
        yield At(server.port)


@pytest.fixture(scope="module", params=ENDS)
def mutual(
    request: pytest.FixtureRequest,
    folder: Path,
    master: Master,
    good: Certificate,
    authority: Authority,
    own_ports: SecuredPorts,
) -> Iterator[At]:
    """The same, where a certificate is demanded."""
    if request.param == "csp":
        yield At(own_ports.mutual)
        return
    with TlsFront(folder, master.port, good, ca=authority.root) as server:
        yield At(server.port)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes clients of one kind of a port."""
    clients = Clients(request.param)

    def made(port: int, host: str = "127.0.0.1", **options: Any) -> Any:
        options = {"reconnect_seconds": 0.0} | options
        return clients(f"rediss://{host}:{port}", CREDENTIALS, **options)

    yield made
    clients.close()


class Pretender:
    """A TLS server that notes what it is told after the handshake, and says nothing."""

    def __init__(self, certificate: Certificate) -> None:
        self.heard = b""
        self.problems: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(context,))
        self._thread.start()

    def _serve(self, context: ssl.SSLContext) -> None:
        accepted, _ = self._listener.accept()
        with accepted:
            accepted.settimeout(10)
            try:
                with context.wrap_socket(accepted, server_side=True) as secured:
                    self.heard = secured.recv(1000)
            except OSError as problem:
                self.problems.append(str(problem))

    def finish(self) -> None:
        self._thread.join(15)
        self._listener.close()


# What works.


def test_reads_writes_and_changes_by_tls(front: At, authority: Authority, make: Make) -> None:
    client = make(front.port, tls=Tls(ca=str(authority.root)))
    name = f"by tls {front.port} {type(client).__name__}"
    with client.subscribe("cfg:CfgSkill") as changes:
        made = client.create("CfgSkill", {"name": name, "tenantDBID": 1})
        event = changes.next(10)
        assert isinstance(event, Change)
        assert event.dbid == made.dbid
    assert client.find("CfgSkill", name=name, tenant_dbid=1)["DBID"] == made.dbid
    client.delete("CfgSkill", made.dbid)


def test_pipelines_longer_than_all_buffers_come_to_their_end(
    front: At, authority: Authority, make: Make
) -> None:
    client = make(front.port, tls=Tls(ca=str(authority.root)))
    word = "x" * 1_000
    replies = client.pipeline([("PING", word)] * (SOME_MB // len(word)))
    assert set(replies) == {word.encode()}
    assert len(replies) == SOME_MB // len(word)


def test_a_subscription_goes_on_over_a_link_that_breaks(
    front: At, authority: Authority, make: Make
) -> None:
    link = CuttingLink(front.port)
    try:
        tls = Tls(ca=str(authority.root))
        client = make(link.port, tls=tls, reconnect_seconds=10.0)
        writer = make(front.port, tls=tls)
        with client.subscribe("cfg:CfgSkill") as changes:
            link.cut()
            made = writer.create("CfgSkill", {"name": f"cut {link.port}", "tenantDBID": 1})
            event = changes.next(20)
            assert isinstance(event, Change)
            assert event.dbid == made.dbid
        writer.delete("CfgSkill", made.dbid)
    finally:
        link.close()


def test_a_wait_is_ended_from_another_thread(front: At, authority: Authority) -> None:
    clients = Clients("sync")
    tls = Tls(ca=str(authority.root))
    client = clients(f"rediss://127.0.0.1:{front.port}", CREDENTIALS, tls=tls)
    with client.subscribe("cfg:CfgSkill") as changes, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(changes.next)
        wait_until(changes._client._is_waiting, 10, "it waits")
        changes.close()
        with pytest.raises(ConnectionLost):
            waiting.result(10)
    clients.close()


def test_a_host_that_is_named_has_a_certificate_of_its_name(
    folder: Path, master: Master, authority: Authority, make: Make
) -> None:
    named = authority.issue("named", names=("localhost",), addresses=())
    with TlsFront(folder, master.port, named) as front:
        tls = Tls(ca=str(authority.root))
        assert make(front.port, "localhost", tls=tls).status()["mode"] == "master"
        with pytest.raises(CannotConnect, match="IP address mismatch"):
            make(front.port, tls=tls).status()


def test_another_name_may_be_expected_or_none(
    folder: Path, master: Master, authority: Authority, make: Make
) -> None:
    ca = str(authority.root)
    with TlsFront(folder, master.port, authority.other_name()) as front:
        expected = Tls(ca=ca, name="elsewhere.example")
        assert make(front.port, tls=expected).status()["mode"] == "master"
        assert make(front.port, tls=Tls(ca=ca, check_name=False)).status()["mode"] == "master"
        with pytest.raises(CannotConnect, match="Hostname mismatch"):
            make(front.port, tls=Tls(ca=ca, name="other.example")).status()


def test_who_we_are_is_shown_where_it_is_asked_for(
    mutual: At, authority: Authority, make: Make
) -> None:
    own, ca = authority.issue("a client"), str(authority.root)
    tls = Tls(ca=ca, certificate=str(own.certificate), key=str(own.key))
    assert make(mutual.port, tls=tls).status()["mode"] == "master"
    with pytest.raises((CannotConnect, ConnectionLost), match="wants a certificate"):
        make(mutual.port, tls=Tls(ca=ca)).status()


def test_who_is_of_another_authority_is_told_so(
    mutual: At, authority: Authority, tmp_path: Path, make: Make
) -> None:
    own = Authority(tmp_path / "other").issue("a client")
    tls = Tls(ca=str(authority.root), certificate=str(own.certificate), key=str(own.key))
    with pytest.raises((CannotConnect, ConnectionLost), match="refuses our certificate"):
        make(mutual.port, tls=tls).status()


def test_files_are_read_at_each_connect(
    mutual: At, authority: Authority, tmp_path: Path, make: Make
) -> None:
    expired, own = authority.expired("a client"), authority.issue("a client")
    ca, certificate, key = tmp_path / "ca.pem", tmp_path / "own.pem", tmp_path / "own.key"

    def put(one: Certificate, trusted: Path) -> None:
        for source, target in ((one.certificate, certificate), (one.key, key), (trusted, ca)):
            shutil.copyfile(source, target.with_suffix(".new"))
            target.with_suffix(".new").rename(target)

    tls = Tls(ca=str(ca), certificate=str(certificate), key=str(key))
    client = make(mutual.port, tls=tls)
    put(own, Authority(tmp_path / "other").root)
    with pytest.raises(CannotConnect, match="its certificate is refused"):
        client.status()
    put(expired, authority.root)
    with pytest.raises((CannotConnect, ConnectionLost), match="has expired"):
        client.status()
    put(own, authority.root)
    assert client.status()["mode"] == "master"


# What is refused.


@pytest.mark.parametrize("kind", ["expired", "not yet", "other name", "other CA", "self-signed"])
def test_nothing_is_told_to_who_is_not_trusted(
    authority: Authority, folder: Path, tmp_path: Path, make: Make, kind: str
) -> None:
    certificate, words = {
        "expired": lambda: (authority.expired(), "certificate has expired"),
        "not yet": lambda: (authority.not_yet(), "certificate is not yet valid"),
        "other name": lambda: (authority.other_name(), "IP address mismatch"),
        "other CA": lambda: (Authority(tmp_path / "other").issue(), "issuer certificate"),
        "self-signed": lambda: (self_signed(tmp_path / "self"), "self-signed certificate"),
    }[kind]()
    pretender = Pretender(certificate)
    with pytest.raises(CannotConnect, match=words) as found:
        make(pretender.port, tls=Tls(ca=str(authority.root))).status()
    pretender.finish()
    assert f"127.0.0.1:{pretender.port}" in found.value.text
    assert pretender.heard == b""
    assert pretender.problems


def test_what_was_revoked_is_refused(
    folder: Path, master: Master, authority: Authority, make: Make
) -> None:
    revoked = authority.issue()
    ca = str(authority.root)
    with TlsFront(folder, master.port, revoked) as front:
        before = Tls(ca=ca, crl=str(authority.crl()))
        assert make(front.port, tls=before).status()["mode"] == "master"
        authority.revoke(revoked)
        with pytest.raises(CannotConnect, match="certificate revoked"):
            make(front.port, tls=Tls(ca=ca, crl=str(authority.crl()))).status()


def test_what_the_system_trusts_is_not_a_test_authority(front: At, make: Make) -> None:
    with pytest.raises(CannotConnect, match="its certificate is refused"):
        make(front.port).status()


def test_a_plain_server_is_said_to_speak_no_tls(
    master: Master, authority: Authority, make: Make
) -> None:
    with pytest.raises(CannotConnect, match=r"speak TLS|ended the connection|reset by peer"):
        make(master.port, tls=Tls(ca=str(authority.root))).status()


def test_a_server_that_is_silent_is_given_up(
    authority: Authority, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("connection", "async_connection"):
        monkeypatch.setattr(f"csp.client.{module}.CONNECT_SECONDS_MAX", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(
            CannotConnect, match=f"no connection to 127.0.0.1:{port}: no answer in time"
        ):
            make(port, tls=Tls(ca=str(authority.root))).status()


def test_versions_are_agreed_on_within_what_is_allowed(
    front: At, authority: Authority, make: Make
) -> None:
    ca = str(authority.root)
    for protocols in ("tlsv1.2", "tlsv1.3", "tlsv1.2,tlsv1.3"):
        client = make(front.port, tls=Tls(ca=ca, protocols=protocols))
        assert client.status()["mode"] == "master"
    with pytest.raises(ValueError, match=r"'tlsv1\.1' is no protocol: tlsv1\.2, tlsv1\.3"):
        Tls(protocols="tlsv1.1")


@pytest.mark.parametrize(
    "kind", ["no file", "no PEM", "other key", "locked key", "no list", "cipher"]
)
def test_a_file_that_is_no_use_is_named(
    authority: Authority, tmp_path: Path, make: Make, kind: str
) -> None:
    own, other, ca = authority.issue("a"), authority.issue("b"), str(authority.root)
    text = tmp_path / "text"
    text.write_text("secret words")
    locked = encrypted_key(own, "secret words")
    certificate = str(own.certificate)
    tls, words = {
        "no file": (Tls(ca="/nowhere/ca.pem"), "/nowhere/ca.pem can't be read: No such file"),
        "no PEM": (Tls(ca=str(text)), f"{text} holds no certificate of an authority in PEM"),
        "other key": (
            Tls(ca=ca, certificate=certificate, key=str(other.key)),
            f"{other.key} is not the key of {certificate}",
        ),
        "locked key": (
            Tls(ca=ca, certificate=certificate, key=str(locked)),
            f"{locked} opens only with a password",
        ),
        "no list": (Tls(ca=ca, crl=str(text)), f"{text} holds no list of what was revoked"),
        "cipher": (Tls(ca=ca, ciphers="ROT13"), "OpenSSL knows no cipher in 'ROT13'"),
    }[kind]
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(CannotConnect) as found:
        make(silent.getsockname()[1], tls=tls).status()
    assert words in found.value.text
    assert "secret words" not in found.value.text
