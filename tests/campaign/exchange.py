"""Sends commands in one piece and tells what the errors among the replies mean."""

from __future__ import annotations

import redis

Command = tuple[str | bytes, ...]


def exchange(connection: redis.Connection, commands: list[Command]) -> list[object]:
    """The replies, errors as values; raises what redis-py raises when the connection breaks."""
    connection.send_packed_command(connection.pack_commands(commands))
    return [_reply(connection) for _ in commands]


def is_unknown(error: redis.ResponseError) -> bool:
    """Whether nobody knows what became of the change."""
    return "UNKNOWNOUTCOME" in str(error)


def is_nothing_done(error: redis.ResponseError) -> bool:
    """Whether the server says that nothing was done, because it could not just then."""
    # redis-py makes classes of some error words and takes those off the text.
    return isinstance(error, redis.exceptions.MasterDownError) or str(error).startswith("BUSY")


def _reply(connection: redis.Connection) -> object:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
