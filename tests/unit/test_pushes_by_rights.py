"""What subscribers and trackers are told when they may not read everything, or rights change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from csp.model.places import Place
from csp.model.rights import ACCESS_GROUP, PERSON, PROPAGATE, READ, Account
from csp.resp import request
from tests.property.granted_world import folder, group
from tests.property.reach_world import FOLDER, MASTER, SKILL, Client, ReachWorld

AGENT, GROUP = 102, 300
OPEN, HIDDEN = (FOLDER, 251), (FOLDER, 252)
ALL_OF_IT = [(b"cfg", False)]
READS = READ | PROPAGATE


class Estate:
    """Two folders, one of which the agent may read by his group, with some skills in each."""

    def __init__(self, turn_us: int = 10_000_000, skills: int = 2, **more: int) -> None:
        self.world = ReachWorld(1, turn_us=turn_us, is_random=False, **more)
        estate = self.world.estate
        for place in (OPEN, HIDDEN):
            estate.put("CfgFolder", place[1], **folder(place[1], 0))
            for number in range(skills):
                self.skill(1000 * (place[1] - 250) + number, place)
        estate.put("CfgAccessGroup", GROUP, **group(GROUP, [(PERSON.id, AGENT)], inside=252))
        estate.put("CfgPerson", AGENT, folderDBID=252)
        self.grant(OPEN, READS)
        self.world.commit()

    def skill(self, dbid: int, inside: Place, **more: Any) -> Place:
        made = {"name": f"s{dbid}", "tenantDBID": 1, "folderDBID": inside[1], "state": "enabled"}
        return self.world.estate.put("CfgSkill", dbid, **{**made, **more})

    def grant(
        self, place: Place, grant: int | None, who: Account = (ACCESS_GROUP.id, GROUP)
    ) -> None:
        if grant is None:
            self.world.estate.grant(place, {})
        else:
            self.world.estate.add(place, who, grant)

    def told(self, client: Client) -> list[tuple[Any, ...]]:
        """What has come to it: operation, DBID, revision, whether more follows."""
        self.world.settle([client])
        found = [(one["op"], one["DBID"], one["revision"], one["more"]) for one in client.told]
        client.told.clear()
        return found


@pytest.fixture
def estate() -> Iterator[Estate]:
    found = Estate()
    yield found
    found.world.close()


def test_what_is_no_longer_readable_goes_and_is_told_of_no_more(estate: Estate) -> None:
    """T23, F86: a lost permission arrives as deletes; after them nothing of those objects comes."""
    client = estate.world.connect(AGENT, channels=ALL_OF_IT)
    estate.grant(OPEN, 0 | PROPAGATE)
    lost = estate.world.commit()
    # The folder itself has the grant: it is changed by it, out of reach.
    found = estate.told(client)
    assert sorted(found) == [("delete", dbid, lost, False) for dbid in (251, 1000, 1001)]
    estate.skill(1000, OPEN, name="other")
    estate.world.commit()
    assert estate.told(client) == []


def test_what_a_new_group_opens_appears(estate: Estate) -> None:
    """T25, F86: who becomes a member is shown what the group may read, as creates."""
    estate.world.estate.put("CfgAccessGroup", GROUP, **group(GROUP, [], inside=252))
    estate.world.commit()
    client = estate.world.connect(AGENT, channels=[(b"cfg:CfgSkill", False)])
    assert not client.known[b"cfg:CfgSkill"]
    estate.world.estate.put(
        "CfgAccessGroup", GROUP, **group(GROUP, [(PERSON.id, AGENT)], inside=252)
    )
    gained = estate.world.commit(MASTER)
    estate.world.settle([client])
    shown = {one["DBID"]: one for one in client.told}
    assert sorted(shown) == [1000, 1001]
    assert shown[1000]["op"] == "create"
    assert shown[1000]["revision"] == gained
    assert shown[1000]["object"]["name"] == "s1000"
    assert shown[1000]["object"]["revision"] < gained
    assert "actor" not in shown[1000]


def test_changes_of_what_is_hidden_are_no_changes(estate: Estate) -> None:
    """F82: no update for unreadable objects; `more` speaks of what is shown alone."""
    client = estate.world.connect(AGENT, channels=ALL_OF_IT)
    for dbid, inside in ((1000, OPEN), (2000, HIDDEN), (1001, OPEN), (2001, HIDDEN)):
        estate.skill(dbid, inside, name="other")
    revision = estate.world.commit()
    assert estate.told(client) == [
        ("update", 1000, revision, True),
        ("update", 1001, revision, False),
    ]


def test_what_moves_out_of_sight_is_deleted_and_comes_back_as_a_create(estate: Estate) -> None:
    """F86: a move between folders is judged at both ends."""
    client = estate.world.connect(AGENT, channels=ALL_OF_IT)
    estate.skill(1000, HIDDEN)
    gone = estate.world.commit()
    assert estate.told(client) == [("delete", 1000, gone, False)]
    estate.skill(1000, HIDDEN, name="unseen")
    estate.world.commit()
    estate.skill(1000, OPEN, name="back")
    back = estate.world.commit()
    estate.world.settle([client])
    (one,) = client.told
    assert (one["op"], one["revision"], one["object"]["name"]) == ("create", back, "back")


def test_a_folder_that_moves_takes_all_below_with_it(estate: Estate) -> None:
    """F86: nothing of them has changed, and yet they go."""
    world = estate.world
    inner = (FOLDER, 253)
    world.estate.put("CfgFolder", 253, **folder(253, OPEN[1]))
    estate.skill(1500, inner)
    world.commit()
    client = world.connect(AGENT, channels=ALL_OF_IT)
    world.estate.put("CfgFolder", 253, folderDBID=HIDDEN[1])
    moved = world.commit()
    assert estate.told(client) == [("delete", 253, moved, False), ("delete", 1500, moved, False)]


def test_the_author_is_named_to_who_may_read_him(estate: Estate) -> None:
    """Nothing of an account reaches who may not read it."""
    client = estate.world.connect(AGENT, channels=ALL_OF_IT)
    other = estate.world.connect(MASTER, channels=ALL_OF_IT)
    estate.skill(1000, OPEN, name="other")
    estate.world.commit(MASTER)
    estate.world.settle([client, other])
    assert "actor" not in client.told[0]
    assert other.told[0]["actor"] == {"account": f"CfgPerson:{MASTER}", "application": "x"}
    estate.grant((PERSON.id, MASTER), READ)
    estate.world.commit(MASTER)
    estate.skill(1000, OPEN, name="again")
    estate.world.commit(MASTER)
    estate.world.settle([client])
    assert client.told[-1]["actor"]["account"] == f"CfgPerson:{MASTER}"


def test_who_is_behind_reads_anew_when_its_rights_change(estate: Estate) -> None:
    """A cursor that was behind of its own accord gets `resync`; others are shown it all."""
    world = estate.world
    slow = world.connect(AGENT, channels=ALL_OF_IT, is_lazy=True)
    quick = world.connect(AGENT, channels=ALL_OF_IT)
    for number in range(100):
        estate.skill(1000, OPEN, name=f"{number}".ljust(900, "x"))
        world.commit()
        world.settle([quick])
    assert world.loop.counters()["lagging"] == 1
    estate.grant(OPEN, 0 | PROPAGATE)
    world.commit()
    world.settle([quick])
    world.settle([quick, slow])
    assert (quick.resyncs, slow.resyncs) == (0, 1)
    world.judge(quick, actors=False)
    world.judge(slow, actors=False)


def test_a_long_flip_and_changes_meanwhile_tell_each_object_once() -> None:
    """A turn does a piece of it; what changes before or behind the place comes in its way."""
    estate = Estate(turn_us=0, skills=400)
    world = estate.world
    client = world.connect(AGENT, channels=[(b"cfg:CfgSkill", False), (b"cfg:*:2*", True)])
    estate.grant(HIDDEN, READS)
    world.commit()
    for number in range(8):
        world.turns(1)
        estate.skill(2000 + 50 * number, HIDDEN, name="meanwhile")
        estate.skill(2399 - number, OPEN if number % 2 else HIDDEN)
        if number % 3 == 0:
            world.estate.remove((SKILL, 2010 + 40 * number))
        world.commit()
    world.settle([client])
    world.judge(client, actors=False)
    assert client.resyncs == 0
    world.close()


def test_a_transaction_that_was_begun_is_told_to_its_end() -> None:
    """Where rights change meanwhile, `more` keeps its word; then what was lost goes."""
    estate = Estate(turn_us=0, skills=200)
    world = estate.world
    client = world.connect(AGENT, channels=[(b"cfg:CfgSkill", False)])
    for dbid in range(1000, 1200):
        estate.skill(dbid, OPEN, name="other")
    for dbid in range(2000, 2010):
        estate.skill(dbid, HIDDEN, name="other")
    revision = world.commit()
    world.turns(2)
    client.receive()
    world.take(client)
    assert 0 < len(client.told) < 200
    estate.grant(OPEN, 0 | PROPAGATE)
    lost = world.commit()
    found = estate.told(client)
    assert found[:200] == [("update", 1000 + n, revision, n < 199) for n in range(200)]
    assert sorted(found[200:]) == [("delete", 1000 + n, lost, False) for n in range(200)]
    assert client.resyncs == 0
    world.close()


def test_what_follows_is_known_of_a_long_transaction_too() -> None:
    """`more` is looked for by the piece; each turn goes on where the last one was."""
    estate = Estate(turn_us=0)
    world = estate.world
    client = world.connect(AGENT, channels=ALL_OF_IT)
    estate.skill(1000, OPEN, name="first")
    for dbid in range(5000, 8000):
        estate.skill(dbid, HIDDEN)
    estate.skill(1001, OPEN, name="last")
    revision = world.commit()
    assert estate.told(client) == [
        ("update", 1000, revision, True),
        ("update", 1001, revision, False),
    ]
    estate.skill(1001, OPEN, name="first and last")
    for dbid in range(5000, 8000):
        estate.skill(dbid, HIDDEN, name="other")
    revision = world.commit()
    assert estate.told(client) == [("update", 1001, revision, False)]
    world.close()


def test_what_has_left_the_log_is_judged_by_names() -> None:
    """Entries of the master have no numbers of nodes."""
    estate = Estate(log_bytes=100_000)
    world = estate.world
    since = world.store.writer.published
    for number in range(200):
        estate.skill(1000 + number % 2, OPEN, name=f"{number}".ljust(600, "x"))
        estate.skill(2000, OPEN if number % 50 == 49 else HIDDEN, name=f"{number}")
        world.commit()
    assert world.store.writer.oldest > since + 1
    client = world.connect(AGENT, channels=ALL_OF_IT, since=since)
    world.settle([client])
    world.judge(client, actors=False)
    assert client.resyncs == 0
    world.close()


@pytest.mark.parametrize("log_bytes", [0, 100_000], ids=["in the log", "from the master"])
def test_a_place_from_before_other_rights_is_worth_nothing(log_bytes: int) -> None:
    """It would be told changes of objects that it never had, and never those that it gained."""
    estate = Estate(log_bytes=log_bytes)
    world = estate.world
    since = world.store.writer.published
    estate.grant(HIDDEN, READS)
    world.commit()
    for number in range(200):
        estate.skill(2000, HIDDEN, name=f"{number}".ljust(600, "x"))
        world.commit()
    client = world.connect(AGENT, channels=ALL_OF_IT, since=since)
    world.settle([client])
    assert client.resyncs == 1
    world.judge(client, actors=False)
    later = world.connect(AGENT, channels=ALL_OF_IT, since=world.store.writer.published - 3)
    world.settle([later])
    world.judge(later, actors=False)
    assert later.resyncs == 0
    world.close()


def test_another_generation_is_read_anew_by_who_may_not_read_all(estate: Estate) -> None:
    """Its nodes have other numbers: what one might read in the old one is not known in it."""
    client = estate.world.connect(AGENT, channels=ALL_OF_IT)
    other = estate.world.connect(MASTER, channels=ALL_OF_IT)
    estate.world.load_anew()
    estate.world.settle([client, other])
    assert (client.resyncs, other.resyncs) == (1, 0)
    estate.skill(1000, HIDDEN)
    estate.skill(2000, OPEN)
    revision = estate.world.commit()
    assert estate.told(client) == [
        ("delete", 1000, revision, True),
        ("create", 2000, revision, False),
    ]
    estate.grant(HIDDEN, READS)
    estate.world.commit()
    estate.world.settle([client])
    estate.world.judge(client, actors=False)


def test_another_account_on_a_subscribed_connection_is_told_what_it_may_read(
    estate: Estate,
) -> None:
    """AUTH anew: nothing of the one before is left to the next, and nothing is missing."""
    client = estate.world.connect(AGENT, channels=ALL_OF_IT)
    estate.world.sign_in(client, AGENT)
    assert estate.told(client) == []
    for account in (MASTER, AGENT):
        estate.world.sign_in(client, account)
        estate.world.settle([client])
        estate.world.judge(client, actors=False)


# ---- client-side caching ----


def invalidated(estate: Estate, client: Client) -> list[Any]:
    """The keys that were taken back since; None: all."""
    estate.world.settle([client])
    found = [one[1] for one in client.replies if isinstance(one, list) and one[0] == b"invalidate"]
    return [None if keys is None else [bytes(key) for key in keys] for keys in found]


@pytest.mark.parametrize("mode", [(), ("BCAST",)], ids=["what was read", "by prefix"])
def test_keys_of_what_is_hidden_are_not_invalidated(estate: Estate, mode: tuple[str, ...]) -> None:
    """A change of an object that one may read neither before nor after it is none."""
    client = estate.world.connect(AGENT, channels=[(b"cfg.notice", False)])
    client.socket.send(request("CLIENT", "TRACKING", "ON", *mode))
    for dbid in (1000, 2000):
        client.socket.send(request("GET", f"CfgSkill:{dbid}"))
    estate.world.settle([client])
    estate.skill(2000, HIDDEN, name="other")
    estate.world.commit()
    assert invalidated(estate, client) == []
    estate.skill(1000, OPEN, name="other")
    estate.world.commit()
    assert invalidated(estate, client) == [[b"CfgSkill:1000"]]
    client.socket.send(request("GET", "CfgSkill:2000"))
    estate.world.settle([client])
    estate.skill(2000, OPEN)
    estate.world.commit()
    assert invalidated(estate, client) == [[b"CfgSkill:2000"]]
    estate.grant(OPEN, 0 | PROPAGATE)
    estate.world.commit()
    assert invalidated(estate, client) == [None]


def test_channels_of_what_is_hidden_are_named_to_nobody(estate: Estate) -> None:
    """Who lists channels learns of no object, nor of a tenant, that he may not read."""
    world = estate.world
    asks = world.connect(AGENT, channels=ALL_OF_IT)
    (conn,) = [one["conn"] for one in world.loop.clients() if one["account_dbid"] == AGENT]
    names = [b"cfg:CfgSkill:1000", b"cfg:CfgSkill:2000", b"cfg:CfgSkill:9", b"cfg@1", b"cfg", b"x"]
    assert world.loop.may_hear(conn, names) == [True, False, False, False, True, True]
    world.leave(asks)
