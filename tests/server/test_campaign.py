"""Runs the kill campaign in a short form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.run import (
    LOAD_FAILPOINTS,
    LOADING_FAILPOINTS,
    WRITING_FAILPOINTS,
    Campaign,
)

KILLS = 24


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_short_kill_campaign_finds_no_fault(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=1, changes_a_second=100, objects=40)
    faults = campaign.run(KILLS)
    assert not faults, "\n".join([*faults[:10], *campaign.summary()])
    while_loading = 2 * 2 * len(LOAD_FAILPOINTS)  # of both servers, kills and stops
    of_snapshots = len(WRITING_FAILPOINTS) + len(LOADING_FAILPOINTS)
    assert sum(campaign.done.values()) == KILLS + while_loading + of_snapshots
    assert campaign.history.reads > 100
    assert all(campaign.changer.through[server] for server in campaign.servers.values())
