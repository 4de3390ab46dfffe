"""The tables between the stages, column by column.

One row is one fact. A stage reads the tables of the stage before and writes its own; nothing else passes between them.
Small tables are TSV (UTF-8, tab, no quoting, a tab, line end or NUL inside a cell becomes a space), long ones Parquet;
tli.io.table_files writes and reads them.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from tli import labels

# What names a run. `layer` and `rank` are text, as the config asks for them ("best", "2", "output"; "16", "full");
# `run` is "<arm>/layer-<layer>/rank-<rank>/seed-<seed>", with folds "<...>/fold-<fold>" (else fold is 0), or "baseline" (or another name that starts so) for the
# base model, whose arm equals its run and whose layer, rank are "" and seed -1. A free map is a run too: its arm is
# "map-<name>" ("map-<name>-shuffled" for the twin), its layer the hidden state, its rank "", its run "<arm>/layer-<layer>" for all
# seeds and folds; its seed is -1, with folds that of the deal, and a twin's the seed of its shuffle. One that stands inside the
# model is "map-<name>-inside", its layer the hidden state where it stands; it is measured where runs are.
RUN = ["model", "pair", "arm", "layer", "rank", "seed", "fold", "run"]
CELL = ["model", "pair", "arm", "layer", "rank"]  # the seeds of a cell are its replicates

PAIRS = [
    "pair_id",  # stable text id of the pair
    "source",
    "target",
    "alternatives",  # further accepted targets, joined by "|"
    "category",
    "component",  # pairs that share a form lie in one component
    "split",  # train, select or heldout
    "cognate",  # edit similarity of the two sides, 0 to 1, diacritics folded
    "provenance",
]
LISTS = [  # lists held against each other, a row a finding
    "pair",
    "other_pair",  # that it was held against; the same one where its two columns are meant
    "language",  # the code of the column in question, as the pair's name has it
    "other_language",
    "finding",  # one of lexicon.compared_text
    "severity",  # error or warning
    "value",  # the share of the shorter list, or the likeness of two columns
    "limit",
    "text",
]
FOLDS = ["pair_id", "seed", "fold"]  # fold 0: trained on in every fold, or of the select split
GRID = RUN + [
    "method",  # lora or full
    "placebo_of",  # the arm whose placebo this is, else ""
    "control",  # True for placebo and zero arms: they enter no confirmatory family
    "baseline",  # the `run` of the baseline that this run is compared with
]
METRICS = [
    "k",  # neighbourhood of CSLS
    "n",  # queries
    *labels.METRICS,  # what each of them is: tli.labels; ref_xcs is over the queries that have another accepted translation
]
UNTRAINED, WHOLE_LIST = "untrained", "whole-list"  # the names of the two pools of candidates
POOLS = [
    "pool",  # UNTRAINED or WHOLE_LIST: what the queries were ranked among
    "pool_sources",  # forms of each side that compete
    "pool_targets",
    "leaked",  # queries in whose rank a trained form has a part
    "chance",  # P@1 of guessing: accepted / pool
    "chance_reverse",
    "string_p_at_1",  # P@1 by edit similarity in the same pool, NaN where it was too long to compute
    "string_p_at_1_reverse",
]
POOL_ROWS = ["pool", "leaked", "chance", "chance_reverse", "string_rank", "string_rank_reverse"]  # of one query
SCAN = ["model", "pair", "split", "hidden_state", "normed", "pooling", *METRICS, *POOLS]
MAPS = [
    "model",
    "pair",
    "seed",  # -1 without folds
    "fold",
    "map",  # one of metrics.maps.KINDS
    "hidden_state",
    "hyperparameter",  # NaN for centring
    "value",  # CSLS P@1 of the select pairs among their own forms
    "words",  # that it rests on
    "at_state",  # the hyperparameter that the map takes at this hidden state
    "chosen",  # the map's own state and hyperparameter
]
SELECT_MAPS = RUN + [  # the run is whose vectors the map was fitted to: a training's, or those of the base model
    "hidden_state",
    "pooling",
    "map",
    "hyperparameter",
    "value",  # CSLS P@1 of the select pairs among their own forms, each judged by a map that was fitted to other ones
    "fitted",  # select pairs that it was fitted to
]
CHOICE = ["model", "pair", "hidden_state", "criterion", "value", "win_share", "chosen"]
TRIALS = [
    *CELL,
    "trial",  # counted from 1, the smaller change of the model first
    "learning_rate",
    "epochs",
    "weight",  # of the anchor, NaN where it is not tuned
    "seed",  # none of the runs'
    "criterion",  # a column of METRICS
    "hidden_state",
    "pooling",
    "words",  # select pairs that it rests on
    "value",  # of the select pairs among their own forms; NaN where the training failed
    "failed",
    "chosen",  # True for all seeds of the trial whose settings the runs take
    "unit",  # digest of all that the trained seed depends on
]
WORDS = [
    "model",
    "pair",
    "pair_id",
    "token_count",  # tokens of the source
    "target_token_count",
    "nearest_trained",  # highest cosine of the source to a trained source other than itself, at hs[L] before training
    "edit_similarity",  # highest edit similarity of the source to such a word
    "trained_on",  # the pairs whose train splits the two rest on, as in RUNS: a row for the pair itself, and one for each joint training
]
TOKENS = [
    "model",
    "pair",
    "side",
    "language",
    "word_form",  # how words are fed (config: models.*.word_form); a row for each of the two
    "used",  # whether the model is fed so
    "forms",  # distinct ones of this side
    "words",
    "tokens",  # the forms' own, without what the tokenizer adds
    "fertility",  # tokens / words
    "one_token",  # forms that are one token
    "cut_otherwise",  # forms that are cut otherwise in the other form
    "unknown",  # forms that the tokenizer does not know: the token for that, letters that it drops
    "cut_characters",  # forms in which a character is cut between tokens
    "alike",  # forms that become the same tokens as another
    "unknown_forms",  # the first of them, joined by "|"
]
RUNS = GRID + [
    "loss_layer",  # the hidden state of the loss, resolved to a number
    "same_as",  # the `run` with which this one is the same by construction, else ""; the earlier one is the one kept
    "objective",
    "margin",
    "learning_rate",
    "epochs",
    "batch_size",
    "warmup_steps",
    "alpha",
    "dropout",
    "anchor_weight",  # NaN without an anchor
    "trained_on",  # the pairs on whose lists it was trained, joined by " + "
    "adapted_blocks",  # how many blocks carry an adapter
    "trainable_parameters",
    "reached_parameters",  # those that the loss can reach, measured
    "train_pairs",
    "steps",
    "first_loss",
    "last_loss",  # mean over the last epoch
    "seconds",
    "peak_memory_mib",
    "device",
    "unit",  # digest of all that the run depends on: runs with the same one are the same run
    "adapter",  # path of the PEFT folder below the results folder
    "stage_versions",
]
LOSSES = RUN + ["step", "loss", "learning_rate"]
SIMILARITIES = RUN + [
    "pair_id",
    "split",
    "hidden_state",
    "pooling",
    *POOL_ROWS,
    "cosine",
    "mismatched_mean",
    "mismatched_sd",
    "mismatched_xcs",  # mean of 2.5 max(S_ij, 0) over wrong targets
    "best_rival",  # highest cosine of the source to a wrong target
    "best_rival_reverse",  # highest cosine of the target to a wrong source
    "best_reference",  # highest cosine of the target to another accepted translation, NaN without one
    "target_rank",  # of the best right target among all targets by cosine: 1 is best, ties count against
    "source_rank",  # the same from the target's side, among all sources
    "csls_target_rank",
    "csls_source_rank",
    "margin",  # the right pair's ratio margin
    "margin_target_rank",
]
RUN_METRICS = RUN + ["split", "hidden_state", "normed", "pooling", *METRICS, *POOLS]
# As the two above, of any run on any list: `pair` is the one trained on ("" for the base model), `on` the list measured.
ACROSS = [*RUN, "on", *SIMILARITIES[len(RUN) :]]
ACROSS_METRICS = [*RUN, "on", *RUN_METRICS[len(RUN) :]]
STRATA = RUN + ["split", "hidden_state", "normed", "pooling", "stratum", "part", *METRICS, *POOLS]  # where a part has 30 queries
PROJECTIONS = RUN + ["hidden_state", "method", "side", "pair_id", "split", "form", "x", "y"]
TRANSFER = RUN + ["task", "language", "item", "label", "predicted", "correct", "margin", "choices", "aligned_id"]
GENERATION = RUN + ["task", "language", "metric", "value", "items"]  # tasks without choices, over all their items
TRANSLATE = RUN + [
    "direction",  # "swh-eng": from Swahili into English
    "shots",  # training pairs shown before the word
    "item",  # the pair_id
    "component",
    "correct",  # the right form has the highest log-likelihood of the choices
    "margin",  # its log-probability minus that of the best wrong choice, nats
    "choices",
    "exact",  # what it says up to the line's end is an accepted translation
    "answer",  # what it says
]
PERPLEXITY = RUN + ["language", "sentences", "tokens", "perplexity", "uniform"]
RUNNING_TEXT = RUN + [
    "language",
    "sentence",  # its line in the file: of parallel text the same number in each language
    "tokens",  # that are predicted
    "cross_entropy",  # nats a predicted token, their mean
    "kl",  # of the predictions before from those after, likewise
]
TESTS = [
    "test",  # what was computed: "quasi-t over seeds and units", "paired t over words", "Wilcoxon over words", ...
    "level",  # confirmatory, exploratory, within one run
    "family",
    "family_size",
    *CELL,
    "seed",  # -1 where the test is over seeds
    "fold",
    "split",
    "hidden_state",
    "pooling",
    "pool",
    "metric",
    "contrast",  # "after - before", "real - placebo", ...
    "n",  # seeds; words where the test is within one run
    "units",
    "words",
    "df",
    "estimate",
    "sd",
    "low",
    "high",
    "statistic",
    "p",
    "log10_p",
    "p_holm",
    "p_bh",
    "p_by",
    "dz",
    "d_av",
    "note",
]
VERDICTS = [
    *CELL,
    "loss_layer",
    "metric",
    "pool",  # of candidates
    "seeds",
    "folds",
    "heldout_pairs",
    "units",  # components of the list
    "before",
    "after",
    "placebo",
    "change",
    "change_low",  # over other seeds and held-out words, not adjusted
    "change_high",
    "t_change",
    "df_change",
    "p_change",
    "against_placebo",
    "against_placebo_low",
    "against_placebo_high",
    "t_against_placebo",
    "df_against_placebo",
    "p_against_placebo",
    "placebo_change",
    "p_placebo_change",
    "train_change",
    "p_train_change",
    "p_at_1_change",
    "p_p_at_1_change",
    "p_family",  # the larger of the two, adjusted within the confirmatory family by the chosen method
    "family_size",
    "gap_same_p",  # adjusted, of TOST: the gap has not changed by more than the margin
    "detectable",  # the smallest change that the whole claim would have found with 80 % power
    "verdict",  # one of facts.VERDICTS
    "in_short",  # the verdict and what the lines under it add: "aligns better, but the model is damaged"
    "sentence",  # the figures that it rests on
]
VERDICT_LINES = [
    *CELL,
    "line",  # one of facts.LINES
    "answer",  # yes, no, not decided, not measured
    "part",  # the language or the direction that decides, or the map that stands against it; "" where there is one
    "margin",
    "seeds",
    "units",
    "estimate",
    "low",
    "high",
    "p",
    "p_family",
    "family_size",
    "sentence",
]
RIVALS = [
    *CELL,
    "map",  # the free map that finds most select words at that hidden state
    "hidden_state",
    "pool",
    "metric",
    "words",
    "seeds",
    "units",
    "estimate",  # of real - map, held-out words
    "low",
    "high",
    "p",
    "p_above",  # one-sided: above the map
    "p_as_well",  # of TOST within the equivalence margin; NaN without one
]
ADDED = [
    *CELL,
    "control",
    "hidden_state",
    "pool",
    "metric",
    "rival",  # what the map on the base model was fitted to: "select pairs", as the trained model's, or "training pairs"
    "map",  # of the rival on training pairs: the one that finds most select words at that hidden state
    "fitted",  # pairs that the rival was fitted to
    "words",
    "seeds",
    "units",
    "as_it_came",  # with its map, held-out words
    "trained",  # with its map
    "estimate",  # of their difference
    "low",
    "high",
    "p",
    "p_above",  # one-sided: training adds
    "p_nothing",  # of TOST within the equivalence margin; NaN without one
]
HARM = [
    *CELL,
    "control",
    "language",
    "decides",  # whether the config names its text; of the shipped sentences False
    "seeds",
    "sentences",
    "tokens",
    "rise",  # of cross-entropy, nats a predicted token
    "low",
    "high",
    "kl",  # of the predictions before from those after, nats a predicted token
    "margin",
    "p_below",  # one-sided, not adjusted: the rise is below the margin
    "p_above",
]
TRANSLATION = [
    *CELL,
    "control",
    "direction",
    "shots",
    "metric",  # choice: by log-likelihood; exact: greedy exact match
    "contrast",  # after - before, real - placebo, or after - the untrained model with most shots
    "rival_shots",  # how many those are
    "items",
    "seeds",
    "units",  # components of the list
    "chance",  # NaN for exact
    "after",
    "other",  # what it is compared with
    "estimate",
    "low",
    "high",
    "p",
    "family",
    "family_size",
    "p_holm",
    "p_bh",
    "p_by",
]
TEMPLATES = [
    *CELL,
    "control",
    "pooling",  # as the evaluation's tables name it: "no-bos@2" in template 2, "no-bos@mean" over all, "no-bos" by themselves
    "template",  # in words, of both languages
    "hidden_state",
    "pool",
    "metric",
    "words",
    "seeds",
    "units",
    "before",
    "after",
    "change",
    "low",
    "high",
]
LADDER = [
    "model",
    "pair",
    "rung",  # one of statistics.rivals.RUNGS
    "name",
    "layer",  # of the loss, or of a map ("0, 2" where its folds chose both)
    "hidden_state",  # where it is measured; NaN for a map whose folds chose several
    "pool",
    "metric",
    "value",
    "low",
    "high",
    "words",
    "seeds",  # 0: over units alone
    "units",
    "fitted",  # select pairs that the map of a "... + map" was fitted to, else NaN
]
MATRIX = [  # a cell of a cross-pair matrix: what the adapters that were trained on `pair` do to the list `on`
    *CELL,
    "trained_on",  # the pair; of a joint training, which has one row, all of its pairs, joined by " + "
    "on",
    "own",  # the list is one that was trained on
    "control",
    "loss_layer",
    "hidden_state",
    "pool",  # one for all rows of a column
    "metric",
    "seeds",
    "folds",
    "words",  # that no list trains: the same for all rows of a column
    "units",
    "before",
    "after",
    "placebo",
    "change",
    "change_low",  # over other seeds and held-out words, not adjusted
    "change_high",
    "t_change",
    "df_change",
    "p_change",
    "p_change_family",  # adjusted among the family's changes
    "against_placebo",
    "against_placebo_low",
    "against_placebo_high",
    "t_against_placebo",
    "df_against_placebo",
    "p_against_placebo",
    "p_family",  # the larger of the two p's, adjusted
    "family",
    "family_size",
    "detectable",  # the smallest change that the claim would have found with 80 % power
    "verdict",  # one of facts.VERDICTS
    "status",  # one of facts.STATUSES
    "note",  # why it failed, or ""
]

TEXT = {  # columns that stay text, even where they look like numbers
    "model",
    "on",
    "pair",
    "arm",
    "layer",
    "rank",
    "run",
    "map",
    "method",
    "placebo_of",
    "baseline",
    "same_as",
    "pair_id",
    "source",
    "target",
    "alternatives",
    "category",
    "component",
    "split",
    "provenance",
    "pooling",
    "criterion",
    "objective",
    "device",
    "adapter",
    "unit",
    "stage_versions",
    "side",
    "form",
    "task",
    "language",
    "item",
    "test",
    "level",
    "family",
    "metric",
    "contrast",
    "note",
    "direction",
    "pool",
    "stratum",
    "rung",
    "name",
    "part",
    "verdict",
    "line",
    "answer",
    "sentence",
    "rival",
    "aligned_id",
    "reason",
    "word_form",
    "unknown_forms",
    "template",
    "trained_on",
    "status",
    "in_short",
}


def of_run(table: pd.DataFrame, run: Any) -> pd.DataFrame:
    """`table` with the columns RUN, taken from the attributes of `run`."""
    return table.assign(**{name: getattr(run, name) for name in RUN})


def joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all parts, in the contract's columns; an empty table where there is none."""
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
