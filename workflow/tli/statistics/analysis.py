"""All statistics of an experiment: tables in, tables out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.io import tables
from tli.statistics import descriptive, ranks, seeds, survival, verdicts, within, words
from tli.statistics.families import named
from tli.statistics.tests import equivalence

WITHIN = ["cosine", "gap"]  # measures of a word whose change is tested within one run


def analyse(
    runs: pd.DataFrame, similarities: pd.DataFrame, metrics: pd.DataFrame, pairs, *, primary="csls_p_at_1",
    correction="holm", alpha=0.05, minimum_seeds=5, equivalence_margin=None, bootstrap=2000, seed=0, number_of_layers=None,
    claim_at=None, pooling="no-bos",
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Section by section what can be claimed of the runs, as tables.

    runs, similarities, metrics: the tables RUNS, SIMILARITIES, RUN_METRICS of tli.io.tables; baselines are rows whose `run`
    is named in runs.baseline. pairs: PAIRS with the column `pair`, or a mapping from pair (or (model, pair)) to PAIRS.
    number_of_layers: the last hidden state of each model. claim_at: the hidden state of each model at which claims are made
    (default: the last); where it is not given or was not evaluated, the highest one that was. The sentences name it.
    pooling: the one that claims rest on, of those in the tables.

    Returns: tests (TESTS), verdicts (VERDICTS), words (words.WORDS: which words gain), ranks (ranks.RANKS), survival
    (survival.SURVIVAL), gains (words.GAINS: per word, averaged over seeds). Errors are tables.TableError.
    """
    correction = named(correction)
    for name, table, wanted in (("runs", runs, tables.RUNS), ("metrics", metrics, tables.RUN_METRICS)):
        _need(name, table, wanted)
    _need("similarities", similarities, tables.SIMILARITIES)
    if primary not in seeds.MEASURES:
        raise ValueError(f"primary {primary!r} is no metric; choose one of {', '.join(seeds.MEASURES)}")
    metrics, similarities = _pooled("metrics", metrics, pooling), _pooled("similarities", similarities, pooling)
    last = _outputs(metrics, number_of_layers or {})
    output = _outputs(metrics, claim_at or number_of_layers or {})
    runs = runs.assign(**{name: runs[name].fillna("") for name in ("placebo_of", "same_as")})

    per_run = seeds.compared(runs, metrics, seeds.PLACE, [*seeds.MEASURES, "n"])
    similarities = similarities.assign(
        gap=similarities["cosine"] - similarities["mismatched_mean"],
        csls_hit=(similarities["csls_target_rank"] <= 1).where(similarities["csls_target_rank"].notna()).astype(float),
    )
    per_word = seeds.compared(runs, similarities, [*seeds.PLACE, "pair_id"], [*WITHIN, "csls_hit"])
    lists = words.lexicon(pairs)

    over, _ = seeds.tests_over_seeds(per_run, primary, output, alpha)
    parts = [over, within.tests_within_runs(per_word, WITHIN, bootstrap, seed, alpha)]
    parts.append(descriptive.descriptive(per_word, ["csls_hit", "gap"], output, bootstrap, seed, alpha))
    if equivalence_margin is not None:
        parts.append(_equivalence(per_run, primary, output, equivalence_margin))
    tests = pd.concat([part.reindex(columns=tables.TESTS) for part in parts if len(part)] or [pd.DataFrame(columns=tables.TESTS)])
    tests = seeds.adjusted(tests.fillna({"family": "", "note": ""}), primary)[tables.TESTS]
    confirmatory = tests[tests["family"] == seeds.confirmatory_family(primary)]
    gains = words.gains(per_word, lists, output)
    found = survival.survival(per_run, last, alpha)
    return {
        "tests": tests,
        "verdicts": verdicts.verdicts(
            runs, per_run, confirmatory, output, primary=primary, correction=correction, alpha=alpha, minimum_seeds=minimum_seeds,
            number_of_layers=number_of_layers or last,
        ),
        "words": words.which_words_gain(gains, lists, alpha=alpha),
        "ranks": ranks.rank_trend(_with_repetitions(runs, metrics), runs, output, list(dict.fromkeys([primary, "gap", "mrr", "cosine"])), alpha),
        "survival": found.assign(sentence=survival.sentences(found, correction, alpha)),
        "gains": gains,
    }  # fmt: skip


def _need(name: str, table: pd.DataFrame, wanted: list[str]) -> None:
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise tables.TableError(f"statistics: the table {name} lacks the columns {', '.join(missing)}")


def _pooled(name: str, table: pd.DataFrame, pooling: str) -> pd.DataFrame:
    found = table[table["pooling"] == pooling]
    if found.empty and len(table):
        there = ", ".join(sorted(table["pooling"].unique()))
        raise tables.TableError(f"statistics: the table {name} has no rows with pooling {pooling!r}; it has {there}")
    return found


def _with_repetitions(runs: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """`seeds.compared` for a trend over ranks: a run that is another's repetition is still a point of its own line.

    A line all of whose runs are repetitions is another line's twin and left out.
    """
    line = ["model", "pair", "arm", "layer"]
    own = runs.assign(own=runs["same_as"] == "").groupby(line)["own"].transform("any")
    kept = runs[own | (runs["placebo_of"] != "")].assign(same_as="")
    return seeds.compared(kept, metrics, seeds.PLACE, [*seeds.MEASURES, "n"])


def _outputs(metrics: pd.DataFrame, number_of_layers: dict[str, int]) -> dict[str, int]:
    """The hidden state of each model at which claims are made."""
    return {
        model: int(number_of_layers[model]) if number_of_layers.get(model) in set(states) else int(states.max())
        for model, states in metrics.groupby("model")["hidden_state"]
    }


def _equivalence(per_run, primary, output, margin) -> pd.DataFrame:
    """TOST over seeds: does a cell gain as much on held-out as on trained words, to within the margin?"""
    own = per_run[(per_run["hidden_state"] == per_run["model"].map(output)) & ~per_run["control"].astype(bool)]
    own = own.assign(gain=own[primary] - own[primary + "_before"])
    rows = []
    for key, cell in own.groupby([*tables.CELL, "hidden_state", "pooling"], sort=True):
        grid = cell.pivot(index="seed", columns="split", values="gain")
        if not {"train", "heldout"} <= set(grid.columns):
            continue
        d = (grid["heldout"] - grid["train"]).to_numpy(float)
        d = d[np.isfinite(d)]
        if not len(d):
            continue
        found = equivalence(d, margin)
        note = found.pop("note") or f"margin +- {margin:g}; low and high are the 90 % interval that lies within it if equivalent"
        rows.append({
            **dict(zip([*tables.CELL, "hidden_state", "pooling"], key, strict=True)), **found, "test": "TOST over seeds",
            "level": "exploratory", "family": f"equivalence: {primary}", "seed": -1, "split": "heldout - train",
            "metric": primary, "contrast": "held-out gain - train gain", "note": note,
        })  # fmt: skip
    return pd.DataFrame(rows)
