"""What one connection asks on behalf of another server's clients and is not answered yet."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Asked:
    """Questions by the asker's numbers."""

    pieces: dict[int, list[bytes]] = field(default_factory=dict)  # of those not yet whole
    sizes: dict[int, int] = field(default_factory=dict)  # of all that are not answered
    bytes: int = 0  # their sum
