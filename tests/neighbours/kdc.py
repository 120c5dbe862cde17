"""Starts a real MIT Kerberos realm of a test's own: its KDC, its keytabs, and tickets of its users.

1. Database, files and ports are its own; no setting of the machine is read (KRB5_CONFIG).
2. Tickets are made by separate processes (`kinit`, `faketime`), so that their times can be others.
3. What a server gets is `variables`, and a replay cache of its own where it plays another machine.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Self

from tests.neighbours.ports import free_port
from tests.neighbours.secrets import note
from tests.neighbours.waiting import wait_until

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
COMMAND_SECONDS_MAX = 30.0
KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    localhost = {realm}
"""
KDC_CONF = """\
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/acl
    }}
[logging]
    kdc = FILE:{folder}/kdc.log
"""
# A client's first token for a service, in a process whose variables and clock are a test's.
CLIENT = """\
import base64, sys
import gssapi
name = gssapi.Name(sys.argv[1], gssapi.NameType.hostbased_service)
flag = gssapi.RequirementFlag
flags = [flag.integrity, *([flag.mutual_authentication] if sys.argv[2] == "mutual" else [])]
context = gssapi.SecurityContext(
    name=name, usage="initiate", mech=gssapi.MechType.kerberos, flags=flags
)
print(base64.b64encode(context.step()).decode())
"""


class Kdc:
    """One realm; `users` are names and passwords, the service `csp@localhost` is there."""

    def __init__(self, folder: Path, users: dict[str, str], *, realm: str = "EXAMPLE.TEST") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.realm = realm
        self.port = free_port()
        self.keytab = folder / "csp.keytab"
        self.process: subprocess.Popen[bytes] | None = None
        self._users = users
        self._numbers = count(1)
        note(*users.values())
        values = {"realm": realm, "port": self.port, "folder": folder}
        (folder / "krb5.conf").write_text(KRB5_CONF.format(**values))
        (folder / "kdc.conf").write_text(KDC_CONF.format(**values))
        self._run("kdb5_util", "create", "-s", "-r", realm, "-P", "the-masters-own-1")
        for name, password in users.items():
            self.add(name, password)
        self.add_service("csp/localhost", self.keytab)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of who belongs to the realm."""
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf")}

    def replay_cache(self, machine: str) -> dict[str, str]:
        """The environment of a server that stands for another machine: a replay cache apart."""
        return {"KRB5RCACHENAME": f"file2:{self.folder}/{machine}.rcache"}

    def add(self, name: str, password: str) -> None:
        """A user."""
        note(password)
        self._users[name] = password
        self.administer(f"addprinc -pw {password} {name}")

    def add_service(self, name: str, keytab: Path) -> None:
        """A service, whose key goes into a keytab."""
        self.administer(f"addprinc -randkey {name}")
        self.administer(f"ktadd -k {keytab} {name}")

    def trust(self, other: Kdc) -> None:
        """The other realm's users get tickets for services of this one."""
        name = f"krbtgt/{self.realm}@{other.realm}"
        for one in (self, other):
            one.administer(f"addprinc -pw shared-by-both-1 {name}")
        conf = other.folder / "krb5.conf"
        ours = f"    {self.realm} = {{\n        kdc = 127.0.0.1:{self.port}\n    }}\n"
        text = conf.read_text().replace("[realms]\n", f"[realms]\n{ours}")
        conf.write_text(text.replace(f"localhost = {other.realm}", f"localhost = {self.realm}"))

    def administer(self, words: str) -> str:
        """What an administrator types into kadmin."""
        return self._run("kadmin.local", "-r", self.realm, "-q", words)

    def start(self, at: str = "") -> Self:
        """Starts the KDC and waits until it takes requests; `at` is another time, as `-2h`."""
        with (self.folder / "out").open("wb") as out:
            self.process = subprocess.Popen(
                [*_faked(at), "krb5kdc", "-n", "-r", self.realm, "-P", str(self.folder / "pid")],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # faketime stays before it, and takes no signal along
            )
        wait_until(self._answers, START_SECONDS_MAX, "the KDC takes requests")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the KDC ended\n{(self.folder / 'out').read_text()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def sign_in(self, user: str, *, life: str = "1h", at: str = "") -> Path:
        """The user's ticket cache, as `kinit` makes it; `at` is another time, as `-2h`."""
        cache = self.folder / f"cc{next(self._numbers)}"
        command = [*_faked(at), "kinit", "-c", f"FILE:{cache}", "-l", life, user]
        self._run(*command, said=f"{self._users[user]}\n")
        return cache

    def token(
        self, user: str, *, service: str = "csp@localhost", mutual: bool = True,
        cache: Path | None = None, at: str = "",
    ) -> str:  # fmt: skip
        """A new token of a user for a service, base64, as his client sends it."""
        found = cache or self.sign_in(user)
        command = [*_faked(at), sys.executable, "-c", CLIENT, service, "mutual" if mutual else "-"]
        token = self._run(*command, more={"KRB5CCNAME": f"FILE:{found}"}).strip()
        base64.b64decode(token, validate=True)
        note(token)
        return token

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(STOP_SECONDS_MAX)
            self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _environment(self) -> dict[str, str]:
        own = {"KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}
        return os.environ | self.variables | own

    def _run(self, *command: str, said: str = "", more: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            env=self._environment() | (more or {}),
            input=said,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout


def _faked(at: str) -> list[str]:
    return ["faketime", "-f", at] if at else []
