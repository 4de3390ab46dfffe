"""The tables between the stages: their columns, and how they are written and read.

One row is one fact. A stage reads the tables of the stage before and writes its own; nothing else passes between them.
Small tables are TSV (UTF-8, tab, no quoting, a tab, line end or NUL inside a cell becomes a space), long ones Parquet.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_string_dtype, union_categoricals

from tli import labels
from tli.errors import TableError
from tli.io.atomic import whole

# What names a run. `layer` and `rank` are text, as the config asks for them ("best", "2", "output"; "16", "full");
# `run` is "<arm>/layer-<layer>/rank-<rank>/seed-<seed>", with folds "<...>/fold-<fold>" (else fold is 0), or "baseline" (or another name that starts so) for the
# model as it came, whose arm equals its run and whose layer, rank are "" and seed -1. A free map is a run too: its arm is
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
SELECT_MAPS = RUN + [  # the run is whose vectors the map was fitted to: a training's, or those of the model as it came
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
# As the two above, of any run on any list: `pair` is the one trained on ("" for the model as it came), `on` the list measured.
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
    "rival",  # what the map on the model as it came was fitted to: "select pairs", as the trained model's, or "training pairs"
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

ROWS_AT_ONCE = 5_000  # of a long table that is read as categories


def write(table: pd.DataFrame, path: str | os.PathLike, columns: list[str] | None = None) -> None:
    """Write `table` to `path` (.tsv or .parquet) whole; `columns` gives their order and must all be there.

    Raises TableError when a column is missing or unknown.
    """
    if columns is not None:
        missing = [name for name in columns if name not in table.columns]
        unknown = [name for name in table.columns if name not in columns]
        if missing or unknown:
            raise TableError(f"{path}: columns missing {missing}, columns unknown {unknown}")
        table = table[columns]
    with whole(path) as beside:
        if str(path).endswith(".parquet"):
            table.to_parquet(beside, index=False)
        else:
            text = table.select_dtypes(include=["object", "string"]).columns
            table = table.assign(**{c: table[c].astype("string").str.replace(r"[\t\r\n\x00]+", " ", regex=True) for c in text})
            table.to_csv(beside, sep="\t", index=False, quoting=csv.QUOTE_NONE, escapechar=None, quotechar="\x00")


def read(
    path: str | os.PathLike,
    columns: list[str] | None = None,
    text: Sequence[str] = (),
    *,
    compact: bool = False,
    only: Mapping[str, Collection[Any]] | None = None,
    keep: Callable[[pd.DataFrame], pd.Series] | None = None,
) -> pd.DataFrame:
    """Read a table; names, labels and the columns in `text` stay text, even where they look like numbers or "NA".

    compact: text as categories, so that a name that stands in a million rows is held once. only: of a Parquet file the rows whose
    columns have one of these values. keep: of a TSV file that is read compact, which rows; asked of some at a time. Raises TableError when the file is missing, is no table, or lacks one of `columns`.
    """
    try:
        if str(path).endswith(".parquet"):
            table = pd.read_parquet(path, filters=[(name, "in", sorted(values)) for name, values in only.items()] if only else None)
            table = compacted(table) if compact else table
        else:
            table = _read_tsv(path, text, compact, keep)
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: cannot be read as a table ({error})") from error
    missing = [name for name in columns or [] if name not in table.columns]
    if missing:
        raise TableError(f"{path}: lacks the columns {', '.join(missing)}; it has {', '.join(table.columns)}")
    return table


def _read_tsv(
    path: str | os.PathLike, text: Sequence[str], compact: bool, keep: Callable[[pd.DataFrame], pd.Series] | None
) -> pd.DataFrame:
    header = pd.read_csv(path, sep="\t", nrows=0, quoting=csv.QUOTE_NONE).columns
    kinds = {name: str for name in header if name in TEXT or name in text}
    missing = {name: [] if name in kinds else ["", "nan", "NaN"] for name in header}
    how = {"sep": "\t", "quoting": csv.QUOTE_NONE, "dtype": kinds, "keep_default_na": False, "na_values": missing}
    if compact:
        with pd.read_csv(path, **how, chunksize=ROWS_AT_ONCE) as chunks:
            parts = [compacted(part[keep(part)] if keep else part) for part in chunks if _is_table(part)]
        return stacked(parts) if parts else pd.DataFrame(columns=header)
    table = pd.read_csv(path, **how)
    _is_table(table)
    return table


def _is_table(part: pd.DataFrame) -> bool:
    """True; raises ValueError where rows have more cells than the header has names."""
    if not isinstance(part.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than the header")
    return True


def compacted(table: pd.DataFrame) -> pd.DataFrame:
    """With text as categories."""
    return table.astype({name: "category" for name in table.columns if is_string_dtype(table[name].dtype)})


def stacked(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts, categories joined (pd.concat would make text of them). The parts, at least one, are used up: the list is emptied.

    Column by column, so that no more than the parts and one column more is held at a time.
    """
    names = parts[0].columns
    pieces: list[dict[str, Any]] = []
    while parts:
        part = parts.pop(0)
        if len(part) or (not parts and not pieces):  # text of no rows has no type that could be joined
            pieces.append({name: part[name].array.copy() for name in names})
    columns = {}
    for name in names:
        values = [piece.pop(name) for piece in pieces]
        is_text = all(isinstance(one.dtype, pd.CategoricalDtype) for one in values)
        columns[name] = union_categoricals(values) if is_text else np.concatenate(values)
    return pd.DataFrame(columns, copy=False)


def of_run(table: pd.DataFrame, run: Any) -> pd.DataFrame:
    """`table` with the columns RUN, taken from the attributes of `run`."""
    return table.assign(**{name: getattr(run, name) for name in RUN})


def joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all parts, in the contract's columns; an empty table where there is none."""
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


TEXT = {
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
