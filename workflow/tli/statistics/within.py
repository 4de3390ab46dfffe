"""The paper's test: one run, words as replicates. It says how sure one run's mean is, nothing of the next run's.

Labelled "within one run"; it drives no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.statistics.cells import NOTE_OF_ZERO
from tli.statistics.paired import NO_VARIANCE, ROUNDING, bca_means, paired_t, wilcoxon
from tli.statistics.units import Sheet
from tli.statistics.word_figures import NAMES

LEVEL = "within one run"
NOTE = "words of one run as replicates: says nothing of another run"
MEASURES = ["cosine", "gap"]


def tests_of_sheet(sheet: Sheet, members: pd.DataFrame, bootstrap: int = 2000, alpha: float = 0.05) -> list[pd.DataFrame]:
    """Paired t, BCa bootstrap interval, Wilcoxon and the share of pairs that gain: every run, split and measure of a sheet.

    Returns rows of TESTS without the adjusted p's; one family per measure and kind of test.
    """
    here = members[(members["model"] == sheet.model) & (members["pair"] == sheet.pair)].reset_index(drop=True)
    sides = [(sheet.row(run.run, run.seed, run.fold), sheet.row(run.baseline, run.seed, run.fold)) for run in here.itertuples()]
    blocks = []
    for number, split in enumerate(sheet.splits):
        for measure in MEASURES:
            figure = sheet.values[:, :, NAMES.index(measure)]
            for places, after, before in _by_words(sides, sheet.split == number, figure):
                about = here.loc[places, [*tables.RUN, "zero"]].reset_index(drop=True)
                for block in _tests(before, after, measure, bootstrap, alpha):
                    block = pd.concat([about, block.assign(split=split, metric=measure)], axis=1)
                    blocks.append(block.assign(hidden_state=sheet.hidden_state, pool=sheet.pool))
    return blocks


def finished(blocks: list[pd.DataFrame], pooling: str) -> pd.DataFrame:
    """The blocks of all sheets as one table with the columns of TESTS; the zero arm gets no test."""
    if not blocks:
        return pd.DataFrame(columns=tables.TESTS)
    table = pd.concat(blocks, ignore_index=True)
    zero = table["zero"].astype(bool)
    table.loc[zero, ["low", "high", "statistic", "p", "log10_p", "dz", "d_av"]] = np.nan
    table.loc[zero, "family"], table.loc[zero, "note"] = "", NOTE_OF_ZERO
    return table.assign(level=LEVEL, contrast=facts.AFTER_BEFORE, pooling=pooling)


def _by_words(
    sides: Sequence[tuple[int | None, int | None]], in_split: np.ndarray, figure: np.ndarray
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Yield (places in `sides`, after, before [words, runs]): runs with equally many words go together."""
    groups: dict[int, list] = {}
    for place, (run, baseline) in enumerate(sides):
        if run is None or baseline is None:
            continue
        there = in_split[run] & np.isfinite(figure[run]) & np.isfinite(figure[baseline])
        if there.any():
            groups.setdefault(int(there.sum()), []).append((place, figure[run, there], figure[baseline, there]))
    for _, runs in sorted(groups.items()):
        places, after, before = zip(*runs, strict=True)
        yield list(places), np.column_stack(after), np.column_stack(before)


def _tests(before: np.ndarray, after: np.ndarray, measure: str, bootstrap: int, alpha: float) -> Iterator[pd.DataFrame]:
    d = after - before
    t = paired_t(before, after, alpha)
    yield _block("paired t over words", measure, t, t["note"])
    low, high = bca_means(d, bootstrap, alpha=alpha)
    shared = {"n": t["n"], "df": np.nan, "estimate": t["estimate"], "sd": t["sd"]}
    interval_only = np.where(np.isnan(low), NO_VARIANCE, f"interval only, {bootstrap} resamples of words")
    blank = {"statistic": np.nan, "p": np.nan, "log10_p": np.nan}
    yield _block("BCa bootstrap over words", "", {**shared, **blank, "low": low, "high": high}, interval_only)
    rank = wilcoxon(d)
    middle = np.median(d, axis=0)
    yield _block("Wilcoxon over words", measure, {**shared, **rank, "estimate": middle, "sd": np.nan}, rank["note"])
    share = (d > ROUNDING).mean(0)
    yield _block("share of pairs that gain", "", {**shared, **blank, "estimate": share, "sd": np.nan}, "share only")


def _block(test: str, measure: str, values: dict, note: Any) -> pd.DataFrame:
    block = pd.DataFrame({**{k: v for k, v in values.items() if k != "note"}}).assign(test=test)
    block["family"] = f"{LEVEL}: {test}, {measure}" if measure else ""
    note = np.broadcast_to(np.asarray(note, object), len(block))
    block["note"] = [text or NOTE for text in note]
    for name in ("low", "high", "dz", "d_av"):
        if name not in block:
            block[name] = np.nan
    return block.assign(words=block["n"])
