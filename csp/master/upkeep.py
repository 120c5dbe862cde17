"""What a master does to a database when it begins to serve it: fills a new one, completes an old.

All of it are changes of the server's own, committed under its fence; what fails is told, and tried
again at the next start.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from csp import errors
from csp.master import passwords
from csp.master.build import build
from csp.master.database import Database, Head
from csp.master.engine import Engine
from csp.master.first_password import VARIABLE as PASSWORD_VARIABLE
from csp.master.first_password import tell_password
from csp.master.seed import SeedPlan, seed_transaction
from csp.master.token_keys import first_key
from csp.model.principal import ITSELF
from csp.model.types import CLASSES, FIRST_DBID, GRANTS_CLASS_ID
from csp.observe.clock import wall_ms
from csp.observe.events import log_event

log = logging.getLogger("csp.master")


def fill(database: Database, plan: SeedPlan, address: str, head: Head, now_ms: int) -> None:
    """Begins the numbers of classes that the database did not have yet, and all of a new one."""
    counters = database.counters()
    database.add_counters(cls.id for cls in CLASSES.values() if cls.id not in counters)
    if head.revision == 0:
        _seed(database, plan, address, head, now_ms)


def _seed(database: Database, plan: SeedPlan, address: str, head: Head, now_ms: int) -> None:
    given = plan.password or os.environ.get(PASSWORD_VARIABLE, "")
    plan = replace(plan, password=given or passwords.generate())
    tx = seed_transaction(plan)
    built = build(tx, database, passwords.Hasher(), ITSELF.actor, 1, head.mark, wall_ms())
    assert built is not None
    built.rows.token_keys = [first_key(1, now_ms)]
    # Built-in numbers lie below those that the counters give; what is granted is noted there.
    built.rows.counters = [{"class_id_": GRANTS_CLASS_ID, "next_dbid": FIRST_DBID}]
    if not given:
        # Before the commit: a password that nobody was told would lock everybody out.
        tell_password(plan.password, address)
    database.commit([built.rows])


def complete(engine: Engine) -> None:
    """Adds what an earlier release did not know: folders of newer classes, grants."""
    try:
        count = engine.add_missing_folders()
    except errors.CspError as error:
        log_event(log, "51352", reason=error.line)
    else:
        if count:
            log_event(log, "51353", count=count)
    try:
        count = engine.add_default_grants()
    except errors.CspError as error:
        log_event(log, "51347", reason=error.line)
    else:
        if count:
            log_event(log, "51346", count=count)


def restore_default(engine: Engine) -> None:
    """Makes the account `default` whole again; BadValue where its password is none."""
    try:
        revision = engine.restore_default(os.environ.get(PASSWORD_VARIABLE, ""))
    except errors.CspError as error:
        raise errors.BadValue(f"--restore-default: {error.text}") from error
    log_event(log, "51348", revision=revision)
