"""Answers what viewers of a Redis keyspace ask of keys and server beside the keys' contents.

1. Every object is a string that never expires; what names no readable object is a missing key.
2. Replies have the shapes of Redis, so that redis-cli and RedisInsight show what they always show.
"""

from __future__ import annotations

from csp.errors import CspError
from csp.model.symbolic import parse_key
from csp.resp.encode import OK, bulk, integer
from csp.resp.values import Simple, Value
from csp.tables.commands import SUBCOMMANDS
from csp.worker.call import Call, Handler
from csp.worker.halves import is_followed, replicas, serving_address
from csp.worker.refusal import SYNTAX, number, text_of
from csp.worker.server_info import MODULE_VERSION

NEVER, MISSING = -1, -2
SLOWLOG_COUNT = "count should be greater than or equal to -1"
ALL_RIGHTS = "~* &* +@all"
NO_FREQUENCY = (
    "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
    "when switching between policies at runtime LRU and LFU data will take some time to adjust."
)
CALM = "I have nothing to say: latency is not monitored here, see CFG.STATUS and the metrics."


def _named(key: bytes) -> tuple[int, int]:
    """Class and DBID that a key names; zeros, which no object has, for what is no key."""
    try:
        cls, dbid = parse_key(text_of(key))
    except CspError:
        return 0, 0
    return cls.id, dbid


def _image(call: Call, key: bytes) -> bytes | None:
    """The record of a key, None for a missing one."""
    return call.reader.image(*_named(key))


def _expiry(call: Call) -> bytes:
    return integer(MISSING if _image(call, call.args[1]) is None else NEVER)


def _memory_usage(call: Call) -> bytes:
    """MEMORY USAGE key [SAMPLES count]: the record with all that belongs to it."""
    if len(call.args) not in (3, 5) or (len(call.args) == 5 and call.args[3].upper() != b"SAMPLES"):
        raise CspError(SYNTAX)
    if len(call.args) == 5:
        number(call.args[4])
    image = _image(call, call.args[2])
    return call.encode(None if image is None else len(image))


def _of_object(value: Value) -> Handler:
    """OBJECT … key: the same of every key that is there."""

    def handler(call: Call) -> bytes:
        return call.encode(None if _image(call, call.args[2]) is None else value)

    return handler


def _frequency(call: Call) -> bytes:
    if _image(call, call.args[2]) is None:
        return call.encode(None)
    raise CspError(NO_FREQUENCY)


def _get_range(call: Call) -> bytes:
    """GETRANGE key start end: viewers show the beginning of what is large."""
    first, last = number(call.args[2]), number(call.args[3])
    text = call.reader.get(*_named(call.args[1])) or b""
    size = len(text)
    first = max(first + size, 0) if first < 0 else first
    if first < 0 and last < 0 and int(call.args[2]) > int(call.args[3]):
        return bulk(b"")
    last = max(last + size, 0) if last < 0 else last
    return bulk(text[first : last + 1])


def _modules(call: Call) -> bytes:
    """MODULE LIST: csp shows itself here, and in HELLO."""
    return call.encode([{"name": b"csp", "ver": MODULE_VERSION, "path": b"", "args": []}])


def _who(call: Call) -> bytes:
    return bulk(call.session.user.encode() or b"default")


def _slow_log(call: Call) -> bytes:
    """SLOWLOG GET [count]: nothing is logged there."""
    if len(call.args) > 3:
        raise CspError(SYNTAX)
    if len(call.args) == 3 and number(call.args[2], SLOWLOG_COUNT) < -1:
        raise CspError(SLOWLOG_COUNT)
    return call.encode([])


def _touch(call: Call) -> bytes:
    """TOUCH key…: how many of them are there; nothing has an age."""
    return integer(sum(_image(call, key) is not None for key in call.args[1:]))


def _role(call: Call) -> bytes:
    """ROLE: as Redis says it of a master, or of a replica of one; the pair's backup is that."""
    lane = call.lane
    revision = 0 if lane.loading else lane.reader.revision
    if not lane.is_replica:
        standing_by: list[Value] = [
            [one.host, str(one.port), str(revision)] for one in replicas(call)
        ]
        return call.encode(["master", revision, standing_by])
    link = "connected" if is_followed(lane) else "connect"
    return call.encode(["slave", *serving_address(call), link, revision])


def _last_save(call: Call) -> bytes:
    """LASTSAVE: every change is stored when it is answered, so: when the newest one was."""
    return integer(call.lane.reader.time_ms // 1000)


def _acl_users(call: Call) -> bytes:
    """ACL USERS: one's own account; others are CfgPerson objects, for who may read those."""
    return call.encode([call.session.user])


def _acl_list(call: Call) -> bytes:
    """ACL LIST: the same as rules; no hash is shown."""
    return call.encode([f"user {call.session.user} on {ALL_RIGHTS}"])


def _acl_user(call: Call) -> bytes:
    """ACL GETUSER user: of one's own account alone."""
    if text_of(call.args[2]) != call.session.user:
        return call.encode(None)
    shown: dict[Value, Value] = {
        "flags": ["on"],
        "passwords": [],
        "commands": "+@all",
        "keys": "~*",
        "channels": "&*",
        "selectors": [],
    }
    return call.encode(shown)


def _help(call: Call) -> bytes:
    """X HELP: the subcommands as the table has them."""
    parent = call.name.partition("|")[0].upper()
    lines = [f"{parent} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for name, part in SUBCOMMANDS[parent].items():
        lines += [f"{name} {part.syntax}".rstrip(), f"    {part.summary}"]
    return call.encode([Simple(line) for line in lines])


def _shard_channels(call: Call) -> bytes:
    """PUBSUB SHARDCHANNELS: there are no shards."""
    return call.encode([])


def _shard_counts(call: Call) -> bytes:
    """PUBSUB SHARDNUMSUB channel…"""
    counts: list[Value] = []
    for channel in call.args[2:]:
        counts += [channel, 0]
    return call.encode(counts)


def _says(value: Value) -> Handler:
    return lambda call: call.encode(value)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("ttl", "pttl", "expiretime", "pexpiretime"), _expiry),
    "memory|usage": _memory_usage,
    "object|encoding": _of_object(b"raw"),
    "object|refcount": _of_object(1),
    "object|idletime": _of_object(0),
    "object|freq": _frequency,
    "getrange": _get_range,
    "module|list": _modules,
    "acl|whoami": _who,
    "touch": _touch,
    "role": _role,
    "lastsave": _last_save,
    "acl|users": _acl_users,
    "acl|list": _acl_list,
    "acl|getuser": _acl_user,
    "pubsub|shardchannels": _shard_channels,
    "pubsub|shardnumsub": _shard_counts,
    **dict.fromkeys(
        ("object|help", "memory|help", "module|help", "acl|help", "slowlog|help", "pubsub|help"),
        _help,
    ),
    "slowlog|get": _slow_log,
    "slowlog|len": _says(0),
    "slowlog|reset": lambda _: OK,
    "latency|latest": _says([]),
    "latency|history": _says([]),
    "latency|reset": _says(0),
    "latency|doctor": _says(CALM.encode()),
}
