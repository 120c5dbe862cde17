"""Runs the benches in tiny sizes: do they still work? The figures are not judged here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.neighbours.server import ROOT

WITHIN_SECONDS = 120
FINE, FALLS_SHORT = 0, 1


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (
            ["memory", "--objects", "500", "--connections", "20"],
            ["store overhead an object", "idle worker", "idle connection"],
        ),
        (
            ["fanout", "--subscribers", "20", "--deliveries", "200", "--rounds", "1"],
            ["one change to 20 / bare sends", "ten changes of one transaction to 20 / redis-serv"],
        ),
    ],
)
def test_a_bench_prints_its_rows(arguments: list[str], rows: list[str]) -> None:
    run(arguments, rows)


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (
            ["filter", "--objects", "150", "--requests", "3", "--rounds", "1"],
            ["filter read of 100", "brief list of 151"],
        ),
        (
            ["client", "--requests", "20", "--rounds", "1"],
            ["GET, blocking, hiredis", "pipeline of 64 GETs, asyncio, Python", "page of 100, a"],
        ),
        pytest.param(
            ["write", "--rounds", "1", "--seconds", "0.3", "--only", "etcd"],
            ["50 writers, time a write / etcd", "20 in flight, time a write / one by one"],
            marks=pytest.mark.needs("etcd"),
        ),
        (
            ["load", "--objects", "200", "--changes", "20", "--rounds", "1"],
            ["load of a proxy", "attach to first read", "changes applied"],
        ),
        pytest.param(
            [
                *("push", "--changes", "5", "--rounds", "1", "--subscribers", "100"),
                *("--seconds", "1", "--clients", "20"),
            ],
            ["write to delivery at a proxy, p50", "100 subscribers, 1 stopped", "return to two"],
            marks=pytest.mark.needs("etcd"),
        ),
        (
            ["link", "--objects", "300", "--changes", "10", "--rounds", "1"],
            ["load, packed: bytes on the link", "a change of one attribute, as it is"],
        ),
        (
            ["scale", "--objects", "400", "--few", "50", "--requests", "2000", "--rounds", "1"],
            ["GET, pipeline 16, 400 objects"],
        ),
        (
            ["held", "--changes", "100", "--readers", "10", "--unread", "4", "--held", "4", "8"],
            ["100 changes of one transaction to 10 readers", "one change of 4 MiB", "8 held catch"],
        ),
        (
            [
                *(
                    "turns",
                    "--readers",
                    "4",
                    "--changes",
                    "20",
                    "--large-readers",
                    "4",
                    "--patterns",
                    "60",
                    "--rounds",
                    "1",
                ),
                *("--objects", "60", "--counts", "5", "--keys", "2000"),
            ],
            [
                "20 changes to 4 readers",
                "4 MiB to 4 readers",
                "60 patterns of one client",
                "EXEC of 5",
                "MGET of 2000",
            ],
        ),
        (
            ["pipeline", "--objects", "100", "--gets", "500", "--mget-bytes", "100000"],
            ["500 GETs: replies that did not come", "MGET of 100000 bytes, gone unread"],
        ),
        (
            [
                *("switchover", "--sessions", "40", "--secured", "4", "--libraries", "4"),
                *("--way", "single"),
            ],
            ["two single proxies, one killed: all restored / redis-server"],
        ),
        pytest.param(
            ["pool", "--sessions", "30", "--over", "1"],
            ["rolling restart, 30 sessions: failed requests of those told / all"],
            marks=pytest.mark.needs("haproxy"),
        ),
        (
            ["storm", "--agents", "60", "--desktops", "20", "--rounds", "1"],
            ["storm of 20: CPU a desktop / redis", "storm of 20, brief list of all agents: bytes"],
        ),
        pytest.param(
            [
                *("tls", "--persons", "200", "--requests", "6400", "--subscribers", "20"),
                *("--deliveries", "100", "--handshakes", "20", "--connections", "20"),
                *("--users", "6", "--answer-seconds", "0.5", "--reload-seconds", "2"),
                *("--rounds", "1", "--only", "bulk", "--only", "fanout", "--only", "handshakes"),
                *("--only", "memory", "--only", "reload", "--only", "directory"),
            ],
            [
                "GET 600 bytes over TLS, pipeline 64 / redis-server",
                "one change to 20 over TLS / redis-server",
                "connection with a resumed handshake / redis-server",
                "idle TLS connection / KiB",
                "handshakes that failed beside reloads / none",
                "own sign-ins beside 6 at a slow directory, again: p99 / without",
            ],
            marks=[pytest.mark.needs("slapd"), pytest.mark.needs("openssl")],
        ),
        (
            ["find", "--objects", "100", "--requests", "2000", "--rounds", "1"],
            ["CFG.FIND by name, pipeline 16 / GET"],
        ),
        (
            [
                *("workers", "--workers", "1", "--workers", "2", "--objects", "100"),
                *("--requests", "2000", "--subscribers", "20", "--connections", "20"),
                *("--rounds", "1"),
            ],
            ["GET, pipeline 16, 2 workers / 1 worker", "fan-out to 20, 2", "spread of 20 over 2"],
        ),
    ],
)
def test_each_other_bench_does(arguments: list[str], rows: list[str]) -> None:
    run(arguments, rows)


def run(arguments: list[str], rows: list[str]) -> None:
    """Runs one bench and reads its table."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
        check=False,
    )
    assert done.returncode in (FINE, FALLS_SHORT), done.stderr
    table = done.stdout.partition("work / against")[2]
    for row in rows:
        assert row in table, done.stdout + done.stderr
    # The exit code and the verdicts agree, and each row that falls short is named.
    assert ("FALLS SHORT" in table) == (done.returncode == FALLS_SHORT)
    assert table.count("FALLS SHORT") == done.stderr.count("falls short: ")
    assert "Traceback" not in done.stderr
