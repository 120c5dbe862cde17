"""What a server was told on its command line, checked and frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from csp.observe.log import LogSettings
from csp.process.context import Mode, Upstream
from csp.process.roles import SECRET_VARIABLES, WORKER, Role, Secret
from csp.supervisor.listeners import Address

WORKERS_MAX = len(WORKER.slots)  # a slot each in the control segment
RESERVE_BYTES_DEFAULT = 64 << 30  # address space, not memory: filled as objects come
LOG_RESERVE_BYTES_DEFAULT = 256 << 20


@dataclass(frozen=True)
class ServerSettings:
    """One server's settings."""

    mode: Mode
    app_name: str
    listen: Address | None  # None: the port of the Application object
    worker_count: int
    log: LogSettings
    reserve_bytes: int = RESERVE_BYTES_DEFAULT
    log_reserve_bytes: int = LOG_RESERVE_BYTES_DEFAULT
    database_url: str = field(default="", repr=False)
    upstream: Upstream | None = None
    state_root: Path | None = None  # proxy: below it lie the state folders of its instances
    must_create_application: bool = False
    must_restore_default: bool = False  # the account of that name, with CSP_DEFAULT_PASSWORD
    must_forget_memory: bool = False  # what an earlier run left in memory is removed
    # What the command line says of the default port, as transport parameters: `tls`, `certificate`…
    default_port: Mapping[str, str] = field(default_factory=dict)
    license_place: str = ""  # accepted for the sake of old start scripts; csp needs no licence

    @property
    def may_share_database(self) -> bool:
        """Whether another master may be at the same database: then its writer says who serves."""
        return self.database_url.startswith("postgresql")

    def forget(self, role: Role, environment: MutableMapping[str, str]) -> None:
        """In a process of the role: drops the secrets that are not for it.

        Here and in place, because all that the supervisor has made holds this one object.
        """
        for variable, secret in SECRET_VARIABLES.items():
            if secret not in role.secrets:
                environment.pop(variable, None)
        if Secret.DATABASE not in role.secrets:
            object.__setattr__(self, "database_url", "")
        if Secret.MASTER not in role.secrets and self.upstream is not None:
            object.__setattr__(self, "upstream", dataclasses.replace(self.upstream, password=""))
