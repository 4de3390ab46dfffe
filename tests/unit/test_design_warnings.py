"""Doomed designs are told before they run: by `tli plan`, in the words that the report uses of what was measured."""

from __future__ import annotations

import pandas as pd
import pytest

from tli.config import ConfigError, parse
from tli.experiment import Experiment, design_warnings
from tli.io import tables
from tli.runtime.console import foreseen_lines

GOOD = {
    "models": {"m": {"source": "x"}},
    "pairs": {"swh-eng": {"lexicon": "l.tsv"}},
    "arms": {"tli": {"loss_layer": 2}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
    "seeds": 10,
}
LARGE = {"swh-eng": {"train": 600, "select": 70, "heldout": 90}}


def told(lists=LARGE, **changes) -> list[str]:
    return [f"{one.about}: {one.text}" for one in design_warnings.foreseen(Experiment(parse(GOOD | changes)), lists)]


def test_nothing_speaks_against_a_good_design():
    assert told() == [] and foreseen_lines([]) == []


PLACEBO = GOOD["arms"]["placebo"]


@pytest.mark.parametrize(
    ("changes", "sizes", "said"),
    [
        ({"seeds": 3}, {}, ": Only 3 seeds: below 5 no claim can rest on them."),
        ({"seeds": 1}, {}, ": Only 1 seed: below 5 no claim can rest on them."),
        ({}, {"heldout": 20}, "swh-eng: Only 20 held-out pairs: below 60 the test is underpowered."),
        ({"arms": {"tli": {"loss_layer": 2}}}, {}, ": No placebo for tli: a gain there may come from any training at all."),
        # 64 > 40: math.ceil(40 / 64) is one step an epoch
        (
            {"training": {"batch_size": 64, "warmup_steps": 0}},
            {"train": 40},
            "swh-eng: tli: a batch of 64 pairs, and 40 to train on: every epoch is one step with all of them. Set batch_size lower.",
        ),
        # 5 epochs of ceil(60 / 8) = 8 steps are 40; the factor of the last step is 39 / 50
        (
            {},
            {"train": 60},
            "swh-eng: tli: 40 steps, 50 of warm-up: the learning rate never reaches its peak and ends at 78% of it. "
            "Set training.warmup_steps lower, or more epochs.",
        ),
        # the budget, not the list, is what it trains on: 5 x ceil(16 / 8) = 10 steps
        (
            {"arms": {"tli": {"loss_layer": 2, "select": {"budget": 16}}, "placebo": PLACEBO}},
            {},
            "swh-eng: tli: 10 steps, 50 of warm-up",
        ),
        (
            {
                "arms": {
                    "tli": {"loss_layer": 2},
                    "again": {"loss_layer": [2]},
                    "placebo": {"like": ["tli", "again"], "shuffle_translations": True},
                }
            },
            {},
            ": tli and again train the same: one result under two names. Take one of them out, or change what was meant to differ.",
        ),
        (
            {"models": {"m": {"source": "owner/name"}}},
            {},
            "m: owner/name is no folder here, so it is a hub model, and it has no revision: nobody could repeat this run, and it is refused "
            "when it starts; `tli fetch CONFIG` prints the commit to write into the config.",
        ),
    ],
)
def test_a_doomed_design_is_told(changes, sizes, said):
    found = told({"swh-eng": LARGE["swh-eng"] | sizes}, **changes)
    assert len(found) == 1 and found[0].startswith(said), found


def test_arms_that_share_a_cell_are_no_twins():
    """As in config/ranks.yaml: alpha 32 is twice the rank at rank 16 only."""
    arms = {
        "tli": {"loss_layer": 2, "rank": [8, 16]},
        "fixed": {"like": "tli", "alpha": 32},
        "placebo": {"like": ["tli", "fixed"]} | PLACEBO,
    }
    arms["placebo"]["like"] = ["tli", "fixed"]
    assert told(arms=arms) == []


def test_a_choice_on_few_words_is_a_note():
    arms = GOOD["arms"] | {"tli": {"loss_layer": "best"}}
    remarks = design_warnings.foreseen(Experiment(parse(GOOD | {"arms": arms})), {"swh-eng": LARGE["swh-eng"] | {"select": 41}})
    assert [(one.is_serious, one.text) for one in remarks] == [
        (False, "The best layer is chosen on 41 select pairs: below 60 the choice is underpowered.")
    ]


def test_what_holds_for_several_lists_is_one_line():
    remarks = [
        design_warnings.Remark("swh-eng", "Few."),
        design_warnings.Remark("lin-eng", "Few."),
        design_warnings.Remark("", "One seed."),
    ]
    assert foreseen_lines(remarks) == ["What speaks against this design, before it runs:", "  - swh-eng, lin-eng: Few.", "  - One seed."]


def test_a_hub_model_without_a_commit_is_refused_at_the_start():
    design_warnings.refuse_unpinned(Experiment(parse(GOOD | {"models": {"m": {"source": "owner/name", "revision": "a" * 40}}})))
    with pytest.raises(ConfigError, match="models.m: owner/name is no folder here, .*it has no revision"):
        design_warnings.refuse_unpinned(Experiment(parse(GOOD | {"models": {"m": {"source": "owner/name"}}})))


def test_the_report_says_the_same_of_what_was_measured():
    """Twins and batches from the runs' table, warm-up from its steps: the sentences of `foreseen`."""
    from tli.report import warnings
    from tli.report.input import Tables

    grid = [
        dict.fromkeys(tables.GRID, "") | {"model": "m", "pair": "swh-eng", "arm": arm, "control": False, "run": f"{arm}/1"}
        for arm in ("tli", "again")
    ]
    runs = [
        row
        | dict.fromkeys(set(tables.RUNS) - set(tables.GRID), "")
        | {"same_as": same, "steps": 5, "warmup_steps": 50, "batch_size": 64, "train_pairs": 40}
        for row, same in zip(grid, ("", "tli/1"), strict=True)
    ]
    held = Tables.of({"grid": pd.DataFrame(grid), "runs": pd.DataFrame(runs)})
    assert [*warnings._twins(held, "m", "swh-eng")] == [design_warnings.twins("tli", "again")]
    assert [*warnings._batches(held, "m", "swh-eng")] == [design_warnings.large_batch(arm, 64, 40) for arm in ("tli", "again")]
    assert [*warnings._warm_up(held, "m", "swh-eng")] == [design_warnings.short_warm_up(arm, 5, 50) for arm in ("tli", "again")]
