"""Sign-ins in auth: right, wrong, remembered, dropped, too many."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import select
import time
from collections import Counter

import pytest
from argon2 import PasswordHasher, extract_parameters

from csp.auth import line
from csp.auth.accounts import Account
from csp.auth.passwords import _dummy_hash, _hasher, compare, hash_password, is_password
from csp.auth.verifier import BUSY, WRONG, Verifier

ACCOUNT = Account(100, 5, True, "argon2id", _hasher.hash("right"))
REPEAT_MICROSECONDS_MAX = 50
GREEDY_SECONDS_MAX = 5.0  # a thousand passes would take twenty


class Server:
    """A verifier with one account that can be exchanged."""

    def __init__(self, account: Account | None = ACCOUNT) -> None:
        self.account = account
        self.counted: Counter[str] = Counter()
        self.verifier = Verifier(self._find, self._count)
        self.results: list[Account | str] = []

    def _find(self, user: bytes) -> Account | None:
        return self.account if user == b"default" else None

    def _count(self, metric: str) -> None:
        self.counted[metric] += 1

    def ask(self, password: bytes, user: bytes = b"default") -> None:
        self.verifier.verify(user, password, self.results.append)

    def finish(self, count: int) -> None:
        """Waits for so many results; what is paced waits for its time."""
        while len(self.results) < count:
            select.select([self.verifier.done_fd], [], [], 0.1)
            self.verifier.take_done()
            self.verifier.work_off()

    def sign_in(self, password: bytes, user: bytes = b"default") -> Account | str:
        self.ask(password, user)
        while not self.results:
            select.select([self.verifier.done_fd], [], [], 10)
            self.verifier.take_done()
        return self.results.pop()


def test_right_and_wrong() -> None:
    server = Server()
    assert server.sign_in(b"right") == ACCOUNT
    assert server.sign_in(b"wrong") == WRONG
    assert server.sign_in(b"") == WRONG
    assert server.sign_in(b"right", b"ann") == WRONG
    assert server.counted == {"hashes": 4, "refused": 3}
    assert Server(None).sign_in(b"right") == WRONG


def test_a_disabled_person_is_refused_also_if_remembered() -> None:
    server = Server()
    assert server.sign_in(b"right") == ACCOUNT
    server.account = dataclasses.replace(ACCOUNT, is_enabled=False)
    assert server.sign_in(b"right") == WRONG
    assert Server(server.account).sign_in(b"right") == WRONG


def test_a_repeat_is_answered_at_once_and_cheap() -> None:
    server = Server()
    server.sign_in(b"right")
    times = []
    for _ in range(2_000):
        begin = time.perf_counter_ns()
        server.ask(b"right")
        times.append(time.perf_counter_ns() - begin)
    assert server.results == [ACCOUNT] * 2_000
    assert sorted(times)[1_000] / 1_000 <= REPEAT_MICROSECONDS_MAX


def test_a_changed_account_drops_what_was_remembered() -> None:
    server = Server()
    server.sign_in(b"right")
    server.account = dataclasses.replace(ACCOUNT, revision=6, hash=_hasher.hash("new"))
    assert server.sign_in(b"right") == WRONG
    assert server.sign_in(b"new") == server.account


def test_an_unknown_user_costs_what_a_wrong_password_costs() -> None:
    server = Server()
    for user in (b"default", b"nobody"):
        server.counted.clear()
        for number in range(3):
            server.sign_in(b"wrong %d" % number, user)
        assert server.counted == {"hashes": 3, "refused": 3}
    # What nobody's password is compared with takes as long as what a master stores.
    assert extract_parameters(_dummy_hash) == extract_parameters(hash_password(b"x"))


def test_who_finds_no_place_is_told_busy_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WAITING_MAX", 10)
    server = Server()
    for number in range(20):
        server.ask(b"wrong %d" % number)
    assert server.results == [BUSY] * 13  # 2 under way, 5 wait: half of the places
    server.finish(20)
    assert server.results.count(WRONG) == 7
    server.results.clear()
    assert server.sign_in(b"right") == ACCOUNT


def test_a_wrong_password_that_comes_again_costs_nothing_until_the_account_changes() -> None:
    server = Server()
    assert server.sign_in(b"old") == WRONG
    assert server.counted["hashes"] == 1
    for _ in range(100):
        server.ask(b"old")
    assert server.results == [WRONG] * 100
    assert server.counted == {"hashes": 1, "refused": 101}
    server.results.clear()
    server.account = dataclasses.replace(ACCOUNT, revision=6, hash=_hasher.hash("old"))
    assert server.sign_in(b"old") == server.account


def test_a_right_sign_in_of_another_address_waits_for_few_wrong_ones() -> None:
    server = Server()
    order: list[str] = []
    verify = server.verifier.verify
    for number in range(60):
        verify(b"default", b"guess %d" % number, lambda _: order.append("wrong"), "a")
    verify(b"default", b"right", lambda _: order.append("right"), "b")
    while "right" not in order:
        select.select([server.verifier.done_fd], [], [], 10)
        server.verifier.take_done()
    # Two were under way; threads may end in another order than they began.
    assert order.index("right") <= 4


def test_equal_sign_ins_share_a_comparison() -> None:
    server = Server()
    begin = time.perf_counter()
    for _ in range(900):
        server.ask(b"right")
    while len(server.results) < 900:
        select.select([server.verifier.done_fd], [], [], 10)
        server.verifier.take_done()
    assert server.results == [ACCOUNT] * 900
    assert time.perf_counter() - begin < 5


def test_the_hash_of_a_bulk_import() -> None:
    stored = "$scrypt$ln=7,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
    key = hashlib.scrypt(b"pw", salt=bytes(16), n=128, r=8, p=1, dklen=32)
    stored += base64.b64encode(key).decode().rstrip("=")
    assert is_password(b"pw", "scrypt-bulk", stored)
    assert not is_password(b"px", "scrypt-bulk", stored)
    assert not is_password(b"pw", "scrypt-bulk", "$scrypt$broken")
    assert not is_password(b"pw", "imported-1", "whatever")


def test_hashes_of_the_original_are_taken_and_come_back_as_ours() -> None:
    """MD5 and SHA-256 of the password, in hexadecimal digits or base64 (issue 10, accounts)."""
    for name in ("md5", "sha256"):
        digest = hashlib.new(name, b"pass \xc5\xbd").digest()
        for stored in (digest.hex(), digest.hex().upper(), base64.b64encode(digest).decode()):
            found = compare(b"pass \xc5\xbd", "imported-1", stored)
            assert found.is_right
            assert is_password(b"pass \xc5\xbd", "argon2id", found.upgraded)
            assert compare(b"other", "imported-1", stored) == (False, "")
    assert compare(b"x", "imported-1", "no digest") == (False, "")
    assert compare(b"right", ACCOUNT.algorithm, ACCOUNT.hash) == (True, "")


def test_a_weaker_argon2id_hash_is_made_ours_and_a_greedy_one_never_asked() -> None:
    """The parameters of stored hashes are checked against a ceiling before they are used."""
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("right")
    found = compare(b"right", "argon2id", weak)
    assert found.is_right
    assert extract_parameters(found.upgraded) == extract_parameters(_dummy_hash)
    for greedy in (
        weak.replace("m=8192", "m=4194304"),
        weak.replace("t=1", "t=1000"),
        weak.replace("p=1", "p=64"),
    ):
        assert greedy != weak
        begin = time.perf_counter()
        assert compare(b"right", "argon2id", greedy) == (False, "")
        assert time.perf_counter() - begin < GREEDY_SECONDS_MAX
    scrypt = "$scrypt$ln=30,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43
    assert compare(b"right", "scrypt-bulk", scrypt) == (False, "")


def test_one_of_those_who_wait_brings_the_better_hash() -> None:
    weak = dataclasses.replace(
        ACCOUNT, algorithm="imported-1", hash=hashlib.md5(b"right").hexdigest()
    )
    server = Server(weak)
    for _ in range(3):
        server.ask(b"right")
    server.finish(3)
    better = [one.upgraded for one in server.results if isinstance(one, Account) and one.upgraded]
    assert len(better) == 1
    assert is_password(b"right", "argon2id", better[0])
    assert server.counted["hashes"] == 1
