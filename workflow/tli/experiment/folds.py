"""The pairs of a list as one run sees them: its own train and held-out splits where every seed deals them anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tli.errors import TableError
from tli.io import table_files, tables


class Splits:
    """A list's pairs, and with folds their split for each seed and fold."""

    def __init__(self, pairs: pd.DataFrame, folds: pd.DataFrame | None = None):
        """pairs: tables.PAIRS; folds: tables.FOLDS, None without folds."""
        self.pairs = pairs
        self._deals = {} if folds is None else {seed: deal.set_index("pair_id")["fold"] for seed, deal in folds.groupby("seed")}

    @classmethod
    def read(cls, files: dict[str, str]) -> Splits:
        """From the paths `pairs` and, with folds, `folds`."""
        pairs = table_files.read(files["pairs"], tables.PAIRS)
        return cls(pairs, table_files.read(files["folds"], tables.FOLDS) if "folds" in files else None)

    @classmethod
    def read_lists(cls, pairs: Sequence[str], files: Mapping[str, Sequence[str]]) -> dict[str, Splits]:
        """Of several pairs, from the paths `pairs` and, with folds, `folds`, one for each pair."""
        names = [name for name in ("pairs", "folds") if name in files]
        return {pair: cls.read({name: files[name][number] for name in names}) for number, pair in enumerate(pairs)}

    def of(self, seed: int, fold: int) -> pd.DataFrame:
        """The pairs with the splits of this run: the words of its fold are held out, the other dealt ones are trained on.

        fold 0: the list's own splits. Raises TableError for a seed that was not dealt.
        """
        if not fold:
            return self.pairs
        if seed not in self._deals:
            raise TableError(f"folds.tsv has no deal of seed {seed}; run the stage lexicon again")
        dealt = self.pairs["pair_id"].map(self._deals[seed]).fillna(0).astype(int)
        split = self.pairs["split"].mask(self.pairs["split"] == "heldout", "train").mask(dealt == fold, "heldout")
        return self.pairs.assign(split=split)
