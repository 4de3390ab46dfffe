"""The same figures for parts of the queries: cognates and the rest, one token and several, by category, by frequency."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

LEAST_WORDS = 30  # a stratum with fewer queries gives no figure


def parts(facts: pd.DataFrame, *, cognate_from: float) -> dict[str, np.ndarray]:
    """{stratum: part of each row}, as far as the columns are there; "" where a row has none.

    facts: one row a pair, any of cognate (edit similarity of the two sides), token_count (of the source), category,
    frequency (of the source; its terciles are the parts). cognate_from: the similarity from which a pair counts as one.
    """
    made: dict[str, np.ndarray] = {}
    if "cognate" in facts:
        made["cognate"] = _named(facts["cognate"], lambda values: np.where(values >= cognate_from, "cognate", "no cognate"))
    if "token_count" in facts:
        made["tokens"] = _named(facts["token_count"], lambda values: np.where(values == 1, "one token", "several tokens"))
    if "category" in facts:
        made["category"] = facts["category"].fillna("").astype(str).to_numpy(object)
    if "frequency" in facts:
        made["frequency"] = _named(facts["frequency"], _thirds)
    return made


def groups(splits: np.ndarray, strata: Mapping[str, np.ndarray], least: int = LEAST_WORDS) -> dict[tuple[str, str, str], np.ndarray]:
    """{(split, stratum, part): mask} of the queries: each split as a whole ("", ""), and each part with `least` queries or more."""
    splits = np.asarray(splits)
    masks = {}
    for split in sorted(set(splits.tolist())):
        masks[split, "", ""] = splits == split
        for stratum, part_of in strata.items():
            for part in sorted(set(part_of[splits == split].tolist()) - {""}):
                mask = (splits == split) & (part_of == part)
                if mask.sum() >= least:
                    masks[split, stratum, part] = mask
    return masks


def _named(column: pd.Series, name: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(float)
    return np.where(np.isnan(values), "", name(values)).astype(object)


def _thirds(values: np.ndarray) -> np.ndarray:
    if np.isnan(values).all():
        return np.full(len(values), "")
    low, high = np.nanquantile(values, [1 / 3, 2 / 3])
    return np.where(values <= low, "rare", np.where(values <= high, "middling", "frequent"))
