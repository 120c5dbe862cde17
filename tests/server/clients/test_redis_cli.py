"""redis-cli and redis-benchmark of Debian, as people type them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.neighbours.redis_cli import redis_benchmark, redis_cli
from tests.neighbours.server import Master

pytestmark = pytest.mark.needs("redis-cli")


def test_one_command(master: Master) -> None:
    assert redis_cli(master, "PING") == "PONG\n"
    tenant = json.loads(redis_cli(master, "GET", "CfgTenant:1"))
    assert (tenant["class"], tenant["DBID"]) == ("CfgTenant", 1)
    assert redis_cli(master, "--no-raw", "GET", "CfgTenant:999999") == "(nil)\n"


def test_resp3(master: Master) -> None:
    shown = redis_cli(master, "-3", "--no-raw", "CFG.STATUS")
    assert '"mode" => "master"' in shown


def test_typed_lines(master: Master) -> None:
    lines = ["MULTI", "GET CfgTenant:1", "EXEC", "nonsense", "DBSIZE", "CLIENT GETNAME"]
    shown = redis_cli(master, "--no-raw", typed="\n".join(lines) + "\n")
    assert "QUEUED" in shown
    assert "unknown command 'nonsense'" in shown
    assert "(integer) " in shown


def test_write_and_scan(master: Master, new_name: Callable[[], str]) -> None:
    text = json.dumps({"tenantDBID": 1, "name": new_name()})
    _, dbid = redis_cli(master, "CFG.CREATE", "CfgSkill", text).split()
    keys = redis_cli(master, "--scan", "--pattern", "CfgSkill:*").split()
    assert f"CfgSkill:{dbid}" in keys


def test_keyspace_tools(master: Master) -> None:
    assert "CfgTenant:1" in redis_cli(master, "--scan")
    assert "redis_version:7.4.0" in redis_cli(master, "INFO", "server")


def test_benchmark(master: Master) -> None:
    shown = redis_benchmark(master, "-q", "-n", "2000", "-P", "16", "GET", "CfgTenant:1")
    assert "requests per second" in shown
    assert "requests per second" in redis_benchmark(master, "-q", "-n", "1000", "-t", "ping")
