"""Families of tests: p values adjusted together, the family's name and size beside each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tli import facts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

METHODS = {"holm": "holm", "benjamini-hochberg": "fdr_bh", "benjamini-yekutieli": "fdr_by"}  # the config's name: statsmodels' name


def adjust(p: ArrayLike, method: str = "holm") -> np.ndarray:
    """Adjusted p's by one of METHODS; NaN is left out and stays NaN. Raises ValueError for a method that is not known.

    >>> adjust([0.01, 0.04, float("nan"), 0.03]).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    if method not in METHODS:
        raise ValueError(f"correction {method!r} is not known; choose one of {', '.join(METHODS)}")
    p = np.asarray(p, float)
    result = np.full(p.shape, np.nan)
    defined = np.isfinite(p)
    if defined.any():
        known = np.clip(p[defined], 0, 1)
        result[defined] = _holm(known) if method == "holm" else multipletests(known, method=METHODS[method])[1]
    return result


def _holm(p: np.ndarray) -> np.ndarray:
    # statsmodels' Holm gives the same, but collects all garbage of the process each time: 0.1 s a family
    order = np.argsort(p, kind="stable")
    result = np.empty_like(p)
    result[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return result


def adjust_families(table: pd.DataFrame, undefined_count: tuple[str, ...] = ()) -> pd.DataFrame:
    """Fill family_size, p_holm, p_bh and p_by of a table of tests (TESTS of tli.io.tables) by its column `family`.

    A test without a p enters no family, except in those named in `undefined_count`: there it counts as p = 1, so that the
    size of a family that was fixed beforehand does not hang on the data. family "" is no family.
    """
    table = table.reset_index(drop=True)
    size = np.zeros(len(table), int)
    adjusted = {method: np.full(len(table), np.nan) for method in METHODS}
    for family, rows in table.groupby("family", sort=False).indices.items():
        if not family:
            continue
        p = table["p"].to_numpy(float)[rows]
        counted = np.where(np.isfinite(p), p, 1.0) if family in undefined_count else p
        size[rows] = np.isfinite(counted).sum()
        for method, values in adjusted.items():
            values[rows] = np.where(np.isfinite(p), adjust(counted, method), np.nan)
    return table.assign(family_size=size, **{facts.CORRECTIONS[method]: values for method, values in adjusted.items()})
