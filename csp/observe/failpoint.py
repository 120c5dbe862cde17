"""Kills or stops this process at named places, so that tests can interrupt it anywhere.

`CSP_FAILPOINT=name=kill@3,other=stop` acts when `name` is passed for the third time.
A process without that variable pays one look-up in an empty dictionary.
A name with a dot is of a Python room; the others are of the store's compiled rooms, which read
the variable themselves. A test that wants the *next* writer to die leaves a file `failpoint`
in the instance's runtime folder: each writer that starts takes the first line of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "CSP_FAILPOINT"
FILE = "failpoint"
_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

# name -> [passes left, signal]
_armed: dict[str, list[int]] = {}


def arm(environment: Mapping[str, str]) -> None:
    """Reads the failpoints of this process; replaces those that were armed."""
    _armed.clear()
    for item in filter(None, environment.get(VARIABLE, "").split(",")):
        name, equals, action = item.partition("=")
        word, at, count = action.partition("@")
        if not equals or word not in _ACTIONS or (at and not count.isdigit()):
            raise ValueError(f"{VARIABLE}: {item!r} is not NAME=kill@N or NAME=stop@N")
        _armed[name.strip()] = [int(count or "1"), int(_ACTIONS[word])]


def take_file(folder: str) -> None:
    """Arms what the first line of the file in the folder says, and takes that line away."""
    path = Path(folder) / FILE
    try:
        first, _, rest = path.read_text().partition("\n")
    except FileNotFoundError:
        return
    if rest:
        path.write_text(rest)
    else:
        path.unlink()
    os.environ[VARIABLE] = first
    arm(os.environ)


def passed(name: str) -> None:
    """Says that the process is at this place now."""
    if _armed:
        _act(name)


def _act(name: str) -> None:
    armed = _armed.get(name)
    if armed is None:
        return
    armed[0] -= 1
    if armed[0] == 0:
        os.kill(os.getpid(), armed[1])


arm(os.environ)
