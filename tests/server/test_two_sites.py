"""Two sites, each a pool: the link between them is cut, slow, and returns (F51, F52, T1)."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from csp.client import Change, Client, Credentials, Gap, preference
from tests.neighbours.applications import MASTER_DBID, make_proxy_application, place_master
from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.neighbours.sites import TwoSites, master_at, proxy_at, why_not
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, status, wait_level

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there can be two sites"),
]
KEEPALIVE_SECONDS = 2
RETURN_SECONDS = 2
LOADED, GONE_BACK = "51302", "51368"


@dataclass
class Pools:
    """The master with a proxy at site one, two proxies at site two."""

    sites: TwoSites
    master: Master
    near: Proxy
    far: Proxy  # it follows the master across the link
    behind: Proxy  # it follows `far`, and the master where that is away

    def addresses(self, *proxies: Proxy) -> list[tuple[str, int]]:
        return [(one.reached_at, one.port) for one in proxies]


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    folder: Path = tmp_path_factory.mktemp("sites")
    with contextlib.ExitStack() as stack:
        sites = stack.enter_context(TwoSites())
        master = stack.enter_context(master_at(sites.one, folder))
        across = (sites.one.across, master.port)
        place_master(master, across)
        near = proxy_at(sites.one, folder, "near", (sites.one.address, master.port))
        far = proxy_at(sites.two, folder, "far", across)
        behind = proxy_at(sites.two, folder, "behind", (sites.two.address, far.port))
        _make(master, near, [MASTER_DBID])
        dbid = _make(master, far, [MASTER_DBID])
        _make(master, behind, [dbid, MASTER_DBID])
        for one in (near, far, behind):
            stack.enter_context(one)
        yield Pools(sites, master, near, far, behind)


def _make(master: Master, proxy: Proxy, above: list[int]) -> int:
    options = {"csp": {"return-delay": str(RETURN_SECONDS)}}
    place = (proxy.reached_at, proxy.port)
    return make_proxy_application(
        master, proxy.app, place, above, keepalive_seconds=KEEPALIVE_SECONDS, options=options
    )


class Desktop:
    """A client that prefers its own site: what it was told, in the order in which it came."""

    def __init__(self, addresses: list[tuple[str, int]]) -> None:
        self.told: list[int] = []
        self.gaps: list[str] = []
        self.client = Client(
            addresses, Credentials("default", PASSWORD), prefer_first=True, reconnect_seconds=60
        )
        self._changes = self.client.subscribe("cfg:CfgSkill")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with self._changes as changes:
            for event in changes:
                if isinstance(event, Change):
                    self.told.append(event.dbid)
                elif isinstance(event, Gap):
                    self.gaps.append(event.why)

    @property
    def place(self) -> tuple[str, int]:
        """Where its subscription is."""
        return tuple(self._changes._client.address)  # type: ignore[return-value]

    def __enter__(self) -> Desktop:
        self._thread.start()
        wait_until(lambda: self._changes._watching._subscribed, 20, "it has subscribed")
        return self

    def __exit__(self, *_: object) -> None:
        self._changes.close()
        self._thread.join(10)
        self.client.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference, "RETURN_SECONDS", 2.0)
    monkeypatch.setattr(preference, "BETWEEN_SECONDS", 0.5)
    monkeypatch.setattr(preference, "AWAY_SECONDS", 0.5)


def test_a_cut_link_disturbs_no_client_and_nothing_is_missed(pools: Pools) -> None:
    with Desktop(pools.addresses(pools.behind, pools.far)) as desktop:
        dbids = create_skills(pools.master, ["before the cut"])
        wait_level(pools.master, pools.behind)
        loads = pools.far.log_text().count(f" {LOADED} ")
        pools.sites.cut()
        try:
            dbids += create_skills(pools.master, [f"cut {number}" for number in range(5)])
            wait_until(lambda: status(pools.far)["link"] == "down", 10, "it is noticed")
            wait_until(lambda: status(pools.behind)["link"] == "stale", 10, "and told on")
            with pools.behind.client() as client:
                assert client.execute_command("CFG.COUNT", "CfgPerson") >= 1
            wait_level(pools.master, pools.near)  # the master's own site goes on
        finally:
            pools.sites.mend()
        wait_level(pools.master, pools.behind, within=40)
        wait_until(lambda: desktop.told == dbids, 10, "each change came once, in order")
        assert desktop.gaps == []
        assert pools.far.log_text().count(f" {LOADED} ") == loads


def test_a_slow_link_is_no_lost_link(pools: Pools) -> None:
    lost = pools.far.log_text().count("51302") + pools.far.log_text().count(" 04504 ")
    pools.sites.be_slow()
    try:
        text = json.dumps({"padding": "x" * 60_000})
        with pools.master.client() as client:
            for number in range(20):  # some five seconds of the link
                value = {"name": f"slow {number}", "tenantDBID": 1}
                value |= {"userProperties": {"site": {"text": text}}}  # type: ignore[dict-item]
                client.execute_command("CFG.CREATE", "CfgSkill", json.dumps(value))
        wait_level(pools.master, pools.behind, within=60)
    finally:
        pools.sites.be_fast()
    assert pools.far.log_text().count("51302") + pools.far.log_text().count(" 04504 ") == lost


def test_clients_and_proxies_come_back_to_their_own_site(pools: Pools) -> None:
    home = pools.addresses(pools.far)[0]
    with Desktop(pools.addresses(pools.far, pools.near)) as desktop:
        assert desktop.place == home
        pools.far.kill()
        wait_until(lambda: desktop.place != home, 20, "it goes on at the other site")
        dbids = create_skills(pools.master, ["away from home"])
        wait_until(lambda: desktop.told == dbids, 20, "it is told there")
        wait_level(pools.master, pools.behind, within=30)  # by the master itself
        pools.far.start()
        wait_until(lambda: desktop.place == home, 30, "it is back at home")
        wait_until(lambda: GONE_BACK in pools.behind.log_text(), 30, "and so is the proxy")
        dbids += create_skills(pools.master, ["at home"])
        wait_until(lambda: desktop.told == dbids, 20, "it is told at home")
        assert desktop.gaps == []
