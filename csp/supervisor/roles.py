"""Knows the main of each role and imports it only in the process that plays it."""

from __future__ import annotations

from collections.abc import Callable

from csp.process.context import Mode, ProcessContext
from csp.process.records import Records
from csp.process.roles import AUTH, KERBEROS, LDAP, RADIUS, READING, WORKER, WRITER


def run_role(context: ProcessContext) -> None:
    """Plays the role until the process is asked to end."""
    MAINS[context.role.name](context)


def _run_worker(context: ProcessContext) -> None:
    from csp.worker.process import run_worker

    run_worker(context)


def _run_auth(context: ProcessContext) -> None:
    from csp.auth.process import run_auth

    run_auth(context)


def _run_ldap(context: ProcessContext) -> None:
    from csp.ldap.process import run_ldap

    run_ldap(context)


def _run_radius(context: ProcessContext) -> None:
    from csp.radius.process import run_radius

    run_radius(context)


def _run_kerberos(context: ProcessContext) -> None:
    from csp.kerberos.process import run_kerberos

    run_kerberos(context)


def _run_reading(context: ProcessContext) -> None:
    from csp.reading.process import run_reading

    def opened() -> Records:
        from csp.master.records import DatabaseRecords

        return DatabaseRecords.of_server(context)

    run_reading(context, opened)


def _run_writer(context: ProcessContext) -> None:
    from csp.writer.process import run_writer

    if context.mode == "master":
        from csp.master.origin import DatabaseOrigin

        run_writer(context, DatabaseOrigin.of_server(context))
    else:
        from csp.feed.origin import FeedOrigin

        run_writer(context, FeedOrigin(context))


MAINS: dict[str, Callable[[ProcessContext], None]] = {
    WORKER.name: _run_worker,
    AUTH.name: _run_auth,
    READING.name: _run_reading,
    LDAP.name: _run_ldap,
    RADIUS.name: _run_radius,
    KERBEROS.name: _run_kerberos,
    WRITER.name: _run_writer,
}


def import_shared() -> None:
    """Imports before the fork what most children need, so that a replacement serves sooner.

    None of these opens a file or starts a thread; what only one role needs is imported there.
    The worker's rooms are among them: all workers then share the pages of that code.
    """
    import selectors  # noqa: F401

    import orjson  # noqa: F401

    import csp._fastpath
    import csp.model.requests
    import csp.resp
    import csp.store.host
    import csp.worker.process  # noqa: F401


def import_for_replacements(mode: Mode, database_url: str = "") -> None:
    """Imports what a writer needs, once the server serves: its first successor is then back sooner.

    A writer of a master otherwise spends most of its second of absence in importing SQLAlchemy.
    Importing starts no thread and opens nothing, so forking stays safe.
    """
    import csp.writer.process

    if mode == "master":
        import csp.master.origin

        if database_url.startswith("postgresql"):
            import csp.master.postgres
    else:
        import csp.feed.origin  # noqa: F401
