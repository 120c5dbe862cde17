"""Says what a proxy's Application object must be like. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from csp.model.redundancy import SERVER_TYPE
from csp.supervisor.listeners import Address

PORT_ID = "default"
HOW_TO_MAKE = "start once with --create-app and --listen HOST:PORT to make it"


@dataclass(frozen=True)
class ApplicationWanted:
    """What the command line says of the Application."""

    name: str
    listen: Address | None
    may_create: bool


def why_unfit(found: dict[str, Any] | None, wanted: ApplicationWanted) -> str | None:
    """Why a proxy can't run as this Application, or None."""
    if found is None:
        return f"does not exist at the master; {HOW_TO_MAKE}"
    if found.get("state") != "enabled":
        return "is disabled; enable it at the master"
    if found.get("type") != SERVER_TYPE:
        return (
            f"is of type {found.get('type')}, not {SERVER_TYPE}: name another one with -app, "
            f"or {HOW_TO_MAKE} under another name"
        )
    if port_of(found) is None:
        return (
            f"has no port with the id {PORT_ID!r}: add it to portInfos at the master, e.g. "
            f"csp update CfgApplication:{found['DBID']} "
            f'\'{{"added":{{"portInfos":[{{"id":"{PORT_ID}","port":"2020"}}]}}}}\''
        )
    return None


def port_of(application: dict[str, Any]) -> int | None:
    """The client port that the Application names."""
    for port in application.get("portInfos") or ():
        if port.get("id") == PORT_ID and str(port.get("port", "")).isdecimal():
            return int(port["port"]) or None
    return None
