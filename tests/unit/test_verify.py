"""Narrows a difference down to class and DBID, though every comparison is at another revision."""

import json
from typing import Any

import pytest

from csp.cli.connecting import Server
from csp.cli.verify import Comparison, find_master, verify
from csp.client import Address, Tls
from csp.errors import CspError

PERSON, SKILL = "CfgPerson", "CfgSkill"
Records = dict[tuple[str, int], int]


class FakeServer:
    """Answers CFG.SUMS from a dict of hashes, and takes a revision more with every question."""

    def __init__(self, records: Records, *, is_proxy: bool = False, status: Any = None) -> None:
        self.records = records
        self.is_proxy = is_proxy
        self.status = status or {}
        self.revision = 100
        self.asked: list[tuple[Any, ...]] = []

    def call(self, *words: Any) -> object:
        """One command."""
        self.asked.append(words)
        if words[0] == "CFG.STATUS":
            return self.status
        if words[0] == "CFG.SYNC":
            return self.revision
        if words[1] == "PIN":
            return self.revision
        if words[1] == "DATABASE":
            if self.is_proxy:
                raise CspError("this server is a proxy: ask its master")
            self.revision += 1
            return self._sums(self.revision, words[2:])
        return self._sums(words[2], words[3:])

    def _sums(self, revision: int, where: tuple[Any, ...]) -> list[object]:
        name, low, high = (where[1], where[3], where[4]) if where else ("", 0, 1 << 40)
        sums: dict[object, object] = {}
        for known in {key[0] for key in self.records if name in ("", key[0])}:
            values = [
                value
                for (of, dbid), value in self.records.items()
                if of == known and low <= dbid <= high
            ]
            sums[known.encode()] = [len(values), f"{sum(values) % 2**64:016x}".encode()]
        return [revision, sums]


def records() -> Records:
    """Some objects of two classes."""
    return {(number, dbid): dbid * 7919 for number in (PERSON, SKILL) for dbid in range(100, 400)}


def compare(server: FakeServer, master: FakeServer, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a verification; its exit code and report."""
    code = verify(Comparison(server, master), True, 0.0)  # type: ignore[arg-type]
    return code, json.loads(capsys.readouterr().out)


def test_equal_sides_are_equal(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = compare(FakeServer(records()), FakeServer(records()), capsys)
    assert code == 0
    assert report["records"] == 600


def test_each_difference_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = records()
    wrong[PERSON, 142] ^= 1
    del wrong[SKILL, 399]
    wrong[SKILL, 7] = 5
    code, report = compare(FakeServer(wrong), FakeServer(records()), capsys)
    assert code == 1
    assert [(each["key"], each["problem"]) for each in report["differences"]] == [
        ("CfgPerson:142", "differs"),
        ("CfgSkill:7", "should not exist"),
        ("CfgSkill:399", "is missing"),
    ]


def test_the_server_is_pinned_before_the_master_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, master = FakeServer(records()), FakeServer(records())
    compare(server, master, capsys)
    assert server.asked[0] == ("CFG.SUMS", "PIN")
    assert server.asked[-1] == ("CFG.SUMS", "AT", 102)


def test_a_proxy_behind_a_proxy_is_compared_with_the_stores_of_its_master(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = records()
    wrong[PERSON, 142] ^= 1
    code, report = compare(FakeServer(wrong), FakeServer(records(), is_proxy=True), capsys)
    assert code == 1
    assert report["differences"][0]["key"] == "CfgPerson:142"


def test_the_master_is_found_in_the_status() -> None:
    here = Server(Address("127.0.0.1", 1), Tls(ca="ca.pem"))
    proxy = FakeServer({}, status={"mode": "proxy", "master": "10.0.0.5:2020"})
    assert find_master(proxy, here) == Server(Address("10.0.0.5", 2020), here.tls)  # type: ignore[arg-type]
    assert find_master(FakeServer({}, status={"mode": "master"}), here) == here  # type: ignore[arg-type]
