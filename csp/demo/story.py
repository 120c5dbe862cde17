"""Tells what csp does, step by step, with the figures of this run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import orjson

from csp.client import Client
from csp.client.subscription import subscribe_request
from csp.demo.stage import DemoFault, Stage

ESTATE_SEED = 1
READS = 20_000
BATCH = 64
EVENT_SECONDS_MAX = 10.0
CATCH_UP_SECONDS_MAX = 20.0
# Whole exports of classes that csp knows; what they refer to is created.
SAMPLES = ("export/json_sorted_persons.json", "export/json_compact_configuration.json")
Result = TypeVar("Result")


def tell(stage: Stage, *, agents: int, samples: Path | None) -> None:
    """The whole story; DemoFault where something is not as promised."""
    _say("1. A master with an empty database")
    stage.start("master")
    _show(f"csp {' '.join(stage.command('master')[:1])} listens on 127.0.0.1:{_port(stage, 0)}")
    _import(stage, agents, samples)
    _say("3. A proxy, two workers, fed by the master")
    _, seconds = _timed(lambda: stage.start("proxy"))
    with stage.client("proxy") as proxy, stage.client("master") as master:
        status = proxy.status()
        _show(f"ready {seconds:.2f} s after its start with {status['objects']} objects")
        _show(f"it serves revision {status['revision']} on 127.0.0.1:{_port(stage, 1)}")
        _read(proxy)
        person = _change(stage, proxy, master)
    _lose_master(stage, person)


def _import(stage: Stage, agents: int, samples: Path | None) -> None:
    _say(f"2. A made-up contact centre of {agents} agents, imported over the network")
    path = str(stage.folder / "estate.json")
    server = ["--server", f"127.0.0.1:{_port(stage, 0)}"]
    stage.run("estate", "--agents", str(agents), "--seed", str(ESTATE_SEED), "-o", path)
    _, seconds = _timed(lambda: stage.run("import", path, *server))
    with stage.client("master") as master:
        count = int(master.status()["objects"])
    _show(f"{count} objects are there after {seconds:.1f} s, {count / seconds:.0f} a second")
    if samples is not None:
        for name in SAMPLES:  # one after the other: they describe some of the same persons
            stage.run("import", str(samples / name), "--create-missing", *server)
        _show("so are the samples in the export format of an open administration tool")


def _read(proxy: Client) -> None:
    _say("4. Reads at the proxy, one connection")
    page, seconds = _timed(lambda: proxy.page("CfgPerson", [("is_agent", "true")], limit=1_000))
    dbids = [int(person["DBID"]) for person in page.objects]
    _show(f"{len(dbids)} agents, whole, in one page: {seconds * 1e3:.1f} ms")
    chance = random.Random(ESTATE_SEED)
    commands = [("GET", f"CfgPerson:{chance.choice(dbids)}") for _ in range(READS)]
    start = time.perf_counter()
    for begin in range(0, READS, BATCH):
        if None in proxy.pipeline(commands[begin : begin + BATCH]):
            raise DemoFault("an agent that was just read is not there")
    seconds = time.perf_counter() - start
    _show(
        f"{READS} random GETs in pipelines of {BATCH}: {READS / seconds:.0f} a second, this client"
    )
    skill = next((p for p in page.objects if p.get("agentInfo", {}).get("skillLevels")), None)
    if skill is not None:
        dbid = str(skill["agentInfo"]["skillLevels"][0]["skillDBID"])
        count, seconds = _timed(lambda: proxy.count("CfgPerson", [("skill_dbid", dbid)]))
        _show(f"{count} agents have the skill {dbid}: counted in {seconds * 1e6:.0f} µs")


def _change(stage: Stage, proxy: Client, master: Client) -> int:
    _say("5. A change at the master, seen by a subscriber at the proxy")
    person = int(proxy.page("CfgPerson", [("is_agent", "true")], limit=1).objects[0]["DBID"])
    channel = f"cfg:CfgPerson:{person}"
    with stage.client("proxy") as subscriber:
        connection = subscriber.opened()
        connection.send(subscribe_request([channel]))
        next(connection.listen(EVENT_SECONDS_MAX))  # the confirmation
        start = time.perf_counter()
        revision = master.update(
            "CfgPerson", person, {"changed": {"emailAddress": "new@example.com"}}
        )
        for push in connection.listen(EVENT_SECONDS_MAX):
            if len(push) == 3 and _plain(push[0]) == "message":
                seconds = time.perf_counter() - start
                event = orjson.loads(_plain(push[2]))
                _show(f"{event['op']} of {channel}, revision {event['revision']}: {event['delta']}")
                _show(f"committed, fed, applied, delivered in {seconds * 1e3:.1f} ms")
                if event["revision"] != revision:
                    raise DemoFault(f"the event says {event['revision']}, the master {revision}")
                return person
    raise DemoFault("the subscriber heard nothing")


def _lose_master(stage: Stage, person: int) -> None:
    _say("6. The master is killed; reads go on")
    stage.kill("master")
    with stage.client("proxy") as proxy:
        stage.wait(
            lambda: proxy.get("CfgPerson", person) is not None and _is_down(proxy),
            EVENT_SECONDS_MAX,
            "the proxy knows that its master is gone",
        )
        _show(f"a new client signs in and reads agent {person}; the data is marked as stale")
        _say("7. The master is back; the proxy catches up without loading anew")
        generation = proxy.status()["generation"]
        _, seconds = _timed(lambda: stage.start("master"))
        _show(f"the master serves {seconds:.2f} s after its start")
        with stage.client("master") as master:
            revision = master.update("CfgPerson", person, {"changed": {"emailAddress": ""}})
        seconds = stage.wait(
            lambda: int(proxy.status()["revision"]) >= revision,
            CATCH_UP_SECONDS_MAX,
            f"the proxy has revision {revision}",
        )
        if proxy.status()["generation"] != generation:
            raise DemoFault("the proxy loaded everything anew instead of catching up")
        _show(f"a change made there is at the proxy after {seconds:.2f} s, without a reload")


def _is_down(proxy: Client) -> bool:
    return int(proxy.status()["age"]) > 0


def _port(stage: Stage, number: int) -> int:
    return list(stage.ports.values())[number]


def _plain(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _timed(act: Callable[[], Result]) -> tuple[Result, float]:
    begin = time.perf_counter()
    result = act()
    return result, time.perf_counter() - begin


def _say(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _show(text: str) -> None:
    click.echo(f"   {text}")
