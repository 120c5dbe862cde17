"""What typed objects and deltas are made of, and how a class is named in a call.

A class is named by its word, `"CfgPerson"`, or by its type of csp.client.objects: then type
checkers know what comes back and refuse what the class has not. At run time both are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypedDict

# Every object has these; they come first.
Every = TypedDict(
    "Every", {"class": str, "DBID": int, "revision": int, "folderDBID": int}, total=False
)

if TYPE_CHECKING:
    # Typing alone knows defaults in Python 3.11: a class that is named by its word gives dicts.
    from typing_extensions import TypeVar

    Shown = TypeVar("Shown", bound=Mapping[str, Any], default=dict[str, Any])
else:
    from typing import TypeVar

    Shown = TypeVar("Shown")

Typed = TypeVar("Typed", bound=Every)

Object: TypeAlias = dict[str, Any]  # an object as the server shows it
ClassOf: TypeAlias = type[Shown] | str

# What is written as a literal is checked against the class. No function is ever given: the second
# half makes type checkers settle the class by the arguments before it.
Stated: TypeAlias = Typed | Callable[[Typed], NoReturn]


class Binary(TypedDict):
    """A binary value of an option."""

    base64: str


OptionValue: TypeAlias = str | int | Binary
Sections: TypeAlias = dict[str, dict[str, OptionValue]]


class SectionsDelta(TypedDict, total=False):
    """Changes of sections of keys and values; a section of None is deleted."""

    changed: dict[str, dict[str, OptionValue] | None]
    deleted: dict[str, list[str] | None]


class Delta(TypedDict, Generic[Typed], total=False):
    """What an update changes; parts are merged, members of lists are named by their keys.

    Under `added` and `deleted` stand paths, such as `agentInfo.skillLevels`.
    To take an attribute away (None) or to change one by its path, name the class by its word.
    """

    changed: Typed
    added: dict[str, list[Any]]
    deleted: dict[str, list[Any]]
    userProperties: SectionsDelta
    options: SectionsDelta
    flexibleProperties: SectionsDelta


StatedDelta: TypeAlias = Delta[Typed] | Callable[[Typed], NoReturn]


def name_of(of_class: ClassOf[Any]) -> str:
    """The class as the server names it."""
    return of_class if isinstance(of_class, str) else of_class.__name__
