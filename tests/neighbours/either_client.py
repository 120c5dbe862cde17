"""Lets one test drive both clients: AsyncClient with the methods of Client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from csp.client import AsyncClient, Client

KINDS = ("sync", "async")


class Blocking:
    """An object of asyncio whose methods wait for their result."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not callable(member):
            return member
        return lambda *given, **named: self._finish(member(*given, **named))

    def __enter__(self) -> Self:
        entered = self._loop.run_until_complete(self._inner.__aenter__())
        return self if entered is self._inner else Blocking(entered, self._loop)  # type: ignore[return-value]

    def __exit__(self, *problem: Any) -> None:
        self._loop.run_until_complete(self._inner.__aexit__(*problem))

    def __iter__(self) -> Iterator[Any]:
        return self._each(aiter(self._inner))

    def _finish(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            return self._loop.run_until_complete(result)
        if isinstance(result, AsyncIterator):
            return self._each(result)
        if hasattr(result, "__aenter__"):
            return Blocking(result, self._loop)
        return result

    def _each(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._loop.run_until_complete(anext(items))
            except StopAsyncIteration:
                return


class Clients:
    """Makes clients of one kind, and closes them."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._loop = asyncio.new_event_loop()
        self._made: list[Any] = []

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """A client with the methods of Client."""
        if self._kind == "sync":
            made: Any = Client(*arguments, **options)
        else:
            made = Blocking(AsyncClient(*arguments, **options), self._loop)
        self._made.append(made)
        return made

    def close(self) -> None:
        for each in self._made:
            each.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()
