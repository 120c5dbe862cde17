"""Servers of the client tests that are reached by TLS: csp and redis-server, in the same manner."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.server import PASSWORD

KEY = "CfgTenant:1"
CHANNEL = "cfg:CfgSkill"


@dataclass(frozen=True)
class Secured:
    """A port by TLS, whom to trust there, and who to be."""

    port: int
    authority: Authority
    change: Callable[[], None]  # something is told on CHANNEL
    own: Certificate | None = None
    host: str = "127.0.0.1"

    def python_options(self) -> dict[str, Any]:
        """What redis-py and valkey-py take."""
        found: dict[str, Any] = {
            "username": "default",
            "password": PASSWORD,
            "ssl_ca_certs": str(self.authority.root),
            "decode_responses": True,
        }
        if self.own is not None:
            found |= {
                "ssl_certfile": str(self.own.certificate),
                "ssl_keyfile": str(self.own.key),
            }
        return found

    @property
    def url(self) -> str:
        return f"rediss://{self.host}:{self.port}"

    def context(self) -> ssl.SSLContext:
        """For libraries that take one."""
        found = ssl.create_default_context(cafile=str(self.authority.root))
        if self.own is not None:
            found.load_cert_chain(self.own.certificate, self.own.key)
        return found

    def environment(self) -> dict[str, str]:
        """For those in Node.js."""
        found = {"CA": str(self.authority.root), "CSP_PASSWORD": PASSWORD}
        if self.own is not None:
            found |= {"CERTIFICATE": str(self.own.certificate), "KEY": str(self.own.key)}
        return found


@dataclass
class Seen:
    """What a library saw there."""

    object: dict[str, Any]
    many: int  # replies of a pipeline that all were that object
    channel: str
    message: str


def seen(text: str, many: list[str], channel: str, message: str) -> Seen:
    same = len(many) if set(many) == {text} else 0
    return Seen(json.loads(text), same, channel, message)
