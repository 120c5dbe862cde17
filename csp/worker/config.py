"""CONFIG GET over the options in force and those Redis clients look for; CONFIG SET refuses."""

from __future__ import annotations

from csp.errors import CspError
from csp.resp.encode import OK
from csp.resp.values import Simple, Value
from csp.worker.call import Call, Handler
from csp.worker.glob import compile_glob
from csp.worker.refusal import text_of, wrong_arity

HELP = """CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
GET <pattern>
    Return parameters matching the glob-like <pattern> and their values.
SET <directive> <value>
    Refused: options are set in the Application object.
RESETSTAT
    Accepted: counters here never go back.
REWRITE
    Refused: there is no file.
HELP
    Print this help."""


def options_of(call: Call) -> dict[str, str]:
    """All options by name: those of Redis that clients look for, then csp's own."""
    info = call.lane.info
    found = {
        "timeout": "0",
        "databases": "1",
        "maxclients": str(info.clients_max),
        "replica-read-only": "no" if call.lane.takes_writes else "yes",
        "slave-read-only": "no" if call.lane.takes_writes else "yes",
        "save": "",
        "appendonly": "no",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "notify-keyspace-events": "",
        "port": str(info.port),
        "bind": info.address.rpartition(":")[0],
        "proto-max-bulk-len": str(64 * 1024 * 1024),
        "cluster-enabled": "no",
    }
    return found | {name: _shown(value) for name, value in info.options.items()}


def _shown(value: int | str | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def get(call: Call) -> bytes:
    """CONFIG GET pattern…"""
    known = options_of(call)
    found: dict[Value, Value] = {}
    for arg in call.args[2:]:
        if text_of(arg).lower() in known:
            found[arg] = known[text_of(arg).lower()]  # as it was spelled, as in Redis
            continue
        matches = compile_glob(arg.lower())
        found |= {name: value for name, value in known.items() if matches(name.encode())}
    return call.encode(found)


def set_(call: Call) -> bytes:
    """CONFIG SET name value…"""
    if len(call.args) % 2:
        raise wrong_arity("config|set")
    known = options_of(call)
    for name in call.args[2::2]:
        text = text_of(name)
        if text.lower() not in known:
            raise CspError(f"Unknown option or number of arguments for CONFIG SET - '{text}'")
    raise CspError(
        f"CONFIG SET failed (possibly related to argument '{text_of(call.args[2])}') - "
        f"options are set in the Application object {call.lane.info.app_name}"
    )


def reset_stat(call: Call) -> bytes:
    """CONFIG RESETSTAT"""
    call.lane.loop.reset_longest_turn()
    return OK


def rewrite(_: Call) -> bytes:
    """CONFIG REWRITE"""
    raise CspError("The server is running without a config file")


def help_(call: Call) -> bytes:
    """CONFIG HELP"""
    return call.encode([Simple(line) for line in HELP.splitlines()])


HANDLERS: dict[str, Handler] = {
    "config|get": get,
    "config|set": set_,
    "config|resetstat": reset_stat,
    "config|rewrite": rewrite,
    "config|help": help_,
}
