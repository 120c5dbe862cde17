"""How much tests try: property tests little in the quick suite, and fifty times that in a campaign.

`--hypothesis-profile=campaign` is the long form; tests/README.md has the whole command.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import settings

QUICK, CAMPAIGN = "quick", "campaign"
CAMPAIGN_TIMES = 50

# An example takes as long as its machine lets it: a hang is found by the test's own limit.
settings.register_profile(QUICK, deadline=None, max_examples=40)
settings.register_profile(CAMPAIGN, deadline=None, print_blob=True)


def examples(quick: int, **more: Any) -> settings:
    """So many examples in the quick suite; more of them as the profile says."""
    is_campaign = settings.get_current_profile_name() == CAMPAIGN
    return settings(max_examples=quick * (CAMPAIGN_TIMES if is_campaign else 1), **more)


def parametrize_few(
    names: str | Sequence[str], cases: Iterable[Any], *, quick: int = 1, **more: Any
) -> pytest.MarkDecorator:
    """As `pytest.mark.parametrize`; the quick suite has the first `quick` cases, the night all."""
    several = not isinstance(names, str) or "," in names
    found = [
        pytest.param(*(case if several else (case,)), marks=[pytest.mark.long] * (place >= quick))
        for place, case in enumerate(cases)
    ]
    return pytest.mark.parametrize(names, found, **more)
