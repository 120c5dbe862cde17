"""What a worker asks the writer to change, and what comes back.

1. A request is one transaction: all its commands take effect at one revision, or none does.
2. `write_id` is chosen by the client; the same id again gives the same outcome and changes nothing.
3. Parsing here checks shape only; rules are checked by the origin when it makes the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from csp.errors import BadKey, BadValue, CspError, TooBig
from csp.model import rights
from csp.model.extract import Object
from csp.model.objects import decode
from csp.model.principal import Principal, principal_of
from csp.model.rights import Account
from csp.model.symbolic import class_named, parse_dbid, parse_key
from csp.model.types import ObjectClass

MAX_WRITE_ID = 36
MAX_COMMANDS = 10_000
REPLACE = b"REPLACE"


@dataclass(frozen=True, slots=True)
class Create:
    """CFG.CREATE."""

    cls: ObjectClass
    object: Object


@dataclass(frozen=True, slots=True)
class Update:
    """CFG.UPDATE; `dbid` 0 with `command` k stands for "@k"."""

    cls: ObjectClass
    dbid: int
    delta: Object
    if_revision: int | None = None
    command: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """CFG.DELETE; `dbid` 0 with `command` k stands for "@k"."""

    cls: ObjectClass
    dbid: int
    if_revision: int | None = None
    command: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """CFG.GRANT, or with `grant` None CFG.REVOKE.

    `dbid` 0 with `command` k stands for "@k", as the account's DBID 0 with `account_command`.
    """

    cls: ObjectClass
    dbid: int
    account: Account
    grant: rights.Grant | None = None
    replace: bool = False  # also takes away the account's grants on all below
    command: int = 0
    account_command: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """A read of a transaction, which keeps its number: "@k" and errors count all commands."""


@dataclass(frozen=True, slots=True)
class Expect:
    """A watched object: the transaction is refused unless it is at this revision (0: absent)."""

    cls: ObjectClass
    dbid: int
    revision: int


@dataclass(frozen=True, slots=True)
class Password:
    """A person's new password, hashed; his own where it says at which revision he got the last one,
    and then refused unless that is so.
    """

    dbid: int
    account_revision: int  # 0: an administrator sets it
    algorithm: str
    hash: str = field(repr=False)


Command = Create | Update | Delete | Grant | Skip | Expect | Password
# Of a worker to its writer only; a client can't send them.
SKIP = b"CFG.SKIP"
EXPECT = b"CFG.EXPECT"
PASSWORD = b"CFG.PASSWORD"
OUTCOME = "outcome"  # the kind of a request that asks for what became of another


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One transaction to be made, or (kind `outcome`) what became of one to be told."""

    req: int
    principal: Principal
    write_id: str
    kind: str  # "one", "exec" or OUTCOME
    commands: tuple[Command, ...]
    # With an id: the commands' words as they were sent, without what is watched.
    sent: tuple[Sequence[bytes], ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What became of a request: a revision and one DBID (0 where none was created) a command, or
    an error.
    """

    revision: int
    results: tuple[int, ...] = ()
    error: CspError | None = None
    text: str = ""  # what became of the write that was asked for


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadValue(f"{what} is not valid UTF-8") from None


def _number(raw: bytes, what: str) -> int:
    if not raw.isdigit() or len(raw) > 20:
        raise BadValue(f"{what} takes a number, not '{raw[:20].decode(errors='backslashreplace')}'")
    return int(raw)


def _target(raw: bytes) -> tuple[int, int]:
    """A DBID, or "@k": (dbid, 0) or (0, k)."""
    if raw.startswith(b"@"):
        return 0, _number(raw[1:], "the command after @")
    return parse_dbid(_text(raw, "the DBID")), 0


def split_options(args: Sequence[bytes], at: int) -> tuple[int | None, str]:
    """IF and ID after a command's own arguments: (revision or None, write id or "")."""
    if_revision, write_id = None, ""
    while at < len(args):
        word = args[at].upper()
        if word not in (b"IF", b"ID") or at + 1 == len(args):
            raise BadValue(f"{_text(args[at], 'an argument')!r} is neither IF r nor ID id")
        if word == b"IF":
            if_revision = _number(args[at + 1], "IF")
        else:
            write_id = check_write_id(args[at + 1])
        at += 2
    return if_revision, write_id


def check_write_id(raw: bytes) -> str:
    """A client's id of a write."""
    text = _text(raw, "ID")
    if not text or len(text) > MAX_WRITE_ID:
        raise TooBig(f"ID has {len(text)} characters, 1 to {MAX_WRITE_ID} are allowed")
    if "\0" in text:
        raise BadValue("ID: holds a NUL, which no ID may")
    return text


def _need(args: Sequence[bytes], count: int) -> None:
    if len(args) < count:
        name = args[0].decode("ascii", "replace").lower() if args else ""
        raise CspError(f"wrong number of arguments for '{name}' command")


def parse_command(args: Sequence[bytes]) -> tuple[Command, str]:
    """A write command's arguments, its name first: the command, and the ID ("" without one)."""
    _need(args, 1)
    verb = args[0].upper()
    if verb == b"CFG.CREATE":
        _need(args, 3)
        refuse, write_id = split_options(args, 3)
        if refuse is not None:
            raise BadValue("CFG.CREATE takes no IF")
        return Create(class_named(_text(args[1], "the class")), decode(args[2])), write_id
    if verb == b"CFG.UPDATE":
        _need(args, 4)
        revision, write_id = split_options(args, 4)
        cls, (dbid, k) = class_named(_text(args[1], "the class")), _target(args[2])
        return Update(cls, dbid, decode(args[3]), revision, k), write_id
    if verb == b"CFG.DELETE":
        _need(args, 3)
        revision, write_id = split_options(args, 3)
        cls, (dbid, k) = class_named(_text(args[1], "the class")), _target(args[2])
        return Delete(cls, dbid, revision, k), write_id
    if verb == SKIP:
        return Skip(), ""
    if verb == EXPECT:
        _need(args, 4)
        cls = class_named(_text(args[1], "the class"))
        return Expect(cls, _number(args[2], "the DBID"), _number(args[3], "the revision")), ""
    if verb == PASSWORD:
        _need(args, 5)
        dbid, revision = _number(args[1], "the DBID"), _number(args[2], "the revision")
        return Password(dbid, revision, args[3].decode(), args[4].decode()), ""
    if verb == b"CFG.GRANT":
        return _parse_grant(args)
    if verb == b"CFG.REVOKE":
        return _parse_revoke(args)
    raise BadKey(f"{_text(args[0], 'the command')!r} is not a write command")


def _parse_grant(args: Sequence[bytes]) -> tuple[Command, str]:
    _need(args, 4)
    replace = len(args) > 4 and args[4].upper() == REPLACE
    write_id = _only_id(args, 5 if replace else 4)
    cls, dbid, k = _key(args[1], "the key")
    account, at = _account(args[2])
    grant = rights.grant_of(_text(args[3], "the rights"))
    return Grant(cls, dbid, account, grant, replace, k, at), write_id


def _parse_revoke(args: Sequence[bytes]) -> tuple[Command, str]:
    _need(args, 3)
    write_id = _only_id(args, 3)
    cls, dbid, k = _key(args[1], "the key")
    account, at = _account(args[2])
    return Grant(cls, dbid, account, None, False, k, at), write_id


def _only_id(args: Sequence[bytes], at: int) -> str:
    if_revision, write_id = split_options(args, at)
    if if_revision is not None:
        raise BadValue(f"{_text(args[0], 'the command')} takes no IF")
    return write_id


def _key(raw: bytes, what: str) -> tuple[ObjectClass, int, int]:
    """`Class:DBID`, or `Class:@k`: class, DBID and 0, or class, 0 and k."""
    text = _text(raw, what)
    name, colon, number = text.partition(":")
    if colon and number.startswith("@"):
        return class_named(name), *_target(number.encode())
    return *parse_key(text), 0


def _account(raw: bytes) -> tuple[Account, int]:
    """An account's key, whose DBID may be "@k": the account and 0, or its class with 0 and k."""
    text = _text(raw, "the account")
    if ":@" not in text:
        return rights.account_of(text), 0
    cls, _, k = _key(raw, "the account")
    return (rights.account_class(cls), 0), k


def parse_request(
    req: int, asks: bytes, write_id: bytes, kind: bytes, commands: Sequence[Sequence[bytes]]
) -> WriteRequest:
    """A WRITE message of the channel; in a transaction an error names its command, from 1."""
    count = sum(1 for args in commands if args and args[0] != EXPECT)
    if count > MAX_COMMANDS:
        raise TooBig(f"{count} commands, at most {MAX_COMMANDS} are allowed")
    parsed, own = [], write_id.decode()
    for number, args in enumerate(commands, 1):
        try:
            command, stated = parse_command(args)
        except CspError as error:
            if kind == b"exec":
                error.text = f"command {number}: {error.text}"
            raise
        own = own or stated
        parsed.append(command)
    sent = tuple(args for args in commands if args[0] != EXPECT) if own else ()
    return WriteRequest(req, principal_of(asks), own, kind.decode(), tuple(parsed), sent)


def parse_question(req: int, asks: bytes, write_id: bytes) -> WriteRequest:
    """An OUTCOME message of the channel: what became of the write with this id."""
    return WriteRequest(req, principal_of(asks), check_write_id(write_id), OUTCOME, ())
