"""The rows of one (model, pair), and each of names.FIGURES drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tli.io.tables import WHOLE_LIST
from tli.labels import metric_label
from tli.report import derived, figures, style
from tli.report.alignment import by_state, first_map, mapped_figures, rival_of, untested_rungs
from tli.report.input import ReportInput
from tli.report.selection import Cell, baselines, endpoint, first_cell, in_order, kept_runs, layer_name, rows

FIRST_RUNGS = 18  # of the ladder on the first screen
METRIC = "csls_p_at_1"  # drawn where the primary one is not among those whose change is listed


@dataclass(frozen=True)
class Drawn:
    """A figure, with its n and seeds in words."""

    figure: Any  # matplotlib's Figure
    counts: str


def span(values: pd.Series) -> str:
    """'63', or '60 to 63'."""
    values = values.dropna().astype(int)
    if values.empty:
        return "no"
    return str(values.min()) if values.min() == values.max() else f"{values.min()} to {values.max()}"


def seed_count(frame: pd.DataFrame) -> int:
    """How many seeds stand behind the trained rows of a table."""
    return frame.loc[frame["seed"] >= 0, "seed"].nunique()


class Drawing:
    """One (model, pair); `of(key)` draws a figure."""

    def __init__(self, report: ReportInput, model: str, pair: str):
        tables, experiment = report.tables, report.experiment
        group = {"model": model, "pair": pair}
        self.report, self.model, self.pair = report, model, pair
        self.tables = tables.within(model, pair)
        self.runs = rows(tables.trained, **group)
        controls = self.runs.loc[self.runs["control"].astype(bool), "arm"].unique()
        there = dict.fromkeys(tables.trained["arm"].astype(str))
        order = dict.fromkeys([*(arm.name for arm in experiment.arms if arm.name in there), *there])
        self.colours = style.arm_colours(order, controls)
        self.cell = first_cell(tables.cells, experiment, model, pair)
        self.placebo = derived.placebo_of(self.runs, self.cell) if self.cell else None
        self.place = endpoint(self.tables, model, pair)
        self.verdicts = in_order(self.tables.verdicts, experiment)
        self.rival = rival_of(report, model, pair)
        primary = self.verdicts["metric"].iloc[0] if len(self.verdicts) else METRIC
        self.metric = primary if primary in derived.SHOWN else METRIC
        self.metrics = self.tables.metrics
        self.scan = rows(self.tables.scan, pool=WHOLE_LIST)
        changes = derived.changes(self.metrics, self.runs)
        if self.place:
            place = {"hidden_state": self.place.hidden_state, "pooling": self.place.pooling, "pool": self.place.pool}
            changes = rows(changes, **place, split="heldout")
        self.changes = changes
        self.words = self._words(self.cell)
        self.placebo_words = self._words(self.placebo)
        self.accuracies = derived.accuracies(self.tables.transfer, self.runs)
        self.rungs = self.tables.ladder if len(self.tables.ladder) else untested_rungs(report, model, pair)
        self.scored = f" {experiment.scored_items}" if experiment.scored_items else ""

    def of(self, key: str) -> Drawn:
        """The figure `key` of names.FIGURES; where its rows are missing, one that says so."""
        draw: Callable[[], Drawn] = getattr(self, key.replace("-", "_"))
        return draw()

    @property
    def where(self) -> str:
        """The endpoint in words."""
        return f"hs[{self.place.hidden_state}], {self.place.pooling}" if self.place else "nowhere"

    def _words(self, cell: Cell | None) -> pd.DataFrame:
        if cell is None or self.place is None:
            return pd.DataFrame(columns=["split", "arm", "pair_id"])
        return derived.with_words(derived.paired(self.tables.similarities, self.runs, cell, self.place), self.tables.pairs)

    def _of_words(self) -> str:
        if self.cell is None or self.words.empty:
            return "Not evaluated."
        counts = self.words["split"].value_counts()
        split = ", ".join(f"n = {counts[s]} {name}" for s, name in (("train", "train"), ("heldout", "held-out")) if s in counts)
        return f"{self.cell.name}; {self.where}; {split}; {span(self.words['seeds'])} seeds."

    def _of_runs(self) -> str:
        n = span(rows(self.metrics, split="heldout")["n"])
        return f"n = {n} held-out pairs; {len(self.changes)} runs, {self.changes['seed'].nunique()} seeds; {self.where}."

    def _of_verdicts(self) -> str:
        if self.verdicts.empty:
            return "Not tested."
        return f"n = {span(self.verdicts['heldout_pairs'])} held-out pairs; {span(self.verdicts['seeds'])} seeds per cell."

    def layer_curve(self) -> Drawn:
        shown = rows(self.scan, split="heldout") if (self.scan["split"] == "heldout").any() else self.scan
        figure = figures.layer_curve(self.scan, self.tables.choice, self.model, self.pair)
        return Drawn(figure, f"n = {span(shown['n'])} pairs; the untrained model, no seeds.")

    def first_curve(self) -> Drawn:
        """The first screen's: retrieval by hidden state, in the pool that claims are made in."""
        if self.place is None:
            return Drawn(style.nothing("Not scanned yet."), "")
        group = {"model": self.model, "pair": self.pair}
        scan, choice = rows(self.tables.scan, **self.place.heldout), self.tables.choice
        first = first_map(self.report, self.model, self.pair)
        mapped = by_state(rows(mapped_figures(self.report), **group, **self.place.heldout), first).reset_index()
        beside = f"; the free map is {first}" if len(mapped) else ""
        return Drawn(figures.alignment_curve(scan, choice, mapped, METRIC), f"n = {span(scan['n'])} held-out words{beside}.")

    def first_ladder(self) -> Drawn:
        """The first screen's: the whole one without twins, and of trained rungs those of the cell's loss layer where all are too many."""
        table = self.rungs
        if table.empty:
            return Drawn(figures.ladder(table, self.colours), "Not measured.")
        shown = table[~table["rung"].isin(["shuffled map", "control + map"])]
        shown = shown[(shown["rung"] != "map at its own state") | (shown["name"] == self.rival)]
        if len(shown) > FIRST_RUNGS and self.cell:
            trained = shown["rung"].isin(["arm", "control", "arm + map"])
            shown = shown[~trained | (shown["layer"] == self.cell.layer)]
        figure = figures.ladder(shown.head(FIRST_RUNGS), self.colours, metric_label(table.iloc[0]["metric"]), self.rival, is_small=True)
        many = len(shown.head(FIRST_RUNGS))
        shown_of = f"; {many} of {len(table)} rungs, all are below" if many < len(table) else ""
        return Drawn(figure, f"n = {span(table['words'])} held-out words{shown_of}.")

    def first_front(self) -> Drawn:
        """The first screen's: gain against harm."""
        table, harm = self.tables.ladder, self.tables.harm
        front = derived.front(table, harm)
        if len(front) > FIRST_RUNGS and self.cell:
            front = front[front["layer"] == self.cell.layer].head(FIRST_RUNGS)
        metric = metric_label(table.iloc[0]["metric"]) if len(table) else METRIC
        figure = figures.harm_gain(front, table, self.colours, metric, self.rival, is_small=True)
        return Drawn(figure, f"n = {span(harm['sentences'])} sentences a language." if len(front) else "Not measured.")

    def ladder(self) -> Drawn:
        table = self.rungs
        if table.empty:
            return Drawn(figures.ladder(table, self.colours), "Not measured.")
        first, cut = table.iloc[0], len(table) > figures.LADDER_ROWS
        more = f" The first {figures.LADDER_ROWS} of {len(table)} rungs." if cut else ""
        units = f" ({span(table['units'])} units)" if table["units"].notna().any() else ""
        counts = f"n = {span(table['words'])} held-out words{units}; hs[{first['hidden_state']}], {first['pool']} pool."
        return Drawn(figures.ladder(table, self.colours, metric_label(first["metric"]), self.rival), counts + more)

    def harm_gain(self) -> Drawn:
        table, harm = self.tables.ladder, self.tables.harm
        front = derived.front(table, harm)
        if front.empty:
            return Drawn(figures.harm_gain(front, table, self.colours), "Not measured.")
        few = "" if harm["decides"].astype(bool).all() else " The shipped sentences are too few to tell."
        counts = f"n = {span(harm['sentences'])} sentences a language, {span(front['words'])} held-out words, {span(front.loc[front['seeds'] > 0, 'seeds'])} seeds.{few}"
        return Drawn(figures.harm_gain(front, table, self.colours, metric_label(table.iloc[0]["metric"]), self.rival), counts)

    def before_after(self) -> Drawn:
        return Drawn(figures.before_after(self.words, self.placebo_words, self.colours), self._of_words())

    def gained_and_lost(self) -> Drawn:
        return Drawn(figures.gained_and_lost(self.words, self.placebo_words, self.colours), self._of_words())

    def gap_against_cosine(self) -> Drawn:
        return Drawn(figures.gap_against_cosine(self.changes, self.colours), self._of_runs())

    def rank_gain(self) -> Drawn:
        return Drawn(figures.rank_gain(self.changes, self.colours, self.metric, metric_label(self.metric)), self._of_runs())

    def forest(self) -> Drawn:
        order = [Cell.of(row).name for row in self.verdicts.to_dict("records")]
        cut = len(order) > figures.FOREST_ROWS
        more = f" The first {figures.FOREST_ROWS} of {len(order)} cells." if cut else ""
        metric = self.verdicts["metric"].iloc[0] if len(self.verdicts) else METRIC
        return Drawn(figures.forest(self.verdicts, order, metric_label(metric)), self._of_verdicts() + more)

    def heat(self) -> Drawn:
        if self.cell is None or self.verdicts.empty:
            return Drawn(style.nothing("No cell has been tested."), "Not tested.")
        return Drawn(figures.heat(self.verdicts, self.cell.arm), f"{self.cell.arm}; {self._of_verdicts()}")

    def _projection(self, method: str, title: str) -> Drawn:
        every = self.tables.projections
        every = every[every["method"].astype(str).str.lower().str.replace("-", "") == method]
        if every.empty or self.cell is None:
            return Drawn(style.nothing("No such projection was made."), "Not made.")
        states = set(every["hidden_state"])
        state = self.place.hidden_state if self.place and self.place.hidden_state in states else int(max(states))
        every = rows(every, hidden_state=state)
        own = rows(self.runs, **self.cell.columns)
        own = own.assign(run=kept_runs(own))
        made = own[own["run"].isin(set(every["run"]))].sort_values("seed")
        run, baseline = (made["run"].iloc[0], made["baseline"].iloc[0]) if len(made) else (None, "baseline")
        before, after = every[every["run"] == baseline], every[every["run"] == run]
        held = rows(before, split="heldout")["pair_id"].nunique()
        shown = min(held, figures.NAMED_PAIRS)
        counts = f"{shown} of {held} held-out pairs; hs[{state}]; {run or 'no trained run'} against {baseline}."
        return Drawn(figures.projection(before, after, title), counts)

    def projection_tsne(self) -> Drawn:
        return self._projection("tsne", "t-SNE")

    def projection_pca(self) -> Drawn:
        return self._projection("pca", "PCA")

    def training_curves(self) -> Drawn:
        losses = self.tables.losses
        losses = losses[losses["arm"].isin([cell.arm for cell in (self.cell, self.placebo) if cell])]
        if self.cell is None or losses.empty:
            return Drawn(style.nothing("No training curve."), "Not trained.")
        losses = rows(losses, rank=self.cell.rank)
        return Drawn(figures.training_curves(losses, self.colours), f"rank {self.cell.rank}; {losses['seed'].nunique()} seeds.")

    def transfer(self) -> Drawn:
        shown, where = self.accuracies, ""
        if self.cell:
            own = (shown["layer"] == self.cell.layer) & (shown["rank"] == self.cell.rank)
            shown, where = shown[own | baselines(shown)], f"loss at {layer_name(self.cell.layer)}, rank {self.cell.rank}; "
        return Drawn(figures.transfer_change(shown, self.colours), f"{where}{seed_count(shown)} seeds; n beside each task.{self.scored}")

    def transfer_by_rank(self) -> Drawn:
        shown, where = self.accuracies, ""
        if self.cell:
            shown = shown[shown["layer"].isin([self.cell.layer, "output"])]
            where = f"loss at {layer_name(self.cell.layer)} or at the output; "
        return Drawn(figures.transfer_by_rank(shown, self.colours), f"{where}{seed_count(shown)} seeds.{self.scored}")

    def transfer_against_gain(self) -> Drawn:
        figure = figures.transfer_against_gain(self.accuracies, self.changes, self.colours, self.metric, metric_label(self.metric))
        return Drawn(figure, f"{self.accuracies.loc[self.accuracies['seed'] >= 0, 'run'].nunique()} runs.{self.scored}")
