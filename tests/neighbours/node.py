"""Runs a Node.js script of the client tests; the last line that it prints is JSON."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.needs import NODE_FOLDER
from tests.neighbours.server import PASSWORD, Server

SECONDS_MAX = 60.0


def run_node(server: Server, script: str, *arguments: str) -> Any:
    """What the script found out."""
    done = subprocess.run(
        ["node", script, str(server.port), *arguments],
        cwd=NODE_FOLDER,
        env=os.environ | {"CSP_PASSWORD": PASSWORD},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{script}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])
