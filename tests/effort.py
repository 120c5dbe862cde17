"""How much the property tests try: little in the quick suite, fifty times as much in a campaign.

`--hypothesis-profile=campaign` is the long form; tests/README.md has the whole command.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings

QUICK, CAMPAIGN = "quick", "campaign"
CAMPAIGN_TIMES = 50

# An example takes as long as its machine lets it: a hang is found by the test's own limit.
settings.register_profile(QUICK, deadline=None)
settings.register_profile(CAMPAIGN, deadline=None, print_blob=True)


def examples(quick: int, **more: Any) -> settings:
    """So many examples in the quick suite; more of them as the profile says."""
    is_campaign = settings.get_current_profile_name() == CAMPAIGN
    return settings(max_examples=quick * (CAMPAIGN_TIMES if is_campaign else 1), **more)
