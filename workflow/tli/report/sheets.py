"""The tables that the page shows and the report folder holds as TSV, each with what it is and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from tli.facts import WITHIN_RUN
from tli.io.tables import CELL
from tli.report import derived, paper, tuning
from tli.report.input import ReportInput, Tables
from tli.report.selection import Cell, Endpoint, first_cells, in_order, rows


@dataclass(frozen=True)
class Kind:
    """A table of the report before its rows are known: `what` and `how` stand above it, `rows` makes it."""

    title: str
    rows: Callable[[ReportInput], pd.DataFrame]
    what: str = ""
    how: str = ""
    main: str = ""  # columns that the page shows at first, the rest come with a click; "" means all


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table of the report; `name` is its file's."""

    name: str
    kind: Kind
    frame: pd.DataFrame

    @property
    def main(self) -> tuple[str, ...]:
        """Columns shown at first, where the table has more than them."""
        columns = tuple(name for name in self.kind.main.split() if name in self.frame.columns)
        return columns if len(self.frame.columns) > len(columns) else ()


def first_tables(report: ReportInput) -> pd.DataFrame:
    """Table 1 of the first cell of every group, one row a run and split."""
    tables = report.tables
    parts = [paper.table_1(tables.similarities, tables.trained, tables.tests, *place) for place in first_cells(report)]
    return _together([part[part["split"].isin(["train", "heldout"])] for part in parts])


def second_tables(report: ReportInput) -> pd.DataFrame:
    """Table 2 of every group whose list holds at least one of the published pairs."""
    parts = []
    for cell, place in first_cells(report):
        part = paper.table_2(words_of(report.tables, cell, place))
        if part["cosine_after"].notna().any():
            parts.append(part.assign(**cell.columns)[[*CELL, *[c for c in part.columns if c not in CELL]]])
    return _together(parts)


def words_tables(report: ReportInput) -> pd.DataFrame:
    """Every pair of words of the first cell of every group."""
    return _together([words_of(report.tables, *place) for place in first_cells(report)])


def words_of(tables: Tables, cell: Cell, place: Endpoint) -> pd.DataFrame:
    """derived.paired with the words themselves."""
    pairs = rows(tables.pairs, model=cell.model, pair=cell.pair)
    return derived.with_words(derived.paired(tables.similarities, tables.trained, cell, place), pairs)


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


KINDS = {
    "verdicts": Kind(
        "Verdicts",
        lambda report: in_order(report.tables.verdicts, report.experiment),
        "One row per cell: what may be claimed, and the figures behind it.",
        "Quasi-t over the crossed table seeds x words; the larger p of both contrasts is adjusted within the confirmatory family.",
        main="model pair verdict arm layer rank metric seeds heldout_pairs before after placebo change against_placebo p_family",
    ),
    "lines": Kind(
        "Lines under the verdicts",
        lambda report: report.tables.lines,
        "Each line's question, its answer and the figures behind it, a row a cell and line.",
        "One-sided tests against the margin, adjusted within the family of their line.",
        main="model pair arm layer rank line answer part margin seeds units estimate low high p_family",
    ),
    "ladder": Kind(
        "The ladder",
        lambda report: report.tables.ladder,
        "Everything that is asked of the same held-out words: the base model, spelling, free maps, controls, arms, and each with a map.",
        "Quasi-t over seeds and words; of what has no seeds over words alone.",
        main="model pair rung name layer metric value low high words seeds",
    ),
    "added": Kind(
        "Adapter + map",
        lambda report: report.tables.added,
        "Does training add what no map can? The trained model with a map on select pairs, which no run trained on, against the model as "
        "it came with a map of its own: on the same select pairs, and the best one on the training pairs.",
        "Maps on select pairs are chosen by cross-validation among them; quasi-t over seeds x words.",
        main="model pair arm layer rank hidden_state rival map fitted words seeds as_it_came trained estimate low high p",
    ),
    "table-1": Kind(
        "Table 1 in the paper's form",
        first_tables,
        "Cosine over the words of one run, before and after, and the paper's paired t-test. ",
        "t and p take the words of one run for replicates: they say nothing of another run and carry no verdict.",
    ),
    "table-2": Kind(
        "Table 2 in the paper's form",
        second_tables,
        "The paper's eight pairs of words with our cosine before and after, mean over the seeds. ",
        "Empty where our list lacks the pair.",
    ),
    "tests": Kind(
        "Tests",
        lambda report: report.tables.tests[report.tables.tests["level"] != WITHIN_RUN],
        "Confirmatory, exploratory and descriptive tests; the family and its size stand beside every adjusted p.",
        "Quasi-t over the crossed table seeds x words, Satterthwaite's df; Holm, Benjamini-Hochberg, Benjamini-Yekutieli.",
        main="level family family_size model pair arm layer rank split hidden_state metric contrast n estimate low high p p_holm",
    ),
    "tests-within-runs": Kind(
        "Tests within one run",
        lambda report: report.within_runs() if report.within_runs else rows(report.tables.tests, level=WITHIN_RUN),
        "The paper's kind of test, over the words of one run. They carry no verdict.",
        "Paired t over words, Wilcoxon; intervals by t and bootstrap.",
        main="test model pair arm layer rank seed split hidden_state metric n estimate low high statistic p log10_p",
    ),
    "metrics": Kind(
        "Metrics by cell",
        lambda report: derived.cell_means(report.tables.metrics),
        "Every metric, mean over the seeds of a cell; a baseline is a row of its own.",
        "Each column's formula is in the glossary.",
        main="model pair arm layer rank seeds split hidden_state pooling n cosine mismatched gap mrr p_at_1 csls_p_at_1 "
        "mexa xcs xcs_mismatched sink_ratio",
    ),
    "changes": Kind(
        "Change by run",
        lambda report: derived.changes(report.tables.metrics, report.tables.trained),
        "The main metrics of every run before, after and their difference.",
        "after - before, the baseline of the same split, hidden state and pooling.",
        main="model pair arm layer rank seed split hidden_state csls_p_at_1_before csls_p_at_1_after csls_p_at_1_change "
        "gap_change mrr_change cosine_change",
    ),
    "pairs-of-words": Kind(
        "Pairs of words",
        words_tables,
        "Every pair's figures before and after, mean over the seeds of the cell shown first.",
        "gap = cosine - mean cosine to wrong targets; rank 1 is best, ties count against.",
        main="pair source target category split cosine_before cosine_after gap_before gap_after gap_change "
        "target_rank_before target_rank_after",
    ),
    "scan": Kind(
        "Scan",
        lambda report: report.tables.scan,
        "Every metric at every hidden state of the untrained model.",
        "One pass over the list; each pooling a row.",
        main="model pair split hidden_state pooling n cosine mismatched gap mrr p_at_1 csls_p_at_1 mexa sink_ratio",
    ),
    "choice": Kind(
        "Choice of the layer",
        lambda report: report.tables.choice,
        "The criterion on the select split by hidden state, and how often each wins.",
        "Word bootstrap.",
    ),
    "trials": Kind(
        "Trials",
        lambda report: tuning.tried(report.tables.trials),
        "What was tried of every tuned cell before its runs, and what they took; mean over seeds that no run has.",
        "The primary endpoint on the select pairs among their own forms; no held-out pair is read. Ties go to the smaller change.",
        main="model pair arm layer rank trial learning_rate epochs weight seeds words value chosen",
    ),
    "ranks": Kind(
        "Trend over ranks",
        lambda report: report.tables.ranks,
        "How the gain moves with log2 of the rank.",
    ),
    "survival": Kind(
        "Survival",
        lambda report: report.tables.survival,
        "How much of what is gained at the loss layer reaches the output.",
        "Gap at the output / gap at the loss layer, before and after.",
    ),
    "words": Kind(
        "Which words gain",
        lambda report: report.tables.words,
        "After explained by before, category, token count and likeness to trained words.",
        "Regression on seed-averaged values, clustered by component.",
    ),
    "gains": Kind(
        "Gains of words",
        lambda report: report.tables.gains,
        "What each word gained in every cell.",
    ),
    "transfer": Kind(
        "Transfer",
        lambda report: derived.accuracies(report.tables.transfer, report.tables.trained),
        "Accuracy on downstream tasks before and after, per run.",
        "Accuracy over the same items; chance is 1 / choices.",
    ),
    "harm": Kind(
        "Harm",
        lambda report: report.tables.harm,
        "How much worse every cell, controls too, predicts running text of each language: the rise of cross-entropy, nats a token.",
        "Sentence by sentence, after - before; quasi-t over the crossed table seeds x sentences.",
        main="model pair arm layer rank language seeds sentences rise low high kl margin",
    ),
    "translation": Kind(
        "Translation by prompt",
        lambda report: report.tables.translation,
        "Held-out words translated by prompt, by direction and number of shots, in every cell beside the model before, the placebo and "
        "the untrained model with most shots.",
        "The right form among forms of like length by log-likelihood (choice), and greedy exact match (exact); quasi-t over the crossed "
        "table seeds x words.",
        main="model pair arm layer rank direction shots metric contrast items chance after other estimate low high p_holm",
    ),
    "across": Kind(
        "Cross-pair matrix",
        lambda report: report.tables.across,
        "What the adapters of every cell, controls too, do to every list that was measured.",
        "Quasi-t over the crossed table seeds x words; p's adjusted over the family of one model and arm.",
        main="model pair on arm layer rank status change change_low change_high against_placebo p_family family_size words seeds",
    ),
    "templates": Kind(
        "Words in templates",
        lambda report: report.tables.templates,
        "The primary endpoint of every cell, before and after, of words by themselves and in each template.",
        "Pooled over the word's own tokens; quasi-t over the crossed table seeds x words, not adjusted.",
        main="model pair arm layer rank template metric words seeds before after change low high",
    ),
    "perplexity": Kind(
        "Perplexity",
        lambda report: report.tables.perplexity,
        "On a few shipped sentences, beside that of uniform guessing: tells a broken model.",
    ),
    "tokens": Kind(
        "Tokens",
        lambda report: report.tables.tokens,
        "What each model's tokenizer makes of the words of a list.",
        "In the form in which words were fed, and in the other one.",
    ),
    "runs": Kind(
        "Runs",
        lambda report: report.tables.trained,
        "Settings, cost and outcome of every training run.",
        "As the training stage wrote them.",
        main="model pair arm layer rank seed loss_layer steps first_loss last_loss trainable_parameters "
        "reached_parameters seconds peak_memory_mib device",
    ),
}
PLANNED = "Every training run that the config asks for; none is measured yet."
OTHERS = {  # of tables that are shown as they are: title, what
    "maps": (
        "Free maps, chosen",
        "What each free map finds of the select words at every hidden state, and the state and setting that they choose.",
    ),
    "maps-metrics": (
        "Free maps, measured",
        "Every metric of the words after each free map, by hidden state, beside twins on shuffled pairs.",
    ),
    "rivals": ("Against the best free map", "Every cell against the free map that finds most select words at the same hidden state."),
    "select-maps": (
        "Maps on select pairs",
        "The map that was fitted to each run's own vectors of the select pairs, and what it finds of them.",
    ),
    "strata": ("Strata", "Every metric of parts of the words: by category, by whether they are spelt alike, by their tokens."),
    "power": ("Power", "What change each cell would have found, from the spread of its seeds and words."),
    "generation": ("Written answers", "Tasks without choices, per run, over all their items."),
    "transfer_cells": ("Transfer, tested", "Every task and contrast of every cell over seeds and items, with adjusted p."),
    "transfer_runs": ("Transfer, run by run", "Every task of every run before and after, with the exact test over its items."),
    "transfer_gaps": (
        "Transfer, gaps to English",
        "How far the accuracy in a language stands below that of the same items in English, before and after.",
    ),
    "transfer_trend": ("Transfer over ranks", "How the accuracy of each task moves with log2 of the rank."),
}
BESIDE_PUBLISHED = ("table-1", "table-2")
MORE = ("generation", "transfer_cells")  # tables of the contract without words of their own


def _as_it_is(frame: pd.DataFrame, report: ReportInput) -> pd.DataFrame:
    return frame


def sheets(report: ReportInput) -> Iterator[Sheet]:
    """Every table of the report, in the order of the page, made one by one. Those without rows are left out."""
    yield from (sheet for sheet in _every(report) if len(sheet.frame))


def _every(report: ReportInput) -> Iterator[Sheet]:
    for name, kind in KINDS.items():
        if name in BESIDE_PUBLISHED:
            kind = replace(kind, what=kind.what + paper.beside(report.experiment))
        if name == "transfer" and report.experiment.scored_items:
            kind = replace(kind, what=f"{kind.what} {report.experiment.scored_items}")
        if name == "runs" and report.tables.runs.empty:
            kind = replace(kind, title="Runs that are planned", what=PLANNED, how="")
        yield Sheet(name, kind, kind.rows(report))
    others = {**report.tables.others, **{name: getattr(report.tables, name) for name in MORE}}
    for name in sorted(others):  # what a later stage adds is shown without a word changed here
        title, what = OTHERS.get(name, (name.replace("_", " ").capitalize(), ""))
        kind = Kind(title, partial(_as_it_is, others[name]), what)
        yield Sheet(name.replace("_", "-"), kind, others[name])
