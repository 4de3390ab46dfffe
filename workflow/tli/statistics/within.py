"""The paper's test: one run, words as replicates. It says how sure one run's mean is, nothing of the next run's.

Labelled "within one run"; it drives no verdict.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.statistics.columns import PLACE
from tli.statistics.paired import NO_VARIANCE, ROUNDING, UNDEFINED, bca_means, paired_t, wilcoxon

LEVEL = "within one run"
NOTE = "words of one run as replicates: says nothing of another run"


def tests_within_runs(words: pd.DataFrame, measures: list[str], bootstrap=2000, seed=0, alpha=0.05) -> pd.DataFrame:
    """Paired t, BCa bootstrap interval, Wilcoxon and the share of pairs that gain, per run, split, hidden state, measure.

    words: `comparing.compared` of the similarities by PLACE and pair_id (one row a run and word), with the columns `measures`.
    Returns rows of TESTS without the adjusted p's; one family per measure and kind of test.
    """
    rows = []
    for (model, pair, _, *place), part in words.groupby(["model", "pair", "baseline", *PLACE], sort=True):
        for measure in measures:
            after = part.pivot(index="pair_id", columns="run", values=measure)
            before = part.pivot(index="pair_id", columns="run", values=measure + "_before").to_numpy(float)
            key = {"model": model, "pair": pair, **dict(zip(PLACE, place, strict=True)), "metric": measure}
            random = np.random.default_rng(seed)
            for names, a, b in _complete(after, before):
                rows += [block.assign(**key) for block in _tests(names, b, a, measure, bootstrap, random, alpha)]
    if not rows:
        return pd.DataFrame(columns=tables.TESTS)
    result = pd.concat(rows, ignore_index=True)
    runs = words[[*tables.RUN, "zero"]].drop_duplicates()
    result = result.merge(runs, on=["model", "pair", "run"], how="left")
    zero = result["zero"].astype(bool)
    result.loc[zero, ["low", "high", "statistic", "p", "log10_p", "dz", "d_av"]] = np.nan
    result.loc[zero, "family"], result.loc[zero, "note"] = "", UNDEFINED + "the zero arm is a floor without variance"
    return result.assign(level=LEVEL, contrast=facts.AFTER_BEFORE)


def _complete(after: pd.DataFrame, before: np.ndarray):
    """Yield (run names, after, before) in blocks without missing words; runs that lack the same words go together."""
    a = after.to_numpy(float)
    here = np.isfinite(a) & np.isfinite(before)
    for pattern in np.unique(here, axis=1).T:
        columns = (here == pattern[:, None]).all(0)
        if pattern.any():
            yield after.columns[columns], a[np.ix_(pattern, columns)], before[np.ix_(pattern, columns)]


def _tests(names, before, after, measure, bootstrap, random, alpha):
    d = after - before
    t = paired_t(before, after, alpha)
    yield _block(names, "paired t over words", measure, t, t["note"])
    low, high = bca_means(d, bootstrap, random, alpha)
    shared = {"n": t["n"], "df": np.nan, "estimate": t["estimate"], "sd": t["sd"]}
    interval_only = np.where(np.isnan(low), NO_VARIANCE, f"interval only, {bootstrap} resamples of words")
    blank = {"statistic": np.nan, "p": np.nan, "log10_p": np.nan}
    yield _block(names, "BCa bootstrap over words", "", {**shared, **blank, "low": low, "high": high}, interval_only)
    rank = wilcoxon(d)
    middle = np.median(d, axis=0)
    yield _block(names, "Wilcoxon over words", measure, {**shared, **rank, "estimate": middle, "sd": np.nan}, rank["note"])
    share = (d > ROUNDING).mean(0)
    yield _block(names, "share of pairs that gain", "", {**shared, **blank, "estimate": share, "sd": np.nan}, "share only")


def _block(names, test, measure, values, note):
    block = pd.DataFrame({"run": names, "test": test, **{k: v for k, v in values.items() if k != "note"}})
    block["family"] = f"{LEVEL}: {test}, {measure}" if measure else ""
    note = np.broadcast_to(np.asarray(note, object), len(block))
    block["note"] = [text if text else NOTE for text in note]
    for name in ("low", "high", "dz", "d_av"):
        if name not in block:
            block[name] = np.nan
    return block
