"""What a proxy says of its clients' writes, against what its master has got of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csp.errors import MasterDown, UnknownOutcome
from csp.feed.forwards import Forwards
from csp.feed.link import LinkState
from csp.model.forward import END, PIECE_BYTES
from csp.model.principal import Principal, message_of
from csp.model.requests import WriteOutcome
from csp.resp import Decoder, Push
from tests.effort import examples

ASKS = message_of(Principal(7, address="192.0.2.7:4711"), is_server=False)
SIZES = st.sampled_from([0, 10, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES])
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.lists(SIZES, min_size=1, max_size=4)),
    st.tuples(st.just("answer"), st.integers(0, 20)),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("lose"), st.just(0)),
    st.tuples(st.just("back"), st.just(0)),
)


@dataclass
class FakeLink:
    """A link whose socket takes a piece when the test says so; what it took, the master has."""

    state: LinkState = LinkState.READY
    heard_ms: int = 0
    added: list[tuple[Any, ...]] = field(default_factory=list)
    on_drained: Any = None
    pieces: dict[int, list[bytes]] = field(default_factory=dict)
    whole: list[int] = field(default_factory=list)  # numbers, in the order of their ends

    @property
    def unsent_bytes(self) -> int:
        return sum(len(words[3]) for words in self.added)

    def add(self, *words: Any) -> None:
        self.added.append(words)

    def send(self) -> None:
        """Nothing: `take` says when."""

    def take(self, count: int) -> None:
        """The socket takes so many commands."""
        for _, number, more, piece in self.added[:count]:
            self.pieces.setdefault(number, []).append(piece)
            if more == END:
                self.whole.append(number)
        del self.added[:count]
        if not self.added and self.on_drained:
            self.on_drained()


class Playing:
    """One proxy, its links one after the other, and what its clients were told."""

    def __init__(self) -> None:
        self.forwards = Forwards("above:2020", lambda: 0)
        self.links: list[FakeLink] = []
        self.told: dict[int, list[WriteOutcome | Exception]] = {}
        self.arrived: set[int] = set()  # clients' numbers of what a master has got whole
        self.answered: set[int] = set()
        self.count = 0

    @property
    def link(self) -> FakeLink | None:
        return self.links[-1] if self.links and self.links[-1].state is LinkState.READY else None

    def ask(self, sizes: list[int]) -> None:
        messages = []
        for size in sizes:
            self.count += 1
            self.told[self.count] = []
            name = b"%d" % self.count
            messages.append([b"WRITE", name, ASKS, name, b"one", b"CFG.CREATE", b"x" * size])
        first = self.count - len(sizes) + 1
        for number, later in enumerate(self.forwards.write(messages, None), first):
            later.then(self.told[number].append)

    def back(self) -> None:
        if self.link is None:
            self.links.append(FakeLink())
            self.forwards.use(self.links[-1])  # type: ignore[arg-type]

    def lose(self) -> None:
        if self.link is not None:
            self._note_arrivals()
            self.link.state = LinkState.BROKEN
            self.forwards.lost("cut")

    def take(self, count: int) -> None:
        if self.link is not None:
            self.link.take(count)
            self._note_arrivals()

    def answer(self, which: int) -> None:
        """The master answers one of those that it has."""
        if self.link is None or not self.link.whole:
            return
        number = self.link.whole.pop(which % len(self.link.whole))
        name = self._name(self.link, number)
        self.answered.add(name)
        self.forwards.take(Push([b"forwarded", b"%d" % number, b"DONE", b"%d" % (100 + name), b""]))

    def _note_arrivals(self) -> None:
        assert self.link is not None
        self.arrived |= {self._name(self.link, number) for number in self.link.whole}

    def _name(self, link: FakeLink, number: int) -> int:
        decoder = Decoder()
        decoder.feed(b"".join(link.pieces[number]))
        (words,) = decoder
        assert isinstance(words, list)
        assert words[0] == b"WRITE"
        assert isinstance(words[2], bytes)
        return int(words[2])


@examples(60)
@given(st.lists(STEPS, max_size=40))
def test_each_write_is_answered_once_and_by_what_is_known_of_it(
    steps: list[tuple[str, Any]],
) -> None:
    playing = Playing()
    playing.back()
    for step, argument in steps:
        getattr(playing, step)(*([argument] if step in ("ask", "answer", "take") else []))
    playing.lose()
    for number, told in playing.told.items():
        (outcome,) = told
        assert isinstance(outcome, WriteOutcome)
        if outcome.error is None:
            assert outcome.revision == 100 + number
            assert number in playing.answered
        elif isinstance(outcome.error, MasterDown):
            assert number not in playing.arrived, "it is said never to happen"
        else:
            assert isinstance(outcome.error, UnknownOutcome)
            assert number not in playing.answered


@examples(50)
@given(st.lists(SIZES, min_size=1, max_size=12))
def test_all_arrive_whole_and_small_ones_in_their_order(sizes: list[int]) -> None:
    playing = Playing()
    playing.back()
    playing.ask(sizes)
    link = playing.link
    assert link is not None
    while link.added:
        playing.take(1)
    assert sorted(playing.arrived) == list(range(1, len(sizes) + 1))
    small = [number for number, size in enumerate(sizes, 1) if size <= 10]
    assert [number for number in link.whole if number in small] == small
