"""Collects the secrets that tests use, and looks whether a server's log has one of them.

1. What a test signs in with, or sets as a password, is noted where it is sent: by redis-py, by the
   connections of tests' own, by the command line. What servers make is known by its form: tokens,
   hashes; or by their database: the keys of tokens.
2. A word that is too short, or of letters alone as those of servers' own texts, says nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHARACTERS_MIN = 8
FORMS = {
    "a token": re.compile(r"csp1\.[A-Za-z0-9_-]{40}"),
    "a hash": re.compile(r"\$(?:argon2id|scrypt)\$"),
}
_WRITES = {"CFG.CREATE": 2, "CFG.UPDATE": 3}  # by command: where its JSON stands
_noted: set[str] = set()


def note(*texts: str | bytes) -> None:
    """These are secrets from now on."""
    for text in texts:
        word = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        if len(word) >= CHARACTERS_MIN and not word.isalpha():
            _noted.add(word)


def note_command(args: tuple[Any, ...] | list[Any]) -> None:
    """What a command carries that nobody is to see: of a sign-in the last word."""
    if not args:
        return
    name = _text(args[0]).upper()
    if name in _WRITES and len(args) > _WRITES[name]:
        note(*_passwords_in(args[_WRITES[name]]))
    elif name == "CFG.PASSWD":
        note(*(_text(one) for one in args[-2:]))
    elif name == "AUTH" and len(args) > 1:
        note(_text(args[-1]))
    elif name == "HELLO":
        words = [_text(one) for one in args]
        at = next((at for at, word in enumerate(words) if word.upper() == "AUTH"), len(words))
        note(*words[at + 2 : at + 3])


def note_database(path: Path) -> None:
    """The keys of tokens and the hashes of a master's file."""
    for statement in ("SELECT secret FROM token_keys", "SELECT hash FROM accounts"):
        # A test may have left no database that can be read.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as one:
            note(*(row[0] for row in one.execute(statement)))


def watch_redis() -> None:
    """What redis-py sends from now on is noted."""
    from redis.connection import AbstractConnection
    from redis.credentials import UsernamePasswordCredentialProvider

    send, made = AbstractConnection.send_command, UsernamePasswordCredentialProvider.__init__
    if getattr(send, "notes", False):
        return

    def send_command(self: Any, *args: Any, **options: Any) -> Any:
        note_command(args)
        return send(self, *args, **options)

    def init(self: Any, username: Any = None, password: Any = None) -> None:
        note(password or "")
        made(self, username, password)

    send_command.notes = True  # type: ignore[attr-defined]
    AbstractConnection.send_command = send_command  # type: ignore[method-assign]
    UsernamePasswordCredentialProvider.__init__ = init  # type: ignore[method-assign]


def found_in(text: str) -> list[str]:
    """Which secrets stand in a text."""
    found = [f"the secret {word!r}" for word in sorted(_noted) if word in text]
    return found + [name for name, form in FORMS.items() if form.search(text)]


def check_secrets(log: Path) -> None:
    """AssertionError where the log has a secret."""
    found = found_in(log.read_text(errors="replace")) if log.exists() else []
    if found:
        raise AssertionError(f"{log.name} shows {', '.join(found)}")


def _text(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _passwords_in(text: object) -> Iterator[str]:
    try:
        found = json.loads(_text(text))
    except ValueError:
        return
    changed = found.get("changed") if isinstance(found, dict) else None
    for part in (found, changed):
        if isinstance(part, dict) and isinstance(part.get("password"), str):
            yield part["password"]
