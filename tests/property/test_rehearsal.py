"""A rehearsal refuses what the master refuses, and nothing else: files changed at random say so."""

from __future__ import annotations

import copy
import io
import json
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.transfer import importing
from csp.transfer.estate.writing import write_estate
from csp.transfer.exporting import NAMED, Report, export
from csp.transfer.importing import Wishes, prepare
from csp.transfer.problems import ImportRefused, Problems
from csp.transfer.rehearsal import rehearse
from csp.transfer.run import run as write
from tests.effort import examples
from tests.unit.import_master import ImportMaster
from tests.unit.importing import run

# What an attribute may become, beside what another object of the class has.
ODD = [0, -1, 1 << 31, True, False, "", "x" * 256, [], {}, "enabled", "disabled", "Environment"]
ANNEXES: list[dict[str, Any]] = [
    {"s": {"k": "v"}},
    {"s" * 256: {"k": "v"}},
    {"s": {"k" * 256: 1}},
    {"s": {"k": {"base64": "*"}}},
]

changes = st.tuples(
    st.sampled_from(["other", "odd", "drop", "new", "annex", "folder"]),
    st.integers(0, 1 << 30),
    st.integers(0, 1 << 30),
    st.integers(0, 1 << 30),
)


def changed(content: dict[str, Any], change: tuple[str, int, int, int]) -> None:
    """Changes one object of a file in some way."""
    how, where, which, what = change
    sections = [name for name in content if name != "__metadata__"]
    objects = content[sections[where % len(sections)]]
    one = objects[which % len(objects)]
    other = objects[what % len(objects)]
    names = sorted(one)
    name = names[what % len(names)]
    if how == "new":
        fresh = copy.deepcopy(one)
        holder = fresh.get("group", fresh)
        for key in ("name", "employeeId", "loginCode", "number"):
            if isinstance(holder.get(key), str):
                holder[key] += f"-{what % 7}"
                break
        objects.append(fresh)
    elif how == "drop":
        del one[name]
    elif how == "annex":
        holder = one.get("group", one)
        holder["userProperties"] = ANNEXES[what % len(ANNEXES)]
    elif how == "folder":
        places = [place["folder"] for place in content.get("persons", []) if "folder" in place]
        if places:
            one["folder"] = places[what % len(places)]
    elif how == "other" and name in other:
        one[name] = copy.deepcopy(other[name])
    elif how == "odd":
        one[name] = ODD[which % len(ODD)]


@pytest.mark.parametrize("batch", [10_000, 40], ids=["one transaction", "many"])
@examples(15)
@given(made=st.lists(changes, min_size=1, max_size=4))
def test_what_is_refused_is_what_the_master_refuses(
    batch: int, made: list[tuple[str, int, int, int]]
) -> None:
    with (
        pytest.MonkeyPatch.context() as patched,
        tempfile.TemporaryDirectory() as folder,
        closing(ImportMaster(Path(folder))) as master,
    ):
        stream = io.BytesIO()
        write_estate(stream, 12, 7)
        run(master, {"estate": stream.getvalue()})  # type: ignore[arg-type]
        content = json.loads(b"".join(export(master, Report(), layout=NAMED)))
        for one in made:
            changed(content, one)
        data = json.dumps(content).encode()
        patched.setattr("csp.transfer.transactions.COMMANDS_MAX", batch)
        patched.setattr("csp.transfer.transactions.BATCH_COMMANDS", 10)
        asked: list[Any] = []
        patched.setattr(importing, "rehearse", lambda *given: asked.extend(given))
        try:
            prepared = prepare(
                ["file"], master, Wishes(), Problems(), open_file=lambda name: io.BytesIO(data)
            )
        except ImportRefused:
            return  # what the file alone tells is no matter of rules
        plan, revision, server, present, *_ = asked
        found = Problems()
        rehearse(plan, revision, server, present, found)
        refused = Problems()
        with suppress(ImportRefused):
            write(prepared.plan, prepared.revision, master, refused, lambda *_: None)
        said = ([str(one) for one in found.found], [str(one) for one in refused.found])
        assert bool(found.count) == bool(refused.count), said
