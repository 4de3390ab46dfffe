"""All statistics of an experiment: tables in, tables out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing, descriptive, gains, ranks, seeds, survival, verdicts, within
from tli.statistics.columns import PLACE
from tli.statistics.comparing import MEASURES
from tli.statistics.inputs import Measured
from tli.statistics.paired import equivalence

WITHIN = ["cosine", "gap"]  # measures of a word whose change is tested within one run


def analyse(measured: Measured, spec: StatisticsSpec) -> dict[str, pd.DataFrame]:
    """Section by section what can be claimed of the runs, as tables.

    Claims are made at spec.claim_at ("output" or a hidden state) and spec.pooling. Where that state was not measured, the
    highest one that was stands for it, and the sentences name it.

    Returns: tests (TESTS), verdicts (VERDICTS), words (columns.WORDS: which words gain), ranks (columns.RANKS), survival
    (columns.SURVIVAL), gains (columns.GAINS: per word, averaged over seeds). Errors are TableError, and ValueError for a
    primary endpoint that is no metric.
    """
    if spec.primary not in MEASURES:
        raise ValueError(f"primary {spec.primary!r} is no metric; choose one of {', '.join(MEASURES)}")
    measured = measured.with_pooling(spec.pooling)
    runs, pairs = measured.runs, measured.pairs
    output = measured.claim_states(spec.claim_at)
    per_run = comparing.compared(runs, measured.metrics, PLACE, [*MEASURES, "n"])
    per_word = comparing.compared(runs, _word_figures(measured.similarities), [*PLACE, "pair_id"], [*WITHIN, "csls_hit"])

    parts = [
        seeds.tests_over_seeds(per_run, spec.primary, output, spec.alpha),
        within.tests_within_runs(per_word, WITHIN, spec.bootstrap, alpha=spec.alpha),
        descriptive.descriptive(per_word, ["csls_hit", "gap"], output, spec.bootstrap, alpha=spec.alpha),
    ]
    if spec.equivalence_margin is not None:
        parts.append(_equivalence(per_run, spec.primary, output, spec.equivalence_margin))
    tests = pd.concat([part.reindex(columns=tables.TESTS) for part in parts if len(part)] or [pd.DataFrame(columns=tables.TESTS)])
    tests = seeds.adjusted(tests.fillna({"family": "", "note": ""}), spec.primary)[tables.TESTS]
    confirmatory = tests[tests["family"] == seeds.confirmatory_family(spec.primary)]
    word_gains = gains.gains(per_word, pairs, output)
    surviving = survival.survival(per_run, measured.outputs(), spec.alpha)
    over_ranks = list(dict.fromkeys([spec.primary, "gap", "mrr", "cosine"]))
    return {
        "tests": tests,
        "verdicts": verdicts.verdicts(measured, per_run, confirmatory, spec),
        "words": gains.which_words_gain(word_gains, pairs, alpha=spec.alpha),
        "ranks": ranks.rank_trend(_with_repetitions(runs, measured.metrics), runs, output, over_ranks, spec.alpha),
        "survival": surviving.assign(sentence=survival.sentences(surviving, facts.CORRECTIONS[spec.correction], spec.alpha)),
        "gains": word_gains,
    }


def _word_figures(similarities: pd.DataFrame) -> pd.DataFrame:
    rank = similarities["csls_target_rank"]
    gap = similarities["cosine"] - similarities["mismatched_mean"]
    return similarities.assign(gap=gap, csls_hit=(rank <= 1).where(rank.notna()).astype(float))


def _with_repetitions(runs: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """`comparing.compared` for a trend over ranks: a run that is another's repetition is still a point of its own line.

    A line all of whose runs are repetitions is another line's twin and left out.
    """
    line = ["model", "pair", "arm", "layer"]
    first = runs.assign(first=runs["same_as"] == "").groupby(line)["first"].transform("any")
    points = runs[first | (runs["placebo_of"] != "")].assign(same_as="")
    return comparing.compared(points, metrics, PLACE, [*MEASURES, "n"])


def _equivalence(per_run, primary, output, margin) -> pd.DataFrame:
    """TOST over seeds: does a cell gain as much on held-out as on trained words, to within the margin?"""
    at_output = per_run[(per_run["hidden_state"] == per_run["model"].map(output)) & ~per_run["control"].astype(bool)]
    at_output = at_output.assign(gain=at_output[primary] - at_output[primary + "_before"])
    about = {"test": "TOST over seeds", "level": "exploratory", "family": f"equivalence: {primary}", "seed": -1, "metric": primary}
    about |= {"split": "heldout - train", "contrast": "held-out gain - train gain"}
    rows = []
    for key, cell in at_output.groupby([*tables.CELL, "hidden_state", "pooling"], sort=True):
        grid = cell.pivot(index="seed", columns="split", values="gain")
        if not {"train", "heldout"} <= set(grid.columns):
            continue
        d = (grid["heldout"] - grid["train"]).to_numpy(float)
        d = d[np.isfinite(d)]
        if not len(d):
            continue
        tested = equivalence(d, margin)
        note = tested.pop("note") or f"margin +- {margin:g}; low and high are the 90 % interval that lies within it if equivalent"
        rows.append({**dict(zip([*tables.CELL, "hidden_state", "pooling"], key, strict=True)), **tested, **about, "note": note})
    return pd.DataFrame(rows)
