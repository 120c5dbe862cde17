"""Where a proxy keeps what outlives its host's restart."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from csp.supervisor import state_folder
from csp.supervisor.state_folder import StateFolderRefused, make_state_folder, state_root


@pytest.mark.parametrize(
    ("environment", "given", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/csp/a:/other", "HOME": "/h"}, "", "/var/lib/csp/a"),
        ({"STATE_DIRECTORY": "/var/lib/csp/a"}, "/given", "/given"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "", "/x/csp"),
        ({"HOME": "/h"}, "", "/h/.local/state/csp"),
        ({}, "", "/nowhere/csp"),
    ],
)
def test_the_folder_is_the_first_that_is_said(
    environment: dict[str, str], given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_folder, "SHARED", Path("/nowhere/csp"))
    assert str(state_root(environment, given)) == expected


def test_the_shared_folder_is_taken_where_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_folder, "SHARED", tmp_path / "csp")
    assert state_root({"HOME": "/h"}) == tmp_path / "csp"


def test_the_folder_is_private(tmp_path: Path) -> None:
    folder = make_state_folder(tmp_path / "root", "proxy1-2020-abcd")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    make_state_folder(tmp_path / "root", "proxy1-2020-abcd")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_can_not_be_made_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateFolderRefused, match="--state-dir"):
        make_state_folder(tmp_path / "file", "proxy1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "proxy1").mkdir()
    os.chown(tmp_path / "proxy1", 12345, 12345)
    with pytest.raises(StateFolderRefused, match="another user"):
        make_state_folder(tmp_path, "proxy1")
