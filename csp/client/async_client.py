"""A client for asyncio: each method runs the steps of csp.client.commands.

client.py, the blocking client, is made of this file by bin/generate (tools/generate/client.py).
"""

# 1. Calls of several tasks on one client follow one another.
# 2. A call that is cancelled in an exchange closes the connection; the next opens one.
# 3. A wait for a change that is cancelled while nothing is half received loses nothing.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import cached_property
from typing import Any, Self, TypeVar, overload

from csp.client.async_connection import AsyncConnection
from csp.client.commands import PAGE_OBJECTS, Reading, read_words
from csp.client.core import Core
from csp.client.incoming import Argument, Value
from csp.client.problems import ConnectionLost
from csp.client.results import Created, Outcome, Page, Permissions
from csp.client.shape import ClassOf, Every, Object, Shown, Stated, StatedDelta, Typed
from csp.client.shell import Shell
from csp.client.steps import Close, Exchange, Listen, Open, Pause, Step, Steps, Work
from csp.client.subscription import Event, Watching
from csp.client.transaction import Writes
from csp.client.values import Filters, FilterValue
from csp.errors import CspError

Result = TypeVar("Result")


class AsyncClient(Shell[AsyncConnection]):
    """A client for asyncio: see Shell for what it raises."""

    @cached_property
    def _turn(self) -> asyncio.Lock:
        return asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *problem: object) -> None:
        self.close()

    # ------------------------------------------------------------------ commands

    async def call(self, *arguments: Argument) -> Value:
        """Sends a command once."""
        return await self._run(self._core.call(*arguments))

    async def read_call(self, *arguments: Argument) -> Value:
        """Sends a command that only reads; once more if its reply was lost."""
        return await self._run(self._core.read_call(*arguments))

    async def pipeline(self, commands: Iterable[Sequence[Argument]]) -> list[Value]:
        """Replies in order; errors stand among them."""
        return await self._run(self._core.pipeline(commands))

    async def opened(self) -> AsyncConnection:
        """The connection, opened if there is none: for who speaks and listens on it alone."""
        await self._run(self._core.connect())
        return self._open_one()

    # ------------------------------------------------------------------ reads

    async def get(self, of_class: ClassOf[Shown], dbid: int) -> Shown | None:
        """One object by its key."""
        return await self._run(self._core.get(of_class, dbid))

    async def find(self, of_class: ClassOf[Shown], /, **keys: FilterValue) -> Shown | None:
        """The one object with that unique key."""
        return await self._run(self._core.find(of_class, keys))

    async def count(
        self,
        of_class: ClassOf[Every],
        /,
        filters: Filters = (),
        **keys: FilterValue,
    ) -> int:
        """How many objects match."""
        return await self._run(self._core.count(of_class, filters, keys))

    async def page(
        self,
        of_class: ClassOf[Shown],
        /,
        filters: Filters = (),
        *,
        limit: int = PAGE_OBJECTS,
        cursor: str = "0",
        brief: bool = False,
        fields: Sequence[str] = (),
        extra: Sequence[Argument] = (),
        **keys: FilterValue,
    ) -> Page[Shown]:
        """One page, as the server cuts it."""
        words = read_words(filters, keys, brief, fields, extra)
        return await self._run(self._core.page(of_class, words, limit, cursor))

    async def read(
        self,
        of_class: ClassOf[Shown],
        /,
        filters: Filters = (),
        *,
        limit: int = 0,
        brief: bool = False,
        fields: Sequence[str] = (),
        extra: Sequence[Argument] = (),
        **keys: FilterValue,
    ) -> AsyncIterator[Shown]:
        """All objects that match, page by page as they are taken; limit 0: no limit."""
        words = read_words(filters, keys, brief, fields, extra)
        reading = Reading(self._core, of_class, words, limit)
        while not reading.done:
            for value in await self._run(reading.next_page()):
                yield value

    async def classes(self) -> Any:
        """The classes with their attributes, filter keys and counts."""
        return await self._run(self._core.classes())

    async def status(self) -> dict[str, Any]:
        """What the server says of itself, even while it loads."""
        return await self._run(self._core.status())

    async def metrics(self) -> dict[str, dict[str, int]]:
        """What each process of the server has counted, by process and name."""
        return await self._run(self._core.metrics())

    async def clients(self) -> list[dict[str, str]]:
        """Who is connected: the fields of CLIENT LIST, one dict a connection."""
        return await self._run(self._core.clients())

    async def permissions(self, of_class: ClassOf[Every], dbid: int) -> Permissions:
        """The access list of an object; NoPerm without Read Permissions on it."""
        return await self._run(self._core.permissions(of_class, dbid))

    async def access(self, user: str, of_class: ClassOf[Every], dbid: int) -> dict[str, Any]:
        """What decides the rights of a user on an object: groups, grants; for administrators."""
        return await self._run(self._core.access(user, of_class, dbid))

    # ------------------------------------------------------------------ writes

    @overload
    async def create(self, of_class: str, value: Object, *, write_id: str = "") -> Created: ...

    @overload
    async def create(
        self, of_class: type[Typed], value: Stated[Typed], *, write_id: str = ""
    ) -> Created: ...

    async def create(self, of_class: ClassOf[Any], value: Any, *, write_id: str = "") -> Created:
        """Creates an object."""
        return await self._run(self._core.create(of_class, value, write_id))

    @overload
    async def update(
        self, of_class: str, dbid: int, delta: Object, *, if_revision: int = 0, write_id: str = ""
    ) -> int: ...

    @overload
    async def update(
        self,
        of_class: type[Typed],
        dbid: int,
        delta: StatedDelta[Typed],
        *,
        if_revision: int = 0,
        write_id: str = "",
    ) -> int: ...

    async def update(
        self,
        of_class: ClassOf[Any],
        dbid: int,
        delta: Any,
        *,
        if_revision: int = 0,
        write_id: str = "",
    ) -> int:
        """Applies a delta; the revision. if_revision: Conflict if the object is newer than that."""
        steps = self._core.update(of_class, dbid, delta, if_revision, write_id)
        return await self._run(steps)

    async def delete(
        self, of_class: ClassOf[Every], dbid: int, *, if_revision: int = 0, write_id: str = ""
    ) -> int:
        """Deletes an object; the revision. if_revision: Conflict if it is newer than that."""
        return await self._run(self._core.delete(of_class, dbid, if_revision, write_id))

    async def grant(
        self,
        of_class: ClassOf[Every],
        dbid: int,
        account: str,
        rights: str,
        *,
        replace: bool = False,
        write_id: str = "",
    ) -> int:
        """Replaces what an account ("CfgAccessGroup:7", "SYSTEM") is granted on an object; the
        revision. replace: its grants on all below go.
        """
        steps = self._core.grant(of_class, dbid, account, rights, replace, write_id)
        return await self._run(steps)

    async def revoke(
        self, of_class: ClassOf[Every], dbid: int, account: str, *, write_id: str = ""
    ) -> int:
        """Takes an account's grant on an object away, so that the container's counts again."""
        return await self._run(self._core.revoke(of_class, dbid, account, write_id))

    async def outcome(self, write_id: str) -> Outcome:
        """What became of the write with that id."""
        return await self._run(self._core.outcome(write_id))

    def transaction(self, *, write_id: str = "") -> AsyncTransaction:
        """Collects writes; done together at the end of its block, under one id."""
        return AsyncTransaction(self, self._core, write_id)

    # ------------------------------------------------------------------ changes

    def subscribe(self, *channels: str) -> AsyncSubscription:
        """Changes of channels and patterns, on a connection of their own."""
        own = self._sibling()
        return AsyncSubscription(own, Watching(own._core, channels))

    # ------------------------------------------------------------------ doing the steps

    async def _run(self, steps: Steps[Result]) -> Result:
        self._own()
        async with self._turn:
            return await self._run_alone(steps)

    async def _run_alone(self, steps: Steps[Result]) -> Result:
        answer: Any = None
        problem: CspError | None = None
        while True:
            try:
                step = steps.throw(problem) if problem else steps.send(answer)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer = problem = None
            try:
                answer = await self._do(step)
            except CspError as error:
                problem = error
            except BaseException:
                if not (isinstance(step, Listen) and self._is_waiting()):
                    self.close()  # in the middle of an exchange: what comes next belongs to nobody
                raise

    async def _do(self, step: Step) -> Any:
        match step:
            case Exchange(data, replies, seconds):
                limit = self._core.timeout if seconds is None else seconds
                return await self._open_one().exchange(data, replies, limit)
            case Open(address):
                self.close()
                self._connection = await AsyncConnection.open(address, self._core.tls)
            case Close():
                self.close()
            case Listen(seconds):
                return await self._open_one().next_push(seconds)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Work(call):
                return await asyncio.to_thread(call)
        return None


class AsyncTransaction(Writes):
    """`async with client.transaction() as t:`; done at its end, dropped if it raises."""

    def __init__(self, client: AsyncClient, core: Core, write_id: str) -> None:
        super().__init__(core, write_id)
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self._client._run(self.commit())


class AsyncSubscription:
    """`async with client.subscribe("cfg") as changes:`; iterate, or ask `next` with a limit."""

    def __init__(self, client: AsyncClient, watching: Watching) -> None:
        self._client = client
        self._watching = watching

    async def __aenter__(self) -> Self:
        try:
            await self._client._run(self._watching.begin())
        except BaseException:
            self._client.close()  # nothing else will: the block is not entered
            raise
        return self

    async def __aexit__(self, *problem: object) -> None:
        self._client.close()

    async def next(self, seconds: float | None = None) -> Event | None:
        """The next event, or None after so many seconds without one; one that is cancelled loses
        nothing. ConnectionLost if it is closed.
        """
        return await self._client._run(self._watching.next(seconds))

    def close(self) -> None:
        """Ends it; who waits for its next event, if in other tasks, is told so at once."""
        self._watching.close()
        self._client._end()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self._watching.is_closed:
            try:
                event = await self.next()
            except ConnectionLost:
                if self._watching.is_closed:
                    return
                raise
            if event is not None:
                yield event
