"""What auth does with directories' answers: who gets in, who waits, who is asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from csp.auth.accounts import Account
from csp.auth.directory_alarms import FORGOTTEN_MS, DirectoryAlarms
from csp.auth.external import AWAY_MAX, BROKEN_MAX, WITHIN_MS, External
from csp.auth.line import FAILURES_FREE, PACED_WAITING_MAX, WAITING_MAX
from csp.external.backend import Kind, Verdict
from csp.external.directories import QUESTIONS_MAX
from csp.external.questions import words_of_verdict
from csp.external.settings import Settings, SignIn
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.process.roles import LDAP, RADIUS, Role
from csp.store.alarms import raised
from tests.unit.fake_flags import FakeFlags

FIRST = Settings("gauth_ldap", ({"ldap-url": "ldap://first/dc=x??sub?(uid=X)"},))
SECOND = Settings("gauth_radius", ({"servers": "second"},))
GUESSES = 2_000


def account(*directories: Settings, refusal: str = "", dbid: int = 1000) -> Account:
    return Account(dbid, 0, True, "", "", sign_in=SignIn(True, "ann@dir", directories, refusal))


class Asked:
    """A question that a backend has."""

    def __init__(self, words: tuple[Any, ...], then: Callable[[Answer], None]) -> None:
        self.settings, self.login, self.password, self.within_ms = words
        self.then = then

    def say(self, kind: Kind, words: str = "") -> None:
        parts = words_of_verdict(Verdict(kind, words))
        self.then(Done([one if isinstance(one, bytes) else one.encode() for one in parts]))


class Channel:
    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def ask(self, verb: str, *words: Any, then: Callable[[Answer], None]) -> None:
        assert verb == "ASK"
        self.asked.append(Asked(words, then))

    def take(self) -> list[Asked]:
        found, self.asked = self.asked, []
        return found


class Stage:
    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.flags = FakeFlags()
        self.counted: Counter[str] = Counter()
        self.channels: dict[str, Channel] = {LDAP.name: Channel(), RADIUS.name: Channel()}
        self.later: list[Callable[[], None]] = []
        self.said: list[Account | str] = []
        self.alarms = DirectoryAlarms(self.flags)
        self.external = External(
            self._channel,  # type: ignore[arg-type]
            lambda _, callback: self.later.append(callback),
            lambda metric: self.counted.update((metric,)),
            self.alarms,
            lambda: self.now_ms,
        )

    def _channel(self, role: Role) -> Channel:
        return self.channels[role.name]

    def ask(
        self, who: Account, password: bytes = b"word", address: str = "a", user: bytes = b"ann"
    ) -> None:
        self.external.verify(user, password, who, self.said.append, address)

    def taken(self, role: Role = LDAP) -> list[Asked]:
        return self.channels[role.name].take()


@pytest.fixture
def stage() -> Stage:
    return Stage()


ANN = account(FIRST)
BOTH = account(FIRST, SECOND)


def test_who_is_accepted_is_signed_in_by_the_name_that_the_directory_knows(stage: Stage) -> None:
    stage.ask(ANN)
    (asked,) = stage.taken()
    assert (asked.login, asked.password, asked.within_ms) == ("ann@dir", b"word", WITHIN_MS)
    assert Settings.from_json(asked.settings) == FIRST
    asked.say(Kind.ACCEPTED)
    assert stage.said == [ANN]


def test_t39_a_refusal_is_final_and_in_the_directorys_words(stage: Stage) -> None:
    stage.ask(BOTH)
    stage.taken()[0].say(Kind.REFUSED, "Invalid credentials: data 532")
    assert stage.said == ["WRONGPASS the directory says: Invalid credentials: data 532"]
    assert stage.taken(RADIUS) == []


def test_only_who_does_not_answer_is_followed_by_the_next_module(stage: Stage) -> None:
    stage.ask(BOTH)
    stage.taken()[0].say(Kind.AWAY, "silence")
    assert stage.said == []
    stage.external.work_off()
    stage.taken(RADIUS)[0].say(Kind.ACCEPTED)
    assert stage.said == [BOTH]


def test_where_none_answers_nobody_gets_in(stage: Stage) -> None:
    stage.ask(ANN)
    stage.taken()[0].say(Kind.AWAY, "silence")
    (said,) = stage.said
    assert str(said).startswith("BUSY ")
    assert "silence" not in str(said), "who is before the door hears no names of hosts"


@pytest.mark.parametrize("who", [ANN, BOTH])
def test_t40_what_can_t_work_is_no_reason_to_ask_somebody_else(stage: Stage, who: Account) -> None:
    stage.ask(who)
    stage.taken()[0].say(Kind.UNUSABLE, "python-ldap is missing: pip install 'csp[ldap]'")
    (said,) = stage.said
    assert "pip install 'csp[ldap]'" in str(said)
    assert stage.taken(RADIUS) == []


def test_t40_settings_that_name_nobody_refuse(stage: Stage) -> None:
    stage.ask(account(refusal="library names no module"))
    (said,) = stage.said
    assert str(said).endswith("library names no module")
    assert stage.flags.names() == ["external sign-in"]


@pytest.mark.parametrize("password", [b"", b" ", b"\t \n", b"a\0b"])
def test_t41_a_blank_password_is_asked_of_nobody(stage: Stage, password: bytes) -> None:
    stage.ask(ANN, password)
    assert stage.taken() == []
    assert str(stage.said[0]).startswith("WRONGPASS an empty password")


def test_equal_questions_at_once_are_one(stage: Stage) -> None:
    for _ in range(3):
        stage.ask(ANN)
    (asked,) = stage.taken()
    stage.ask(ANN, b"another")
    stage.ask(account(FIRST, dbid=1001))
    assert len(stage.taken()) == 2
    asked.say(Kind.ACCEPTED)
    assert stage.said == [ANN] * 3
    stage.ask(ANN)
    assert len(stage.taken()) == 1, "nothing is remembered"


def test_a_directory_is_asked_so_much_at_once_and_the_rest_waits(stage: Stage) -> None:
    for number in range(QUESTIONS_MAX + 10):
        stage.ask(ANN, b"word %d" % number)
    asked = stage.taken()
    assert len(asked) == QUESTIONS_MAX
    stage.ask(account(Settings("gauth_ldap", ({"ldap-url": "ldap://other"},))))
    assert len(stage.taken()) == 1, "another directory's users wait for nobody"
    asked[0].say(Kind.ACCEPTED)
    stage.external.work_off()
    assert len(stage.taken()) == 1


def test_a_full_line_is_told_at_once(stage: Stage) -> None:
    for number in range(QUESTIONS_MAX + WAITING_MAX + 1):
        stage.ask(ANN, b"word %d" % number, f"desk {number}")
    (said,) = stage.said
    assert str(said).startswith("BUSY too many")


def test_one_address_takes_no_other_its_turn(stage: Stage) -> None:
    for number in range(QUESTIONS_MAX + 500):
        stage.ask(ANN, b"word %d" % number, "guesser")
    asked = stage.taken()
    stage.ask(ANN, b"right", "desk")
    for one in asked[:2]:
        one.say(Kind.ACCEPTED)
    stage.external.work_off()
    assert b"right" in [one.password for one in stage.taken()]


def test_a_guesser_is_served_at_a_pace(stage: Stage) -> None:
    for number in range(FAILURES_FREE + 1):
        stage.ask(ANN, b"guess %d" % number, "guesser")
        stage.taken()[0].say(Kind.REFUSED)
    for number in range(GUESSES):
        stage.ask(ANN, b"next %d" % number, "guesser")
    assert len(stage.taken()) <= 1
    busy = [one for one in stage.said if str(one).startswith("BUSY")]
    assert len(busy) >= GUESSES - PACED_WAITING_MAX - 1


def test_who_waited_too_long_is_not_asked_any_more(stage: Stage) -> None:
    for number in range(QUESTIONS_MAX + 1):
        stage.ask(ANN, b"word %d" % number)
    asked = stage.taken()
    stage.now_ms += WITHIN_MS
    asked[0].say(Kind.AWAY)
    stage.external.work_off()
    assert stage.taken() == []
    assert [str(one).split()[0] for one in stage.said] == ["BUSY", "BUSY"]


def test_a_backend_that_ended_is_asked_again_a_few_times(stage: Stage) -> None:
    stage.ask(ANN)
    for _ in range(BROKEN_MAX):
        stage.taken()[0].then(Broken("it ended"))
        assert stage.said == []
    stage.taken()[0].then(Broken("it ended"))
    assert str(stage.said[0]).startswith("BUSY ")


def test_a_backend_that_is_not_there_is_waited_for(stage: Stage) -> None:
    stage.ask(ANN)
    for _ in range(AWAY_MAX):
        stage.taken()[0].then(Absent("restarting", is_away=True))
        stage.later.pop()()
    assert stage.said == []
    stage.taken()[0].say(Kind.ACCEPTED)
    assert stage.said == [ANN]


@pytest.mark.parametrize(
    "answer", [Broken("late", is_late=True), Absent("full"), Fail("BUSY too much")]
)
def test_other_ends_are_told(stage: Stage, answer: Answer) -> None:
    stage.ask(ANN)
    stage.taken()[0].then(answer)
    assert str(stage.said[0]).startswith("BUSY ")


def test_an_answer_that_can_t_be_read_lets_nobody_in(stage: Stage) -> None:
    for parts in ([b"accepted"], [b"let in", b"", b"{}"], [b"accepted", b"", b"[]"]):
        stage.ask(ANN)
        stage.taken()[0].then(Done(parts))
    assert len(stage.said) == 3
    assert all(str(one).startswith("ERR ") for one in stage.said)


def test_alarms_are_raised_by_trouble_and_end_with_an_answer(stage: Stage) -> None:
    stage.ask(ANN)
    stage.taken()[0].say(Kind.AWAY, "first: silence")
    (alarm,) = raised(stage.flags)
    assert alarm.alarm.name == "directory away"
    assert "ldap://first" in alarm.text
    stage.ask(ANN, b"other")
    stage.taken()[0].say(Kind.UNUSABLE, "bind refused")
    assert sorted(stage.flags.names()) == ["directory away", "external sign-in"]
    stage.ask(ANN, b"third")
    stage.taken()[0].say(Kind.REFUSED)
    assert stage.flags.names() == []


def test_an_alarm_of_one_directory_is_not_ended_by_another(stage: Stage) -> None:
    stage.ask(ANN)
    stage.taken()[0].say(Kind.AWAY, "silence")
    stage.ask(account(SECOND))
    stage.taken(RADIUS)[0].say(Kind.ACCEPTED)
    assert stage.flags.names() == ["directory away"]
    stage.alarms.tick(stage.now_ms + FORGOTTEN_MS)
    assert stage.flags.names() == []
