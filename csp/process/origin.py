"""Says what the writer asks of an origin, and what an origin may do with the store.

A server's content comes from a database (master) or from a feed (proxy).  The writer process
owns the loop; it calls an origin only from there, so an origin needs no lock.

1. An origin changes the store through its `StoreForOrigin` alone, and only from within a call of
   the writer.
2. Nothing that the database has not committed reaches the store.
3. No call blocks on the network: what must wait comes back as a `Later`.
4. `StoreFull` means that nothing was touched: what was served goes on being served.
5. Who has a database decides on writes, and nobody asks its writer what the database keeps: a
   `DecidingOrigin`. Who has none asks another server for both: an `AskingOrigin`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, Protocol, TypeVar

from csp.process.polling import Descriptor

if TYPE_CHECKING:
    from csp.model.history import HistoryPage, HistoryQuestion
    from csp.model.pairs import PairRow
    from csp.model.redundancy import Pair
    from csp.model.requests import WriteOutcome, WriteRequest
    from csp.model.sessions import SessionsPage, SessionsQuestion
    from csp.process.application import Finder
    from csp.process.own_options import OwnOptions
    from csp.process.standing import Standing
    from csp.tables.events import Alarm

T = TypeVar("T")


class StoreForOrigin(Protocol):
    """The store as an origin sees it; `csp.store.host.StoreHost` is the real one."""

    # The state in force; published is 0 and stream b"" before the first load.
    @property
    def loaded(self) -> bool: ...
    @property
    def has_generation(self) -> bool:
        """Whether something is in force, though perhaps in a way that can't be changed any more."""

    @property
    def stream(self) -> bytes: ...
    @property
    def published(self) -> int: ...
    @property
    def mark(self) -> int: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def heard_ms(self) -> int:
        """When the root was last known to have it, as a predecessor was told; 0: it wasn't."""

    def load_begin(self, stream: bytes) -> None:
        """Begins a load: into an empty store, or beside the generation that serves on."""

    def load(self, images: bytes) -> int:
        """Takes concatenated record images (public and account); how many were new."""

    def load_rekeyed(self, images: bytes) -> None:
        """Takes record images whose keys another key table has built."""

    def load_again(self, class_id: int, dbid: int) -> None:
        """Builds the keys of a loaded record anew: what they lead through is there now."""

    def load_entry(self, entry: bytes, accounts: Sequence[bytes] = ()) -> None:
        """Takes a change on top of what is being loaded, skipping what records already have."""

    @property
    def log_bytes(self) -> int:
        """How much history the store keeps: more need not be handed to it."""

    def seed_log(self, entry: bytes) -> None:
        """Adds history from before the load, ascending; before load_end."""

    def load_end(self, revision: int, mark: int, time_ms: int) -> None:
        """Publishes the load.  Where a generation was in force: flips, and logs the difference."""

    def load_abort(self) -> None:
        """Gives up a load and its memory; what is in force stays."""

    def apply(self, entry: bytes, accounts: Sequence[bytes] = (), *, settle: bool = True) -> None:
        """Publishes the entry of revision published + 1.

        Without `settle`, processes that sleep hear of it only by `settle`, or after a few more.
        """

    def settle(self) -> None:
        """Wakes those that wait for what was applied without it."""

    def follow(self, frames: memoryview) -> tuple[int, bool]:
        """Publishes the changes at the start of received frames that continue what is published.

        How many bytes it took, and whether the rest is the beginning of one more.  Where it is
        not, a frame of another kind stands there, or a change to be taken by `apply`, which says
        why it can't be.
        """

    def prepare(self, changes: Sequence[tuple[bytes, Sequence[bytes]]]) -> None:
        """Takes the memory that the next entry, with its account records, needs, so that applying
        it can't fail; of several, which follow each other, sees that there is room for them all.

        Asked before a database commits them.  StoreFull if there is none: nothing has changed.
        Where one is asked for alone, deletes and whatever shrinks what is stored still fit.
        """

    def abandon(self) -> None:
        """Gives back what was prepared: the database did not commit it."""

    def image(self, class_id: int, dbid: int) -> bytes | None:
        """The newest published record image; None where there is no such object."""

    def reader(self) -> Finder | None:
        """The newest published state; None before the first load."""

    def application(self, name: str) -> bytes:
        """The JSON of the Application of this name, as published; b"" where there is none."""

    @property
    def fence(self) -> int:
        """The fence number that a writer of this run took last, or was about to; 0: none did."""

    @fence.setter
    def fence(self, number: int) -> None: ...

    def raise_alarm(self, alarm: Alarm, number: str = "", /, **fields: object) -> None:
        """Raises an alarm of csp.store.alarms and logs its event with the fields, once."""

    def end_alarm(self, alarm: Alarm, /, **fields: object) -> None:
        """Takes an alarm back and logs that it is over, once; nothing where it is not raised."""

    @property
    def serving(self) -> bool:
        """Whether ports for clients are open, as was shown last."""

    @property
    def role(self) -> int:
        """ROLE_*, as was shown last."""

    def show_standing(self, standing: Standing) -> None:
        """Shows how this server stands in its pair; has its ports for clients opened or shut."""

    def set_link(self, state: int, master_revision: int, heard_ms: int, until_ms: int = 0) -> None:
        """Shows the link: LINK_*, the newest revision of the master, when it was last heard; until
        when LINK_DATABASE holds by the clock since the boot, 0: without an end.
        """


class Sums(NamedTuple):
    """Per class: how many records, and the sum modulo 2**64 of their record_hash, at one revision.

    The account class (250) is counted as any other.  Tombstones are not counted.
    """

    revision: int
    classes: dict[int, tuple[int, int]]


class EntriesPage(NamedTuple):
    """Log entries that follow one another; none where the first that was asked for is gone."""

    oldest: int  # revision of the oldest that is kept; 0: none is
    entries: list[bytes]

    def words(self) -> tuple[int | bytes, ...]:
        """The page as parts of an answer."""
        return (self.oldest, *self.entries)


@dataclass(eq=False)
class Later(Generic[T]):
    """An answer that comes in a later turn of the loop, exactly once."""

    _waiting: list[Callable[[T | Exception], None]] = field(default_factory=list)
    _answer: list[T | Exception] = field(default_factory=list)

    def then(self, callback: Callable[[T | Exception], None]) -> None:
        """Calls back with the answer, or with the error that came instead."""
        if self._answer:
            callback(self._answer[0])
        else:
            self._waiting.append(callback)

    def answer(self, value: T | Exception) -> None:
        """Gives the answer; a second one is a fault of the caller."""
        if self._answer:
            raise RuntimeError("answered twice")
        self._answer.append(value)
        for callback in self._waiting:
            callback(value)
        self._waiting.clear()


class Origin(Protocol):
    """Where a server's content comes from: what a database and a feed have in common."""

    def start(self, host: StoreForOrigin) -> None:
        """Loads, or, where the host is loaded already (the writer was restarted), catches up.

        A database origin is done when this returns.  A feed origin only begins: its descriptors
        and `tick` do the rest, and the store serves what it has meanwhile.
        """

    @property
    def writable(self) -> bool:
        """Whether it takes writes at all; else each is refused as READONLY before it is asked."""

    def take_options(self, options: OwnOptions) -> None:
        """Called before the start, and whenever an option of this server has changed."""

    def head(self) -> int | Later[int]:
        """The newest revision of the master, asked for after this call began."""

    def above(self) -> Sequence[str]:
        """The identities of the servers that this one follows, the nearest first: none where it
        follows nobody now.
        """

    def hear_peer(self, dbid: int, text: bytes) -> bytes:
        """The other half of the pair, the Application of this DBID, says how it stands
        (csp/model/pairs.py): how this one does. NoPerm where it is not that.
        """

    def servers_above(self) -> frozenset[int]:
        """The DBIDs of the Applications of servers that are registered at those above."""

    def note_sessions(self, records: bytes) -> None:
        """Takes a batch of records of sessions (csp/model/sessions.py) for the master."""

    def note_accounts(self, notes: bytes) -> None:
        """Takes a batch of notes of accounts (csp/model/account_notes.py) for the master."""

    def use_ticket(self, digest: str) -> bool | Later[bool]:
        """Whether a Kerberos ticket, named by its SHA-256, is used for the first time; MasterDown
        where the one who knows is away.
        """

    def take_pair(self, pair: Pair | None, own_dbid: int) -> None:
        """Called behind the first load, and whenever the Applications say it anew: the pair that
        this server belongs to, None for a single one, and the DBID of its own Application, 0 where
        there is none.
        """

    def take_row(self, row: PairRow) -> int | Later[int]:
        """Makes this the row of a pair of proxies; its revision. Conflict where its number does not
        follow the present one; MasterDown where the one who decides is away.
        """

    def switch_over(self) -> Later[None] | None:
        """Has the other one of the pair take over; CspError where it can't, or is no pair."""

    def watches(self) -> Sequence[Descriptor]:
        """The descriptors to watch now; asked again in every turn."""

    def tick(self, now_ms: int) -> None:
        """Called ten times a second with the monotonic clock."""

    def reload(self) -> None:
        """Takes anew what lies in files: the password with which it signs in."""

    def note_stop(self) -> None:
        """Called before `close` where the whole server ends: what another one may take at once is
        to be given up.
        """

    def close(self) -> None:
        """Ends connections; the store stays."""


class DecidingOrigin(Origin, Protocol):
    """One that has the database: it decides on writes, and its own reading process on the rest."""

    @property
    def forwards(self) -> Literal[False]: ...

    def write(self, requests: Sequence[WriteRequest]) -> Sequence[WriteOutcome]:
        """Commits and applies each in this order; one outcome per request, errors included.

        Of an OUTCOME request the text is `committed <revision>`, `rejected` or `unknown`.
        """

    def settle(self) -> None:
        """Does what its answers need not wait for; called after they were sent."""


class AskingOrigin(Origin, Protocol):
    """One that follows a server: what only a database can answer, that one is asked."""

    @property
    def forwards(self) -> Literal[True]: ...

    def forward(self, messages: Sequence[list[bytes]]) -> Sequence[Later[WriteOutcome]]:
        """Passes on WRITEs and OUTCOMEs as the workers sent them; many are under way at once.

        Those of one connection are decided in this order.
        """

    def history(self, question: HistoryQuestion) -> Later[HistoryPage]:
        """A page of the master's change records."""

    def sessions(self, question: SessionsQuestion) -> Later[SessionsPage]:
        """A page of the master's records of sessions."""

    def entries(self, first: int) -> Later[EntriesPage]:
        """A page of the log that the master keeps, from revision `first` on."""


AnyOrigin = DecidingOrigin | AskingOrigin
