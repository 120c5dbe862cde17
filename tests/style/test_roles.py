"""What differs by role stands in the table of roles, and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from csp._fastpath import Control
from csp.process.roles import ROLES, SUPERVISOR, SUPERVISOR_SLOT, role_of_slot
from csp.store.control import GUEST_SLOTS
from csp.supervisor.roles import MAINS
from csp.tables.metrics import METRICS, PROCESSES

ROOT = Path(__file__).resolve().parent.parent.parent
# A word that is a role's name too, and says something else.
OTHER_SENSES = {
    ("csp/worker/handshake.py", "auth"): "the command AUTH, and HELLO's option",
    ("csp/worker/clients.py", "worker"): "a field of CLIENT LIST",
    ("csp/tables/metrics.py", "worker"): "the tables stand below the processes; compared here",
    ("csp/tables/metrics.py", "writer"): "the same",
    ("csp/tables/metrics.py", "auth"): "the same",
    ("csp/tables/metrics.py", "reading"): "the same",
    ("csp/tables/metrics.py", "ldap"): "the same",
    ("csp/tables/metrics.py", "radius"): "the same",
    ("csp/tables/metrics.py", "kerberos"): "the same",
}


def test_nothing_else_names_the_roles() -> None:
    found = set()
    for path in sorted((ROOT / "csp").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name == "csp/process/roles.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in ROLES:
                found.add((name, node.value))
    assert found <= OTHER_SENSES.keys(), "name the role by csp.process.roles"
    assert found >= OTHER_SENSES.keys(), "no longer needed in OTHER_SENSES"


def test_every_role_has_a_main_and_its_metrics() -> None:
    assert MAINS.keys() == ROLES.keys()
    assert set(PROCESSES) == {*ROLES, SUPERVISOR}
    assert {one.process for one in METRICS} <= set(PROCESSES)
    counted = {one.name for one in METRICS if one.process == SUPERVISOR}
    assert {f"{name}_restarts" for name in ROLES} <= counted


def test_every_slot_has_one_owner() -> None:
    owned = [slot for role in ROLES.values() for slot in role.slots]
    owned += [SUPERVISOR_SLOT, *GUEST_SLOTS]
    assert sorted(owned) == list(range(Control.SLOTS))
    assert role_of_slot(SUPERVISOR_SLOT) is None


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_who_is_asked_ends_after_who_asks(role: object) -> None:
    askers = [one for one in ROLES.values() if one.serves_clients]
    if role not in askers:
        assert all(one.phase < role.phase for one in askers)  # type: ignore[attr-defined]
