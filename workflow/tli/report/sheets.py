"""The tables that the page shows and the report folder holds as TSV, each with what it is and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tli.io.tables import CELL
from tli.report import derive, paper
from tli.report.choose import COLUMNS, endpoint, first_cell, in_order, rows, table

# Columns that the page shows at first; the rest come with a click.
MAIN = {
    "verdicts": ("model", "pair", "verdict", "arm", "layer", "rank", "metric", "seeds", "heldout_pairs", "before",
        "after", "placebo", "change", "against_placebo", "p_family"),
    "tests": ("level", "family", "family_size", "model", "pair", "arm", "layer", "rank", "split", "hidden_state",
        "metric", "contrast", "n", "estimate", "low", "high", "p", "p_holm"),
    "tests-within-runs": ("test", "model", "pair", "arm", "layer", "rank", "seed", "split", "hidden_state", "metric",
        "n", "estimate", "low", "high", "statistic", "p", "log10_p"),
    "metrics": ("model", "pair", "arm", "layer", "rank", "seeds", "split", "hidden_state", "pooling", "n", "cosine",
        "mismatched", "gap", "mrr", "p_at_1", "csls_p_at_1", "mexa", "xcs", "xcs_mismatched", "sink_ratio"),
    "changes": ("model", "pair", "arm", "layer", "rank", "seed", "split", "hidden_state", "csls_p_at_1_before",
        "csls_p_at_1_after", "csls_p_at_1_change", "gap_change", "mrr_change", "cosine_change"),
    "pairs-of-words": ("pair", "source", "target", "category", "split", "cosine_before", "cosine_after", "gap_before",
        "gap_after", "gap_change", "target_rank_before", "target_rank_after"),
    "scan": ("model", "pair", "split", "hidden_state", "pooling", "n", "cosine", "mismatched", "gap", "mrr", "p_at_1",
        "csls_p_at_1", "mexa", "sink_ratio"),
    "runs": ("model", "pair", "arm", "layer", "rank", "seed", "loss_layer", "steps", "first_loss", "last_loss",
        "trainable_parameters", "reached_parameters", "seconds", "peak_memory_mib", "device"),
}  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A table of the report: `name` is its file's, `what` and `how` stand above it."""

    name: str
    title: str
    what: str
    how: str
    frame: pd.DataFrame
    main: tuple[str, ...] = ()  # columns shown at first; none means all
    in_page: bool = True  # else the page only links the file


def cells_of(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The cells that a group's first one is taken from: those with a verdict, else those of the grid."""
    verdicts = table(tables, "verdicts")
    return verdicts if len(verdicts) else table(tables, "grid")


def with_runs(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The table of runs, or the grid where nothing has been trained yet."""
    runs = table(tables, "runs")
    return runs if len(runs) else table(tables, "grid")


def sheets(tables: dict[str, pd.DataFrame], config: dict, groups: list[tuple[str, str]]) -> list[Sheet]:
    """Every table of the report, in the order of the page. Absent ones are left out."""
    found = [
        Sheet("verdicts", "Verdicts", "One row per cell: what may be claimed, and the figures behind it.",
              "t over the seeds' paired differences; the larger p of both contrasts is adjusted within the confirmatory family.",
              in_order(table(tables, "verdicts"), config), MAIN["verdicts"]),
        Sheet("table-1", "Table 1 in the paper's form", "Cosine over the words of one run, before and after, and the paper's paired "
              "t-test. " + paper.beside(config), "t and p take the words of one run for replicates: they say nothing of another run "
              "and carry no verdict.", first_tables(tables, config, groups)),
        Sheet("table-2", "Table 2 in the paper's form", "The paper's eight pairs of words with our cosine before and after, mean over "
              "the seeds. " + paper.beside(config), "Empty where our list lacks the pair.", second_tables(tables, config, groups)),
    ]  # fmt: skip
    tests = table(tables, "tests")
    over_seeds = tests[tests["level"] != "within one run"]
    within = tests[tests["level"] == "within one run"]
    metrics, runs = table(tables, "metrics"), with_runs(tables)
    found += [
        Sheet("tests", "Tests over seeds", "Confirmatory, exploratory and descriptive tests; the family and its size stand beside every "
              "adjusted p.", "t over seeds, df = seeds - 1; Holm, Benjamini-Hochberg, Benjamini-Yekutieli.", over_seeds, MAIN["tests"]),
        Sheet("tests-within-runs", "Tests within one run", "The paper's kind of test, over the words of one run. They carry no verdict.",
              "Paired t over words, Wilcoxon; intervals by t and bootstrap.", within, MAIN["tests-within-runs"]),
        Sheet("metrics", "Metrics by cell", "Every metric, mean over the seeds of a cell; a baseline is a row of its own.",
              "Each column's formula is in the glossary.", derive.cell_means(metrics, runs), MAIN["metrics"]),
        Sheet("changes", "Change by run", "The main metrics of every run before, after and their difference.",
              "after - before, the baseline of the same split, hidden state and pooling.", derive.changes(metrics, runs), MAIN["changes"]),
        Sheet("pairs-of-words", "Pairs of words", "Every pair's figures before and after, mean over the seeds of the cell shown first.",
              "gap = cosine - mean cosine to wrong targets; rank 1 is best, ties count against.", words_tables(tables, config, groups), MAIN["pairs-of-words"]),
        Sheet("scan", "Scan", "Every metric at every hidden state of the untrained model.",
              "One pass over the list; each pooling a row.", table(tables, "scan"), MAIN["scan"]),
        Sheet("choice", "Choice of the layer", "The criterion on the select split by hidden state, and how often each wins.",
              "Word bootstrap.", table(tables, "choice")),
        Sheet("ranks", "Trend over ranks", "How the gain moves with log2 of the rank.", "", table(tables, "ranks")),
        Sheet("survival", "Survival", "How much of what is gained at the loss layer reaches the output.",
              "Gap at the output / gap at the loss layer, before and after.", table(tables, "survival")),
        Sheet("words", "Which words gain", "After explained by before, category, token count and likeness to trained words.",
              "Regression on seed-averaged values, clustered by component.", table(tables, "words")),
        Sheet("gains", "Gains of words", "What each word gained in every cell.", "", table(tables, "gains"), in_page=False),
        Sheet("transfer", "Transfer", "Accuracy on downstream tasks before and after, per run.",
              "Accuracy over the same items; chance is 1 / choices.", derive.accuracies(table(tables, "transfer"), runs)),
        Sheet("perplexity", "Perplexity", "On a few shipped sentences, beside that of uniform guessing: tells a broken model.", "",
              table(tables, "perplexity")),
        Sheet("runs", "Runs", "Settings, cost and outcome of every training run.", "As the training stage wrote them.", runs, MAIN["runs"]),
    ]  # fmt: skip
    known = {sheet.name for sheet in found} | set(COLUMNS)
    for name in sorted(set(tables) - known):  # what a later stage adds is shown without a word changed here
        found.append(Sheet(name.replace("_", "-"), name.replace("_", " ").capitalize(), "", "", tables[name]))
    return [sheet for sheet in found if len(sheet.frame)]


def first_tables(tables, config, groups) -> pd.DataFrame:
    """Table 1 of the first cell of every group, one row a run and split."""
    parts = []
    for cell, state, pooling in first_cells(tables, config, groups):
        part = paper.table_1(table(tables, "similarities"), with_runs(tables), table(tables, "tests"), cell, state, pooling)
        parts.append(part[part["split"].isin(["train", "heldout"])])
    return _together(parts)


def second_tables(tables, config, groups) -> pd.DataFrame:
    """Table 2 of every group whose list holds at least one of the published pairs."""
    parts = []
    for cell, state, pooling in first_cells(tables, config, groups):
        part = paper.table_2(words_of(tables, cell, state, pooling))
        if part["cosine_after"].notna().any():
            parts.append(part.assign(**cell)[[*CELL, *[c for c in part.columns if c not in CELL]]])
    return _together(parts)


def words_tables(tables, config, groups) -> pd.DataFrame:
    """Every pair of words of the first cell of every group."""
    return _together([words_of(tables, *place) for place in first_cells(tables, config, groups)])


def words_of(tables, cell, state, pooling) -> pd.DataFrame:
    """derive.paired with the words themselves."""
    found = derive.paired(table(tables, "similarities"), with_runs(tables), cell, state, pooling)
    pairs = rows(table(tables, "pairs"), model=cell["model"], pair=cell["pair"])
    found = derive.with_words(found, pairs)
    front = [*CELL, "pair_id", "source", "target", "category", "split", "seeds"]
    return found[[*front, *[c for c in found.columns if c not in front]]]


def first_cells(tables, config, groups):
    """(cell, hidden state, pooling) of the cell shown first, for every group that has one."""
    for model, pair in groups:
        cell = first_cell(cells_of(tables), config, model, pair)
        state, pooling = endpoint(tables, model, pair)
        if cell is not None and state is not None:
            yield cell, state, pooling


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
