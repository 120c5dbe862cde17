"""Makes the agents of an estate, and what is theirs: login, place, DNs."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from csp.transfer.estate.layout import TEAM_SIZE, Tenant, extension, login_code, position
from csp.transfer.estate.names import SCRIPTS, Script
from csp.transfer.estate.sections import employee_id, folder, tenant_skills
from csp.transfer.estate.sizes import Sizes

Object = dict[str, Any]

SKILL_LEVEL_MAX = 10
WRAP_UP_SECONDS = (0, 10, 20, 30, 60)
DISABLED_IN_HUNDRED = 2
ADMINS_A_TENANT = 2
WEIGHTS = [script.weight for script in SCRIPTS]


def persons(layout: list[Tenant], seed: int, sizes: Sizes) -> Iterator[Object]:
    for tenant in layout:
        skills = tenant_skills(tenant, seed)
        random = Random(f"{seed}/persons/{tenant.index}")
        for agent in range(tenant.agents):
            yield sizes.filled(_agent(tenant, agent, skills, random), random)
        for index in range(ADMINS_A_TENANT):
            yield _admin(tenant, index, random)


def _agent(tenant: Tenant, agent: int, skills: list[str], random: Random) -> Object:
    site = tenant.site_of(agent)
    person = _person(tenant, random, f"{tenant.first_agent + agent + 1}")
    person["employeeId"] = employee_id(tenant, agent)
    person["agent"] = True
    info: Object = {
        "skillLevels": {
            skill: random.randint(1, SKILL_LEVEL_MAX)
            for skill in random.sample(skills, k=random.randint(1, 6))
        },
        "agentLogins": [
            {
                "agentLogin": {"switch": site.switch, "loginCode": login_code(agent)},
                "wrapupTime": random.choice(WRAP_UP_SECONDS),
            }
        ],
    }
    place = tenant.place(agent)
    if place is not None:
        info["place"] = place
    person["agentInfo"] = info
    person["folder"] = folder(tenant, "person", site.path)
    if random.randrange(100) < DISABLED_IN_HUNDRED:
        person["state"] = "disabled"
    if agent % TEAM_SIZE == 0:
        person["appRanks"] = {"agentdesktop": "designer"}
    return person


def _admin(tenant: Tenant, index: int, random: Random) -> Object:
    person = _person(tenant, random, f"{tenant.code.lower()}a{index + 1}")
    person["employeeId"] = f"{tenant.code}-ADM{index + 1}"
    person["agent"] = False
    person["appRanks"] = {"sce": "tenantadministrator"}
    return person


def _person(tenant: Tenant, random: Random, suffix: str) -> Object:
    script: Script = random.choices(SCRIPTS, WEIGHTS)[0]
    first, first_ascii = random.choice(script.first)
    last, last_ascii = random.choice(script.last)
    user = f"{first_ascii}.{last_ascii}.{suffix}"
    return {
        "tenant": tenant.name,
        "userName": user,
        "firstName": first,
        "lastName": last,
        "emailAddress": f"{user}@{tenant.code.lower()}.example",
        "externalId": f"hr-{random.randrange(10**8):08d}",
        "state": "enabled",
    }


def logins(layout: list[Tenant], seed: int, sizes: Sizes) -> Iterator[Object]:
    for tenant in layout:
        random = Random(f"{seed}/logins/{tenant.index}")
        for agent in range(tenant.agents):
            login: Object = {
                "switch": tenant.site_of(agent).switch,
                "tenant": tenant.name,
                "loginCode": login_code(agent),
                "state": "enabled",
            }
            yield sizes.filled(login, random)


def dns(layout: list[Tenant], seed: int, sizes: Sizes) -> Iterator[Object]:
    for tenant in layout:
        random = Random(f"{seed}/dns/{tenant.index}")
        for agent in range(tenant.agents):
            if tenant.place(agent) is None:
                continue
            yield sizes.filled(_dn(tenant, agent, "extension", extension(agent)), random)
            if agent % 2 == 0:
                yield sizes.filled(_dn(tenant, agent, "acdposition", position(agent)), random)


def _dn(tenant: Tenant, agent: int, kind: str, number: str) -> Object:
    return {
        "tenant": tenant.name,
        "switch": tenant.site_of(agent).switch,
        "type": kind,
        "number": number,
        "routeType": "default",
        "registerAll": "drtrue",
        "state": "enabled",
    }


def places(layout: list[Tenant], seed: int, sizes: Sizes) -> Iterator[Object]:
    for tenant in layout:
        random = Random(f"{seed}/places/{tenant.index}")
        for agent in range(tenant.agents):
            name = tenant.place(agent)
            if name is None:
                continue
            site = tenant.site_of(agent)
            numbers = [("extension", extension(agent))]
            if agent % 2 == 0:
                numbers.append(("acdposition", position(agent)))
            place: Object = {
                "tenant": tenant.name,
                "name": name,
                "dns": [
                    {"number": number, "switch": site.switch, "type": kind}
                    for kind, number in numbers
                ],
                "state": "enabled",
                "folder": folder(tenant, "place", site.path),
            }
            yield sizes.filled(place, random)
