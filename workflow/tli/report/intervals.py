"""The interval of a share of words, where no statistics were made."""

from __future__ import annotations

import math


def wilson(found: float, words: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """The score interval of a share `found` of `words` draws (Wilson 1927); z: of its level, by default 95 %. NaN of no words.

    >>> [round(one, 3) for one in wilson(32 / 75, 75)]
    [0.321, 0.539]
    """
    if not words > 0 or not math.isfinite(found):
        return math.nan, math.nan
    middle = (found + z**2 / (2 * words)) / (1 + z**2 / words)
    half = z / (1 + z**2 / words) * math.sqrt(found * (1 - found) / words + z**2 / (4 * words**2))
    return middle - half, middle + half
