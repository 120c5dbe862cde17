"""Speaks to a master as a proxy does that forwards: a registered server, by hand."""

from __future__ import annotations

import itertools
from typing import Any

import orjson

from csp.resp import request
from tests.neighbours.server import Master, Proxy
from tests.server.feed_helpers import application_of

numbers = itertools.count(1)


class Forwarder:
    """A connection to the master registered as the proxy's Application is."""

    def __init__(self, master: Master, proxy: Proxy) -> None:
        app = f"forwarder-{next(numbers)}"
        with master.client() as client:
            found = application_of(client, proxy.app) | {"name": app}
            for name in ("class", "DBID", "revision", "options"):
                found.pop(name, None)
            client.execute_command("CFG.CREATE", "CfgApplication", orjson.dumps(found))
        self.connection = master.raw(protocol=3)
        self._call("CFG.REGISTER", app)
        self.number = 0

    def _call(self, *words: Any) -> Any:
        self.connection.send_command(*words)
        return self.connection.read_response()

    def ask(self, *words: Any) -> list[bytes]:
        """The answer behind its number."""
        self.number += 1
        question = request(*words)
        half = len(question) // 2
        self.connection.send_command("CFG.FORWARD", self.number, "MORE", question[:half])
        self.connection.send_command("CFG.FORWARD", self.number, "END", question[half:])
        kind, number, *answer = self.connection.read_response(push_request=True)
        assert (kind, number) == (b"forwarded", b"%d" % self.number)
        return answer

    def close(self) -> None:
        self.connection.disconnect()
