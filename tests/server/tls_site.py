"""A master with TLS ports, as an operator sets them up: files in a folder, parameters, SIGHUP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.neighbours import secrets
from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw
from tests.server.tls_stage import SecureRaw, trusting

RELOAD_SECONDS_MAX = 30.0


class Site:
    """One master; `ports` names transport parameters by port, in which {folder} is its files'."""

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, str],
        *,
        security: Mapping[str, str] | None = None,
        workers: int = 2,
    ) -> None:
        """`security` are the options of that section in the master's Application."""
        self.files = folder / "tls"
        self.files.mkdir()
        self.authority = Authority(folder / "authority")
        self.other = Authority(folder / "other", "Another Authority")
        self.master = Master(folder, workers=workers)
        self.ports = {name: free_port() for name in ports}
        self._words = {name: text.format(folder=self.files) for name, text in ports.items()}
        self._security = {
            name: text.format(folder=self.files) for name, text in (security or {}).items()
        }

    def start(self) -> Self:
        """Starts it, states the ports, and starts it again: ports are opened at a start."""
        self.master.start()
        rows = [
            {"id": name, "port": str(self.ports[name]), "transportParams": text}
            for name, text in self._words.items()
        ]
        self.update("CfgApplication", 99, added={"portInfos": rows})
        if self._security:
            self.update("CfgApplication", 99, options={"changed": {"security": self._security}})
        self.master.stop()
        self.master.start()
        return self

    # ---- objects

    def update(self, class_name: str, dbid: int, **delta: Any) -> None:
        with self.master.client() as one:
            one.execute_command("CFG.UPDATE", class_name, dbid, json.dumps(delta))

    def create(self, class_name: str, **fields: Any) -> int:
        with self.master.client() as one:
            return int(one.execute_command("CFG.CREATE", class_name, json.dumps(fields))[1])

    def person(self, user: str, **more: Any) -> int:
        return self.create("CfgPerson", tenantDBID=1, employeeID=user, userName=user, **more)

    # ---- files

    def issue(self, name: str, *, until_days: float = 90, **words: Any) -> Certificate:
        """A certificate of the site's authority, good for longer than any warning."""
        return self.authority.issue(name, until_days=until_days, **words)

    def put(self, name: str, certificate: Certificate) -> None:
        """Puts a certificate and its key in the place of those that are there, each at once."""
        secrets.note(*certificate.key.read_text().splitlines()[1:-1])
        self.put_file(f"{name}.pem", certificate.certificate)
        self.put_file(f"{name}.key", certificate.key)

    def put_file(self, name: str, source: Path) -> None:
        draft = self.files / "draft"
        shutil.copy(source, draft)
        draft.rename(self.files / name)

    def hang_up(self) -> None:
        """SIGHUP."""
        assert self.master.process is not None
        self.master.process.send_signal(signal.SIGHUP)

    def reload(self, port: str) -> None:
        """SIGHUP, and waits until another bundle is in force on the port, with all workers."""
        before = self.number(port)
        self.hang_up()
        self.wait_number(port, before)

    def wait_number(self, port: str, before: int) -> None:
        """Waits until all workers have a bundle of the port that is newer than this one."""
        wait_until(
            lambda: self.number(port) > before, RELOAD_SECONDS_MAX, f"a new certificate of {port}"
        )

    # ---- what is there

    def shown(self, port: str) -> dict[str, Any]:
        """What CFG.STATUS tells of a port, by the worker that is behind."""
        found = []
        for _ in range(4 * self.master.workers):  # connections are spread over the workers
            with self.master.client(protocol=3) as one:
                shown = one.execute_command("CFG.STATUS")["certificates"]
            found += [row for row in shown if row["port"] == port] or [{"number": 0}]
        return min(found, key=lambda row: int(row["number"]))

    def number(self, port: str) -> int:
        return int(self.shown(port)["number"])

    def context(
        self, certificate: Certificate | None = None, root: Path | None = None, **words: Any
    ) -> ssl.SSLContext:
        """A client's, with its own certificate or none."""
        context = trusting(root or self.authority.root, **words)
        if certificate is not None:
            context.load_cert_chain(certificate.certificate, certificate.key)
        return context

    def connect(self, port: str, context: ssl.SSLContext | None = None, **words: Any) -> SecureRaw:
        return SecureRaw(self.ports[port], context or self.context(), **words)

    def plain(self, port: str) -> Raw:
        return Raw(self.ports[port])

    def is_let_in(self, port: str, context: ssl.SSLContext | None = None) -> bool:
        """Whether a command is answered; of TLS 1.3 a client hears only then that it is not."""
        try:
            client = self.connect(port, context)
            client.call("PING")
        except (ssl.SSLError, ConnectionError, EOFError):
            return False
        client.close()
        return True

    def subject(self, port: str) -> str:
        """The common name that a client of a port sees."""
        client = self.connect(port, self.context(check_hostname=False))
        found = client.secure.getpeercert()
        client.close()
        assert found is not None
        names = {key: value for part in found["subject"] for key, value in part}  # type: ignore[misc,union-attr]
        return str(names["commonName"])

    def sign_in(self, client: Raw) -> Raw:
        assert client.call("AUTH", "default", PASSWORD) == "OK"
        return client

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.master.__exit__()


def remove(path: Path) -> None:
    """A file is gone."""
    os.unlink(path)
