"""What one half of a pair of proxies does is said for all that it can see."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from csp.feed.pair_table import (
    Action,
    Own,
    Peer,
    Present,
    Root,
    Row,
    Sight,
    decide,
    follows_peer,
)

ALL = [Sight(*one) for one in itertools.product(Own, Root, Peer, Row, Present, (False, True))]
SERVED = (Peer.SERVING, Peer.YIELDS)


def name_of(sight: Sight) -> str:
    found = (sight.own, sight.root, sight.peer, sight.row, sight.present)
    return "-".join(one.name.lower() for one in found) + ("-waited" if sight.waited else "")


@pytest.mark.parametrize("sight", ALL, ids=name_of)
def test_each_sight_has_a_deed_that_fits_it(sight: Sight) -> None:
    verdict = decide(sight)
    assert verdict.why
    is_serving, has_root = sight.own is Own.PRIMARY, sight.root is Root.THERE
    match verdict.action:
        case Action.PROMOTE:
            assert not is_serving
            assert sight.row is not Row.UNSET
            # With the root there by the row alone; without it never beside one that serves.
            assert sight.row is Row.ME if has_root else sight.peer not in SERVED
        case Action.TAKE:
            assert has_root
            assert sight.row is Row.OTHER
            assert sight.peer is not Peer.SERVING
        case Action.DRAIN:
            assert is_serving
            assert sight.row is Row.OTHER
            # Somebody else serves, or has all that it needs to.
            alive = sight.peer in SERVED or sight.present is Present.YES
            assert alive
        case Action.YIELD:
            assert is_serving
            assert not has_root
            assert sight.peer is Peer.READY


def test_nobody_waits_for_good_where_nobody_serves() -> None:
    for sight in ALL:
        ready = sight.own is Own.BACKUP and sight.peer not in SERVED and sight.row is not Row.UNSET
        if not (ready and sight.waited):
            continue
        # A peer at the root is known to live: it serves, though not a word of it is heard.
        hears_by_root = sight.present is Present.YES and sight.peer is Peer.AWAY
        if sight.root is Root.THERE and hears_by_root and sight.row is Row.OTHER:
            continue
        assert decide(sight).action in (Action.PROMOTE, Action.TAKE), name_of(sight)


def test_with_the_root_there_no_second_one_serves_on() -> None:
    """Whoever serves beside the row ceases to or asks for the row, at the latest in time."""
    for sight in ALL:
        if (sight.own, sight.root, sight.row) == (Own.PRIMARY, Root.THERE, Row.OTHER):
            in_time = decide(replace(sight, waited=True))
            assert in_time.action in (Action.DRAIN, Action.TAKE), name_of(sight)


def test_who_is_named_by_the_row_and_has_the_root_serves_whatever_else_is() -> None:
    for sight in ALL:
        if sight.row is Row.ME and sight.root is Root.THERE:
            wanted = Action.STAY if sight.own is Own.PRIMARY else Action.PROMOTE
            assert decide(sight).action is wanted, name_of(sight)


def test_a_longer_wait_takes_nothing_back() -> None:
    """What is done at once is done after a wait too."""
    for sight in ALL:
        at_once = decide(replace(sight, waited=False)).action
        if at_once is not Action.STAY:
            assert decide(replace(sight, waited=True)).action is at_once, name_of(sight)


BACKUP = Sight(Own.BACKUP, Root.THERE, Peer.SERVING, Row.OTHER, Present.YES, waited=True)
PRIMARY = Sight(Own.PRIMARY, Root.THERE, Peer.READY, Row.ME, Present.YES, waited=True)


@pytest.mark.parametrize("own", [BACKUP, PRIMARY], ids=["backup", "primary"])
def test_the_cut_link_of_the_pair_alone_changes_nothing(own: Sight) -> None:
    for waited in (False, True):
        sight = replace(own, peer=Peer.AWAY, waited=waited)
        assert decide(sight).action is Action.STAY


def test_a_primary_that_died_is_followed_at_once() -> None:
    """Known by its connections, of which the root tells; the link of the pair may be cut before."""
    gone = replace(BACKUP, peer=Peer.AWAY, present=Present.NO, waited=False)
    assert decide(gone).action is Action.TAKE
    assert decide(replace(gone, row=Row.ME)).action is Action.PROMOTE


def test_a_primary_without_the_root_hands_over_to_a_backup_that_has_it() -> None:
    primary = replace(PRIMARY, root=Root.AWAY, present=Present.UNKNOWN, waited=False)
    assert decide(primary).action is Action.YIELD
    backup = replace(BACKUP, peer=Peer.YIELDS, present=Present.NO, waited=False)
    assert decide(backup).action is Action.TAKE
    assert decide(replace(backup, row=Row.ME)).action is Action.PROMOTE
    # And goes on until the other one serves.
    row_taken = replace(primary, row=Row.OTHER)
    assert decide(row_taken).action is not Action.DRAIN
    assert decide(replace(row_taken, peer=Peer.SERVING)).action is Action.DRAIN


def test_without_root_and_peer_a_backup_serves_only_after_the_wait() -> None:
    alone = replace(BACKUP, root=Root.AWAY, peer=Peer.AWAY, present=Present.UNKNOWN)
    assert decide(replace(alone, waited=False)).action is Action.STAY
    assert decide(alone).action is Action.PROMOTE
    # When the root is back the row decides.
    back = replace(alone, own=Own.PRIMARY, root=Root.THERE, present=Present.YES)
    assert decide(back).action is Action.DRAIN


def test_who_is_behind_follows_the_other_while_the_root_is_away() -> None:
    ours, theirs = b"ours", b"theirs"
    assert follows_peer(Root.AWAY, (ours, 4), (ours, 5))
    assert follows_peer(Root.AWAY, (b"", 0), (ours, 5))
    assert not follows_peer(Root.THERE, (ours, 4), (ours, 5))
    assert not follows_peer(Root.AWAY, (ours, 5), (ours, 5))
    assert not follows_peer(Root.AWAY, (ours, 6), (ours, 5))  # it would go back in time
    assert not follows_peer(Root.AWAY, (theirs, 4), (ours, 5))
    assert not follows_peer(Root.AWAY, (ours, 4), (b"", 0))
