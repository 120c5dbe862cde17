"""Names the frames of a channel, RESP arrays of strings, and what a channel may hold and wait.

asks    VERB number argument…
answers READY 0         once, when a peer is taken in: from now on it is heard
        DONE number part…
        FAIL number line    an error reply, word first
"""

from __future__ import annotations

from dataclasses import dataclass

GREETING = "READY"
ANSWERED = "DONE"
REFUSED = "FAIL"


@dataclass(frozen=True)
class Limits:
    """What one connection of a channel may hold and how long it may wait, the same at both ends."""

    question_bytes: int  # of one question; a larger one is refused before it is sent
    in_flight: int = 10_000  # questions without an answer
    unsent_questions_bytes: int = 256 * 1024 * 1024  # four of the largest transactions
    unsent_answers_bytes: int = 64 * 1024 * 1024  # answers are small: who is so far behind is dead
    # A successor serves within one second, or five on a busy machine; a process that dies at each
    # start never does, though the supervisor keeps its socket.
    greeting_ms: int = 5_000
    answer_ms: int = 120_000  # longer than the longest cascade; a hung process is found before


# A transaction of 64 MB, whose commands are encoded twice, and what says who asks for it.
WRITER_LIMITS = Limits(question_bytes=80 * 1024 * 1024)
# Small questions; a page of the log, or one large entry, in an answer, and an operator's sums.
READING_LIMITS = Limits(
    question_bytes=64 * 1024,
    unsent_questions_bytes=4 * 1024 * 1024,
    unsent_answers_bytes=256 * 1024 * 1024,
    answer_ms=120_000,
)
# A user name and passwords; a line of sign-ins takes twenty seconds at most, then BUSY is said.
AUTH_LIMITS = Limits(
    question_bytes=64 * 1024,
    unsent_questions_bytes=4 * 1024 * 1024,
    unsent_answers_bytes=4 * 1024 * 1024,
    answer_ms=60_000,
)
# The settings of a directory, a user, a secret (a Kerberos ticket may have 64 KB); the answer.
BACKEND_LIMITS = Limits(
    question_bytes=256 * 1024,
    unsent_questions_bytes=16 * 1024 * 1024,
    unsent_answers_bytes=4 * 1024 * 1024,
    answer_ms=70_000,  # a backend answers before (csp/external/questions.py)
)
