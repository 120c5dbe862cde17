"""A transaction: writes that are collected, then done together or not at all."""

from __future__ import annotations

from typing import Any, overload

from csp.client.commands import (
    create_words,
    delete_words,
    grant_words,
    revoke_words,
    update_words,
)
from csp.client.core import Core
from csp.client.incoming import Argument, Value
from csp.client.shape import ClassOf, Every, Object, Stated, StatedDelta, Typed
from csp.client.steps import Exchange, Steps
from csp.client.values import Handle
from csp.errors import CspError, ExecAbort
from csp.resp import request


class Writes:
    """The writes of one transaction; `revision` is known when it is done."""

    def __init__(self, core: Core, write_id: str) -> None:
        self.revision: int | None = None
        self._core = core
        self._write_id = write_id
        self._commands: list[list[Argument]] = []
        self._handles: dict[int, Handle] = {}

    @overload
    def create(self, of_class: str, value: Object) -> Handle: ...

    @overload
    def create(self, of_class: type[Typed], value: Stated[Typed]) -> Handle: ...

    def create(self, of_class: ClassOf[Any], value: Any) -> Handle:
        """Creates an object; the handle may stand for its DBID in any value of the transaction."""
        self._commands.append(create_words(of_class, value, self._handles))
        number = len(self._commands)
        self._handles[number] = Handle(-number)
        return self._handles[number]

    @overload
    def update(self, of_class: str, dbid: int, delta: Object, *, if_revision: int = 0) -> None: ...

    @overload
    def update(
        self, of_class: type[Typed], dbid: int, delta: StatedDelta[Typed], *, if_revision: int = 0
    ) -> None: ...

    def update(
        self, of_class: ClassOf[Any], dbid: int, delta: Any, *, if_revision: int = 0
    ) -> None:
        """Applies a delta; if_revision: all is refused if the object is newer than that."""
        self._commands.append(update_words(of_class, dbid, delta, if_revision, self._handles))

    def delete(self, of_class: ClassOf[Every], dbid: int, *, if_revision: int = 0) -> None:
        """Deletes an object; if_revision: all is refused if it is newer than that."""
        self._commands.append(delete_words(of_class, dbid, if_revision))

    def grant(
        self,
        of_class: ClassOf[Every],
        dbid: int,
        account: str,
        rights: str,
        *,
        replace: bool = False,
    ) -> None:
        """Replaces what an account is granted on an object."""
        self._commands.append(grant_words(of_class, dbid, account, rights, replace))

    def revoke(self, of_class: ClassOf[Every], dbid: int, account: str) -> None:
        """Takes an account's grant on an object away."""
        self._commands.append(revoke_words(of_class, dbid, account))

    def commit(self) -> Steps[None]:
        """Sends everything; ExecAbort names the write that was refused."""
        if not self._commands:
            return
        replies = yield from self._core.write(self._send, self._write_id)
        assert isinstance(replies, list)
        for number, reply in enumerate(replies, 1):
            if number in self._handles:
                self.revision, self._handles[number].dbid = reply
            else:
                self.revision = reply
        self._core.session.saw(self.revision or 0)

    def _send(self, write_id: str) -> Steps[Value]:
        first, *others = self._commands
        commands: list[list[Argument]] = [["MULTI"], [*first, "ID", write_id], *others, ["EXEC"]]
        data = b"".join(request(*command) for command in commands)
        begun, *queued, done = yield Exchange(data, len(commands))
        for number, reply in enumerate(queued, 1):
            if isinstance(reply, CspError):
                raise ExecAbort(f"{reply.WORD} command {number}: {reply.text}")
        for reply in (begun, done):
            if isinstance(reply, CspError):
                raise reply
        answer: Value = done
        return answer
