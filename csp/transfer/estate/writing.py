"""Writes an estate to a file as it is made, one object a line, without holding it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import orjson

from csp.transfer.estate import agents, sections
from csp.transfer.estate.layout import lay_out
from csp.transfer.estate.sizes import Sizes

BUFFER_BYTES = 1 << 20
AGENTS_MAX = 900_000  # extensions and logins have six digits


class Stream(Protocol):
    """What takes the file."""

    def write(self, data: bytes | bytearray, /) -> object: ...


def write_estate(
    stream: Stream, agent_count: int, seed: int, object_bytes: int | None = None
) -> int:
    """Writes the centre; how many objects it has."""
    count = 0
    buffer = bytearray()
    metadata = {
        "formatName": "CSP",
        "formatVersion": "1.0.0",
        "description": f"an invented centre of {agent_count} agents, seed {seed}",
    }
    buffer += b'{\n"__metadata__": ' + orjson.dumps(metadata)
    for name, objects in estate(agent_count, seed, object_bytes):
        buffer += b',\n"' + name.encode() + b'": ['
        separator = b"\n"
        for value in objects:
            buffer += separator + orjson.dumps(value)
            separator = b",\n"
            count += 1
            if len(buffer) >= BUFFER_BYTES:
                stream.write(buffer)
                buffer.clear()
        buffer += b"\n]"
    stream.write(buffer + b"\n}\n")
    return count


def estate(
    agent_count: int, seed: int, object_bytes: int | None = None
) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
    """The sections of the centre, each with its objects."""
    layout = lay_out(agent_count, seed)
    sizes = Sizes(object_bytes)
    yield "tenants", sections.tenants(layout)
    yield "hosts", sections.hosts(layout)
    yield "appPrototypes", sections.prototypes()
    yield "applications", sections.applications(layout, seed)
    yield "folders", sections.folders(layout)
    yield "physicalSwitches", sections.physical_switches(layout)
    yield "switches", sections.switches(layout)
    yield "agentLogins", agents.logins(layout, seed, sizes)
    yield "dns", _both(sections.site_dns(layout), agents.dns(layout, seed, sizes))
    yield "skills", sections.skills(layout, seed)
    yield "places", agents.places(layout, seed, sizes)
    yield "persons", agents.persons(layout, seed, sizes)
    yield "agentGroups", sections.agent_groups(layout)
    yield "accessGroups", sections.access_groups(layout)


def _both(
    first: Iterable[dict[str, Any]], second: Iterable[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    yield from first
    yield from second
