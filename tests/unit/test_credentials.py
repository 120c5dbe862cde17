"""Reads password files: the first line of a file that nobody else may read, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from csp.process.context import Upstream
from csp.process.credentials import PasswordFileRefused, read_password, renewed


def file(folder: Path, content: bytes, mode: int = 0o600) -> str:
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\nmore", "secret"),
        (b" a b \n", " a b "),
        ("pass€\n".encode(), "pass€"),
    ],
)
def test_the_first_line_is_the_password(tmp_path: Path, content: bytes, password: str) -> None:
    assert read_password(file(tmp_path, content)) == password


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no password"),
        (b"\nsecret", "holds no password"),
        (b"a\0b", "holds no password"),
        (b"\xff", "is not UTF-8"),
        (b"x" * 1025, "longer than a password may be"),
    ],
)
def test_what_is_no_password_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(PasswordFileRefused, match=said):
        read_password(file(tmp_path, content))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = file(tmp_path, b"secret", mode)
    with pytest.raises(PasswordFileRefused, match=f"has mode {mode:04o}.*chmod 600 {path}"):
        read_password(path)


def test_the_service_managers_credentials_may_have_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, b"secret", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_password(path) == "secret"
    os.chmod(path, 0o444)
    with pytest.raises(PasswordFileRefused, match="0444"):
        read_password(path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(PasswordFileRefused, match="is no file"):
        read_password(str(tmp_path / "fifo"))
    with pytest.raises(PasswordFileRefused, match="can't be read: No such file"):
        read_password(str(tmp_path / "missing"))


def test_a_server_without_a_file_keeps_its_password(tmp_path: Path) -> None:
    upstream = Upstream("master", 2020, "default", "old")
    assert renewed(upstream) is upstream
    with_file = Upstream("master", 2020, "default", "old", file(tmp_path, b"new"))
    assert renewed(with_file).password == "new"
    assert "new" not in repr(renewed(with_file))
