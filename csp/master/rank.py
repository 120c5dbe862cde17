"""What a master is among those of its database, and what it does to become or to stay it.

1. The table decides (lease_table.py); what it says is done here, in the writer's loop.
2. A master that stands by reads the head row each POLL_MS, in one statement, and follows it.
3. The primary moves the counter, and looks who stands by, each RENEW_MS.
4. A hand-over names the standby that may take it at once; who has handed over takes it back where
   that one did not, after a lease.
5. What it is is shown whenever it changes: role, whether its ports are to be open, the other one,
   and why a switchover now would not be seamless.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from csp import errors
from csp.master.commit import Replaced
from csp.master.database import Database, Head, said
from csp.master.follow import Follower
from csp.master.lease import Lease, Look
from csp.master.lease_table import Action, Finding, State
from csp.master.peers import Presence, Standbys
from csp.master.seat import ANYBODY, RENEW_MS, Holder
from csp.model.redundancy import Pair
from csp.observe.clock import wall_ms
from csp.observe.events import log_event
from csp.process.origin import Later, StoreForOrigin
from csp.process.places import for_clients
from csp.process.standing import NO_PAIR, ROLE_BACKUP, ROLE_PRIMARY, ROLE_SINGLE, Standing
from csp.store.alarms import ALARM_REPLACED
from csp.store.control import LINK_UP

POLL_MS: Final = 200  # of a standby: it has what was committed, and hears of a hand-over, so soon
TRIES_MAX: Final = 5  # to take it in one go, where others move the row meanwhile
GOES_ON: Final = (Action.SERVE, Action.RENEW)  # the lease is ours
SINGLE_NAME: Final = "another master"

log = logging.getLogger("csp.master")


class Rank:
    """One master among those of its database."""

    def __init__(self, database: Database, me: Holder) -> None:
        self.lease = Lease(database, me)
        self.pair: Pair | None = None
        self.is_pair_told = False
        self.own_dbid = 0
        self.is_standing_by = False
        self._database = database
        self._presence = Presence(database, me)
        self._standbys = Standbys(database)
        self._holder: Holder | None = None  # who has it, where it is another
        self._handing: Later[None] | None = None
        self._handed_fence = 0
        self._polled_ms = self._looked_ms = -POLL_MS - RENEW_MS
        self._lag = 0  # of a standby, in changes
        self._shown: Standing | None = None

    def begin(self, host: StoreForOrigin) -> None:
        """Before anything else: whose store it is; what a writer before has taken is ours."""
        self._host = host
        self._follower = Follower(self._database, host)
        self.lease.chair.fence = host.fence

    # -- taking it -----------------------------------------------------------------------------

    def seek(self) -> Head | None:
        """Looks, and takes the lease where that may be; None: this one is to stand by."""
        for _ in range(TRIES_MAX):
            look, action = self._look()
            if action in GOES_ON:
                self.lease.renew()
                return self._database.head()
            if action is not Action.TAKE:
                return None
            head = self._take(look)
            if head is not None:
                return head
        return None

    def _look(self) -> tuple[Look | None, Action]:
        look, asked_ms = self.lease.look()
        chair = self.lease.chair
        if look is None:  # a database without anything: whoever comes first makes its row
            return None, chair.find(Finding.FREE)
        action = chair.read(look.seat, asked_ms)
        self._holder = look.seat.holder
        if self._handing is not None and look.seat.fence > self._handed_fence:
            self._handed()
        return look, action

    def _take(self, look: Look | None) -> Head | None:
        """None where another was there first."""
        try:
            head = self.lease.take(look, self._note)
        except (Replaced, IntegrityError):
            self.lease.find(Finding.BEATEN)
            return None
        self.lease.find(Finding.TAKEN)
        before = look.seat.holder if look is not None else None
        if before is not None and not self.lease.chair.me.is_server(before):
            log_event(log, "51380", fence=head.fence, holder=before.name)
        return head

    def _note(self, fence: int) -> None:
        self._host.fence = fence

    # -- having it -----------------------------------------------------------------------------

    def lead(self, revision: int) -> None:
        """It serves from now on."""
        if self._handing is not None:
            self._handed(errors.MasterDown("the backup did not take over: this one goes on"))
        if self.is_standing_by:
            self.is_standing_by = False
            with contextlib.suppress(SQLAlchemyError):
                self._presence.withdraw()
        self._look_at_standbys(0, revision)
        self.show()

    def keep(self, now_ms: int, revision: int) -> bool:
        """In each tick of who has it; whether it was renewed; Replaced where another has it."""
        is_renewed = self.lease.keep()
        if now_ms - self._looked_ms >= RENEW_MS:
            self._look_at_standbys(now_ms, revision)
            self.show()
        return is_renewed

    def _look_at_standbys(self, now_ms: int, revision: int) -> None:
        self._looked_ms = now_ms
        self._standbys.look(now_ms, revision)

    # -- not having it ---------------------------------------------------------------------------

    def demote(self, reason: str) -> None:
        """It takes no writes any more: its ports shut, its store follows."""
        if self.lease.chair.state is State.PRIMARY:
            self.lease.find(Finding.BEATEN)
        if not self.is_standing_by:
            self.is_standing_by = True
            log_event(log, "51381", reason=reason)
        self.show()
        self._tell_replaced()

    def poll(self, now_ms: int) -> Head | None:
        """In each tick of a standby: follows; the head, if it has taken the lease."""
        if now_ms - self._polled_ms < POLL_MS:
            return None
        self._polled_ms = now_ms
        look, action = self._look()
        if action is Action.TAKE:
            return self._take(look)
        if action in GOES_ON:  # it was taken, but then the database refused something
            return self._database.head()
        if look is not None:
            self._follow(now_ms, look.head)
        return None

    def _follow(self, now_ms: int, head: Head) -> None:
        host = self._host
        self._follower.follow(head)
        self._lag = max(0, head.revision - host.published)
        if host.loaded:
            self._presence.show(now_ms, host.published, host.mark)
            host.set_link(LINK_UP, head.revision, wall_ms())
        self.show()

    @property
    def why_not(self) -> errors.MasterDown:
        """What a write gets of a master that stands by."""
        return errors.MasterDown(
            f"this master stands by as the backup of {self._other}, which takes all writes"
        )

    @property
    def _other(self) -> str:
        return self._holder.application if self._holder is not None else SINGLE_NAME

    # -- asked -----------------------------------------------------------------------------------

    def switch_over(self) -> Later[None]:
        """Leaves the lease to the standby; MasterDown, NoRef: it is not done, and why."""
        if self.is_standing_by:
            raise self.why_not
        why = self._why_not_seamless()
        best = self._standbys.best
        if best is None:
            raise errors.MasterDown(why) if self._has_other else errors.NoRef(NO_PAIR)
        if self.lease.find(Finding.SWITCH) is not Action.RELEASE:
            raise errors.MasterDown("this master does not have its database now")
        self._handed_fence = self._database.fence
        self._handing = Later()
        log_event(log, "51382", heir=best.told.application)
        try:
            self.lease.release(best.name)
        except Replaced:
            self.lease.find(Finding.BEATEN)
        except SQLAlchemyError as error:  # it may be done, or not: the row will say
            log_event(log, "51383", reason=said(error))
        return self._handing

    def _handed(self, error: errors.CspError | None = None) -> None:
        later, self._handing = self._handing, None
        if later is not None:
            later.answer(error)

    def leave(self) -> None:
        """The server ends: whoever stands by need not wait."""
        with contextlib.suppress(errors.CspError, SQLAlchemyError, Replaced):
            if self.lease.find(Finding.STOP) is Action.GIVE_UP:
                self.lease.release(ANYBODY)
            elif self.is_standing_by:
                self._presence.withdraw()

    def lost(self) -> None:
        """The database is away."""
        self.lease.find(Finding.GONE)

    # -- shown -----------------------------------------------------------------------------------

    def take_pair(self, pair: Pair | None, own_dbid: int) -> None:
        """What the Applications say."""
        self.pair, self.own_dbid, self.is_pair_told = pair, own_dbid, True
        self.show()
        self._tell_replaced()

    def _tell_replaced(self) -> None:
        """A second master is a fault only where the configuration knows one."""
        if self.is_standing_by and self.is_pair_told and self.pair is None:
            self._host.raise_alarm(ALARM_REPLACED, reason=f"{self._other} has the database")
        else:
            self._host.end_alarm(ALARM_REPLACED)

    def show(self) -> None:
        """Shows it, where it has changed."""
        standing = self._standing()
        if standing != self._shown:
            self._shown = standing
            self._host.show_standing(standing)

    @property
    def is_shown(self) -> bool:
        """Whether it has shown what it is."""
        return self._shown is not None

    @property
    def _has_other(self) -> bool:
        return self.pair is not None or self._standbys.best is not None

    def _standing(self) -> Standing:
        peer, dbid, address = self._peer()
        fence = self._database.fence
        if self.is_standing_by:
            why = "" if self._host.loaded else "it is loading"
            why = why or (f"it lacks {self._lag} changes" if self._lag else "")
            return Standing(ROLE_BACKUP, False, peer, dbid, address, "serving", fence, why)
        if not self._has_other:
            return Standing(ROLE_SINGLE, True, number=fence, why_not=NO_PAIR)
        why = self._why_not_seamless()
        best = self._standbys.best
        state = "away" if best is None else "behind" if why else "ready"
        return Standing(ROLE_PRIMARY, True, peer, dbid, address, state, fence, why)

    def _peer(self) -> tuple[str, int, str]:
        """The other one: its name, DBID and address, by the configuration where it says them."""
        best = self._standbys.best
        name = address = ""
        if self.is_standing_by and self._holder is not None:
            name, address = self._holder.application, self._holder.address
        elif best is not None:
            name, address = best.told.application, best.told.address
        if self.pair is None or not self.pair.has(self.own_dbid):
            return name, 0, address
        peer = self.pair.peer_of(self.own_dbid)
        dbid = int(peer["DBID"])
        place = for_clients(peer, self.pair.host_of(dbid))
        return str(peer["name"]), dbid, place.address or address

    def _why_not_seamless(self) -> str:
        """Why a switchover from this primary would not be; empty where it would."""
        best = self._standbys.best
        if best is None:
            return "no backup of this master is there: none shows itself in its database"
        lag = self._standbys.lag(best)
        return f"the backup {best.told.application} lacks {lag} changes" if lag else ""


def unknown_standing(role: int) -> Standing:
    """What a master is until it has reached its database: a backup serves nobody before it knows.

    Whoever served last, by what it shows, serves on.
    """
    if role != ROLE_BACKUP:
        return Standing()
    return Standing(ROLE_BACKUP, False, why_not="its database is not there")
