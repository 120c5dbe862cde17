"""A server for imports that lives in a dict: the few commands they send, by the model's rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from csp.errors import CspError, ExecAbort, NoRef, Unique
from csp.model.delta import apply_delta
from csp.model.extract import value_at
from csp.model.objects import check_object
from csp.model.places import Place, tenant_of
from csp.model.rights import Grants
from csp.model.types import CLASSES, FIRST_DBID, WORD_OF_CLASS, ObjectClass
from csp.resp import Decoder
from csp.rules.references import references_of
from csp.transfer.run import LinkLost

Object = dict[str, Any]
FOLDERS, GLOBAL_FOLDERS = (
    {
        WORD_OF_CLASS[cls.name]: cls.folder
        for cls in CLASSES.values()
        if cls.folder and cls.is_global == is_global
    }
    for is_global in (False, True)
)


class ImportServer:
    """Holds objects by class and DBID; loses links and counts transactions when told to."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, Object]] = {name: {} for name in CLASSES}
        self.at = 1
        self.answers: dict[str, list[Any]] = {}  # by write id
        self.transactions = 0
        self.secrets: list[tuple[str, str]] = []
        self.lose_replies = 0
        self._given: dict[str, int] = {}
        self._furnish(1, FOLDERS | GLOBAL_FOLDERS)
        tenant = {"name": "Environment"}
        top = self._root(CLASSES["CfgTenant"], tenant)
        self._add(CLASSES["CfgTenant"], {"folderDBID": top, **tenant}, 1)

    # ------------------------------------------------------------------ reads

    def revision(self) -> int:
        return self.at

    def count(self, class_name: str) -> int:
        return len(self.objects[class_name])

    def read(self, class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[Object]:
        for dbid, value in sorted(self.objects[class_name].items()):
            yield {
                "class": class_name,
                "DBID": dbid,
                "revision": 1,
                **json.loads(json.dumps(value)),
            }

    def find_many(self, class_name: str, keys: list[dict[str, str | int]]) -> list[Object | None]:
        raise AssertionError("so small a server is read whole")

    def get_many(self, class_name: str, dbids: Sequence[int]) -> list[Object | None]:
        there = {one["DBID"]: one for one in self.read(class_name)}
        return [there.get(dbid) for dbid in dbids]

    def own_grants(self, places: Sequence[Place]) -> list[Grants | CspError]:
        return [{} for _ in places]  # grants are for a real master's rules

    # ------------------------------------------------------------------ writes

    def exchange(self, requests: Sequence[bytes]) -> list[Any]:
        decoder = Decoder()
        decoder.feed(b"".join(requests))
        commands = [list(map(bytes.decode, command)) for command in decoder]  # type: ignore[arg-type]
        assert commands[0] == ["MULTI"]
        assert commands[-1] == ["EXEC"]
        result: Any
        try:
            result = self._transaction(commands[1:-1])
        except CspError as refusal:
            result = refusal
        if self.lose_replies:
            self.lose_replies -= 1
            raise LinkLost("the link broke")
        return ["OK", *["QUEUED"] * (len(commands) - 2), result]

    def _transaction(self, commands: list[list[str]]) -> list[Any]:
        ids = {command[-1] for command in commands if command[-2] == "ID"}
        assert len(ids) == 1
        write_id = ids.pop()
        assert len(write_id) <= 36
        if write_id in self.answers:
            return self.answers[write_id]
        before = json.dumps([self.objects, self.at])
        self.at += 1
        self.transactions += 1
        dbids = [
            self._next(command[1]) if command[0] == "CFG.CREATE" else 0 for command in commands
        ]
        replies: list[Any] = []
        try:
            for position, (command, dbid) in enumerate(zip(commands, dbids, strict=True), 1):
                replies.append(self._command(command, dbid, dbids, position))
            self._place(commands, dbids)
            self._check()
        except CspError:
            objects, self.at = json.loads(before)
            for name, values in objects.items():
                self.objects[name] = {int(dbid): value for dbid, value in values.items()}
            raise
        self.answers[write_id] = replies
        return replies

    def _place(self, commands: list[list[str]], dbids: list[int]) -> None:
        """Puts what was created without a folder into the default one."""
        for command, dbid in zip(commands, dbids, strict=True):
            cls = CLASSES[command[1]]
            value = self.objects[cls.name].get(dbid)
            if value is not None and "folderDBID" not in value:
                placed = {"folderDBID": self._root(cls, value), **value}
                self.objects[cls.name][dbid] = placed

    def _command(self, command: list[str], dbid: int, dbids: list[int], position: int) -> Any:
        cls = CLASSES[command[1]]

        def forward(match: re.Match[str]) -> str:
            return str(dbids[int(match[1]) - 1])

        try:
            if command[0] == "CFG.CREATE":
                body = json.loads(re.sub(r'"@(\d+)"', forward, command[2]))
                self._create(cls, body, dbid)
                return [self.at, dbid]
            delta = json.loads(re.sub(r'"@(\d+)"', forward, command[3]))
            old = self.objects[cls.name][int(command[2])]
            self.objects[cls.name][int(command[2])] = apply_delta(cls, old, delta).object
            return self.at
        except CspError as refusal:
            raise ExecAbort(f"{refusal.WORD} command {position}: {refusal.text}") from None

    def _create(self, cls: ObjectClass, body: Object, dbid: int) -> None:
        checked = check_object(cls, body)
        self.secrets += checked.secrets.items()
        value = checked.object
        self._add(cls, value, dbid)
        if cls.name == "CfgTenant":
            self._furnish(dbid, FOLDERS)

    def _add(self, cls: ObjectClass, value: Object, dbid: int) -> None:
        self.objects[cls.name][dbid] = value

    def _root(self, cls: ObjectClass, value: Object) -> int:
        kind = value["type"] if cls.name == "CfgFolder" else WORD_OF_CLASS[cls.name]
        tenant = 1 if cls.name == "CfgTenant" else tenant_of(cls, value, self)
        owner = {"type": "tenant", "DBID": tenant}
        for dbid, other in self.objects["CfgFolder"].items():
            if (other["type"], other["ownerID"], other["folderDBID"]) == (kind, owner, 0):
                return dbid
        raise NoRef(f"no default folder for {value}")

    def get(self, class_name: str, dbid: int) -> Object | None:
        return self.objects[class_name].get(dbid)

    def _next(self, class_name: str) -> int:
        self._given[class_name] = self._given.get(class_name, FIRST_DBID - 1) + 1
        return self._given[class_name]

    def _furnish(self, tenant: int, names: dict[str, str]) -> None:
        for kind, name in names.items():
            owner = {"type": "tenant", "DBID": tenant}
            folder = {"folderDBID": 0, "name": name, "type": kind, "ownerID": owner}
            self._add(CLASSES["CfgFolder"], folder, self._next("CfgFolder"))

    def _check(self) -> None:
        taken: dict[Any, int] = {}
        for name, values in self.objects.items():
            cls = CLASSES[name]
            for dbid, value in values.items():
                for site, target, other in references_of(cls, value):
                    if other not in self.objects[target]:
                        raise NoRef(f"{name}:{dbid} {site.path}: {other}")
                for unique in _unique_values(cls, value):
                    if taken.setdefault((name, unique), dbid) != dbid:
                        refusal = Unique(f"{name}:{dbid} {unique}")
                        raise ExecAbort(f"{refusal.WORD} command 1: {refusal.text}")


def _unique_values(cls: ObjectClass, value: Object) -> Iterator[tuple[str, str]]:
    """What no other object of the class may have; numbers with exceptions are left to masters."""
    for rule in cls.unique:
        values = [value_at(value, path) for path in rule.of]
        if not (rule.unless or rule.when) and (values[0] or rule.zero):
            yield rule.rule, json.dumps(values)
