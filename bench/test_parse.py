"""Micro benchmark of the parser: a pipeline of GETs cut into commands."""

from __future__ import annotations

from csp._fastpath import Parser

PIPELINE = 64


def test_parse_a_pipeline_of_gets(benchmark) -> None:
    keys = [b"CfgPerson:%08d" % (101 + number) for number in range(PIPELINE)]
    data = b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key) for key in keys)
    parser = Parser()
    commands = benchmark(parser.feed, data)
    assert commands == [[b"GET", key] for key in keys]
