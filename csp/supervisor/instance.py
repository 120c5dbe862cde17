"""Names an instance and holds its runtime folder: one server of one application on one address.

1. The same mode, application, address and origin (database, or master) always have the same name,
   so a start after a crash finds what the crashed one left; with another master it begins anew.
2. Who holds the lock of the folder is the one supervisor of this instance.
3. The folder is 0700: its sockets and files are the server's own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
import struct
from collections.abc import Mapping
from pathlib import Path

from csp.process.roles import Role
from csp.supervisor.listeners import BACKLOG

SLUG_CHARACTERS_MAX = 24
SOCKET_PATH_BYTES_MAX = 107  # sun_path less its final NUL
LOCK_FILE = "lock"


class InstanceTaken(Exception):
    """Another supervisor runs this instance."""


class RuntimeFolderRefused(Exception):
    """The runtime folder can't be used; the text says why and what to do."""


def instance_name(mode: str, app_name: str, address: str, origin: str = "") -> str:
    """A name for segments and folders: readable, and unlike for unlike instances."""
    key = "\0".join((mode, app_name, address, origin, str(os.getuid())))
    digest = hashlib.blake2b(key.encode(), digest_size=4).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", app_name).strip("-")[:SLUG_CHARACTERS_MAX] or "app"
    port = address.rpartition(":")[2] or "app"
    return f"{slug}-{port}-{digest}"


def runtime_root(environment: Mapping[str, str]) -> Path:
    """CSP_RUNTIME_DIR, else /run/csp if it can be written, else a folder in TMPDIR."""
    if environment.get("CSP_RUNTIME_DIR"):
        return Path(environment["CSP_RUNTIME_DIR"])
    if environment.get("RUNTIME_DIRECTORY"):  # systemd made it
        return Path(environment["RUNTIME_DIRECTORY"].split(":")[0])
    shared = Path("/run/csp")
    if os.access(shared, os.W_OK) or (not shared.exists() and os.access("/run", os.W_OK)):
        return shared
    return Path(environment.get("TMPDIR", "/tmp")) / f"csp-{os.getuid()}"


class Instance:
    """The runtime folder of one instance, locked."""

    def __init__(self, name: str, folder: Path, lock_fd: int) -> None:
        self.name = name
        self.folder = folder
        self._lock_fd = lock_fd

    def listen_channel(self, role: Role) -> socket.socket:
        """Opens the Unix socket on which the processes of a role are asked."""
        path = str(self.folder / role.socket_name)
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            raise RuntimeFolderRefused(
                f"{path} is too long for a socket ({SOCKET_PATH_BYTES_MAX} bytes at most): "
                "set CSP_RUNTIME_DIR to a shorter folder"
            )
        Path(path).unlink(missing_ok=True)  # left by a crash: the lock says that nobody uses it
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        return listener

    def remove(self) -> None:
        """Removes the folder; the last thing that a clean stop does."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock_fd)


def take_instance(name: str, root: Path) -> Instance:
    """Makes and locks the folder of an instance; raises InstanceTaken naming who has it."""
    folder = root / name
    _make_private(root, is_ours=False)
    while True:
        _make_private(folder, is_ours=True)
        try:
            fd = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # the predecessor removes the folder just now
        try:
            # An open file description lock: a closed duplicate elsewhere doesn't drop it.
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        except (BlockingIOError, PermissionError):
            holder = os.read(fd, 64).decode(errors="replace").strip()
            os.close(fd)
            raise InstanceTaken(
                f"instance {name} runs already, pid {holder or 'unknown'}"
            ) from None
        if _is_named(fd, folder / LOCK_FILE):
            break
        os.close(fd)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return Instance(name, folder, fd)


def _is_named(fd: int, path: Path) -> bool:
    """Whether the locked file is still the one that others will find."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _make_private(folder: Path, *, is_ours: bool) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True, parents=not is_ours)
        state = folder.lstat()
    except OSError as error:
        raise RuntimeFolderRefused(
            f"cannot make the runtime folder {folder}: {error.strerror}; set CSP_RUNTIME_DIR"
        ) from None
    if is_ours and (state.st_uid != os.getuid() or not stat.S_ISDIR(state.st_mode)):
        raise RuntimeFolderRefused(f"{folder} belongs to another user; set CSP_RUNTIME_DIR")
    if is_ours and stat.S_IMODE(state.st_mode) & 0o077:
        folder.chmod(0o700)
