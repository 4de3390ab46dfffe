"""Tests over seeds alone, for figures that are no mean over words (linear CKA, centred cosines, the sink ratio).

Such a test speaks of these very words: its replicate is the seed. It drives no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.statistics.cells import NOTE_OF_ZERO
from tli.statistics.columns import PLACE
from tli.statistics.comparing import MEASURES, SIDES
from tli.statistics.paired import t_of_differences
from tli.statistics.word_figures import NAMES

NAME = "t over seeds (these words)"
OF_ALL_WORDS = [name for name in MEASURES if name not in NAMES]  # figures that no single word has


def tests_over_seeds(compared: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Rows of TESTS, p's not yet adjusted: every cell, place and contrast of the figures OF_ALL_WORDS.

    compared: `comparing.compared` of the metrics by PLACE. Seeds with a missing value are left out; `n` is what is left.
    """
    by = [*tables.CELL, "loss_layer", *PLACE]
    compared = mean_of_folds(compared, by, OF_ALL_WORDS)
    blocks = []
    for contrast in (facts.AFTER_BEFORE, facts.REAL_PLACEBO):
        left, right = (compared[[name + side for name in OF_ALL_WORDS]].to_numpy(float) for side in SIDES[contrast])
        for key, places in compared.groupby(by, sort=True, dropna=False).indices.items():
            about = {**dict(zip(by, key, strict=True)), "contrast": contrast}
            about |= {name: bool(compared[name].iloc[places[0]]) for name in ("zero", "control")}
            blocks += [block.assign(**about) for block in _tested((left - right)[places], alpha)]
    if not blocks:
        return pd.DataFrame(columns=tables.TESTS)
    table = pd.concat(blocks, ignore_index=True).assign(test=NAME, level="exploratory", seed=-1)
    table["family"] = "exploratory: " + table["metric"]
    zero = table["zero"].astype(bool)
    table.loc[zero, ["statistic", "p", "log10_p", "low", "high", "dz"]] = np.nan
    table.loc[zero, "level"], table.loc[zero, "family"], table.loc[zero, "note"] = "descriptive", "", NOTE_OF_ZERO
    return table


def _tested(differences: np.ndarray, alpha: float) -> Iterator[pd.DataFrame]:
    there = np.isfinite(differences)
    for pattern in np.unique(there, axis=1).T:  # figures that lack the same seeds are tested together
        figures = np.flatnonzero((there == pattern[:, None]).all(0))
        if pattern.any():
            tested = t_of_differences(differences[np.ix_(pattern, figures)], alpha)
            yield pd.DataFrame({"metric": [OF_ALL_WORDS[i] for i in figures], **tested})


def mean_of_folds(compared: pd.DataFrame, by: list[str], measures: list[str]) -> pd.DataFrame:
    """One row a seed: the mean over its folds. Without folds the table itself."""
    if compared["fold"].nunique() <= 1:
        return compared
    figures = [name + side for name in measures for side in ("", "_before", "_placebo")]
    others = {name: "first" for name in compared.columns if name not in (*by, "seed", *figures)}
    return compared.groupby([*by, "seed"], as_index=False, sort=False).agg({**dict.fromkeys(figures, "mean"), **others})
