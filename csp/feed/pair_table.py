"""Says what one half of a pair of proxies does next, from all that it can see. Pure and total.

1. With the root there the row of the pair decides who serves: a half that serves beside it asks for
   the row or stops serving, and one that does not serve begins to by the row alone.
2. Without the root nobody stops serving but for a peer that serves by a newer row; who does not
   serve begins to when the row names it and the peer serves not, or when it is alone and has
   waited: two may serve then, which harms nobody, because only the master orders writes.
3. A half that serves without the root yields to a peer that has it.
4. Where a decision waits for somebody else's deed, `waited` (`peer-switchover-tmout`) ends the
   wait: no state lasts for good in which nobody serves.
5. A cut link between the two alone changes nothing: the peer is present at the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Root(Enum):
    """Whether this half reaches the one who orders writes."""

    THERE = "the master is there"
    AWAY = "the master is away"


class Peer(Enum):
    """The other half, as it last said itself."""

    SERVING = "serving"
    YIELDS = "yields"  # serves without the root, and asks this half to take over
    READY = "ready"  # loaded, with the root there
    BEHIND = "behind"  # it has nothing loaded, or the root is away there
    AWAY = "away"  # nothing is heard of it


class Row(Enum):
    """Whom the newest row of the pair names that is known here; without one the configuration."""

    ME = "this one"
    OTHER = "the other one"
    UNSET = "nothing is loaded"


class Present(Enum):
    """Whether the other half is registered at the root."""

    YES = "it is there"
    NO = "it was there, and has gone"
    UNKNOWN = "it is not known"


class Own(Enum):
    """What this half is now."""

    PRIMARY = "it serves"
    BACKUP = "it stands ready"


class Action(Enum):
    """What it does."""

    STAY = "stay"
    PROMOTE = "promote"  # begins to serve
    TAKE = "take"  # asks the root for the row
    DRAIN = "drain"  # ceases to serve
    YIELD = "yield"  # serves on, and asks the peer to take over


@dataclass(frozen=True)
class Sight:
    """All that one half sees."""

    own: Own
    root: Root
    peer: Peer
    row: Row
    present: Present
    waited: bool  # what it sees has been the same for `peer-switchover-tmout`


@dataclass(frozen=True)
class Verdict:
    """What it does, and why in words."""

    action: Action
    why: str


def decide(sight: Sight) -> Verdict:
    """What a half does that sees this."""
    if sight.row is Row.UNSET:
        return Verdict(Action.STAY, "nothing is loaded yet")
    if sight.own is Own.BACKUP:
        return _backup_with(sight) if sight.root is Root.THERE else _backup_alone(sight)
    return _primary_with(sight) if sight.root is Root.THERE else _primary_alone(sight)


def follows_peer(root: Root, own: tuple[bytes, int], peer: tuple[bytes, int]) -> bool:
    """Whether a half follows the feed of the other one, of streams and revisions of both.

    Only while the root is away here, and only who is behind: nobody goes back in time for it, and
    no circle comes of it.
    """
    if root is Root.THERE or not peer[0]:
        return False
    return not own[0] or (own[0] == peer[0] and own[1] < peer[1])


def _backup_with(sight: Sight) -> Verdict:
    """Stands ready, with the root."""
    if sight.row is Row.ME:
        return Verdict(Action.PROMOTE, "the row names this server")
    match sight.peer:
        case Peer.SERVING:
            return Verdict(Action.STAY, "the other one serves, as the row says")
        case Peer.YIELDS:
            return Verdict(Action.TAKE, "the other one has lost the master, and hands over")
        case Peer.READY:
            why = "the row names the other one, which is ready to serve"
        case Peer.BEHIND | Peer.AWAY:
            if sight.present is Present.NO:
                return Verdict(Action.TAKE, "the other one has gone from the master")
            if sight.peer is Peer.AWAY and sight.present is Present.YES:
                return Verdict(Action.STAY, "only the link to the other one is lost")
            why = "the row names the other one, of which too little is known"
    if sight.waited:
        return Verdict(Action.TAKE, f"{why}, and has not served in time")
    return Verdict(Action.STAY, why)


def _backup_alone(sight: Sight) -> Verdict:
    """Stands ready, without the root."""
    match sight.peer:
        case Peer.SERVING | Peer.YIELDS:
            return Verdict(Action.STAY, "the master is away, and the other one serves")
        case Peer.READY if not sight.waited:
            return Verdict(Action.STAY, "the other one has the master, and will serve")
        case Peer.READY | Peer.BEHIND | Peer.AWAY:
            if sight.row is Row.ME:
                return Verdict(Action.PROMOTE, "the row names this server, and nobody serves")
            if sight.waited:
                return Verdict(Action.PROMOTE, "neither the master nor a peer that serves was seen")
            return Verdict(Action.STAY, "the master is away, and the row names the other one")


def _primary_with(sight: Sight) -> Verdict:
    """Serves, with the root."""
    if sight.row is Row.ME:
        return Verdict(Action.STAY, "the row names this server")
    match sight.peer:
        case Peer.SERVING:
            return Verdict(Action.DRAIN, "the row names the other one, which serves")
        case Peer.YIELDS:
            return Verdict(Action.TAKE, "the row names the other one, which has lost the master")
        case Peer.READY:
            why = "the row names the other one, which is about to serve"
        case Peer.BEHIND | Peer.AWAY:
            if sight.present is Present.NO:
                return Verdict(Action.TAKE, "the row names the other one, which has gone")
            if sight.peer is Peer.AWAY and sight.present is Present.YES:
                return Verdict(Action.DRAIN, "the row names the other one, which has the master")
            why = "the row names the other one, of which too little is known"
    if sight.waited:
        return Verdict(Action.TAKE, f"{why}, and has not served in time")
    return Verdict(Action.STAY, why)


def _primary_alone(sight: Sight) -> Verdict:
    """Serves, without the root."""
    match sight.peer:
        case Peer.SERVING | Peer.YIELDS:
            if sight.row is Row.OTHER:
                return Verdict(Action.DRAIN, "the row names the other one, which serves")
            return Verdict(Action.STAY, "both serve: the row decides when the master is back")
        case Peer.READY:
            return Verdict(Action.YIELD, "the other one has the master")
        case Peer.BEHIND | Peer.AWAY:
            return Verdict(Action.STAY, "the master is away, and nobody else can serve")
