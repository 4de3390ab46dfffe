"""Which forms the lists of an experiment train, and which rows of a list have none of them. Forms are compared by their keys."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from tli.lexicon.forms import key


def keys_of(pairs: pd.DataFrame) -> pd.DataFrame:
    """The keys of both sides of each pair: columns source, target."""
    return pd.DataFrame({side: [key(form) for form in pairs[side].tolist()] for side in ("source", "target")}, index=pairs.index)


def trained_forms(lists: Iterable[tuple[pd.DataFrame, pd.Series]]) -> frozenset[str]:
    """The keys of both sides of all train rows. lists: the keys (`keys_of`) and the splits of each list that is trained on."""
    found: set[str] = set()
    for keys, split in lists:
        rows = keys[(split == "train").to_numpy()]
        found |= {*rows["source"], *rows["target"]}
    return frozenset(found)


def askable(keys: pd.DataFrame, split: pd.Series | None, trained: frozenset[str]) -> np.ndarray:
    """Rows without a trained form, bool [n_pairs]: of a list that is trained on, those that its split holds out.

    split: None for a list that nobody trains on; none of its rows is anything but held out.
    """
    both = zip(keys["source"].tolist(), keys["target"].tolist(), strict=True)  # a column's own isin takes a hundred times as long
    free = np.array([source not in trained and target not in trained for source, target in both], bool)
    return free if split is None else free & (split == "heldout").to_numpy()
