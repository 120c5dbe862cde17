"""mypy refuses what a class has not; at run time a type of csp.client.objects is its name."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from enum import IntEnum
from pathlib import Path

import pytest

from csp.client import Handle, objects
from csp.client.commands import create_words, delete_words, update_words
from csp.client.objects import CfgSkill
from csp.client.values import json_of
from csp.model.types import CLASSES, PARTS

USES = Path(__file__).with_name("typed_client.py")
ROOT = USES.parent.parent.parent


def errors(file: Path, cache: Path) -> dict[int, str]:
    """What mypy finds in a file, by line."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"\.py:(\d+): error: (.*)", done.stdout)
    return {int(number): text for number, text in found}


def test_mypy_refuses_the_wrong_uses_and_no_other(tmp_path: Path) -> None:
    lines = enumerate(USES.read_text().splitlines(), 1)
    wrong = {number for number, line in lines if line.endswith("# refused")}
    found = errors(USES, tmp_path)
    assert found.keys() == wrong, found


def test_mypy_takes_the_typed_block_of_the_reference(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "reference" / "python-client.md").read_text().partition("## Types")[2]
    block = text.partition("```python\n")[2].partition("```")[0]
    file = tmp_path / "block.py"
    head = "from csp.client import Client\n\n\ndef use(client: Client) -> None:\n"
    file.write_text(head + textwrap.indent(block, "    "))
    assert "CfgPerson" in block
    assert errors(file, tmp_path) == {}


def test_every_class_and_part_has_a_type_with_its_attributes() -> None:
    of_every = {"class", "DBID", "revision", "folderDBID"}
    for name, one in (CLASSES | PARTS).items():
        typed = getattr(objects, name)
        first = of_every if name in CLASSES else set()
        assert set(typed.__annotations__) == first | set(one.by_name), name
        assert not typed.__required_keys__, name


def test_a_type_and_the_word_of_its_class_send_the_same() -> None:
    assert create_words(CfgSkill, {"name": "a"}) == create_words("CfgSkill", {"name": "a"})
    assert update_words(CfgSkill, 7, {}, 2) == update_words("CfgSkill", 7, {}, 2)
    assert delete_words(CfgSkill, 7, 2) == delete_words("CfgSkill", 7, 2)


def test_a_handle_is_written_as_what_is_known_of_it() -> None:
    handle = Handle(-3)
    assert json_of({"agentDBIDs": [handle]}, {3: handle}) == b'{"agentDBIDs":["@3"]}'
    assert f"CfgSkill:{handle}" == "CfgSkill:@3"
    handle.dbid = 107
    assert json_of({"agentDBIDs": [handle]}) == b'{"agentDBIDs":[107]}'
    assert f"CfgSkill:{handle}" == "CfgSkill:107"


def test_a_handle_of_another_transaction_is_refused_until_that_is_done() -> None:
    for handles in ({}, {3: Handle(-3)}):
        with pytest.raises(ValueError, match="@3 is of another transaction"):
            json_of({"agentDBIDs": [Handle(-3)]}, handles)


def test_values_of_derived_types_are_written_as_their_base() -> None:
    class Text(str):
        pass

    class Number(int):
        pass

    class Level(IntEnum):
        HIGH = 9

    class Sections(dict[str, int]):
        pass

    value = {"text": Text("a"), "number": Number(7), "level": Level.HIGH, "list": Sections(b=1)}
    assert json_of(value) == b'{"text":"a","number":7,"level":9,"list":{"b":1}}'
