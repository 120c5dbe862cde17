"""An agent desktop's session with redis-py: a first read, then changes, and after a lost
connection what was missed.

    CSP_PASSWORD=… python desktop.py HOST PORT APPLICATION
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from redis import AuthenticationError, Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

# All in one SUBSCRIBE: a subscription that comes later begins where the connection then is.
CHANNELS = ("cfg.notice", "cfg:CfgSkill")


class Session(CredentialProvider):
    """Signs in by the password first, by the newest token from then on."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password
        self.token = ""

    def get_credentials(self) -> tuple[str, str]:
        """Called by redis-py whenever it connects."""
        return self.user, self.token or self.password


class Desktop:
    """What the agent sees: the skills, by DBID, and up to which revision they are known."""

    def __init__(self, host: str, port: int, application: str, password: str) -> None:
        self.session = Session("default", password)
        self.client = Redis(
            host,
            port,
            credential_provider=self.session,
            decode_responses=True,
            retry=Retry(ExponentialWithJitterBackoff(base=0.1, cap=5), retries=20),
        )
        self.application = application
        self.skills: dict[int, Any] = {}
        self.seen = 0

    def read(self) -> int:
        """All of them, page by page; the revision to go on from is the first page's."""
        revision, cursor = 0, "0"
        self.skills.clear()
        while True:
            page, cursor, objects = self.client.execute_command(
                "CFG.READ", "CfgSkill", "CURSOR", cursor
            )
            revision = revision or page
            for text in objects:
                skill = json.loads(text)
                self.skills[skill["DBID"]] = skill
            if cursor == "0":
                return int(revision)

    def run(self) -> None:
        """Shows what happens until it is ended."""
        self.seen = self.read()
        show(read=self.seen, skills=len(self.skills))
        changes = self.client.pubsub()
        changes.execute_command("CFG.REGISTER", self.application)
        self.session.token = granted(changes.parse_response())["token"]
        changes.execute_command("CFG.FROM", self.seen, "BOOKMARKS", 1000)
        changes.parse_response()
        changes.subscribe(*CHANNELS)
        while True:
            try:
                message = changes.get_message(timeout=None)
            except AuthenticationError:
                self.session.token = ""  # older than a day, or the password has changed
                continue
            if message is None:
                continue
            if message["type"] == "subscribe":
                show(subscribed=message["channel"])
            elif message["type"] == "message":
                self.take(json.loads(message["data"]))

    def take(self, told: dict[str, Any]) -> None:
        """One message: a change, or a notice."""
        if told["op"] == "bookmark":
            self.session.token = told["token"]
        elif told["op"] == "resync":
            self.seen = self.read()  # the server can't go on from there: read anew
            show(read=self.seen, skills=len(self.skills))
        elif "class" in told:
            self.change(told)

    def change(self, told: dict[str, Any]) -> None:
        """One that was told already, before the connection was lost, comes again: it is known by
        its revision.
        """
        if told["revision"] <= self.seen:
            return
        if told["op"] == "create":
            self.skills[told["DBID"]] = told["object"]
        elif told["op"] == "delete":
            self.skills.pop(told["DBID"], None)
        else:
            self.skills[told["DBID"]].update(told["delta"].get("changed", {}))
        if not told["more"]:  # the last part of its transaction
            self.seen = told["revision"]
        show(change=told["revision"], op=told["op"], DBID=told["DBID"])


def granted(reply: Any) -> dict[str, Any]:
    """The map of CFG.REGISTER, which RESP2 writes as a list."""
    if isinstance(reply, list):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    found: dict[str, Any] = reply
    return found


def show(**what: Any) -> None:
    """A line for whoever looks."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Desktop(sys.argv[1], int(sys.argv[2]), sys.argv[3], os.environ["CSP_PASSWORD"]).run()
