"""Tries an import before anything is written: the very transactions, by the server's own rules.

1. What a rehearsal finds in order, the server takes, unless somebody changes something meanwhile.
2. All that is wrong is found, not only the first; what follows from a refusal is no problem of its
   own.
3. Afterwards the plan is as it was, but that it knows which grants change with a new tenant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import orjson

from csp.errors import CspError, TooBig
from csp.model.entry import ENTRY_BYTES_MAX
from csp.model.image import MAX_OBJECT
from csp.model.objects import encode
from csp.model.requests import Command, Skip, parse_command
from csp.resp import Decoder
from csp.rules.assemble import assemble
from csp.rules.forward import resolve
from csp.rules.names import Taken, check_published, names_of
from csp.rules.transaction import Touched
from csp.rules.transaction import Transaction as Trial
from csp.transfer.foreseen import FORESEEN_FIRST, Foreseen, Server
from csp.transfer.objects import Item
from csp.transfer.plan import Plan
from csp.transfer.present import Present
from csp.transfer.problems import PROBLEMS_MAX, Problems
from csp.transfer.spelling import spelled
from csp.transfer.transactions import Command as Planned
from csp.transfer.transactions import Cutter, TooLarge, Transaction, item_of

FORESEEN = re.compile(rf"(?:\bCfg\w+:)?\b(\d{{{len(str(FORESEEN_FIRST))}}})\b")

Progress = Callable[[int, int], None]  # done, of


def rehearse(
    plan: Plan,
    revision: int,
    server: Server,
    present: Present,
    problems: Problems,
    progress: Progress = lambda done, of: None,
) -> None:
    """Reports all that the server would refuse of a plan."""
    to_be_made = [one for one in plan.to_be_made if not one.node.dbid]
    items = [*plan.creates, *(one.item for one in plan.updates)]
    items += [one.item for one in plan.regrants]
    foreseen = Foreseen(server, present, {node for item in items for node in item.refs})
    report = _Report(problems)
    cutter = Cutter(plan, revision, foreseen)
    done = 0
    try:
        for transaction in cutter.transactions():
            refused = _try(transaction, foreseen, revision)
            report.add(transaction, refused)
            done += len(transaction.commands)
            plan.commands = done
            progress(done, max(plan.count, done))
            if problems.count >= PROBLEMS_MAX:
                break
    except TooLarge as problem:
        item = problem.item
        problems.add(item.file or "files", spelled(item, problem.rule), object=item.shown)
    finally:
        for item in to_be_made:
            item.node.dbid = item.node.transaction = item.node.position = 0


def _try(transaction: Transaction, foreseen: Foreseen, revision: int) -> Mapping[int, CspError]:
    """Does a transaction as the server would; the commands that it would refuse."""
    trial = Trial(foreseen, foreseen.next_dbids)
    refused = trial.refused = {}
    commands = _parsed(transaction, trial)
    created = resolve(commands, trial, forward=True)
    for command, new in zip(transaction.commands, created, strict=True):
        if isinstance(command, Item):
            command.node.dbid = new.dbid if new else trial.give_dbid(command.node.cls)
    assemble(trial, commands, created, revision)
    foreseen.learn_names(trial)
    taken = Taken()
    size = 0
    for touched in trial.changes():
        try:
            size += _size(touched)
            taken.take(trial, touched, names_of(touched.cls, touched.after or {}))
            check_published(trial, touched, foreseen.owner_of)
        except CspError as error:
            refused.setdefault(touched.command, error)
    if size > ENTRY_BYTES_MAX:
        text = f"transaction {transaction.number} changes {size} bytes, more than {ENTRY_BYTES_MAX}"
        refused.setdefault(1, TooBig(text))
    foreseen.take(trial)
    return refused


def _parsed(transaction: Transaction, trial: Trial) -> list[Command]:
    """The commands as the server reads them."""
    decoder = Decoder()
    decoder.feed(b"".join(transaction.encoded))
    found: list[Command] = []
    for number, arguments in enumerate(decoder, 1):
        trial.command = number
        command: Command = Skip()
        try:
            assert isinstance(arguments, list)
            command, _ = parse_command([one for one in arguments if isinstance(one, bytes)])
        except CspError as error:
            trial.refuse(error)
        found.append(command)
    return found


def _size(touched: Touched) -> int:
    """What an object takes of the log entry, more or less; raises TooBig for one that is."""
    assert touched.after is not None
    size = len(orjson.dumps(touched.after))
    if size > MAX_OBJECT // 2:
        encode(touched.cls, {**touched.after, "DBID": touched.dbid, "revision": 1})
    return size if touched.before is not None else 2 * size


# ---------------------------------------------------------------------- words


class _Report:
    """Tells of refusals in the words of the files."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._shown: dict[int, str] = {}  # what the plan creates, by the number that it has here
        self._refused: set[int] = set()

    def add(self, transaction: Transaction, refused: Mapping[int, CspError]) -> None:
        for position, command in enumerate(transaction.commands, 1):
            if isinstance(command, Item):
                self._shown[command.node.dbid] = command.node.shown
                if position in refused:
                    self._refused.add(command.node.dbid)
        for position, error in sorted(refused.items()):
            self._add(transaction.commands[position - 1], error.text)

    def _add(self, command: Planned, text: str) -> None:
        item = item_of(command)
        numbers = {int(number) for number in FORESEEN.findall(text)}
        if not self._refused.isdisjoint(numbers):
            return  # it would be in order if the other were
        text = FORESEEN.sub(lambda match: self._shown.get(int(match[1]), "a new object"), text)
        self._problems.add(item.file or "files", spelled(item, text), object=item.shown)
