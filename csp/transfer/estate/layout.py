"""How a made-up centre is laid out: which tenants and sites, and which agent sits where.

Everything is computed from agent count and seed, so any object can be made by itself, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from csp.transfer.estate.names import COMPANIES, SITES

TENANTS_MAX = 40
AGENTS_PER_TENANT = 600  # a centre of 2,000 agents has five tenants
AGENTS_PER_SITE = 150
SITES_MAX = 12
TEAM_SIZE = 15
PLACED_IN_TEN = 9  # of ten agents, one has no place of its own


@dataclass(frozen=True, slots=True)
class Site:
    """One building of one tenant, with its switch."""

    tenant: Tenant
    index: int
    name: str

    @property
    def switch(self) -> str:
        return f"{self.tenant.code}-SW{self.index + 1}"

    @property
    def physical_switch(self) -> str:
        return f"{self.tenant.code}-PBX{self.index + 1}"

    @property
    def tserver(self) -> str:
        return f"{self.tenant.code}_TServer_{self.index + 1}"

    @property
    def host(self) -> str:
        return f"{self.tenant.code.lower()}-host{self.index + 1}"

    @property
    def path(self) -> str:
        return f"{self.name} {self.index + 1}"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant and how many agents it has; agents number 0 to agents - 1."""

    index: int
    name: str
    code: str
    agents: int
    first_agent: int  # over all tenants, for names unique in the whole database
    site_count: int
    site_names: tuple[str, ...]

    def site(self, index: int) -> Site:
        return Site(self, index, self.site_names[index])

    def sites(self) -> Iterator[Site]:
        return (self.site(index) for index in range(self.site_count))

    def site_of(self, agent: int) -> Site:
        return self.site(agent // TEAM_SIZE % self.site_count)

    @property
    def team_count(self) -> int:
        return -(-self.agents // TEAM_SIZE)

    def place(self, agent: int) -> str | None:
        if agent % 10 >= PLACED_IN_TEN:
            return None
        return f"{self.code}-P{agent + 1:06d}"


def login_code(agent: int) -> str:
    return f"{700_000 + agent}"


def extension(agent: int) -> str:
    return f"{200_000 + agent}"


def position(agent: int) -> str:
    return f"{500_000 + agent}"


def lay_out(agents: int, seed: int) -> list[Tenant]:
    """The tenants: several, of uneven size."""
    random = Random(f"{seed}/layout")
    count = max(2, min(TENANTS_MAX, agents // AGENTS_PER_TENANT + 2))
    weights = [random.uniform(0.4, 1.6) for _ in range(count)]
    total = sum(weights)
    shares = [int(agents * weight / total) for weight in weights]
    shares[0] += agents - sum(shares)
    names = random.sample(COMPANIES, k=len(COMPANIES))
    tenants: list[Tenant] = []
    first = 0
    for index, share in enumerate(shares):
        site_count = max(2, min(SITES_MAX, share // AGENTS_PER_SITE + 1))
        name = names[index % len(names)]
        if index >= len(names):
            name = f"{name} {index // len(names) + 1}"
        sites = tuple(random.sample(SITES, k=site_count))
        tenants.append(Tenant(index, name, f"T{index + 1:02d}", share, first, site_count, sites))
        first += share
    return tenants
