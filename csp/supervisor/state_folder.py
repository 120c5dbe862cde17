"""Chooses and makes the folder in which a proxy keeps what must outlive its host's restart.

1. What is in it is the server's own: 0700, for it holds hashes of passwords.
2. A server that can't have one is refused at its start, not at the restart that needs it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

SHARED = Path("/var/lib/csp")


class StateFolderRefused(Exception):
    """The state folder can't be used; the text says why and what to do."""


def state_root(environment: Mapping[str, str], given: str = "") -> Path:
    """`given`, else systemd's StateDirectory, else /var/lib/csp if it can be written, else the
    user's own (XDG_STATE_HOME, ~/.local/state).
    """
    if given:
        return Path(given).absolute()
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].split(":")[0])
    if os.access(SHARED, os.W_OK) or (not SHARED.exists() and os.access(SHARED.parent, os.W_OK)):
        return SHARED
    home = environment.get("HOME", "")
    own = environment.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else "")
    return Path(own) / "csp" if own else SHARED


def make_state_folder(root: Path, instance: str) -> Path:
    """The folder of one instance, made if need be; raises StateFolderRefused."""
    folder = root / instance
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
            raise StateFolderRefused(
                f"the state folder {folder} belongs to another user; give another --state-dir"
            )
        if stat.S_IMODE(state.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise StateFolderRefused(
            f"cannot make the state folder {folder}: {error.strerror}; give --state-dir a folder "
            "that can be written and outlives a restart of this host"
        ) from None
    if not os.access(folder, os.W_OK):
        raise StateFolderRefused(f"{folder} can't be written; give another --state-dir")
    return folder
