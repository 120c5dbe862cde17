"""Limits of the kernel that leave no room for a server are one line with both figures."""

from __future__ import annotations

import pytest

from csp.supervisor.limits import Limits, LimitsRefused, client_count_of

GIB = 1 << 30


@pytest.mark.parametrize(
    ("limits", "workers", "clients"),
    [
        (Limits(None, None, None), 4, 1_048_476),
        (Limits(120, None, None), 2, 20),
        (Limits(20_000, 5 * GIB, GIB), 4, 19_900),
        (Limits(484, None, None), 48, 384),
    ],
)
def test_what_is_left_is_for_clients(limits: Limits, workers: int, clients: int) -> None:
    assert client_count_of(limits, workers, GIB) == clients


@pytest.mark.parametrize(
    ("limits", "workers", "said"),
    [
        (Limits(64, None, None), 2, "64 open files are allowed, 120 are needed with 2 workers"),
        (Limits(483, None, None), 48, "483 open files are allowed, 484 are needed"),
        (Limits(None, 5 * GIB - 1, None), 1, "5119 MiB of address space are allowed, 5120 MiB"),
        (Limits(None, None, GIB - 1), 1, "files may have 1023 MiB, .* --reserve, 1024 MiB"),
    ],
)
def test_what_leaves_no_room_is_refused(limits: Limits, workers: int, said: str) -> None:
    with pytest.raises(LimitsRefused, match=said) as refusal:
        client_count_of(limits, workers, GIB)
    assert "raise the hard limit (ulimit -" in str(refusal.value)
