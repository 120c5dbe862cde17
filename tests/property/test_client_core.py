"""The client's core under losses of every kind: what it says of a write is what became of it."""

from __future__ import annotations

from contextlib import suppress

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from csp.client.commands import Commands
from csp.client.core import Credentials
from csp.client.incoming import Incoming
from csp.client.problems import CannotConnect, ConnectionLost, NotApplied
from csp.client.steps import Steps
from csp.errors import Busy, Conflict, Loading, MasterDown, UnknownOutcome
from csp.resp import Push, encode
from tests.effort import examples
from tests.property.unsteady_server import ADDRESSES, FATES, UnsteadyServer, fates_in_order

NOTHING_DONE = (NotApplied, CannotConnect, ConnectionLost, Busy, Loading, MasterDown, Conflict)
fate_lists = st.lists(st.sampled_from(FATES), max_size=14)


def client_of(server: UnsteadyServer, *, reconnects: bool) -> Commands:
    return Commands(
        ADDRESSES,
        Credentials(password="x"),
        name="",
        reconnect_seconds=3.0 if reconnects else 0.0,
        outcome_seconds=3.0,
        is_open=lambda: server.is_open,
        clock=server.clock,
    )


@examples(50)
@given(fate_lists, st.lists(st.integers(1, 9), max_size=20), st.booleans(), st.lists(st.booleans()))
# The write was done, its reply lost, its outcome known, and then nobody is there to repeat it.
@example(
    ["well", "well", "well", "lost after", "well", "well", "well", "well", "busy"], [], True, []
)
@example(["well"] * 3 + ["done unknown", "well", "lost before"] + ["refuse"] * 99, [], True, [])
def test_what_is_said_of_a_write_is_true(
    fates: list[str], cuts: list[int], reconnects: bool, own_ids: list[bool]
) -> None:
    server = UnsteadyServer(fates_in_order(fates), cuts)
    client = client_of(server, reconnects=reconnects)
    for number, own in enumerate([*own_ids[:4], False]):
        content = {"name": f"write {number}"}
        write_id = f"own-{number}" if own else ""
        applied = orjson.dumps(content)
        try:
            made = server.run(client.create("CfgSkill", content, write_id))
        except UnknownOutcome:
            assert server.applied[applied] <= 1
        except NOTHING_DONE:
            server.run(client_settled(server))  # what is still under way arrives
            assert server.applied[applied] == 0
        else:
            assert server.applied[applied] == 1
            assert made.revision in server.done.values()
            assert not write_id or server.done[write_id] == made.revision


def client_settled(server: UnsteadyServer) -> Steps[int]:
    """Steps after which nothing is under way any more."""
    server.fates.clear()
    return client_of(server, reconnects=True).count("CfgSkill", [], {})


@examples(30)
@given(fate_lists, st.lists(st.integers(1, 9), max_size=20), st.booleans())
def test_a_read_gives_the_truth_or_says_why_not(
    fates: list[str], cuts: list[int], reconnects: bool
) -> None:
    server = UnsteadyServer(fates_in_order(fates), cuts)
    client = client_of(server, reconnects=reconnects)
    for _ in range(3):
        with suppress(CannotConnect, ConnectionLost, Busy, MasterDown):
            assert server.run(client.count("CfgSkill", [], {})) == 0
    server.fates.clear()
    assert server.run(client_of(server, reconnects=False).count("CfgSkill", [], {})) == 0


@examples(30)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=12),
    st.lists(st.integers(1, 20), max_size=30),
)
def test_replies_and_pushes_keep_their_order(sent: list[tuple[bool, int]], cuts: list[int]) -> None:
    """Cut anywhere, replies come in order and pushes beside them, in order too."""
    incoming = Incoming(ADDRESSES[0])
    data = b"".join(encode(Push([b"message", n]) if push else n, 3) for push, n in sent)
    replies: list[object] = []
    while data:
        size = cuts.pop() if cuts else len(data)
        incoming.feed(data[:size])
        data = data[size:]
        while (found := incoming.next())[0]:
            replies.append(found[1])
    assert replies == [number for push, number in sent if not push]
    pushes = list(iter(incoming.next_push, None))
    assert pushes == [[b"message", number] for push, number in sent if push]
