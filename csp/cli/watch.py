"""csp watch: shows changes as they are published, until interrupted."""

from __future__ import annotations

import time
from typing import Any

import click
import orjson

from csp.cli.connecting import Server, client_options, signed_in
from csp.client import Client
from csp.client.subscription import subscribe_request

ALL = "cfg"


@click.command()
@click.argument("channels", nargs=-1, metavar="[CHANNEL…]")
@client_options
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@click.option("--seconds", type=float, help="End after so many seconds without a message.")
def command(
    channels: tuple[str, ...],
    server: Server,
    as_json: bool,
    count: int | None,
    seconds: float | None,
) -> None:
    """Show changes as they happen: cfg, cfg:CfgPerson, cfg:CfgPerson:101, cfg@101, cfg:*."""
    try:
        _watch(channels, server, as_json, count, seconds)
    except KeyboardInterrupt:
        return  # how a watch ends


def _watch(
    channels: tuple[str, ...],
    server: Server,
    as_json: bool,
    count: int | None,
    seconds: float | None,
) -> None:
    with signed_in(server, "watch") as client:
        # The confirmations are pushes; a refusal is a reply, which listen() raises.
        client.opened().send(subscribe_request(channels or (ALL,)))
        for shown, (channel, message) in enumerate(_messages(client, seconds), 1):
            _show(channel, message, as_json)
            if count is not None and shown >= count:
                return


def _messages(client: Client, seconds: float | None) -> Any:
    for push in client.opened().listen(seconds):
        kind = push[0]
        if kind == b"message":
            yield push[1], push[2]
        elif kind == b"pmessage":
            yield push[2], push[3]


def _show(channel: bytes, message: bytes, as_json: bool) -> None:
    if as_json:
        click.echo(message.decode())
        return
    value = orjson.loads(message)
    if "class" not in value:
        rest = {name: one for name, one in value.items() if name != "op"}
        now = time.strftime("%H:%M:%S")
        click.echo(f"{now} {channel.decode()} {value.get('op', '')} {orjson.dumps(rest).decode()}")
        return
    at = time.strftime("%H:%M:%S", time.localtime(value.get("time", 0) / 1000))
    what = value.get("object", value.get("delta"))
    detail = "" if what is None else " " + orjson.dumps(what).decode()
    key = f"{value['class']}:{value.get('DBID', '')}"
    click.echo(f"{at} {value.get('revision', '')} {value.get('op', '')} {key}{detail}")
