"""Where feeds stand in a turn: other servers are given a change before clients hear of it."""

from __future__ import annotations

from tests.server.hot_stage import HotServer, person


def test_who_follows_is_given_a_change_before_clients_are(server: HotServer) -> None:
    subscribers = [server.connect(proto=3) for _ in range(30)]
    for one in subscribers:
        one.call("SUBSCRIBE", "cfg")
    follower, asker = server.connect(), server.connect()
    assert follower.call("FOLLOW") == "OK"
    revisions = []
    for number in range(5):
        changed = person(101, lastName=f"N{number}")
        revisions.append(server.change(("update", "CfgPerson", changed)))
        assert follower.read() == f"fed {revisions[-1]}"
        for one in subscribers:
            assert one.read()[0] == "message"
    fed = asker.call("FED")[-5:]
    assert [one[0] for one in fed] == revisions
    assert [one[1] for one in fed] == [30 * number for number in range(5)]


def test_a_worker_that_only_feeds_is_woken_for_a_change(server: HotServer) -> None:
    follower = server.connect()
    assert follower.call("FOLLOW") == "OK"
    for number in range(3):
        revision = server.change(("update", "CfgPerson", person(101, lastName=f"N{number}")))
        assert follower.read() == f"fed {revision}"


def test_a_feed_goes_on_in_another_generation(server: HotServer) -> None:
    """Its first revision may be below the last that was fed."""
    follower = server.connect()
    assert follower.call("FOLLOW") == "OK"
    for number in range(3):
        server.change(("update", "CfgPerson", person(101, lastName=f"N{number}")))
        follower.read()
    server.next_generation(2, 99, difference=True)
    assert follower.read() == "fed 2"
