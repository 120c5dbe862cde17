"""Keeps what is generated in step with the tables, and the tables in step with the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from csp import __version__, errors
from csp._fastpath import LIMITS, Control
from csp.model import types
from csp.model.keys import BY_ID, KEYS
from csp.model.types import CLASSES, KEYS_PER_CLASS, TYPE_WORDS
from csp.process.roles import ROLES, WRITER
from csp.store.control import LINK_DOWN, LINK_STALE
from csp.tables import commands, events, metrics, options
from csp.tables.commands import COMMANDS, SUBCOMMANDS
from csp.tables.options import OPTIONS
from tools.generate.errors import rows
from tools.generate.files import GENERATED

OBJECTS = "contributions = []\n[enums]\n[parts]\n"
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", list(GENERATED))
def test_generated_files_are_what_the_tables_give(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == GENERATED[name](), f"run bin/generate for {name}"


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


def compiled_counting() -> set[str]:
    """Metrics that the compiled rooms change; setting one to 0 at the start is no counting."""
    change = re.compile(r"stats(?:\(w\))?\.(\w+) (?:\+=|-=|= (?!0$))", re.MULTILINE)
    rooms = (ROOT / "csp" / "_fastpath").rglob("*.pxi")
    return {name for room in rooms for name in change.findall(room.read_text())}


def python_counting() -> set[str]:
    """Metrics that Python counts."""
    change = re.compile(r"""(?:count|gauge)\((?:"(\w+)"(?: if [^)]* else "(\w+)")?)""")
    files = [path for path in (ROOT / "csp").rglob("*.py") if path.parent.name != "tables"]
    found = [match for path in files for match in change.findall(path.read_text())]
    restarts = {f"{role}_restarts" for role in ROLES}
    return {name for match in found for name in match if name} | restarts


def test_every_metric_is_counted_somewhere() -> None:
    counted = compiled_counting() | python_counting()
    assert set(metrics.NAMES) - counted == set()
    assert compiled_counting() <= set(metrics.NAMES)
    assert len(set(metrics.NAMES)) == len(metrics.NAMES)


def test_the_writers_row_is_the_same_for_both_halves() -> None:
    assert WRITER.slot == Control.WRITER_SLOT


def read_somewhere(name: str) -> bool:
    """Whether product code names an option; the tables and what checks them do not count."""
    away = {"tables"}
    files = [path for path in (ROOT / "csp").rglob("*.py") if path.parent.name not in away]
    return any(f'"{name}"' in path.read_text() for path in files)


def test_every_option_that_is_honoured_is_read_somewhere() -> None:
    honoured = [one for one in OPTIONS.values() if one.status == "honoured"]
    assert [one.name for one in honoured if not one.limit and not read_somewhere(one.name)] == []
    assert {one.limit for one in honoured if one.limit} <= set(LIMITS)
    assert not read_somewhere("frobnicate")


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


def test_the_release_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


def test_every_event_that_is_logged_is_in_the_table() -> None:
    files = [path for path in (ROOT / "csp").rglob("*.py") if path.parent.name != "tables"]
    logged = {number for path in files for number in re.findall(r'"(\d{5})"', path.read_text())}
    assert logged - set(events.EVENTS) == set()


def test_an_alarm_has_a_row_a_process_and_two_events_of_its_own() -> None:
    numbers = [n for one in events.ALARMS.values() for n in (one.raised, one.over, *one.also)]
    assert len(numbers) == len(set(numbers))
    assert {events.EVENTS[number].level for number in numbers} == {"alarm"}
    of_level = {one.number for one in events.EVENTS.values() if one.level == "alarm"}
    assert of_level == set(numbers), "an event of level alarm belongs to an alarm"
    for one in events.ALARMS.values():
        assert one.place in range(Control.ALARMS)
        assert one.process in metrics.PROCESSES


@pytest.mark.parametrize(
    ("load", "table", "row", "says"),
    [
        (commands.load, "commands.toml", '["CFG.X"]\nsummary = "s"\n', "[CFG.X]: 'who' is missing"),
        (metrics.load, "metrics.toml", "[worker.frobs]\nunit = 'n'\n", "[worker.frobs]: 'kind' is"),
        (events.load_events, "events.toml", "[a.51999]\nlevel = 'info'\n", "[51999]: 'words' is"),
        (events.load_alarms, "alarms.toml", "[flood]\nplace = 3\n", "[flood]: "),
        (options.load, "options.toml", "[csp]\nx = { type = 'int' }\n", "[csp.x]: "),
        (types.load, "objects.toml", OBJECTS + "[classes.CfgX]\nid = 9\n", "[CfgX]: "),
    ],
)
def test_a_bad_row_is_named(
    tmp_path: Path, load: Callable[[Path], object], table: str, row: str, says: str
) -> None:
    path = tmp_path / table
    path.write_text(row)
    with pytest.raises(ValueError, match=re.escape(f"{table}: {says}")):
        load(path)


def constant_of(room: str, name: str) -> int:
    """A number that a compiled room writes down."""
    text = (ROOT / "csp" / "_fastpath" / room).read_text()
    found = re.search(rf"^\s*{name} = (\d+)\b", text, re.MULTILINE)
    assert found, f"{room} has no {name}"
    return int(found[1])


def test_numbers_that_both_halves_write_down_are_the_same() -> None:
    assert constant_of("loop/notice.pxi", "LINK_DOWN") == LINK_DOWN
    assert constant_of("loop/notice.pxi", "LINK_STALE") == LINK_STALE
