"""Into which fold a component of two lists is dealt, where the lists differ in length."""

from __future__ import annotations

import numpy as np

from tli.lexicon.folds import _dealt


def test_a_pair_weighs_by_its_share_of_its_list():
    one, other = [1, 0], [0, 1]  # pairs of a list of 100 and of one of 10
    counts = np.array([[10, 0], [0, 2], [1, 1], *[one] * 89, *[other] * 7])
    seen = set()
    for seed in range(20):
        large, small, both = _dealt(counts, 2, np.random.default_rng(seed))[:3]
        seen.add(large == small)
        # beside 10 of 100 rather than beside 2 of 10; apart from them where they lie together
        assert both == (large if large != small else 3 - large)
    assert seen == {True, False}
