"""Starts a real slapd of a test's own, with the people that it asks for, and a server that is mute.

1. Its configuration, its data and its certificate are in one folder; nothing of this machine's own
   directory is read.
2. It answers by ldap://, ldaps:// and StartTLS on ports of 127.0.0.1.
3. It logs operations to its standard output, so that a test sees what it was asked.
"""

from __future__ import annotations

import base64
import contextlib
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from tests.neighbours.certificates import Authority
from tests.neighbours.ports import free_port
from tests.neighbours.secrets import note
from tests.neighbours.waiting import wait_until

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
SUFFIX = "dc=example,dc=com"
SEARCHER = f"cn=searcher,{SUFFIX}"
SEARCHER_PASSWORD = "search-it-1"
CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
loglevel stats
sizelimit 100
disallow bind_anon
database mdb
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
directory {folder}/data
maxsize 10485760
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{searcher}" read by * none
"""
HEAD = """\
dn: {suffix}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: {searcher}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: searcher
userPassword: {password}

dn: ou=people,{suffix}
objectClass: organizationalUnit
ou: people

dn: ou=guests,{suffix}
objectClass: organizationalUnit
ou: guests
"""
PERSON = """
dn: cn={name},ou={unit},{suffix}
objectClass: inetOrgPerson
uid:: {uid}
cn: {name}
sn: {name}
userPassword: {password}
"""


class Slapd:
    """One server; `people` are names and passwords, `guests` others of another branch."""

    def __init__(
        self,
        folder: Path,
        people: Mapping[str, str],
        guests: Mapping[str, str] | None = None,
        authority: Authority | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir(exist_ok=True)
        self.authority = authority or Authority(folder / "ca")
        self.port, self.secure_port = free_port(), free_port()
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        certificate = self.authority.issue("localhost")
        self._conf = folder / "slapd.conf"
        self._conf.write_text(
            CONFIG.format(
                folder=folder,
                ca=self.authority.root,
                certificate=certificate.certificate,
                key=certificate.key,
                suffix=SUFFIX,
                searcher=SEARCHER,
            )
        )
        note(SEARCHER_PASSWORD, *people.values(), *(guests or {}).values())
        text = HEAD.format(suffix=SUFFIX, searcher=SEARCHER, password=SEARCHER_PASSWORD)
        for unit, members in (("people", people), ("guests", guests or {})):
            for number, (uid, password) in enumerate(members.items()):
                words = {"name": _plain(uid) or f"odd {number}", "unit": unit, "password": password}
                coded = base64.b64encode(uid.encode()).decode()
                text += PERSON.format(uid=coded, suffix=SUFFIX, **words)
        (folder / "base.ldif").write_text(text)
        run = ["/usr/sbin/slapadd", "-f", str(self._conf), "-l", str(folder / "base.ldif")]
        subprocess.run(run, check=True, capture_output=True)

    def start(self) -> Self:
        """Starts it, again too, and waits until it takes connections."""
        hosts = ("127.0.0.1", "127.0.0.2")  # the second is not in its certificate
        urls = " ".join(
            f"ldap://{host}:{self.port} ldaps://{host}:{self.secure_port}" for host in hosts
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/slapd", "-f", str(self._conf), "-h", urls, "-d", "stats"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, START_SECONDS_MAX, "slapd takes connections")
        return self

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(STOP_SECONDS_MAX)

    def pause(self) -> None:
        """It takes connections and answers nothing from now on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def url(self, unit: str = "people", *, query: str = "(uid=X)", secure: bool = False) -> str:
        """The ldap-url for the people of a branch."""
        scheme, port = ("ldaps", self.secure_port) if secure else ("ldap", self.port)
        base = f"ou={unit},{SUFFIX}" if unit else SUFFIX
        return f"{scheme}://127.0.0.1:{port}/{base}??sub?{query}"

    def count(self, *words: str) -> int:
        """How many lines of its log say all of this."""
        lines = self.log.read_text(errors="replace").split("\n")
        return sum(all(word in line for word in words) for line in lines)

    def binds(self, uid: str) -> int:
        """How often somebody tried to bind as a person."""
        return self.count(f'BIND dn="cn={uid},') - self.count(f'BIND dn="cn={uid},', "mech=")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"slapd ended\n{self.log.read_text()[-4000:]}")
        try:
            socket.create_connection(("127.0.0.1", self.secure_port), timeout=5).close()
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Mute:
    """A server that takes connections and never says anything."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        self.taken = 0  # connections
        self._held: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The ldap-url of it."""
        return f"ldap://127.0.0.1:{self.port}/{SUFFIX}??sub?(uid=X)"

    def close(self) -> None:
        """Ends it, and all that it held."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._held:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                self._held.append(self._listener.accept()[0])
            except OSError:
                return
            self.taken += 1


class Slow:
    """Passes everything on to a server, each first byte of a connection after some seconds."""

    def __init__(self, port: int, seconds: float) -> None:
        self._target = port
        self._seconds = seconds
        self._ended = threading.Event()
        self.taken = 0  # connections
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes nobody any more."""
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.taken += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            self._ended.wait(self._seconds)
            ways = ((client, server), (server, client))
            threads = [threading.Thread(target=_pass_on, args=way, daemon=True) for way in ways]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def _plain(uid: str) -> str:
    """The name, where it needs no escaping in a DN."""
    return uid if uid.isascii() and uid.isalnum() else ""


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def mute() -> Iterator[Mute]:
    """A mute server for the while of a test."""
    server = Mute()
    try:
        yield server
    finally:
        server.close()
