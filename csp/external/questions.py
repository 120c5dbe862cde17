"""The questions from auth to a backend, and their answers.

asks    ASK number settings user secret milliseconds
answers DONE number kind words facts        facts: a JSON object of strings
        FAIL number line                    nothing was asked of a directory
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

from csp.external.backend import Kind, Verdict
from csp.process.channel.answering import Message

ASK = b"ASK"
WORDS_CHARACTERS_MAX = 400  # of what a directory says
QUESTION_MS_MAX = 60_000


class Question(NamedTuple):
    """One that auth asks; never shown, it holds a secret."""

    number: bytes
    settings: bytes  # Settings.to_json
    user: str
    secret: bytes
    within_ms: int

    def words(self) -> tuple[bytes | str | int, ...]:
        """What goes over the wire behind verb and number."""
        return self.settings, self.user, self.secret, self.within_ms

    def __repr__(self) -> str:
        return f"Question(number={self.number!r}, user={self.user!r})"

    @classmethod
    def read(cls, message: Message) -> Question:
        """The question of a message; raises ValueError."""
        if message[0] != ASK or len(message) != 6:
            raise ValueError("ASK number settings user secret milliseconds is meant")
        number, settings, user, secret, within = message[1:]
        return cls(number, settings, user.decode(), secret, min(int(within), QUESTION_MS_MAX))


def words_of_verdict(verdict: Verdict) -> tuple[str | bytes, ...]:
    """A verdict as it goes over the wire."""
    return verdict.kind.value, one_line(verdict.words), orjson.dumps(dict(verdict.facts))


def read_verdict(parts: list[bytes]) -> Verdict:
    """The verdict of an answer; raises ValueError."""
    kind, words, facts = parts
    found = {str(name): str(value) for name, value in orjson.loads(facts).items()}
    return Verdict(Kind(kind.decode()), words.decode("utf-8", "replace"), found)


def one_line(words: str) -> str:
    """What a directory said, fit for one line of a reply or of a log."""
    text = "".join(letter if letter.isprintable() else " " for letter in words)
    return " ".join(text.split())[:WORDS_CHARACTERS_MAX]
