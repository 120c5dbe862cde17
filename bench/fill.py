"""Fills a master with many objects of one size."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from tests.neighbours.server import Server

BATCH = 5_000
REPLY_SECONDS_MAX = 60  # of a large transaction on a busy machine


@dataclass(frozen=True)
class Filled:
    """A run of objects of one class with consecutive DBIDs."""

    class_name: str
    first: int
    count: int
    mean_bytes: int


def fill(server: Server, class_name: str, count: int, object_bytes: int) -> Filled:
    """Creates `count` objects whose JSON comes to about `object_bytes`; returns what there is."""
    connection = server.raw(socket_timeout=REPLY_SECONDS_MAX)
    try:
        pad, dbids = 0, []
        for begin in range(0, count, BATCH):
            size = min(BATCH, count - begin)
            objects = [_attributes(class_name, begin + i, pad) for i in range(size)]
            if begin == 0:
                # The first batch's first object tells how much is missing.
                first = _create(connection, class_name, objects[:1])[0]
                pad = object_bytes - len(_read(connection, class_name, first)) - 2
                objects = [_attributes(class_name, begin + i, pad) for i in range(1, size)]
                _pad_first(connection, class_name, first, pad)
                dbids.append(first)
            dbids += _create(connection, class_name, objects)
    finally:
        connection.disconnect()
    assert dbids == list(range(dbids[0], dbids[0] + count)), "DBIDs are not consecutive"
    with server.client(decode_responses=False) as client:
        sample = [client.strlen(f"{class_name}:{dbid}") for dbid in dbids[:: max(count // 1000, 1)]]
    return Filled(class_name, dbids[0], count, round(sum(sample) / len(sample)))


def _attributes(class_name: str, number: int, pad: int) -> bytes:
    common = {"tenantDBID": 1, "userProperties": {"bench": {"padding": "x" * pad}}}
    if class_name == "CfgPerson":
        name = {
            "userName": f"bench{number:06}",
            "employeeID": f"{number:06}",
            "firstName": "Bench",
            "lastName": f"Mark{number % 97:02}",
            "isAgent": False,
        }
    else:
        name = {"name": f"bench{number:06}"}
    return orjson.dumps(name | common)


def _create(connection, class_name: str, objects: list[bytes]) -> list[int]:
    """One transaction; returns the DBIDs."""
    commands = [("MULTI",), *(("CFG.CREATE", class_name, body) for body in objects), ("EXEC",)]
    connection.send_packed_command(connection.pack_commands(commands))
    for _ in commands[:-1]:
        connection.read_response()
    return [int(dbid) for _, dbid in connection.read_response()]


def _read(connection, class_name: str, dbid: int) -> bytes:
    connection.send_command("GET", f"{class_name}:{dbid}")
    return connection.read_response()


def _pad_first(connection, class_name: str, dbid: int, pad: int) -> None:
    delta = {"userProperties": {"changed": {"bench": {"padding": "x" * pad}}}}
    connection.send_command("CFG.UPDATE", class_name, str(dbid), orjson.dumps(delta))
    connection.read_response()
