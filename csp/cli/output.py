"""Where a verb writes what it makes: standard output, or a file that `-o` names."""

# 1. A regular file is there whole or not at all, keeps its mode, and a link to it stays a link.
# 2. Anything else (a pipe, a terminal, a device) is written through; nothing ever replaces it.
# 3. Whatever goes wrong is one line that names the file.

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click

from csp.exits import EXIT_LIMITS, EXIT_USAGE

STDOUT = "standard output"
OUT_OF_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
NOT_ASIDE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV))


class CantWrite(click.ClickException):
    """Where the output should go, it can't."""

    exit_code = EXIT_USAGE


class NoRoom(CantWrite):
    """There is no room for the output."""

    exit_code = EXIT_LIMITS


def cant_write(where: str, problem: OSError) -> CantWrite:
    """The error in words, with the exit code that it deserves."""
    text = f"{click.format_filename(where)} can't be written: {problem.strerror or problem}"
    return (NoRoom if problem.errno in OUT_OF_ROOM else CantWrite)(text)


def stdout_bytes() -> BinaryIO:
    """Standard output, for bytes."""
    if sys.stdout is None:
        raise cant_write(STDOUT, OSError(errno.EBADF, "it is closed"))
    return sys.stdout.buffer


@contextmanager
def opened(output: str) -> Iterator[BinaryIO]:
    """What `-o` names, to be written to; `-` is standard output. CantWrite says why not."""
    try:
        if output == "-" or _is_stdout(output):
            yield stdout_bytes()
            stdout_bytes().flush()
            return
        there = _stat(output)
        if there is not None and not stat.S_ISREG(there.st_mode):
            with open(os.open(output, os.O_WRONLY), "wb") as stream:
                yield stream
            return
        with _aside(Path(os.path.realpath(output)), there) as stream:
            yield stream
    except BrokenPipeError:
        raise  # whoever read it has gone: no error
    except OSError as problem:
        raise cant_write(STDOUT if output == "-" else output, problem) from problem


def _stat(path: str) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return os.stat(path)
    return None


def _is_stdout(path: str) -> bool:
    """Whether it is what standard output goes to, such as /dev/stdout: it is not opened anew."""
    try:
        return sys.stdout is not None and os.path.samestat(
            os.stat(path), os.fstat(sys.stdout.fileno())
        )
    except OSError:
        return False


@contextmanager
def _aside(path: Path, there: os.stat_result | None) -> Iterator[BinaryIO]:
    """A file beside it that takes its place in the end, or is copied into it where it can't."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}"[:200] + ".")
    except OSError as problem:
        if there is None or problem.errno not in NOT_ASIDE:
            raise
        handle, name = tempfile.mkstemp()
    aside = Path(name)
    try:
        with open(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(handle)
            if there is not None:
                _keep(handle, there)
        _take_place(aside, path, there)
    finally:
        aside.unlink(missing_ok=True)


def _keep(handle: int, there: os.stat_result) -> None:
    """The mode of the file that is replaced, and its owner as far as that is ours to give."""
    with suppress(PermissionError):
        os.fchown(handle, there.st_uid, there.st_gid)
    os.fchmod(handle, stat.S_IMODE(there.st_mode))


def _take_place(aside: Path, path: Path, there: os.stat_result | None) -> None:
    try:
        aside.replace(path)
    except OSError as problem:
        if there is None or problem.errno not in NOT_ASIDE:
            raise
        with aside.open("rb") as source, path.open("r+b") as target:
            target.truncate()
            shutil.copyfileobj(source, target)
