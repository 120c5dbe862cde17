"""Every object that the server may store fits its class's type in csp.client.objects."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.client import objects
from csp.model.objects import check_object
from csp.model.types import CLASSES
from tests.effort import examples
from tests.unit import model_strategies

hints = cache(get_type_hints)


def fits(value: Any, kind: Any) -> bool:
    """Whether a plain value is of the type that the annotation says; True is no int."""
    members = get_args(kind)
    if is_typeddict(kind):
        fields = hints(kind)
        return all(name in fields and fits(one, fields[name]) for name, one in value.items())
    if get_origin(kind) is Literal:
        return value in members
    if get_origin(kind) in (Union, UnionType):
        return any(fits(value, one) for one in members)
    if get_origin(kind) is list:
        return type(value) is list and all(fits(one, members[0]) for one in value)
    if get_origin(kind) is dict:
        return type(value) is dict and all(
            fits(name, members[0]) and fits(one, members[1]) for name, one in value.items()
        )
    return type(value) is kind


@pytest.mark.parametrize("name", CLASSES)
@examples(5, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_stored_fits_its_type(name: str, data: st.DataObject) -> None:
    stated = data.draw(model_strategies.objects(CLASSES[name]))
    stored = check_object(CLASSES[name], stated).object
    for attribute, value in stored.items():
        kind = hints(getattr(objects, name))[attribute]
        assert fits(value, kind), f"{name}.{attribute}: {value!r} is no {kind}"
