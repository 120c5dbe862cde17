"""A client on a blocking socket: each method runs the steps of csp.client.commands."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, overload

from csp.client.commands import PAGE_OBJECTS, Reading, read_words
from csp.client.connection import Connection
from csp.client.incoming import Argument, Value
from csp.client.results import Created, Outcome, Page
from csp.client.shape import ClassOf, Every, Object, Shown, Stated, StatedDelta, Typed
from csp.client.shell import Shell
from csp.client.steps import Close, Exchange, Listen, Open, Pause, Step, Steps
from csp.client.subscription import Subscription, Watching
from csp.client.transaction import Transaction
from csp.client.values import Filters, FilterValue
from csp.errors import CspError

Result = TypeVar("Result")


class Client(Shell[Connection]):
    """A client on a blocking socket: see Shell for what it raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    @property
    def connection(self) -> Connection:
        """The connection, opened if there is none: for what comes as pushes."""
        self._run(self._core.connect())
        assert self._connection is not None
        return self._connection

    # ------------------------------------------------------------------ commands

    def call(self, *arguments: Argument) -> Value:
        """Sends a command once."""
        return self._run(self._core.call(*arguments))

    def read_call(self, *arguments: Argument) -> Value:
        """Sends a command that only reads; once more if its reply was lost."""
        return self._run(self._core.read_call(*arguments))

    def pipeline(self, commands: Iterable[Sequence[Argument]]) -> list[Value]:
        """Replies in order; errors stand among them."""
        return self._run(self._core.pipeline(commands))

    # ------------------------------------------------------------------ reads

    def get(self, of_class: ClassOf[Shown], dbid: int) -> Shown | None:
        """One object by its key."""
        return self._run(self._core.get(of_class, dbid))

    def find(self, of_class: ClassOf[Shown], /, **keys: FilterValue) -> Shown | None:
        """The one object with that unique key."""
        return self._run(self._core.find(of_class, keys))

    def count(self, of_class: ClassOf[Every], /, filters: Filters = (), **keys: FilterValue) -> int:
        """How many objects match."""
        return self._run(self._core.count(of_class, filters, keys))

    def page(
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
        return self._run(self._core.page(of_class, words, limit, cursor))

    def read(
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
    ) -> Iterator[Shown]:
        """All objects that match, page by page as they are taken; limit 0: no limit."""
        words = read_words(filters, keys, brief, fields, extra)
        reading = Reading(self._core, of_class, words, limit)
        while not reading.done:
            yield from self._run(reading.next_page())

    def classes(self) -> Any:
        """The classes with their attributes, filter keys and counts."""
        return self._run(self._core.classes())

    def status(self) -> dict[str, Any]:
        """What the server says of itself, even while it loads."""
        return self._run(self._core.status())

    def clients(self) -> list[dict[str, str]]:
        """Who is connected: the fields of CLIENT LIST, one dict a connection."""
        return self._run(self._core.clients())

    # ------------------------------------------------------------------ writes

    @overload
    def create(self, of_class: str, value: Object, *, write_id: str = "") -> Created: ...

    @overload
    def create(
        self, of_class: type[Typed], value: Stated[Typed], *, write_id: str = ""
    ) -> Created: ...

    def create(self, of_class: ClassOf[Any], value: Any, *, write_id: str = "") -> Created:
        """Creates an object."""
        return self._run(self._core.create(of_class, value, write_id))

    @overload
    def update(
        self, of_class: str, dbid: int, delta: Object, *, if_revision: int = 0, write_id: str = ""
    ) -> int: ...

    @overload
    def update(
        self,
        of_class: type[Typed],
        dbid: int,
        delta: StatedDelta[Typed],
        *,
        if_revision: int = 0,
        write_id: str = "",
    ) -> int: ...

    def update(
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
        return self._run(steps)

    def delete(
        self, of_class: ClassOf[Every], dbid: int, *, if_revision: int = 0, write_id: str = ""
    ) -> int:
        """Deletes an object; the revision. if_revision: Conflict if it is newer than that."""
        return self._run(self._core.delete(of_class, dbid, if_revision, write_id))

    def outcome(self, write_id: str) -> Outcome:
        """What became of the write with that id."""
        return self._run(self._core.outcome(write_id))

    def transaction(self, *, write_id: str = "") -> Transaction:
        """Collects writes; done together at the end of its block, under one id."""
        return Transaction(self._core, write_id, self._run)

    # ------------------------------------------------------------------ changes

    def subscribe(self, *channels: str) -> Subscription:
        """Changes of channels and patterns, on a connection of their own."""
        own = self._sibling()
        return Subscription(Watching(own._core, channels), own._run, own.close)

    # ------------------------------------------------------------------ doing the steps

    def _run(self, steps: Steps[Result]) -> Result:
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
                answer = self._do(step)
            except CspError as error:
                problem = error
            except BaseException:
                self.close()  # in the middle of an exchange: what comes next belongs to nobody
                raise

    def _do(self, step: Step) -> Any:
        match step:
            case Exchange(data, replies, seconds):
                return self._open_one().exchange(data, replies, seconds)
            case Open(address):
                self.close()
                self._connection = Connection(address)
            case Close():
                self.close()
            case Listen(seconds):
                return self._open_one().next_push(seconds)
            case Pause(seconds):
                time.sleep(seconds)
        return None
