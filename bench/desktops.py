"""What a desktop asks for at its sign-in: csp by its commands, redis-server by keys and sets.

1. Both hold the same objects, byte for byte, and are asked for the same ones; redis-server in fewer
   round trips.
2. redis-server has what csp finds by filters as sets of keys: SMEMBERS and then MGET.
3. All desktops are told the same about where pages begin, so nothing may change meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack
from typing import Any

import orjson
import redis

from csp.resp import request

PAGE_OBJECTS_MAX = 10_000
CLASSES = (
    "CfgTenant", "CfgPerson", "CfgApplication", "CfgAgentGroup", "CfgAccessGroup", "CfgSkill",
    "CfgPlace", "CfgDN", "CfgSwitch", "CfgAgentLogin", "CfgHost", "CfgEnumerator",
    "CfgEnumeratorValue",
)  # fmt: skip
CHANNELS = (
    "CfgPerson",
    "CfgAgentGroup",
    "CfgSkill",
    "CfgPlace",
    "CfgEnumerator",
    "CfgEnumeratorValue",
)

Object = dict[str, Any]
Keys = list[str]


@dataclass(frozen=True)
class Step:
    """Requests that go in one piece, and how many replies they bring."""

    words: bytes
    replies: int


@dataclass
class Desktop:
    """One agent's: who signs in, and the keys of what is his."""

    user: str
    person: int
    tenant: int
    application: str
    own: Keys  # known from the two: tenant, place, skills, logins, connected applications
    groups: Keys
    access: Keys
    behind: Keys  # known only from those: DNs, switches, further applications, hosts
    attributes: Keys  # business attributes and their values: all of the tenant


@dataclass
class Centre:
    """All that desktops read, by key, and how it hangs together."""

    texts: dict[str, bytes] = field(default_factory=dict)  # whole objects
    objects: dict[str, Object] = field(default_factory=dict)
    briefs: dict[str, bytes] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)  # the cursors at which pages of agents begin

    def of(self, class_name: str) -> Iterator[tuple[str, Object]]:
        """The objects of a class."""
        return (
            (key, self.objects[key]) for key in self.objects if key.startswith(f"{class_name}:")
        )


def read_centre(client: redis.Redis) -> Centre:
    """Reads everything, as a client that is shown all of it."""
    centre = Centre()
    for name in CLASSES:
        for text, _ in _pages(client, "CFG.READ", name):
            key = f"{name}:{orjson.loads(text)['DBID']}"
            centre.texts[key], centre.objects[key] = text, orjson.loads(text)
    for text, cursor in _pages(client, *agents("0")[:-2]):
        centre.briefs[f"CfgPerson:{orjson.loads(text)['DBID']}"] = text
        if cursor not in centre.pages:
            centre.pages.append(cursor)
    return centre


def _pages(client: redis.Redis, *command: Any) -> Iterator[tuple[bytes, str]]:
    """Objects, each with the cursor that asks for its page."""
    cursor, nothing_more = "0", "0"
    while True:
        _, following, objects = client.execute_command(
            *command, "LIMIT", PAGE_OBJECTS_MAX, "CURSOR", cursor
        )
        yield from ((text, cursor) for text in objects)
        cursor = following.decode()
        if cursor == nothing_more:
            return


def agents(cursor: str) -> tuple[Any, ...]:
    """The command for a page of the brief list of all agents."""
    where = ("FILTER", "is_agent", "true", "BRIEF", "LIMIT", PAGE_OBJECTS_MAX)
    return ("CFG.READ", "CfgPerson", *where, "CURSOR", cursor)


def desktops(centre: Centre, count: int) -> list[Desktop]:
    """So many agents' desktops; where there are fewer agents than that, some have several."""
    groups = _members(centre, "CfgAgentGroup", lambda group: group.get("agentDBIDs", ()))
    access = _members(
        centre, "CfgAccessGroup", lambda group: [m["DBID"] for m in group.get("memberIDs", ())]
    )
    desks = {
        app["tenantDBIDs"][0]: app
        for _, app in centre.of("CfgApplication")
        if app["name"].endswith("_Workspace")
    }
    attributes: dict[int, Keys] = {}
    for name in ("CfgEnumerator", "CfgEnumeratorValue"):
        for key, one in centre.of(name):
            attributes.setdefault(one["tenantDBID"], []).append(key)
    some = [
        one for _, one in centre.of("CfgPerson") if one["isAgent"] and one["tenantDBID"] in desks
    ]
    return [
        _desktop(centre, one, desks[one["tenantDBID"]], groups, access, attributes)
        for one in itertools.islice(itertools.cycle(some), count)
    ]


def _members(centre: Centre, class_name: str, members: Any) -> dict[int, Keys]:
    found: dict[int, Keys] = {}
    for key, group in centre.of(class_name):
        for dbid in members(group):
            found.setdefault(dbid, []).append(key)
    return found


def _desktop(
    centre: Centre,
    person: Object,
    desk: Object,
    groups: dict[int, Keys],
    access: dict[int, Keys],
    attributes: dict[int, Keys],
) -> Desktop:
    info = person.get("agentInfo", {})
    place = f"CfgPlace:{info['placeDBID']}" if info.get("placeDBID") else ""
    logins = [f"CfgAgentLogin:{one['agentLoginDBID']}" for one in info.get("agentLogins", ())]
    servers = _connected(desk)
    more = sorted({key for server in servers for key in _connected(centre.objects[server])})
    dns = [f"CfgDN:{dbid}" for dbid in centre.objects[place]["DNDBIDs"]] if place else []
    switches = {f"CfgSwitch:{centre.objects[key]['switchDBID']}" for key in [*dns, *logins]}
    hosts = {
        f"CfgHost:{centre.objects[key]['serverInfo']['hostDBID']}" for key in [*servers, *more]
    }
    tenant = person["tenantDBID"]
    skills = [f"CfgSkill:{one['skillDBID']}" for one in info.get("skillLevels", ())]
    return Desktop(
        user=person["userName"],
        person=person["DBID"],
        tenant=tenant,
        application=desk["name"],
        own=[f"CfgTenant:{tenant}", *([place] if place else []), *skills, *logins, *servers],
        groups=groups.get(person["DBID"], []),
        access=access.get(person["DBID"], []),
        behind=[*dns, *sorted(switches), *more, *sorted(hosts)],
        attributes=attributes.get(tenant, []),
    )


def _connected(application: Object) -> Keys:
    return [f"CfgApplication:{one['appServerDBID']}" for one in application["appServerDBIDs"]]


# ------------------------------------------------------------------ how the two are asked


def csp_steps(
    one: Desktop, pages: list[str], user: str, secret: bytes | str, *, brief: bool
) -> list[Step]:
    """A desktop of csp."""
    tenant = ("FILTER", "tenant_dbid", one.tenant)
    found = [
        step(("AUTH", user, secret)),
        step(
            ("CFG.REGISTER", one.application),
            ("CFG.FIND", "CfgApplication", "name", one.application),
            ("CFG.FIND", "CfgPerson", "user_name", one.user),
        ),
        step(
            ("MGET", *one.own),
            ("CFG.READ", "CfgAgentGroup", "FILTER", "person_dbid", one.person),
            ("CFG.READ", "CfgAccessGroup", "FILTER", "person_dbid", one.person),
            ("CFG.READ", "CfgEnumerator", *tenant),
            ("CFG.READ", "CfgEnumeratorValue", *tenant),
        ),
        step(("MGET", *one.behind)),
    ]
    if brief:
        found += [step(agents(cursor)) for cursor in pages]
    return [*found, _subscribed()]


def redis_steps(
    one: Desktop, user: str, secret: str, agents_mget: Step, *, brief: bool
) -> list[Step]:
    """The same desktop of redis-server."""
    found = [
        step(("AUTH", user, secret)),
        step(("GET", f"CfgApplication={one.application}"), ("GET", f"CfgPerson={one.user}")),
        step(
            ("MGET", *one.own),
            ("SMEMBERS", f"groups:{one.person}"),
            ("SMEMBERS", f"access:{one.person}"),
            ("SMEMBERS", f"attributes:{one.tenant}"),
        ),
        step(("MGET", *one.behind, *one.groups, *one.access, *one.attributes)),
    ]
    if brief:
        found += [step(("SMEMBERS", "agents")), agents_mget]
    return [*found, _subscribed()]


def agents_mget(centre: Centre) -> Step:
    """What asks redis-server for the brief forms, once it has told their keys."""
    return step(("MGET", *(f"brief:{key}" for key in centre.briefs)))


def fill_redis(
    client: redis.Redis, centre: Centre, all_desktops: Iterable[Desktop], secret: str
) -> None:
    """Gives redis-server sets, names and brief forms beside the objects, and an account each."""
    pipe = client.pipeline(transaction=False)
    for key, text in centre.briefs.items():
        pipe.set(f"brief:{key}", text)
    pipe.sadd("agents", *(f"brief:{key}" for key in centre.briefs))
    for desktop in all_desktops:
        person = f"CfgPerson:{desktop.person}"
        pipe.set(f"CfgPerson={desktop.user}", centre.texts[person])
        for name, keys in (
            (f"groups:{desktop.person}", desktop.groups),
            (f"access:{desktop.person}", desktop.access),
            (f"attributes:{desktop.tenant}", desktop.attributes),
        ):
            if keys:
                pipe.sadd(name, *keys)
        pipe.acl_setuser(
            desktop.user, enabled=True, passwords=[f"+{secret}"], keys=["*"], channels=["*"],
            categories=["+@read", "+@pubsub", "+@connection"],
        )  # fmt: skip
    for key, application in centre.of("CfgApplication"):
        pipe.set(f"CfgApplication={application['name']}", centre.texts[key])
    pipe.execute()


def step(*commands: tuple[Any, ...]) -> Step:
    """Commands that go together."""
    return Step(b"".join(request(*words) for words in commands), len(commands))


def _subscribed() -> Step:
    channels = ("cfg.notice", *(f"cfg:{name}" for name in CHANNELS))
    return Step(request("SUBSCRIBE", *channels), len(channels))


# ------------------------------------------------------------------ for the driver


def write_script(path: Path, all_steps: Iterable[list[Step]]) -> None:
    """Writes what native/desktops.c reads; equal steps are there once."""
    numbers: dict[Step, int] = {}
    lines: list[bytes] = []
    for steps in all_steps:
        which = [numbers.setdefault(step, len(numbers)) for step in steps]
        lines.append(pack(f"<{len(which) + 1}I", len(which), *which))
    with path.open("wb") as out:
        out.write(pack("<I", len(numbers)))
        out.writelines(pack("<II", len(step.words), step.replies) for step in numbers)
        out.writelines(step.words + bytes(-len(step.words) % 4) for step in numbers)
        out.write(pack("<I", len(lines)))
        out.writelines(lines)
