"""Makes the objects of an estate that exist once or per site: all but the agents' own."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from csp.transfer.estate.layout import TEAM_SIZE, Site, Tenant
from csp.transfer.estate.names import PHRASES, SKILLS, TEAMS, WORDS

Object = dict[str, Any]

ENVIRONMENT = "Environment"
VERSION = "8.5.100.00"
PROTOTYPES = {  # what a centre runs, and the prototypes named after it
    "tserver": "TServer_Prototype",
    "statserver": "StatServer_Prototype",
    "routerserver": "URS_Prototype",
    "messageserver": "MessageServer_Prototype",
    "interactionworkspace": "Workspace_Prototype",
}
SKILLS_A_TENANT = 24
QUEUES_A_SITE = 6
ROUTING_POINTS_A_SITE = 4
DESKTOP_OPTION_BYTES = 12_000  # the desktop application is the large object of every real centre


def tenants(layout: list[Tenant]) -> Iterator[Object]:
    for tenant in layout:
        yield {
            "name": tenant.name,
            "parentTenant": ENVIRONMENT,
            "chargeableNumber": f"{800_000 + tenant.index}",
            "state": "enabled",
        }


def hosts(layout: list[Tenant]) -> Iterator[Object]:
    number = 0
    for tenant in layout:
        for site in tenant.sites():
            yield {
                "name": site.host,
                "ipAddress": f"10.{number // 250 % 250}.{number % 250}.10",
                "lcaPort": "4999",
                "osInfo": {"type": "redhatlinux", "version": "8"},
                "type": "networkserver",
                "state": "enabled",
            }
            number += 1


def prototypes() -> Iterator[Object]:
    for kind, name in PROTOTYPES.items():
        options = {"log": {"verbose": "standard", "all": "stdout"}}
        yield {"name": name, "type": kind, "version": VERSION, "options": options}


def applications(layout: list[Tenant], seed: int) -> Iterator[Object]:
    for tenant in layout:
        for site in tenant.sites():
            port = 5_000 + 10 * site.index + 100 * (tenant.index % 40)
            yield _server(site.tserver, "tserver", site, port)
        first = tenant.site(0)
        base = 20_000 + 10 * tenant.index
        statserver = f"{tenant.code}_StatServer"
        servers = [site.tserver for site in tenant.sites()]
        yield _server(statserver, "statserver", first, base, servers)
        yield _server(f"{tenant.code}_URS", "routerserver", first, base + 1, [*servers, statserver])
        yield _desktop(tenant, statserver, Random(f"{seed}/desktop/{tenant.index}"))


def _server(
    name: str, kind: str, site: Site, port: int, connections: list[str] | None = None
) -> Object:
    return {
        "name": name,
        "appPrototype": PROTOTYPES[kind],
        "tenants": [site.tenant.name],
        "server": True,
        "serverInfo": {"host": site.host, "timeout": 10, "attempts": 1},
        "portInfos": [{"id": "default", "port": str(port)}],
        "appServers": [
            {"appServer": other, "id": "default", "timeoutLocal": 60, "timeoutRemote": 90}
            for other in connections or []
        ],
        "workDirectory": f"/opt/{name.lower()}",
        "commandLine": f"./{kind}",
        "commandLineArguments": f"-app {name}",
        "autoRestart": True,
        "options": {
            "log": {"verbose": "standard", "all": f"/var/log/{name}"},
            "TServer": {"ani-distribution": "inbound-calls-only", "acw-time": 30},
        },
        "state": "enabled",
    }


def _desktop(tenant: Tenant, statserver: str, random: Random) -> Object:
    options: dict[str, dict[str, str | int]] = {}
    size = 0
    while size < DESKTOP_OPTION_BYTES:
        section: dict[str, str | int] = {}
        for index in range(20):
            value: str | int = random.choice(PHRASES)
            if random.random() < 0.2:
                value = random.randrange(10_000)
            section[f"{random.choice(WORDS)}.{random.choice(WORDS)}.{index}"] = value
            size += 30 + len(str(value).encode())
        options[f"desktop.{len(options) + 1}"] = section
    return {
        "name": f"{tenant.code}_Workspace",
        "appPrototype": PROTOTYPES["interactionworkspace"],
        "tenants": [tenant.name],
        "server": False,
        "appServers": [{"appServer": statserver, "id": "default"}],
        "options": options,
        "state": "enabled",
    }


def folders(layout: list[Tenant]) -> Iterator[Object]:
    for tenant in layout:
        for site in tenant.sites():
            for kind in ("person", "place", "agentgroup"):
                yield {
                    "name": site.path,
                    "type": kind,
                    "description": f"{site.name} / {tenant.name}",
                    "folder": folder(tenant, kind),
                }


def folder(tenant: Tenant, kind: str, *path: str) -> Object:
    return {"type": kind, "owner": {"type": "tenant", "name": tenant.name}, "path": list(path)}


def physical_switches(layout: list[Tenant]) -> Iterator[Object]:
    for tenant in layout:
        for site in tenant.sites():
            yield {"name": site.physical_switch, "type": "sipswitch", "state": "enabled"}


def switches(layout: list[Tenant]) -> Iterator[Object]:
    for tenant in layout:
        for site in tenant.sites():
            yield {
                "tenant": tenant.name,
                "name": site.switch,
                "physicalSwitch": site.physical_switch,
                "tServer": site.tserver,
                "dnRange": "200000-299999,500000-599999",
                "switchAccessCodes": [
                    {
                        "switch": other.switch,
                        "accessCode": f"8{other.index + 1:02d}",
                        "targetType": "targetroutingpoint",
                        "routeType": "default",
                    }
                    for other in tenant.sites()
                    if other.index != site.index
                ],
                "state": "enabled",
            }


def site_dns(layout: list[Tenant]) -> Iterator[Object]:
    for tenant in layout:
        for site in tenant.sites():
            for index in range(QUEUES_A_SITE):
                yield _dn(site, "acdqueue", f"{6_000 + index}", f"{site.name} Q{index + 1}")
            for index in range(ROUTING_POINTS_A_SITE):
                yield _dn(site, "routingpoint", f"{7_000 + index}", f"{site.name} RP{index + 1}")


def _dn(site: Site, kind: str, number: str, name: str) -> Object:
    return {
        "tenant": site.tenant.name,
        "switch": site.switch,
        "type": kind,
        "number": number,
        "name": name,
        "routeType": "default",
        "registerAll": "drtrue",
        "state": "enabled",
    }


def skills(layout: list[Tenant], seed: int) -> Iterator[Object]:
    for tenant in layout:
        for name in tenant_skills(tenant, seed):
            yield {"tenant": tenant.name, "name": name, "state": "enabled"}


def tenant_skills(tenant: Tenant, seed: int) -> list[str]:
    return Random(f"{seed}/skills/{tenant.index}").sample(SKILLS, k=SKILLS_A_TENANT)


def agent_groups(layout: list[Tenant]) -> Iterator[Object]:
    for tenant in layout:
        for team in range(tenant.team_count):
            first = team * TEAM_SIZE
            site = tenant.site_of(first)
            members = range(first, min(first + TEAM_SIZE, tenant.agents))
            yield {
                "group": {
                    "tenant": tenant.name,
                    "name": f"{site.name} {TEAMS[team % len(TEAMS)]} {team + 1}",
                    "managers": [employee_id(tenant, first)],
                    "routeDNs": [
                        {
                            "number": f"{6_000 + team % QUEUES_A_SITE}",
                            "switch": site.switch,
                            "type": "acdqueue",
                        }
                    ],
                    "state": "enabled",
                },
                "agents": [employee_id(tenant, agent) for agent in members],
                "folder": folder(tenant, "agentgroup", site.path),
            }


def access_groups(layout: list[Tenant]) -> Iterator[Object]:
    for tenant in layout:
        leads = range(0, tenant.agents, TEAM_SIZE)
        yield {
            "group": {"tenant": tenant.name, "name": "Team leads", "state": "enabled"},
            "members": [employee_id(tenant, agent) for agent in leads],
            "type": "defaultgroup",
        }


def employee_id(tenant: Tenant, agent: int) -> str:
    return f"{tenant.code}-{agent + 1:06d}"
