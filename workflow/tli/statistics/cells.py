"""The crossed tests of every cell: from the words of its runs, beside the model before and the placebo, to quasi-t's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.statistics.comparing import RUNS_OF
from tli.statistics.crossed import NAME, crossed, one
from tli.statistics.units import Sheet, complete_words, units_of
from tli.statistics.word_figures import NAMES

NOTE_OF_ZERO = "the zero arm is a floor without variance"
TESTED = (facts.AFTER_BEFORE, facts.REAL_PLACEBO)  # the contrasts that stand in the table of tests


@dataclass(frozen=True)
class Difference:
    """One contrast of one cell on the words of one split: both sides [seeds, words, figures], and the unit of each word."""

    seeds: np.ndarray
    first: np.ndarray
    second: np.ndarray
    unit: np.ndarray

    @classmethod
    def of(cls, sheet: Sheet, members: pd.DataFrame, contrast: str, split: str) -> Difference:
        return cls(*sheet.sides(members, RUNS_OF[contrast], split), sheet.unit)

    def words(self, metric: str) -> np.ndarray:
        """Mask [words] of those that every seed has on both sides."""
        return complete_words(self.first[:, :, NAMES.index(metric)] - self.second[:, :, NAMES.index(metric)])

    def left_out(self, metric: str) -> int:
        """How many words some seed has and another lacks."""
        number = NAMES.index(metric)
        some = np.isfinite(self.first[:, :, number]).any(0) if len(self.seeds) else np.zeros(0, bool)
        return int(some.sum() - self.words(metric).sum()) if len(some) else 0

    def table(self, metric: str, seeds: np.ndarray | None = None, words: np.ndarray | None = None) -> np.ndarray:
        """[seeds, units] of one metric, of these seeds and words or of all that are complete."""
        d = self.first[:, :, NAMES.index(metric)] - self.second[:, :, NAMES.index(metric)]
        d = d if seeds is None else d[np.isin(self.seeds, seeds)]
        words = complete_words(d) if words is None else words
        return units_of(d[:, words], self.unit[words])

    def means(self, metric: str) -> tuple[float, float]:
        """Both sides' means over the complete words and the seeds; NaN without any."""
        words, number = self.words(metric), NAMES.index(metric)
        if not words.any():
            return float("nan"), float("nan")
        return float(self.first[:, words, number].mean()), float(self.second[:, words, number].mean())

    def tested(self, alpha: float) -> pd.DataFrame:
        """One row a figure that has a complete word: `crossed` with its metric and words."""
        d = self.first - self.second
        if not len(self.seeds):
            return pd.DataFrame()
        there = np.isfinite(d).all(0)
        blocks = []
        for pattern in np.unique(there, axis=1).T:  # figures that the same words have are tested together
            figures = np.flatnonzero((there == pattern[:, None]).all(0))
            if pattern.any():
                values = crossed(units_of(d[:, pattern][:, :, figures], self.unit[pattern]), alpha=alpha)
                blocks.append(pd.DataFrame({"metric": [NAMES[i] for i in figures], "words": int(pattern.sum()), **values}))
        return pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame()


@dataclass
class CellClaim:
    """What the verdict of a cell rests on, gathered from one sheet or two."""

    cell: tuple
    place: str  # where claims are made, in words
    pool: str
    tests: dict[str, dict] = field(default_factory=dict)  # of sentences and verdicts, by name
    means: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    crossed: dict[str, np.ndarray] = field(default_factory=dict)  # [seeds, units] of the contrasts, the same seeds and units
    missing: dict[str, list[int]] = field(default_factory=dict)  # seeds without figures: of the run, its placebo, its baseline


def cells_of(sheet: Sheet, members: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """The cells of a sheet's model and pair: (CELL's values, its rows of `comparing.members`)."""
    here = members[(members["model"] == sheet.model) & (members["pair"] == sheet.pair)]
    yield from here.groupby(tables.CELL, sort=True)


def tests_of_sheet(sheet: Sheet, members: pd.DataFrame, alpha: float) -> list[pd.DataFrame]:
    """Rows of TESTS without families: every cell, contrast, split and metric of a sheet."""
    blocks = []
    for key, cell in cells_of(sheet, members):
        first = cell.iloc[0]
        about = dict(zip(tables.CELL, key, strict=True)) | {"hidden_state": sheet.hidden_state, "pool": sheet.pool, "seed": -1}
        about |= {"test": NAME, "control": first["control"], "zero": first["zero"], "loss_layer": first["loss_layer"]}
        for split in sheet.splits:
            for contrast in TESTED:
                tested = Difference.of(sheet, cell, contrast, split).tested(alpha)
                if len(tested):
                    blocks.append(tested.assign(**about, split=split, contrast=contrast))
    return blocks


def finished(blocks: list[pd.DataFrame], pooling: str) -> pd.DataFrame:
    """The blocks of all sheets as one table with the columns of TESTS, families still empty."""
    if not blocks:
        return pd.DataFrame(columns=[*tables.TESTS, "zero", "control"])
    table = pd.concat(blocks, ignore_index=True).rename(columns={"seeds": "n"})
    table["sd"] = np.sqrt(table["v_seeds"] * table["n"])
    table["pooling"] = pooling
    zero = table["zero"].astype(bool)
    table.loc[zero, ["low", "high", "statistic", "p", "log10_p"]] = np.nan
    table.loc[zero, "note"] = NOTE_OF_ZERO
    return table


def claim_of(sheet: Sheet, cell: tuple, members: pd.DataFrame, primary: str, alpha: float) -> CellClaim:
    """The held-out side of a cell's claim."""
    claim = CellClaim(cell, "", sheet.pool)
    parts = {contrast: Difference.of(sheet, members, contrast, "heldout") for contrast in RUNS_OF}
    change, against, harm = (parts[name] for name in (facts.AFTER_BEFORE, facts.REAL_PLACEBO, facts.PLACEBO_BEFORE))
    for name, part in (("change", change), ("against_placebo", against), ("placebo_change", harm)):
        claim.tests[name] = _test(part.table(primary), alpha)
    for name in ("cosine", "mismatched", "gap", "p_at_1"):
        claim.tests[name] = _test(change.table(name), alpha)
    claim.means["after"], claim.means["before"] = change.means(primary)
    claim.means["placebo"] = against.means(primary)[1]
    for name in ("cosine", "mismatched", "p_at_1"):
        claim.means[f"{name}_after"], claim.means[f"{name}_before"] = change.means(name)
    words = change.words(primary)
    claim.counts = {
        "seeds": len(change.seeds),
        "placebo_seeds": len(against.seeds) if against.words(primary).any() else 0,
        "words": int(words.sum()),
        "units": len(np.unique(sheet.unit[words])),
        "left_out": change.left_out(primary) + against.left_out(primary),
        "folds": int(members["fold"].nunique()),
    }
    claim.missing = _missing(sheet, members, primary)
    claim.crossed = {"change": change.table(primary)}
    seeds = np.intersect1d(change.seeds, against.seeds)
    both = words & against.words(primary)
    if len(seeds) and both.any():
        claim.crossed = {"change": change.table(primary, seeds, both), "against_placebo": against.table(primary, seeds, both)}
    return claim


def _missing(sheet: Sheet, members: pd.DataFrame, primary: str) -> dict[str, list[int]]:
    """The seeds of which a run, the placebo that it should have, or the model before has no held-out figure."""
    number, heldout = NAMES.index(primary), sheet.splits.index("heldout") if "heldout" in sheet.splits else -2
    missing: dict[str, list[int]] = {}
    for run in members.itertuples(index=False):
        itself = sheet.row(run.run, run.seed, run.fold)
        words = np.ones(len(sheet.words), bool) if itself is None else sheet.split[itself] == heldout
        for whose, name in (("", run.run), ("the placebo of ", run.placebo), ("the model before ", run.baseline)):
            place = sheet.row(name, run.seed, run.fold) if name else None
            if name and (place is None or not np.isfinite(sheet.values[place, words, number]).any()):
                missing.setdefault(whose, []).append(run.seed)
    return missing


def train_side(sheet: Sheet, members: pd.DataFrame, primary: str, alpha: float) -> dict[str, dict]:
    """Tests of what trained words gain, and of how much more than held-out ones, both in the sheet's pool."""
    train, heldout = (Difference.of(sheet, members, facts.AFTER_BEFORE, split) for split in ("train", "heldout"))
    tests = {"train_change": _test(train.table(primary), alpha), "train_over_heldout": EMPTY}
    seeds = np.intersect1d(train.seeds, heldout.seeds)
    both = [part.table(primary, seeds) for part in (train, heldout)]
    if len(seeds) and all(table.size for table in both):
        tests["train_over_heldout"] = one(crossed(both[0], both[1], alpha))
    return tests


def _test(table: np.ndarray, alpha: float) -> dict:
    return one(crossed(table, alpha=alpha)) if table.size else EMPTY


EMPTY = {
    "seeds": 0,
    "units": 0,
    **dict.fromkeys(("estimate", "error", "df", "low", "high", "statistic", "p", "log10_p"), float("nan")),
    "note": "not measured",
}
