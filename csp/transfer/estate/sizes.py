"""Annex sections that bring objects to the sizes of real ones: most small, a few very large."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson

from csp.transfer.estate.names import PHRASES, WORDS

OBJECT_BYTES_MAX = 20_000
OBJECT_BYTES_MIN = 200
USUAL_MEAN_BYTES = 550  # without a wish: small objects, with a long tail
SECTION_KEYS = 12
VALUE_REPEATS_MAX = 8


class Sizes:
    """Draws sizes with a mean near mean_bytes, and fills annexes up to them."""

    def __init__(self, mean_bytes: int | None) -> None:
        self.mean_bytes = mean_bytes or USUAL_MEAN_BYTES

    def filled(self, value: dict[str, Any], random: Random) -> dict[str, Any]:
        """The object with an annex that brings it to a size."""
        annex = self._annex(random, len(orjson.dumps(value)))
        if annex:
            value["userProperties"] = annex
        return value

    def _annex(self, random: Random, bytes_so_far: int) -> dict[str, dict[str, Any]]:
        # Log-normal with mean 1 has sigma²/2 = -mu; 0.8 gives one object in 150 over 6 × the mean.
        drawn = random.lognormvariate(-0.32, 0.8) * self.mean_bytes
        target = max(OBJECT_BYTES_MIN, min(OBJECT_BYTES_MAX, drawn))
        left = target - bytes_so_far
        sections: dict[str, dict[str, Any]] = {}
        while left > 40:
            name = f"{random.choice(WORDS)}-{len(sections) + 1}"
            section: dict[str, Any] = {}
            left -= len(name) + 6
            while left > 20 and len(section) < SECTION_KEYS:
                key = f"{random.choice(WORDS)}.{len(section) + 1}"
                value = self._value(random, left)
                section[key] = value
                left -= len(key) + 6 + len(str(value).encode())
            sections[name] = section
        return sections

    def _value(self, random: Random, left: float) -> str | int:
        if random.random() < 0.15:
            return random.randrange(100_000)
        text = random.choice(PHRASES)
        if left > 2_000:
            text = " | ".join([text] * random.randint(1, VALUE_REPEATS_MAX))
        return text
