"""The roles of a server's processes: all that makes one role unlike another, a row each.

1. Whatever differs by role stands here; nothing else lists roles (tests/style/test_roles.py).
2. The names are those of `ps`, of the log, of metrics and of folders of this package.
3. The order is that of the first start: who is asked is there before who asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from csp.process.channel.framing import (
    AUTH_LIMITS,
    BACKEND_LIMITS,
    READING_LIMITS,
    WRITER_LIMITS,
    Limits,
)


class Secret(Enum):
    """What the supervisor was told and not every process may know."""

    DATABASE = "database"  # its URL, which may hold a password, and the first one's of a new one
    MASTER = "master"  # the password with which a proxy signs in


# Environment variables that hold one.
SECRET_VARIABLES = {
    "CSP_DB": Secret.DATABASE,
    "CSP_DEFAULT_PASSWORD": Secret.DATABASE,
    "CSP_PASSWORD": Secret.MASTER,
}


class Phase(NamedTuple):
    """A part of a stop: all roles of it are asked to end together, and killed when it is over."""

    number: int  # the lowest first
    seconds_max: float


CLIENTS = Phase(0, 5.0)  # replies under way, a `bye` to feeds; those who answer them are there
ORIGIN = Phase(1, 5.0)  # a transaction under way, the database's close


@dataclass(frozen=True)
class Role:
    """One kind of process."""

    name: str
    slots: range  # of the control segment: one each, and so many processes at most
    phase: Phase
    spin_seconds_max: float  # busy but deaf, until it counts as hung
    channel: Limits | None = None  # of the socket on which the others ask it
    knows_ports: bool = False  # starts anew when the Application has said which there are
    serves_clients: bool = False  # owns listeners; alone holds up nobody but its own
    needs_application: bool = False  # starts only when a proxy's Application is known
    secrets: frozenset[Secret] = frozenset()  # which it may know
    reloads: bool = False  # takes anew what lies in files (SIGHUP)
    modes: frozenset[str] = frozenset(("master", "proxy"))  # of the servers that have it
    # Passwords pass through it, or it holds keys: it leaves no core, and none may look into it.
    is_guarded: bool = False
    holds_keys: bool = False  # of the ports' certificates: shares the memory in which they are
    on_demand: bool = False  # starts when somebody first connects to its channel

    @property
    def slot(self) -> int:
        """The slot of a role that one process has; its first one's of another."""
        return self.slots.start

    @property
    def socket_name(self) -> str:
        """The file name of its channel in the runtime folder."""
        return f"{self.name}.sock"

    def name_of(self, slot: int) -> str:
        """What a process of it is called: `writer`, `worker 0`."""
        return self.name if len(self.slots) == 1 else f"{self.name} {slot - self.slots.start}"


WRITER = Role(
    "writer",
    range(49, 50),  # stands in csp/_fastpath/store/shm.h too
    ORIGIN,
    spin_seconds_max=600.0,  # loads are long
    channel=WRITER_LIMITS,
    needs_application=True,
    reloads=True,
    secrets=frozenset(Secret),
    is_guarded=True,
)
AUTH = Role(
    "auth",
    range(48, 49),
    ORIGIN,
    spin_seconds_max=60.0,
    channel=AUTH_LIMITS,
    reloads=True,
    is_guarded=True,
    holds_keys=True,
    knows_ports=True,
)
READING = Role(
    "reading",
    range(51, 52),
    ORIGIN,
    spin_seconds_max=600.0,  # steps are short, but a first look at the database may be long
    channel=READING_LIMITS,
    modes=frozenset(("master",)),  # a proxy has no database: its writer asks the master's
    secrets=frozenset((Secret.DATABASE,)),
    is_guarded=True,
)


def _backend(name: str, slot: int) -> Role:
    """A process that asks the directories of one kind; no server has it that uses none."""
    return Role(
        name,
        range(slot, slot + 1),
        ORIGIN,
        spin_seconds_max=60.0,
        channel=BACKEND_LIMITS,
        is_guarded=True,
        on_demand=True,
    )


LDAP = _backend("ldap", 52)
RADIUS = _backend("radius", 53)
KERBEROS = _backend("kerberos", 54)
WORKER = Role(
    "worker",
    range(48),
    CLIENTS,
    spin_seconds_max=60.0,
    serves_clients=True,
    is_guarded=True,
    holds_keys=True,
    knows_ports=True,
)

ROLES: dict[str, Role] = {
    role.name: role for role in (WRITER, READING, LDAP, RADIUS, KERBEROS, AUTH, WORKER)
}
SUPERVISOR = "supervisor"  # their parent has a slot and a name, and is no child
SUPERVISOR_SLOT = 50


def roles_of(mode: str) -> list[Role]:
    """The roles that a server of this mode has, in the order of their first start."""
    return [role for role in ROLES.values() if mode in role.modes]


def processes(mode: str, worker_count: int) -> list[tuple[Role, int]]:
    """The children of a server, role and slot each, in the order of their first start."""
    found = []
    for role in roles_of(mode):
        count = worker_count if role.serves_clients else len(role.slots)
        found += [(role, slot) for slot in role.slots[:count]]
    return found


def role_of_slot(slot: int) -> Role | None:
    """Whose slot it is; None for the supervisor's and the guests'."""
    return next((role for role in ROLES.values() if slot in role.slots), None)
