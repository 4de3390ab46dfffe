"""The interval of a share of words, where no statistics were made."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(found: float, words: float, alpha: float = 0.05) -> tuple[float, float]:
    """The score interval of a share `found` of `words` draws (Wilson 1927), of the level 1 - alpha. NaN of no words.

    >>> [round(one, 3) for one in wilson(32 / 75, 75)]
    [0.321, 0.539]
    """
    if not words > 0 or not math.isfinite(found):
        return math.nan, math.nan
    z = NormalDist().inv_cdf(1 - alpha / 2)
    middle = (found + z**2 / (2 * words)) / (1 + z**2 / words)
    half = z / (1 + z**2 / words) * math.sqrt(found * (1 - found) / words + z**2 / (4 * words**2))
    return middle - half, middle + half
