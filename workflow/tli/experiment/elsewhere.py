"""What joint trainings learn through the other lists, of one list's words: the pool that no training touches has none of it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tli.experiment.folds import Splits
from tli.experiment.job.base import OfModel
from tli.lexicon.forms import alternatives


class Elsewhere:
    """The forms of a list that a run trains through another list alone; none where the lists are split together."""

    def __init__(self, own: Splits, others: Mapping[str, Splits]):
        self.own, self.others = own, dict(others)

    @classmethod
    def read(cls, job: OfModel) -> Elsewhere:
        """From the job's inputs: its list, and those that are trained together with it and were not split beside it."""
        files = {name: job.inputs[f"other_{name}"] for name in ("pairs", "folds") if f"other_{name}" in job.inputs}
        others = Splits.read_lists(job.experiment.may_leak_to(job.names["pair"]), files) if files else {}
        return cls(Splits.read(job.inputs), others)

    def of(self, seed: int, fold: int) -> frozenset[str]:
        """Of a seed and fold: the forms of rows that are not trained on here, and are trained on elsewhere."""
        if not self.others:
            return frozenset()
        trained: set[str] = set()
        for splits in self.others.values():
            trained |= _forms(splits.of(seed, fold).query("split == 'train'"))
        return frozenset(_forms(self.own.of(seed, fold).query("split != 'train'")) & trained)


def leaks(lists: Mapping[str, Splits], seed: int, fold: int) -> dict[str, int]:
    """Of lists that are trained on together: how many held-out pairs of each have a form that another one trains. None where there are none."""
    counts = {}
    for pair, own in lists.items():
        trained = Elsewhere(own, {other: splits for other, splits in lists.items() if other != pair}).of(seed, fold)
        heldout = own.of(seed, fold).query("split == 'heldout'")
        counts[pair] = int((heldout["source"].isin(trained) | heldout["target"].isin(trained)).sum())
    return {pair: count for pair, count in counts.items() if count}


def _forms(pairs: pd.DataFrame) -> set[str]:
    """Every form of these pairs, of either side."""
    return {*pairs["source"], *pairs["target"], *(form for listed in pairs["alternatives"] for form in alternatives(listed))}
