"""Keeps what is generated in step with the tables, and the tables in step with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from csp import errors
from csp.conf.table import OPTIONS
from csp.model.keys import BY_ID, KEYS
from csp.model.types import CLASSES, KEYS_PER_CLASS, TYPE_WORDS
from csp.tables import generate, metrics
from csp.tables.commands import COMMANDS, SUBCOMMANDS
from csp.tables.render_errors import rows

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", list(generate.GENERATED))
def test_generated_files_are_what_the_tables_give(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == generate.GENERATED[name](), f"run python -m csp.tables.generate for {name}"


def test_a_class_number_is_the_number_of_its_type_word() -> None:
    for cls in CLASSES.values():
        assert TYPE_WORDS[cls.id] == cls.name.removeprefix("Cfg").lower()


def test_key_numbers_are_unique_and_inside_their_class() -> None:
    assert len(BY_ID) == len(KEYS)
    for key in KEYS.values():
        assert key.key_id // KEYS_PER_CLASS == key.class_id


def test_every_class_can_be_filtered_by_dbid_folder_and_state() -> None:
    for name in CLASSES:
        assert {"dbid", "folder_dbid", "state"} <= {key for cls, key in KEYS if cls == name}


def test_an_absent_key_names_a_list_and_a_pair_its_other_half() -> None:
    for key in KEYS.values():
        if key.kind == "absent":
            assert BY_ID[key.other].kind == "list"
        if key.kind == "pair-part" or key.value_type == "pair":
            assert BY_ID[BY_ID[key.other].other] == key


def test_paths_of_the_table_name_attributes() -> None:
    for cls in CLASSES.values():
        paths = [path for rule in cls.unique for path in rule.of] + list(cls.natural + cls.brief)
        for path in paths:
            assert path == "folderDBID" or cls.attribute(path), f"{cls.name}: {path}"


def test_the_loop_counts_what_the_table_names_in_its_order() -> None:
    text = (ROOT / "csp" / "_fastpath" / "tables" / "stats.h").read_text()
    body = text[text.index("#define CSP_STATS(_)") :].split("\n\n")[0]
    names = re.findall(r"_\((\w+)\)", body)
    assert tuple(names) == metrics.SLOT_NAMES[: len(names)]


def test_every_error_word_has_a_class() -> None:
    for word in rows():
        kind = errors.BY_WORD[word]
        assert word == kind.WORD
        assert issubclass(kind, errors.CspError)


def test_subcommands_belong_to_commands() -> None:
    assert set(SUBCOMMANDS) == set(COMMANDS)
    for name, command in COMMANDS.items():
        assert name == name.upper()
        assert command.arity


def test_an_obsolete_option_says_why() -> None:
    for (section, name), option in OPTIONS.items():
        assert option.status in ("honoured", "not yet", "obsolete"), f"[{section}] {name}"
        assert option.effect in ("now", "reconnect", "restart"), f"[{section}] {name}"
        if option.status == "obsolete":
            assert option.why, f"[{section}] {name}"
        if option.limit:
            assert option.status == "honoured", f"[{section}] {name}"
