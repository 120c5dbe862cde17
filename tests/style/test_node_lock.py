"""The lock file of the Node.js clients is what `npm ci` needs, and names no registry."""

from __future__ import annotations

import json
from typing import Any

from tests.needs import NODE_FOLDER, NODE_MODULES


def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((NODE_FOLDER / name).read_text())
    return read


def test_the_lock_file_agrees_with_the_package_file() -> None:
    wanted = _read("package.json")["dependencies"]
    packages = _read("package-lock.json")["packages"]
    assert sorted(wanted) == sorted(NODE_MODULES)
    assert packages[""]["dependencies"] == wanted
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_the_lock_file_is_complete() -> None:
    packages = _read("package-lock.json")["packages"]
    needed = {one for package in packages.values() for one in package.get("dependencies", {})}
    assert {f"node_modules/{one}" for one in needed} == packages.keys() - {""}


def test_the_lock_file_has_sums_and_names_no_registry() -> None:
    packages = _read("package-lock.json")["packages"]
    bare = [name for name, one in packages.items() if name and not one.get("integrity")]
    addressed = [name for name, one in packages.items() if one.get("resolved")]
    assert (bare, addressed) == ([], [])
