"""Fills a master with an estate of `csp estate`, and with the business attributes it lacks."""

from __future__ import annotations

from pathlib import Path

import orjson

from csp.transfer.estate.writing import estate
from tests.neighbours.server import Master

SEED = 1
IMPORT_SECONDS_MAX = 600.0
REPLY_SECONDS_MAX = 60
ATTRIBUTES = 40  # of each tenant: business attributes that its desktops have loaded before a call,
VALUES = 20  # of each


def filled_centre(master: Master, folder: Path, agents: int) -> None:
    """Imports the centre; all its agents are enabled."""
    path = folder / "estate.json"
    sections = {name: list(objects) for name, objects in estate(agents, SEED)}
    for person in sections["persons"]:
        person["state"] = "enabled"
    metadata = {"formatName": "CSP", "formatVersion": "1.0.0", "description": "a centre"}
    path.write_bytes(orjson.dumps({"__metadata__": metadata} | sections))
    done = master.cli("import", str(path), within=IMPORT_SECONDS_MAX)
    if done.returncode:
        raise AssertionError(f"the import failed\n{done.stderr[-2000:]}")
    _attributes(master)


def _attributes(master: Master) -> None:
    """One transaction a tenant."""
    with master.client(socket_timeout=REPLY_SECONDS_MAX) as client:
        tenants = client.execute_command("CFG.READ", "CfgTenant")[2]
        for tenant in (orjson.loads(text)["DBID"] for text in tenants):
            pipe = client.pipeline(transaction=True)
            count = 0
            for number in range(ATTRIBUTES):
                count += 1
                attribute = f"@{count}"
                _create(pipe, "CfgEnumerator", tenantDBID=tenant, name=f"Attribute{number}",
                        displayName=f"Attribute {number}", type="entcontactattribute",
                        description="What is known of a contact")  # fmt: skip
                for value in range(VALUES):
                    count += 1
                    _create(pipe, "CfgEnumeratorValue", enumeratorDBID=attribute,
                            name=f"Value{value}", displayName=f"Value {value} of {number}",
                            isDefault=value == 0)  # fmt: skip
            pipe.execute()


def _create(pipe, class_name: str, **attributes: object) -> None:  # type: ignore[no-untyped-def]
    pipe.execute_command("CFG.CREATE", class_name, orjson.dumps(attributes))
