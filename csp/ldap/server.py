"""One server of a directory, as its section of options states it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from csp.external.backend import Unusable
from csp.ldap.url import Search, read_url
from csp.process.credentials import PasswordFileRefused, read_password
from csp.tables.options import Value


@dataclass(frozen=True)
class LdapServer:
    """Where it is, how it is spoken to, and who searches there."""

    search: Search
    user: str  # who searches; empty: nobody
    own_password: str = field(repr=False)
    password_file: str
    start_tls: bool
    ca_file: str
    certificate_file: str
    key_file: str
    connect_seconds: int
    response_seconds: int

    @property
    def name(self) -> str:
        """What it is called in logs."""
        return self.search.uri

    def password(self) -> str:
        """Of who searches, as it is now; raises Unusable."""
        if not self.password_file:
            return self.own_password
        try:
            return read_password(self.password_file)
        except PasswordFileRefused as why:
            raise Unusable(f"password-file: {why}") from None

    @property
    def is_tls(self) -> bool:
        """Whether it is spoken to by TLS."""
        return self.start_tls or self.search.uri.startswith("ldaps:")

    def tls_files(self) -> list[str]:
        """The files that this takes."""
        return [one for one in (self.ca_file, self.certificate_file, self.key_file) if one]

    def problems(self) -> Iterator[str]:
        """What is set up less safely than it could be."""
        if not self.search.is_encrypted and not self.start_tls:
            yield f"passwords travel to {self.name} unencrypted: use ldaps:// or start-tls"


def read_server(section: Mapping[str, Value]) -> LdapServer:
    """The server of a section; raises Unusable."""
    server = LdapServer(
        search=read_url(str(section["ldap-url"])),
        user=str(section["app-user"]),
        own_password=str(section["password"]),
        password_file=str(section["password-file"]),
        start_tls=bool(section["start-tls"]),
        ca_file=str(section["cacert-path"]),
        certificate_file=str(section["cert-path"]),
        key_file=str(section["key-path"]),
        connect_seconds=int(section["connect-timeout"]),
        response_seconds=int(section["response-timeout"]),
    )
    if server.start_tls and not server.search.uri.startswith("ldap:"):
        raise Unusable(f"start-tls is for ldap://, not for {server.name}")
    if bool(server.certificate_file) != bool(server.key_file):
        raise Unusable("cert-path and key-path go together")
    if server.user and not (server.own_password or server.password_file):
        raise Unusable(f"app-user {server.user!r} has neither password-file nor password")
    for option, path in (
        ("cacert-path", server.ca_file),
        ("cert-path", server.certificate_file),
        ("key-path", server.key_file),
    ):
        if path and not os.access(path, os.R_OK):
            raise Unusable(f"{option} {path} can't be read")
    return server
