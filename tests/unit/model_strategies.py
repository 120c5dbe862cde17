"""Makes objects of any class from the object table, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from csp.model.types import Attribute, ObjectClass, Part
from csp.model.values import member_key

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8
)
dbids = st.integers(1, 12)
ints = st.integers(-(2**31), 2**31 - 1)
options = st.one_of(texts, ints, st.just({"base64": "AAEC"}))
kvlists = st.dictionaries(names, st.dictionaries(names, options, max_size=3), max_size=3)


def of_part(part: Part) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {one.name: of(one) for one in part.attributes if one.mandatory or one.default is not None},
        optional={
            one.name: of(one)
            for one in part.attributes
            if not one.mandatory and one.default is None
        },
    )


def of_list(one: Attribute) -> st.SearchStrategy[list[Any]]:
    if one.part is None:
        return st.lists(dbids, unique=True, min_size=1, max_size=5)
    part = one.part
    return st.lists(
        of_part(part), min_size=1, max_size=4, unique_by=lambda member: member_key(part, member)
    )


def of(one: Attribute) -> st.SearchStrategy[Any]:
    if one.type == "string":
        return names if one.mandatory else texts
    if one.type == "enum":
        assert one.enum is not None
        return st.sampled_from(one.among or one.enum.words)
    if one.type == "part":
        assert one.part is not None
        return of_part(one.part)
    if one.type == "list":
        return of_list(one)
    if one.type == "kvlist":
        return kvlists.filter(bool)
    if one.type == "ref":
        return dbids if one.mandatory else st.integers(0, 12)
    return {"int": st.integers(1, 2**31 - 1) if one.mandatory else ints, "flag": st.booleans()}[
        one.type
    ]


@st.composite
def objects(draw: st.DrawFn, cls: ObjectClass) -> dict[str, Any]:
    """A stated object that the rules of its class accept."""
    obj: dict[str, Any] = {"folderDBID": draw(st.integers(0, 12))}
    for one in cls.attributes:
        if one.secret or one.derived:
            continue
        if one.only_if:
            if obj.get(one.only_if):
                obj[one.name] = draw(of(one))
        elif one.mandatory or draw(st.booleans()):
            obj[one.name] = draw(of(one))
    return obj
