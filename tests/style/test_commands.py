"""Keeps the table of commands true: each row is answered once, for whom and when it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from csp._fastpath import judge_for
from csp.tables.commands import BY_NUMBER, COMMANDS, WHO, Command, load
from csp.worker.forwards import COMMANDS_TAKEN
from csp.worker.handlers import HANDLERS

ROOT = Path(__file__).resolve().parent.parent.parent
LOOP = ROOT / "csp" / "_fastpath" / "loop"
ROW = """
["CFG.WEATHER"]
summary = "Tells the weather."
group = "config"
arity = 1
"""


def hot_ones() -> set[str]:
    """Numbers that run_hot() knows, by their symbols."""
    text = (LOOP / "dispatch.pxi").read_text()
    body = text[text.index("cdef int run_hot") : text.index("cdef int run_command")]
    return set(re.findall(r"CSP_CMD_(\w+)", body))


def answers(row: Command) -> list[str]:
    """Who answers a command; right is exactly one."""
    symbol = re.sub(r"[.|-]", "_", row.name)
    found = [("the loop", symbol in hot_ones()), ("a handler", row.shown in HANDLERS)]
    return [who for who, does in [*found, ("later", "later" in row.flags)] if does]


@pytest.mark.parametrize("row", BY_NUMBER.values(), ids=lambda row: row.name)
def test_a_row_is_answered_by_exactly_one(row: Command) -> None:
    if "container" in row.flags:
        assert answers(row) == []
    else:
        assert len(answers(row)) == 1
        assert ("hot" in row.flags) == (answers(row) == ["the loop"])


def test_every_handler_and_every_hot_command_has_a_row() -> None:
    assert set(HANDLERS) <= {row.shown for row in BY_NUMBER.values()}
    hot = {re.sub(r"[.|-]", "_", row.name) for row in BY_NUMBER.values() if "hot" in row.flags}
    assert hot_ones() == hot


def test_a_row_without_an_answer_is_found(tmp_path: Path) -> None:
    (tmp_path / "commands.toml").write_text(ROW + 'who = "any"\n')
    assert answers(load(tmp_path / "commands.toml")["CFG.WEATHER"]) == []


@pytest.mark.parametrize("who", ["", 'who = "everybody"\n'])
def test_a_row_that_does_not_say_who_is_refused(tmp_path: Path, who: str) -> None:
    (tmp_path / "commands.toml").write_text(ROW + who)
    with pytest.raises(ValueError, match=r"commands.toml: \[CFG\.WEATHER\]: .*who"):
        load(tmp_path / "commands.toml")


def words_of(row: Command) -> list[bytes]:
    """A call with as many arguments as the row asks for."""
    words = [part.encode() for part in row.name.split("|")]
    return words + [b"x"] * (abs(row.arity) - len(words))


def word_of(refusal: bytes) -> str:
    return refusal.split(b" ")[0].decode().removeprefix("-")


CALLABLE = [row for row in BY_NUMBER.values() if "container" not in row.flags]


@pytest.mark.parametrize("row", CALLABLE, ids=lambda row: row.name)
def test_the_loop_decides_as_the_row_says(row: Command) -> None:
    words = words_of(row)
    for spelled in (words, [word.lower() for word in words]):
        number, _ = judge_for(spelled)
        assert number == row.number
    if row.who == "discovery":
        assert judge_for(words, server=True)[1].startswith(b"-ERR unknown command")
        assert judge_for(words, signed_in=False, loading=True, discovery=True)[1] == b""
        return
    there = judge_for(words, signed_in=False, loading=True, discovery=True)[1]
    assert word_of(there) == ("" if "discovery" in row.flags else "NOPERM")
    unsigned = judge_for(words, signed_in=False, administrator=False)[1]
    assert word_of(unsigned) == ("" if row.who == "any" else "NOAUTH")
    account = judge_for(words, administrator=False)[1]
    assert word_of(account) == ("" if row.who in ("any", "signed-in", "data") else "NOPERM")
    without = judge_for(words, data=False)[1]
    assert word_of(without) == ("NOPERM" if row.who in ("data", "server") else "")
    assert word_of(judge_for(words)[1]) == ("NOPERM" if row.who == "server" else "")
    assert judge_for(words, server=True)[1] == b""
    everything = {"server": True, "administrator": True}
    loading = judge_for(words, loading=True, **everything)[1]
    assert word_of(loading) == ("" if "loading" in row.flags else "LOADING")
    multi = judge_for(words, in_multi=True, **everything)[1]
    assert word_of(multi) == ("ERR" if "nomulti" in row.flags else "")
    subscriber = judge_for(words, resp2_subscriber=True, **everything)[1]
    refused = "EXECABORT" if row.name == "EXEC" else "ERR"  # which ends its transaction
    assert word_of(subscriber) == ("" if "subscriber" in row.flags else refused)


@pytest.mark.parametrize("row", CALLABLE, ids=lambda row: row.name)
def test_the_loop_counts_arguments_as_the_row_says(row: Command) -> None:
    words = words_of(row)
    at = {"server": True, "discovery": row.who == "discovery"}
    for less in range(1 + row.name.count("|"), len(words)):
        assert b"wrong number of arguments" in judge_for(words[:less], **at)[1]
    more = judge_for([*words, b"x"], **at)[1]
    assert (b"wrong number of arguments" in more) == (row.arity > 0)


def test_what_changes_objects_is_marked_as_forwarded() -> None:
    marked = {row.name for row in BY_NUMBER.values() if row.forwarded}
    writes = {row.name for row in BY_NUMBER.values() if "write" in row.flags}
    assert marked == writes | {"EXEC", "CFG.OUTCOME"}
    sent = {name.decode() for name in COMMANDS_TAKEN} & {row.name for row in BY_NUMBER.values()}
    assert sent == marked, "what is marked is what a server takes from another"


def test_what_is_no_command_is_none() -> None:
    for name in (b"", b"GETT", b"CFG\rREAD", b"CFG\x0eREAD", b"\x00ET", b"a" * 300):
        assert judge_for([name])[0] == 0
    assert judge_for([b"CLIENT", b"LISTEN"]) == (
        0,
        b"-ERR unknown subcommand 'LISTEN'. Try CLIENT HELP.\r\n",
    )


def test_the_short_way_of_a_plain_get_asks_for_what_the_row_asks_for() -> None:
    # loop.pxi `plain()` answers GETs without looking at the row.
    assert WHO[COMMANDS["GET"].who] == ("SIGNED_IN", "DATA")
    assert not COMMANDS["GET"].flags & {"loading", "subscriber"}
