"""Certificates that change while a real master serves: nobody notices, but who is revoked."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.neighbours import secrets
from tests.neighbours.server import PASSWORD
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw, command
from tests.server.tls_site import Site, remove

pytestmark = pytest.mark.needs("openssl")

OWN = "certificate={folder}/own.pem;certificate-key={folder}/own.key"
CLIENTS = f"tls=1;tls-mutual=1;trusted-ca={{folder}}/ca.pem;tls-crl={{folder}}/crl.pem;{OWN}"
PORTS = {
    "secured": f"tls=1;{OWN}",
    "cn": f"{CLIENTS};certificate-user=cn",
    "uri": f"{CLIENTS};certificate-user=uri",
}
RELOADS = 8
ANN = "a horse that ann rides"
secrets.note(ANN)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), PORTS)
    site.put("own", site.issue("own"))
    site.put_file("ca.pem", site.authority.root)
    site.put_file("crl.pem", site.authority.crl())
    with site:
        wait_until(lambda: site.number("uri") > 0, 20, "the certificates")
        site.person("ann", password=ANN)
        yield site


def whoami(client: Raw) -> str:
    return str(client.call("ACL", "WHOAMI"))


class Busy:
    """Clients that ask all the time, on one connection or on ever new ones, and note failures."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.failures: list[str] = []
        self.requests = self.handshakes = 0
        self.resumed = 0
        self._is_over = threading.Event()
        works = (self._ask, self._ask, self._shake, self._shake)
        self._threads = [threading.Thread(target=self._until_over, args=(work,)) for work in works]
        self._kept = [site.sign_in(site.connect("secured")) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def _until_over(self, work: Callable[[], None]) -> None:
        try:
            while not self._is_over.is_set():
                work()
        except (AssertionError, OSError, EOFError) as error:  # those of TLS are of OSError
            self.failures.append(repr(error))

    def _ask(self) -> None:
        for client in [self._kept.pop()]:
            assert '"name":"Environment"' in client.call("GET", "CfgTenant:1")
            self.requests += 1
            self._kept.append(client)

    def _shake(self) -> None:
        client = self.site.connect("secured")
        assert client.call("HELLO").startswith("-NOAUTH")
        self.handshakes += 1
        client.close()

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)


def test_certificates_change_under_load_and_nothing_fails(site: Site) -> None:
    """0 failed requests, 0 failed handshakes; connections that are open keep their certificate."""
    old = site.connect("secured")
    busy = Busy(site)
    try:
        for number in range(RELOADS):
            site.put("own", site.issue(f"own{number}"))
            site.reload("secured")
            assert site.subject("secured") == f"own{number}"
            done = busy.requests, busy.handshakes
            wait_until(lambda: busy.requests > done[0] and busy.handshakes > done[1], 20)  # noqa: B023
    finally:
        busy.end()
    assert busy.failures == []
    assert busy.requests > RELOADS
    assert busy.handshakes > RELOADS
    assert site.sign_in(old).call("PING") == "PONG"


def test_a_bad_certificate_changes_nothing_and_is_an_alarm_until_it_is_mended(site: Site) -> None:
    site.put("own", site.issue("before"))
    site.reload("secured")
    new = site.issue("after")
    site.put_file("own.pem", new.certificate)
    site.hang_up()
    wait_until(lambda: "certificate refused" in site.master.alarms(), 20, "the alarm")
    text = str(site.master.alarms()["certificate refused"]["text"])
    assert "key: it is not the certificate's" in text
    assert "the one before stays: CN=before" in site.master.log_text()
    assert site.subject("secured") == "before"
    site.master.child("auth").send_signal(signal.SIGKILL)
    site.master.child("worker 0").send_signal(signal.SIGKILL)
    wait_until(lambda: site.number("secured") > 0, 20, "the successors")
    assert site.subject("secured") == "before", "over restarts of keeper and workers too"
    assert "certificate refused" in site.master.alarms()
    site.put_file("own.key", new.key)
    site.reload("secured")
    assert site.subject("secured") == "after"
    wait_until(lambda: site.master.alarms() == {}, 10, "the alarm's end")


def test_a_session_is_resumed_after_its_port_got_another_certificate(site: Site) -> None:
    """Tickets outlive certificates, as the keys of neither depend on the other."""
    context = site.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    first = site.connect("secured", context)
    assert first.call("HELLO").startswith("-NOAUTH")
    site.put("own", site.issue("another"))
    site.reload("secured")
    again = site.connect("secured", context, session=first.secure.session)
    assert again.secure.session_reused
    assert again.call("HELLO").startswith("-NOAUTH")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_what_is_revoked_gets_in_no_more_and_is_ended(site: Site, version: str) -> None:
    """New connections, resumed sessions and open ones; everybody else goes on."""
    dbid = site.person(f"bob{version}")
    bob, ann = site.issue(f"bob{version}"), site.issue("ann")
    only = {"minimum_version": ssl.TLSVersion[version], "maximum_version": ssl.TLSVersion[version]}
    context = site.context(bob, **only)
    open_ = site.connect("cn", context)
    assert whoami(open_) == f"bob{version}"
    staying = site.connect("cn", site.context(ann))
    assert whoami(staying) == "ann"
    resumed = site.connect("cn", context, session=open_.secure.session)
    assert resumed.secure.session_reused
    assert whoami(resumed) == f"bob{version}", "resumed sessions are signed in too"
    session = resumed.secure.session
    site.authority.revoke(bob)
    site.put_file("crl.pem", site.authority.crl())
    site.reload("cn")
    assert open_.is_closed()
    assert resumed.is_closed()
    assert not site.is_let_in("cn", context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.connect("cn", context, session=session).call("PING")
    assert whoami(staying) == "ann"
    assert site.is_let_in("cn", site.context(ann))
    assert "connections ended, their certificates were revoked" in site.master.log_text()
    wait_until(lambda: "its certificate was revoked" in told_of(site, dbid), 20, "the record")
    assert '"what":"certificate"' in told_of(site, dbid)


def told_of(site: Site, person: int) -> str:
    """What the history of sessions tells of a person's."""
    with site.master.client() as one:
        words = ("CFG.HISTORY", "SESSIONS", "ACCOUNT", f"CfgPerson:{person}")
        return str(one.execute_command(*words))


def said_to_default(site: Site, *words: str) -> str:
    """What the default port answers in the clear to an address of which no failure was told yet."""
    secrets.note_command(words)
    address = ("127.0.0.1", site.master.port)
    with socket.create_connection(address, 10, source_address=("127.0.0.2", 0)) as one:
        one.sendall(command(*words))
        return one.recv(1024).decode().strip()


def test_a_session_begun_under_an_earlier_list_is_not_resumed(site: Site) -> None:
    context = site.context(site.issue("ann"), maximum_version=ssl.TLSVersion.TLSv1_2)
    first = site.connect("cn", context)
    assert whoami(first) == "ann"
    site.put_file("crl.pem", site.authority.crl())
    site.reload("cn")
    again = site.connect("cn", context, session=first.secure.session)
    assert not again.secure.session_reused
    assert whoami(again) == "ann", "a handshake like the first one"
    assert whoami(first) == "ann", "who is not on the list goes on"


def test_clients_are_who_their_certificates_name(site: Site) -> None:
    site.person("carl", externalID="spiffe://site/carl")
    issue = site.issue
    cases = [
        ("cn", issue("ann"), "ann"),
        ("uri", issue("whoever", uris=("csp:ann",)), "ann"),
        ("uri", issue("whoever", uris=("https://elsewhere", "spiffe://site/carl")), "carl"),
    ]
    for port, certificate, user in cases:
        assert whoami(site.connect(port, site.context(certificate))) == user
    for port, certificate in (
        ("cn", issue("nobody")),
        ("cn", issue("whoever", uris=("csp:ann",))),
        ("uri", issue("ann")),
        ("uri", issue("whoever", uris=("csp:ann", "spiffe://site/carl"))),
    ):
        client = site.connect(port, site.context(certificate))
        assert client.call("GET", "CfgTenant:1").startswith("-NOAUTH")
        site.sign_in(client)


def test_a_disabled_person_s_certificate_signs_nobody_in(site: Site) -> None:
    dbid = site.person("dora")
    context = site.context(site.issue("dora"))
    client = site.connect("cn", context)
    assert whoami(client) == "dora"
    site.update("CfgPerson", dbid, changed={"state": "disabled"})
    assert client.is_closed()
    assert whoami(site.connect("cn", context)).startswith("-NOAUTH")


def test_a_person_may_be_certificate_only(site: Site) -> None:
    """Password and token of the same person are refused where his certificate was not shown."""
    dbid = site.person("emil", password=ANN)
    assert said_to_default(site, "AUTH", "emil", ANN) == "+OK"
    only = {"authentication": {"certificate-only": "true"}}
    site.update("CfgPerson", dbid, userProperties={"changed": only})
    wrong = "-WRONGPASS invalid username-password pair or user is disabled."
    assert wait_until(lambda: said_to_default(site, "AUTH", "emil", ANN) == wrong, 10)
    assert "the account is certificate-only" in site.master.log_text()
    client = site.connect("cn", site.context(site.issue("emil")))
    assert whoami(client) == "emil"
    assert client.call("AUTH", "default", PASSWORD) == "OK", "another account may sign in there"


def test_a_file_that_is_gone_is_missed_only_when_it_is_looked_for(site: Site) -> None:
    site.put("own", site.issue("kept"))
    site.reload("secured")
    remove(site.files / "own.key")
    site.hang_up()
    wait_until(lambda: "certificate refused" in site.master.alarms(), 20, "the alarm")
    assert site.is_let_in("secured")
    site.put("own", site.issue("kept"))
    site.reload("secured")
    wait_until(lambda: site.master.alarms() == {}, 10, "the alarm's end")


def test_a_port_s_new_words_hold_without_a_start(site: Site) -> None:
    """Other files by its transport parameters; how it is secured is for the next start."""
    site.put("moved", site.issue("moved"))
    words = f"tls=1;certificate={site.files}/moved.pem;certificate-key={site.files}/moved.key"
    row = {"id": "secured", "port": str(site.ports["secured"]), "transportParams": words}
    before = site.number("secured")
    site.update("CfgApplication", 99, changed={"portInfos": [row]})
    site.wait_number("secured", before)
    assert site.subject("secured") == "moved"
    row["transportParams"] = PORTS["secured"].format(folder=site.files)
    before = site.number("secured")
    site.update("CfgApplication", 99, changed={"portInfos": [row]})
    site.wait_number("secured", before)


def test_a_certificate_that_ends_soon_is_an_alarm_until_it_is_renewed(site: Site) -> None:
    site.put("own", site.issue("own", until_days=5))
    site.reload("secured")
    alarm = wait_until(lambda: site.master.alarms().get("certificate expires"), 10, "the alarm")
    assert "the certificate CN=own ends at 20" in str(alarm["text"])
    site.put("own", site.issue("own"))
    site.reload("secured")
    wait_until(lambda: site.master.alarms() == {}, 10, "the alarm's end")
