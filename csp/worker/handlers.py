"""Names who answers each command that the loop does not, and each question of another worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from csp.worker import (
    client_kill,
    clients,
    commands_info,
    config,
    discovery_commands,
    draining,
    feed_server,
    forwards,
    handshake,
    history,
    info,
    keyspace,
    pair,
    password,
    permissions,
    pubsub,
    redirects,
    register,
    scan,
    starts,
    status,
    sums,
    switchover,
    sync,
    tickets,
    tracking,
    transactions,
    writes,
)
from csp.worker.call import Handler, Lane
from csp.worker.mailbox import Tell, Words

HANDLERS: Mapping[str, Handler] = {
    **handshake.HANDLERS,
    **clients.HANDLERS,
    **client_kill.HANDLERS,
    **tracking.HANDLERS,
    **commands_info.HANDLERS,
    **info.HANDLERS,
    **config.HANDLERS,
    **draining.HANDLERS,
    **discovery_commands.HANDLERS,
    **keyspace.HANDLERS,
    **pubsub.HANDLERS,
    **transactions.HANDLERS,
    **writes.HANDLERS,
    **register.HANDLERS,
    **status.HANDLERS,
    **scan.HANDLERS,
    **starts.HANDLERS,
    **feed_server.HANDLERS,
    **forwards.HANDLERS,
    **pair.HANDLERS,
    **sums.HANDLERS,
    **switchover.HANDLERS,
    **sync.HANDLERS,
    **history.HANDLERS,
    **tickets.HANDLERS,
    **password.HANDLERS,
    **permissions.HANDLERS,
}

QUESTIONS: Mapping[bytes, Callable[[Lane, Words, Tell], None]] = {
    client_kill.KILL: client_kill.kill_for_another,
    pubsub.PUBSUB: pubsub.answer_another,
    redirects.REDIRECT: lambda lane, words, tell: lane.redirects.answer(words, tell),
}
