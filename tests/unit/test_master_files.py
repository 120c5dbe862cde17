"""What a master's files let others see: the first password, the hashes in its database."""

from __future__ import annotations

from pathlib import Path

import pytest
from argon2 import PasswordHasher

from csp.master.origin import DatabaseOrigin
from csp.master.seed import SeedPlan
from csp.model.image import parse_image
from tests.unit.fake_host import FakeHost


@pytest.mark.parametrize("there", ["nothing", "a link", "a file that others may read"])
def test_a_generated_password_is_in_a_file_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:

    monkeypatch.delenv("CSP_DEFAULT_PASSWORD", raising=False)
    file, elsewhere = tmp_path / "default-password", tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    if there == "a link":
        file.symlink_to(elsewhere)
    elif there == "a file that others may read":
        file.touch(0o666)
        file.chmod(0o666)
    host = FakeHost()
    origin = DatabaseOrigin(f"sqlite:///{tmp_path}/master.db")
    origin.start(host)
    origin.close()
    assert not file.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert elsewhere.read_text() == "mine"
    assert (tmp_path / "master.db").stat().st_mode & 0o777 == 0o600
    image = host.image(250, 100)
    assert image is not None
    account = parse_image(image)[1]
    assert account is not None
    assert PasswordHasher().verify(account["hash"], file.read_text().strip())


def test_a_database_file_that_others_may_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:

    path = tmp_path / "master.db"
    for mode, is_told in ((0o600, False), (0o644, True)):
        origin = DatabaseOrigin(f"sqlite:///{path}", SeedPlan(password="secret"))
        origin.start(FakeHost())
        origin.close()
        path.chmod(mode)
        caplog.clear()
        origin = DatabaseOrigin(f"sqlite:///{path}", SeedPlan(password="secret"))
        origin.start(FakeHost())
        origin.close()
        assert (f"{path} has mode {mode:04o}" in caplog.text) == is_told
