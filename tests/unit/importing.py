"""What the tests of the import share: files from values, one run against a server in a dict."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from csp.transfer.importing import Prepared, Wishes, carry_out, prepare
from csp.transfer.problems import ImportRefused, Problems
from tests.unit.import_server import ImportServer

METADATA = {"formatName": "CSP", "formatVersion": "1.0.0"}
FOLDER = {"type": "person", "owner": {"type": "tenant", "name": "acme"}, "path": ["Zürich"]}


def document(**sections: Any) -> bytes:
    """A file in csp's form."""
    return json.dumps({"__metadata__": METADATA, **sections}).encode()


def run(
    server: ImportServer, files: Mapping[str, bytes], *, dry_run: bool = False, **wishes: Any
) -> Prepared:
    """Imports files given by name; raises ImportRefused."""

    def open_file(name: str) -> BinaryIO:
        return io.BytesIO(files[name])

    problems = Problems()
    prepared = prepare(list(files), server, Wishes(**wishes), problems, open_file=open_file)
    if not dry_run:
        carry_out(prepared, server, problems, lambda done, of: None)
    return prepared


def refused(server: ImportServer, files: Mapping[str, bytes], **wishes: Any) -> list[str]:
    """The problems of an import that must be refused with nothing written."""
    before = json.dumps(server.objects)
    try:
        run(server, files, **wishes)
    except ImportRefused as refusal:
        assert json.dumps(server.objects) == before
        return [str(problem) for problem in refusal.problems.found]
    raise AssertionError("the import was not refused")


def person(employee: str, **more: Any) -> dict[str, Any]:
    return {"tenant": "acme", "employeeId": employee, "userName": f"u-{employee}", **more}
