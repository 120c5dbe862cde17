"""Files on their way into a bundle: what can't be used is said with its path, a key never is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from csp.tls.files import FILE_BYTES_MAX, Bundle, BundleRefused, Facts, fingerprint, read_bundle
from csp.tls.settings import settings_of
from tests.unit.tls_stage import Fitting, check


def stated(folder: Path, **more: str) -> dict[str, str]:
    for name in ("leaf", "issuer", "key"):
        (folder / name).write_text(f"{name} of folder")
        (folder / name).chmod(0o600)
    found = {"certificate": f"{folder}/leaf,{folder}/issuer", "certificate-key": f"{folder}/key"}
    return found | more


def refusal(stated: dict[str, str], checked: Any = check) -> str:
    with pytest.raises(BundleRefused) as refused:
        read_bundle(settings_of(stated), checked)
    return str(refused.value)


def test_a_chain_is_put_together_in_the_order_stated(tmp_path: Path) -> None:
    found = read_bundle(settings_of(stated(tmp_path)), check)
    assert found.bundle["certificate"] == b"leaf of folder\nissuer of folder\n"
    assert found.bundle["key"] == b"key of folder"
    assert "key of" not in repr(found)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    words = stated(tmp_path)
    (tmp_path / "issuer").unlink()
    assert refusal(words) == f"{tmp_path}/issuer can't be read: No such file or directory"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    words = stated(tmp_path)
    (tmp_path / "key").unlink()
    os.mkfifo(tmp_path / "key")
    assert refusal(words) == f"{tmp_path}/key is no file"
    assert "is no file" in refusal(words | {"certificate": str(tmp_path)})


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    words = stated(tmp_path)
    (tmp_path / "key").chmod(0o644)
    assert "mode 0644" in refusal(words)
    (tmp_path / "key").chmod(0o640)
    read_bundle(settings_of(words), check)


def test_empty_and_endless_files_are_refused(tmp_path: Path) -> None:
    words = stated(tmp_path)
    (tmp_path / "leaf").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    assert str(FILE_BYTES_MAX) in refusal(words)
    (tmp_path / "leaf").write_bytes(b"")
    assert refusal(words) == f"{tmp_path}/leaf is empty"


def test_what_makes_no_context_is_refused_in_its_words(tmp_path: Path) -> None:
    def fails(_: Bundle) -> Fitting:
        raise ValueError("the key is another certificate's")

    found = refusal(stated(tmp_path), fails)
    assert found.startswith("the key is another certificate's")
    assert f"{tmp_path}/key" in found


def test_a_file_put_in_another_s_place_has_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "one"
    assert fingerprint(str(path)) == ()
    path.write_text("a")
    before = fingerprint(str(path))
    assert before == fingerprint(str(path))
    (tmp_path / "two").write_text("b")
    (tmp_path / "two").rename(path)
    assert fingerprint(str(path)) != before


def test_a_bundle_is_of_use_until_its_certificate_or_its_list_ends() -> None:
    assert Facts("one", 10, 20).is_good_at(19)
    assert not Facts("one", 10, 20).is_good_at(20)
    assert not Facts("one", 10, 20).is_good_at(9)
    assert not Facts("one", 10, 20, 15).is_good_at(15)
