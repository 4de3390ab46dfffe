"""Crossed tables of seeds x units from the words of all runs.

A unit is a component of the list: pairs that share a form rise and fall together. A unit of several words enters as the sum
of their differences over the mean size of the units, so that the mean over units is the mean per word. With folds each dealt
word is held out once a seed, and is compared with the model before (or the placebo) of the same seed and fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli.statistics.inputs import Measured
from tli.statistics.word_figures import NAMES, WORD_FIGURES

Row = tuple[str, int, int]  # run, seed, fold
SHEET = ["model", "pair", "hidden_state", "pool"]


@dataclass(frozen=True)
class Sheet:
    """All words of one list at one hidden state, ranked in one pool, for all runs.

    values: [rows, words, figures of word_figures.NAMES], NaN where a run was not measured on a word. split: [rows, words],
    index into `splits`, -1 where not measured. unit: [words], the component of each.
    """

    model: str
    pair: str
    hidden_state: int
    pool: str
    rows: dict[Row, int]
    words: np.ndarray
    unit: np.ndarray
    splits: tuple[str, ...]
    split: np.ndarray
    values: np.ndarray

    def row(self, run: str, seed: int, fold: int) -> int | None:
        """The row of a run, or of a baseline that stands for this seed and fold; None where it was not measured."""
        for key in ((run, seed, fold), (run, -1, fold), (run, -1, 0)):
            if key in self.rows:
                return self.rows[key]
        return None

    def sides(self, members: pd.DataFrame, sides: tuple[str, str], split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of one cell's runs: the seeds, and both sides' values [seeds, words, figures] on the words of a split.

        members: `comparing.members` of the cell. sides: two columns of it that name runs, such as ("run", "baseline"). A seed
        without a row on either side is left out; a value that several folds have (of a trained word) is their mean.
        """
        seeds, values = [], []
        number = self.splits.index(split) if split in self.splits else -2
        columns = (members[name] for name in ("seed", "fold", "run", *sides))
        by_seed: dict[int, list[np.ndarray]] = {}
        for seed, fold, run, first, second in zip(*columns, strict=True):
            found = [self.row(name, seed, fold) for name in (run, first, second)]
            places = [row for row in found if row is not None]
            if len(places) < len(found):
                continue
            both = self.values[places[1:]]
            by_seed.setdefault(seed, []).append(np.where((self.split[places[0]] == number)[None, :, None], both, np.nan))
        for seed, folds in by_seed.items():
            seeds.append(seed)
            values.append(folds[0] if len(folds) == 1 else _mean_of_folds(folds))
        if not seeds:
            nothing = np.empty((0, len(self.words), len(NAMES)))
            return np.array([], int), nothing, nothing
        both = np.stack(values, 1)
        return np.array(seeds), both[0], both[1]


def _mean_of_folds(folds: list[np.ndarray]) -> np.ndarray:
    total, count = np.zeros_like(folds[0]), np.zeros_like(folds[0])
    for values in folds:
        there = np.isfinite(values)
        total += np.where(there, values, 0.0)
        count += there
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def sheets(measured: Measured) -> Iterator[Sheet]:
    """Every sheet of the tables, in the order of SHEET."""
    pairs = measured.pairs
    of_model = "model" in pairs.columns
    similarities = measured.similarities
    for key, part in similarities.groupby(SHEET, sort=True, observed=True):
        model, pair, state, pool = key
        listed = pairs[(pairs["pair"] == pair) & (pairs["model"] == model)] if of_model else pairs[pairs["pair"] == pair]
        component = dict(zip(listed["pair_id"], listed["component"], strict=True))
        word, words = pd.factorize(part["pair_id"], sort=True)
        row, labels = pd.factorize(pd.MultiIndex.from_frame(part[["run", "seed", "fold"]].astype({"run": str})))
        split_number, splits = pd.factorize(part["split"])
        split = np.full((len(labels), len(words)), -1, np.int8)
        split[row, word] = split_number
        values = np.full((len(labels), len(words), len(NAMES)), np.nan)
        for number, name in enumerate(NAMES):
            values[row, word, number] = WORD_FIGURES[name](part)
        names = [component.get(one) or one for one in words]
        unit = pd.factorize(np.array(names, object))[0]
        rows = {(run, int(seed), int(fold)): number for number, (run, seed, fold) in enumerate(labels)}
        yield Sheet(model, pair, int(state), pool, rows, np.asarray(words, object), unit, tuple(splits), split, values)


def units_of(difference: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """[seeds, words, ...] -> [seeds, units, ...]: the sum over the words of a unit / the mean size of the units."""
    if not len(unit):
        return difference
    order = np.argsort(unit, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(unit[order]) != 0])
    return np.add.reduceat(difference[:, order], starts, axis=1) * (len(starts) / len(unit))


def complete_words(difference: np.ndarray) -> np.ndarray:
    """Mask of the words [words] that every seed has, of a difference [seeds, words]."""
    return np.isfinite(difference).all(0) if len(difference) else np.zeros(difference.shape[1], bool)
