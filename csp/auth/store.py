"""Attaches auth to the store, and again when the writer has built a new generation."""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import Final

from csp._fastpath import Control
from csp.auth.accounts import Account, Accounts
from csp.external.settings import Level, Problem
from csp.model.types import CLASSES
from csp.observe.events import log_event
from csp.process.application import application_of
from csp.process.context import ProcessContext
from csp.rules.accounts import AccountRules
from csp.store import locks, segment
from csp.store.control import STATE_READY
from csp.store.guest import open_reader
from csp.tables.metrics import PLACES

HOST = CLASSES["CfgHost"]
TOLD_MAX: Final = 1_000  # different things that are wrong with options

log = logging.getLogger("csp.auth")


class StoreView:
    """The store as auth reads it, through a guest slot."""

    def __init__(self, context: ProcessContext) -> None:
        self._context = context
        self._control = Control(segment.open_control(context.instance))
        self._lock = locks.take_slot(context.instance, context.slot)
        self._control.claim_slot(context.slot, os.getpid())
        self._generation = 0
        self._accounts: Accounts | None = None
        self._server = Level("CfgApplication", 0)
        self._told: set[Problem] = set()

    @property
    def is_loaded(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._control.state == STATE_READY)

    @property
    def flags(self) -> Control:
        """Where alarms are shown."""
        return self._control

    def count(self, metric: str) -> None:
        """Adds one to a metric of auth."""
        self._control.count(self._context.slot, PLACES[metric])

    def find_account(self, user: bytes) -> Account | None:
        """The account of a user name, as it is now."""
        return self._attached().find(user)

    def by_certificate(self, user: bytes) -> Account | None:
        """The account of a user name, whether it has a password or not."""
        return self._attached().by_certificate(user)

    def by_principal(self, principal: str) -> tuple[bytes, Account | None]:
        """The account of a Kerberos principal, as it is now, and its user name."""
        return self._attached().by_principal(principal)

    def rules(self, user: bytes) -> AccountRules:
        """The rules for a user's password, as they are now."""
        return self._attached().rules(user)

    def application(self, name: str) -> bytes:
        """The JSON of an Application, as it is now; b"" where there is none."""
        reader = self._attached().reader
        reader.pin()
        try:
            return application_of(reader, name)
        finally:
            reader.unpin()

    def host(self, dbid: int) -> bytes:
        """The JSON of a Host, as it is now; b"" where there is none."""
        reader = self._attached().reader
        reader.pin()
        try:
            return reader.get(HOST.id, dbid) or b""
        finally:
            reader.unpin()

    def take_server(self, server: Level) -> None:
        """What this server's Application states, of external sign-in too."""
        if server != self._server:
            self._server = server
            if self._accounts is not None:
                self._accounts = Accounts(self._accounts.reader, server, self._tell)

    def _tell(self, problem: Problem) -> None:
        """Once; what is told is forgotten together when it is much."""
        if problem in self._told:
            return
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told.add(problem)
        log_event(log, "51255", **dataclasses.asdict(problem))

    def _attached(self) -> Accounts:
        """The accounts of the generation in force."""
        if self._accounts is None or self._control.generation != self._generation:
            self._generation = self._control.generation
            context = self._context
            reader = open_reader(context.instance, self._control, context.slot, self._generation)
            self._accounts = Accounts(reader, self._server, self._tell)
        return self._accounts
