"""Columns of the descriptive tables that the statistics write beside TESTS and VERDICTS of tli.io.tables."""

from __future__ import annotations

from tli.io import tables

PLACE = ["split", "hidden_state", "pooling", "pool"]
ADJUSTED = ["family", "family_size", "p_holm", "p_bh", "p_by"]

# the model, the pair, the arm and the layer: the ranks of a line are its points
LINE = ["model", "pair", "arm", "layer"]
_SLOPE = ["n", "df", "slope", "sd", "low", "high", "statistic", "p", "log10_p", *ADJUSTED, "note"]
RANKS = [
    *LINE,
    "loss_layer",
    "alpha_rule",  # how LoRA's alpha goes with the rank, in words
    *PLACE,
    "metric",
    "contrast",
    "ranks",
    "seeds",
    "units",
    *_SLOPE,
]
TREND = [*LINE, "loss_layer", "alpha_rule", "task", "metric", "contrast", "ranks", "seeds", "units", *_SLOPE]

GAPS_OF_A_RUN = ["gap_loss_before", "gap_loss_after", "gap_output_before", "gap_output_after", "gain_loss", "gain_output"]
RATIOS = ["survival_before", "survival_after", "survival_change", "passed_on"]
SURVIVAL = [
    *tables.CELL,
    "control",
    "seed",  # -1 over the seeds
    "level",
    "split",
    "pooling",
    "pool",
    "loss_layer",
    "output",
    "seeds",
    "units",
    *GAPS_OF_A_RUN,
    *RATIOS,
    "contrast",
    "n",
    "df",
    "estimate",
    "low",
    "high",
    "statistic",
    "p",
    "log10_p",
    *ADJUSTED,
    "note",
]

GAINS = [
    *tables.CELL,
    "loss_layer",
    "pair_id",
    "source",
    "target",
    "category",
    "component",
    "split",
    "seeds",
    "metric",
    "before",
    "after",
    "change",
    "placebo_after",
    "placebo_change",
]
WORDS = [
    *tables.CELL,
    "condition",  # real or placebo
    "split",
    "metric",
    "term",
    "family",
    "family_size",
    "n",
    "clusters",
    "estimate",
    "error",
    "low",
    "high",
    "statistic",
    "df",
    "p",
    "log10_p",
    "p_holm",
    "p_bh",
    "p_by",
    "r_squared",
    "note",
]

PER_RUN = [
    *tables.RUN,
    "control",
    "task",
    "language",
    "n",  # items
    "chance",
    "before",
    "before_low",  # lower end of Wilson's interval
    "above_chance",
    "after",
    "change",
    "low",
    "high",
    "gained",  # items
    "lost",
    "p",
    "log10_p",
    *ADJUSTED,
    "detectable",
    "retention",
    "note",
]
GAPS = [
    *tables.RUN,
    "control",
    "task",
    "english_task",
    "paired",
    "n",
    "gap_before",
    "gap_after",
    "change",
    "low",
    "high",
    "note",
]
CELLS = [
    *tables.CELL,
    "loss_layer",
    "control",
    "task",
    "language",
    "metric",
    "contrast",
    "seeds",
    "items",
    "chance",
    "before",
    "after",
    "placebo",
    "estimate",
    "sd",
    "low",
    "high",
    "df",
    "statistic",
    "p",
    "log10_p",
    *ADJUSTED,
    "detectable",
    "note",
    "sentence",
]
POWER = [
    *tables.CELL,
    "metric",
    "pool",
    "seeds",
    "folds",
    "units",
    "family_size",
    "run_sd",  # of a run's mean, its luck
    "unit_sd",  # of a unit's mean over runs
    "residual_sd",  # of a unit in a run, above both
    "placebo_correlation",  # of a unit's gain in the real and in the placebo training
    "detectable",  # the smallest change of both contrasts that the whole claim finds with 80 % power
    "power_at_05",  # of a change by .05
    "power_at_10",
]
