"""What changes match, found by numbers, against globs matched with all their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp._fastpath import Matcher, match_glob
from csp.model.types import CLASSES
from tests.effort import examples
from tests.property.log_items import entry, item

NAMES = {cls.id: name for name, cls in CLASSES.items()}
# Few of each, so that what is drawn meets.
CLASS_NAMES = ("CfgPerson", "CfgPlace", "CfgPlaceGroup", "CfgDN", "CfgEnumeratorValue")
NUMBERS = (1, 5, 10, 15, 105, 115, 4294967295)


items = st.builds(
    item,
    st.sampled_from([CLASSES[name].id for name in CLASS_NAMES]),
    st.sampled_from(NUMBERS) | st.integers(1, 2**32 - 1),
    st.lists(st.sampled_from(NUMBERS), min_size=0, max_size=3, unique=True),
)

parts = st.sampled_from(
    [
        *("cfg", "cfg@", ":", "*", "?", "cfg*", "cfg@*", ":*", "[C-P]", "[^a]", "[0-9]", "[!-~]"),
        *("[", "]", "[]", "[^]", "[:@]", "[1-", "[z-a]", "\\", "\\*", "\\:", "cf\\g", ".notice"),
        *("Cfg", "Person", "Place", "C", "g", "1", "5", "0", "01", "Group", "**", "x", "", " "),
        *(str(number) for number in NUMBERS),
        *(f"@{number}" for number in NUMBERS),
        *CLASS_NAMES,
        *(f":{name}" for name in CLASS_NAMES),
    ]
)
shapes = st.builds(
    lambda head, parts: ":".join([head, *parts]),
    st.sampled_from(["cfg", "cfg*", "cfg@*", "*", *(f"cfg@{number}" for number in NUMBERS)]),
    st.lists(
        st.sampled_from(["*", *CLASS_NAMES, "CfgNone", "05", *(str(n) for n in NUMBERS)]),
        max_size=3,
    ),
)
texts = (shapes | st.lists(parts, max_size=7).map("".join)).map(str.encode)


def expected(subscribed: list[tuple[bytes, bool]], names: list[bytes]) -> list[tuple[object, ...]]:
    """By the rules: each once, in the order they were made, by the first name that fits."""
    found: list[tuple[object, ...]] = []
    for text, pattern in subscribed:
        for name in names:
            if match_glob(text, name) if pattern else text == name:
                found.append((text, pattern, name))
                break
    return found


@examples(250)
@given(
    st.lists(st.tuples(texts, st.booleans()), unique=True, max_size=12), st.lists(items), st.data()
)
def test_a_change_matches_what_its_names_match(
    subscribed: list[tuple[bytes, bool]], changed: list[bytes], data: st.DataObject
) -> None:
    matcher = Matcher()
    for text, pattern in subscribed:
        matcher.add(text, pattern)
    for one in changed:
        assert matcher.match(one) == expected(subscribed, matcher.names(one))
    if subscribed:
        kept = data.draw(st.lists(st.sampled_from(subscribed), unique=True), label="kept")
        kept.sort(key=subscribed.index)
        for text, pattern in set(subscribed) - set(kept):
            matcher.drop(text, pattern)
        for one in changed:
            assert matcher.match(one) == expected(kept, matcher.names(one))
        assert matcher.notices() == [
            (text, pattern)
            for text, pattern in kept
            if (match_glob(text, b"cfg.notice") if pattern else text == b"cfg.notice")
        ]
        for text, pattern in kept:
            matcher.drop(text, pattern)
    assert matcher.counts() == {"all": 0, "loose": 0, "places": 0}


@examples(100)
@given(
    st.lists(st.tuples(texts, st.booleans()), unique=True, min_size=1, max_size=30),
    st.lists(items, min_size=1, max_size=20),
    st.data(),
)
def test_the_last_change_of_a_transaction_is_known(
    subscribed: list[tuple[bytes, bool]], changed: list[bytes], data: st.DataObject
) -> None:
    """However many subscribed before the entry was looked at, between, and after."""
    matcher = Matcher()
    entries = [entry(revision, changed[revision % 3 :]) for revision in range(7, 17)]
    missing = list(subscribed)
    while missing:
        for _ in range(data.draw(st.integers(1, len(missing)), label="so many subscribe")):
            matcher.add(*missing.pop())
        present = subscribed[len(missing) :]
        which = data.draw(st.integers(0, len(entries) - 1), label="the entry told")
        items_ = changed[(which + 7) % 3 :]
        if data.draw(st.booleans(), label="in steps"):
            matcher.marked(entries[which], data.draw(st.integers(0, 5), label="items"))
        for text, pattern in present:
            hits = [
                i for i, one in enumerate(items_) if expected([(text, pattern)], matcher.names(one))
            ]
            assert matcher.last(text, pattern, entries[which]) == max(hits, default=0)


@pytest.mark.parametrize(
    ("pattern", "is_loose", "matches"),
    [
        (b"cfg", False, True),
        (b"*", False, True),
        (b"cfg*", False, True),
        (b"cfg:*", False, True),
        (b"cfg@1:*", False, True),
        (b"cfg@*:CfgPerson:*", False, False),  # no channel of a tenant names an object
        (b"cfg@*:CfgPerson", False, True),
        (b"cfg:CfgPerson:*", False, True),
        (b"cfg*:CfgPerson", False, True),
        (b"*:105", False, True),
        (b"cfg:CfgPerson:0105", False, False),  # odd spellings
        (b"cfg:CfgNone:*", False, False),
        (b"cfg@01", False, False),
        (b"cfg:cfgperson", False, False),
        (b"news.*", False, False),  # foreign
        (b"cfg.*", False, False),
        (b"cfg:Cfg[PA]*:1?5", True, True),
        (b"cfg:CfgPerson:1*", True, True),
        (b"cfg:*Person*", True, True),
        (b"cfg**", True, True),
        (b"*news*", True, False),
        (b"cfg:" + b"?" * 80, True, False),
    ],
)
def test_which_patterns_are_loose(pattern: bytes, is_loose: bool, matches: bool) -> None:
    matcher = Matcher()
    matcher.add(pattern, True)
    assert matcher.counts()["loose"] == is_loose
    assert bool(matcher.match(item(CLASSES["CfgPerson"].id, 105, [1]))) is matches


def test_all_class_names_are_of_characters_that_compiled_patterns_meet() -> None:
    for class_id, name in NAMES.items():
        matcher = Matcher()
        matcher.add(b"cfg:?" + name[1:].encode() + b":*", True)
        assert matcher.match(item(class_id, 101, [1])) == [
            (b"cfg:?" + name[1:].encode() + b":*", True, b"cfg:%s:101" % name.encode())
        ]


def test_changes_of_unknown_classes_match_nothing() -> None:
    matcher = Matcher()
    matcher.add(b"*", True)
    matcher.add(b"cfg", False)
    assert matcher.match(item(250, 101, [1])) == []
    assert matcher.match(item(0, 101, [1])) == []
