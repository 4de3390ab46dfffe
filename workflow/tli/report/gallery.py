"""All figures of a report: which there are, from which rows each is drawn, its caption and its alternative text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tli.report import derive, figures, look
from tli.report.choose import cell_name, endpoint, first_cell, in_order, layer_name, names, rows, table
from tli.report.doubts import is_demo
from tli.report.glossary import label
from tli.report.sheets import cells_of, with_runs, words_of
from tli.report.summary import signed

# key: (title, category of Snakemake's report)
FIGURES = {
    "layer-curve": ("Alignment by hidden state", "Before training"),
    "before-after": ("Before and after, pair by pair", "What changed"),
    "gap-against-cosine": ("Does the gap rise, or do all cosines?", "Can it be believed"),
    "forest": ("Effects of all cells", "What changed"),
    "heat": ("Loss layer and rank", "What changed"),
    "rank-gain": ("Gain by rank", "What changed"),
    "gained-and-lost": ("Which held-out words gained and lost", "Words"),
    "projection-tsne": ("t-SNE before and after", "Words"),
    "projection-pca": ("PCA before and after", "Words"),
    "training-curves": ("Training curves", "Can it be believed"),
    "transfer": ("Transfer", "What else changed"),
    "transfer-by-rank": ("Transfer by rank", "What else changed"),
    "transfer-against-gain": ("Transfer against the gain in alignment", "What else changed"),
}
CAPTIONS = Path(__file__).resolve().parents[2] / "report"


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    key: str
    name: str  # of its files, without suffix
    title: str
    svg: str
    caption: list[str]  # HTML paragraphs
    counts: str  # n and seeds
    alt: str

    @property
    def wide(self) -> bool:
        """Whether words beside it would leave it too little room."""
        width = re.search(r'style="width:(\d+)px"', self.svg)
        return bool(width) and int(width.group(1)) > 760


def figure_name(key: str, model: str, pair: str) -> str:
    """Name of a figure's files, without folder and suffix."""
    return "--".join(re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in (key, model, pair))


def caption(key: str) -> list[str]:
    """The caption of workflow/report/<key>.rst as HTML paragraphs: the page and Snakemake's report say the same."""
    from markupsafe import escape

    try:
        text = (CAPTIONS / f"{key}.rst").read_text(encoding="utf-8").strip()
    except OSError:
        return []
    paragraphs = [str(escape(" ".join(part.split()))) for part in text.split("\n\n")]
    paragraphs = [re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", part) for part in paragraphs]
    return [re.sub(r"``(.+?)``", r"<code>\1</code>", part) for part in paragraphs]


def primary_picture(tables: dict[str, pd.DataFrame], config: dict, groups: list, folder: Path) -> Picture | None:
    """The first screen's small graphic: the primary endpoint of every group's first cell against before and placebo."""
    verdicts = first_verdicts(tables, config, groups)
    if verdicts.empty:
        return None
    labels = [f"{row.model}, {row.pair}" for row in verdicts.itertuples()]
    metric = label(verdicts["metric"].iloc[0])
    figure = marked(figures.forest(verdicts, [label.replace(", ", "\n") for label in labels], metric, width=4.7), config)
    alt = " ".join(
        f"{name}: after - before {signed(row.change)} ({signed(row.change_low)} to {signed(row.change_high)}), real - placebo "
        f"{signed(row.against_placebo)} ({signed(row.against_placebo_low)} to {signed(row.against_placebo_high)})."
        for name, row in zip(labels, verdicts.itertuples(), strict=True)
    )
    n, seeds = span(verdicts["heldout_pairs"]), span(verdicts["seeds"])
    svg = look.written(figure, "primary", folder)
    return Picture("primary", "primary", "The primary endpoint", svg, caption("primary"),
                   f"n = {n} held-out pairs, {seeds} seeds.", alt)  # fmt: skip


def first_verdicts(tables: dict[str, pd.DataFrame], config: dict, groups: list) -> pd.DataFrame:
    """The verdict of the first cell of every group."""
    verdicts = table(tables, "verdicts")
    if verdicts.empty:
        return verdicts
    found = []
    for model, pair in groups:
        cell = first_cell(verdicts, config, model, pair)
        if cell is not None:
            found.append(rows(verdicts, **cell).head(1))
    return pd.concat(found, ignore_index=True) if found else verdicts.iloc[:0]


def pictures(tables: dict[str, pd.DataFrame], config: dict, group: tuple[str, str], folder: Path) -> Iterator[Picture]:
    """Draw every figure of one (model, pair) into `folder`; where its rows are missing, a figure that says so."""
    drawing = Drawing(tables, config, *group)
    for key, (title, _) in FIGURES.items():
        figure, counts = getattr(drawing, key.replace("-", "_"))()
        name = figure_name(key, *group)
        alt = f"{title}, {group[0]}, {group[1]}. {counts} The figures behind it are in the tables."
        yield Picture(key, name, title, look.written(marked(figure, config, group[0]), name, folder), caption(key), counts, alt)


@look.styled
def marked(figure, config: dict, model: str | None = None):
    """Write "demo model" into the figure of a demo, so that it cannot travel as a claim about a real model."""
    if is_demo(config, model) and figure.axes:
        figure.supxlabel("demo model: no claim about a real one", fontsize=8, x=0.995, ha="right", color=look.VERMILLION)
    return figure


def span(values: pd.Series) -> str:
    """'63', or '60 to 63'."""
    values = values.dropna().astype(int)
    if values.empty:
        return "no"
    return str(values.min()) if values.min() == values.max() else f"{values.min()} to {values.max()}"


class Drawing:
    """The rows of one (model, pair), and each figure drawn from them: (figure, its n and seeds in words)."""

    def __init__(self, tables: dict[str, pd.DataFrame], config: dict, model: str, pair: str):
        self.tables, self.config, self.model, self.pair = tables, config, model, pair
        self.runs = rows(with_runs(tables), model=model, pair=pair)
        controls = self.runs.loc[self.runs["control"].astype(bool), "arm"].unique() if len(self.runs) else []
        every = with_runs(tables)
        known = [*names(config.get("arms")), *every["arm"].astype(str).unique()]
        self.colours = look.arm_colours([arm for arm in dict.fromkeys(known) if (every["arm"] == arm).any()], controls)
        self.cell = first_cell(cells_of(tables), config, model, pair)
        self.placebo = derive.rival_of(self.runs, self.cell) if self.cell else None
        self.state, self.pooling = endpoint(tables, model, pair)
        verdicts = rows(table(tables, "verdicts"), model=model, pair=pair)
        self.verdicts = in_order(verdicts, config)
        self.metric = verdicts["metric"].iloc[0] if len(verdicts) else "csls_p_at_1"
        metrics = rows(table(tables, "metrics"), model=model, pair=pair)
        changes = derive.changes(metrics, self.runs) if len(metrics) else derive.changes(pd.DataFrame(), pd.DataFrame())
        self.changes = rows(changes, hidden_state=self.state, pooling=self.pooling, split="heldout")
        self.words = self._words(self.cell)
        self.placebo_words = self._words(self.placebo)

    def _words(self, cell: dict | None) -> pd.DataFrame:
        if cell is None or self.state is None:
            return pd.DataFrame(columns=["split", "arm", "pair_id"])
        return words_of(self.tables, cell, self.state, self.pooling)

    def _of_cell(self, words: pd.DataFrame) -> str:
        if words.empty:
            return "Not evaluated."
        counts = words["split"].value_counts()
        split = ", ".join(f"n = {counts[s]} {name}" for s, name in (("train", "train"), ("heldout", "held-out")) if s in counts)
        return f"{cell_name(self.cell)}; hs[{self.state}], {self.pooling}; {split}; {span(words['seeds'])} seeds."

    def layer_curve(self):
        scan = rows(table(self.tables, "scan"), model=self.model, pair=self.pair)
        shown = rows(scan, split="heldout") if (scan["split"] == "heldout").any() else scan
        n = span(shown["n"]) if len(shown) else "no"
        figure = figures.layer_curve(scan, table(self.tables, "choice"), self.model, self.pair)
        return figure, f"n = {n} pairs; the untrained model, no seeds."

    def before_after(self):
        return figures.before_after(self.words, self.placebo_words, self.colours), self._of_cell(self.words)

    def gained_and_lost(self):
        return figures.gained_and_lost(self.words, self.placebo_words, self.colours), self._of_cell(self.words)

    def _of_runs(self, frame: pd.DataFrame) -> str:
        n = rows(table(self.tables, "metrics"), model=self.model, pair=self.pair, split="heldout")
        n = span(n["n"]) if len(n) else "no"
        return f"n = {n} held-out pairs; {len(frame)} runs, {frame['seed'].nunique()} seeds; hs[{self.state}], {self.pooling}."

    def gap_against_cosine(self):
        return figures.gap_against_cosine(self.changes, self.colours), self._of_runs(self.changes)

    def rank_gain(self):
        metric = self.metric if f"{self.metric}_change" in self.changes else "csls_p_at_1"
        return figures.rank_gain(self.changes, self.colours, metric, label(metric)), self._of_runs(self.changes)

    def forest(self):
        order = [cell_name(dict(zip(("arm", "layer", "rank"), c, strict=True)))
                 for c in self.verdicts[["arm", "layer", "rank"]].itertuples(index=False, name=None)] if len(self.verdicts) else []  # fmt: skip
        cut = len(order) - figures.effects.FOREST_ROWS
        more = f" The first {figures.effects.FOREST_ROWS} of {len(order)} cells." if cut > 0 else ""
        return figures.forest(self.verdicts, order, label(self.metric)), self._of_verdicts() + more

    def _of_verdicts(self) -> str:
        if self.verdicts.empty:
            return "Not tested."
        return f"n = {span(self.verdicts['heldout_pairs'])} held-out pairs; {span(self.verdicts['seeds'])} seeds per cell."

    def heat(self):
        if self.cell is None or self.verdicts.empty:
            return look.nothing("No cell has been tested."), "Not tested."
        return figures.heat(self.verdicts, self.cell["arm"]), f"{self.cell['arm']}; {self._of_verdicts()}"

    def _projection(self, method: str):
        every = rows(table(self.tables, "projections"), model=self.model, pair=self.pair)
        every = every[every["method"].astype(str).str.lower().str.replace("-", "") == method] if len(every) else every
        if every.empty or self.cell is None:
            return look.nothing("No such projection was made."), "Not made."
        state = int(every["hidden_state"].max()) if not (every["hidden_state"] == self.state).any() else self.state
        every = every[every["hidden_state"] == state]
        own = rows(self.runs, **self.cell)
        if "same_as" in own.columns:
            own = own.assign(run=own["same_as"].where(own["same_as"].fillna("") != "", own["run"]))
        made = own[own["run"].isin(set(every["run"]))].sort_values("seed")
        run, baseline = (made["run"].iloc[0], made["baseline"].iloc[0]) if len(made) else (None, "baseline")
        name = "t-SNE" if method == "tsne" else "PCA"
        before, after = every[every["run"] == baseline], every[every["run"] == run]
        held = before[(before["split"] == "heldout")]["pair_id"].nunique()
        drawn = min(held, figures.projections.NAMED_PAIRS)
        counts = f"{drawn} of {held} held-out pairs; hs[{state}]; {run or 'no trained run'} against {baseline}."
        return figures.projection(before, after, name), counts

    def projection_tsne(self):
        return self._projection("tsne")

    def projection_pca(self):
        return self._projection("pca")

    def training_curves(self):
        losses = rows(table(self.tables, "losses"), model=self.model, pair=self.pair)
        arms = [c["arm"] for c in (self.cell, self.placebo) if c]
        losses = losses[losses["arm"].isin(arms)]
        losses = rows(losses, rank=self.cell["rank"]) if self.cell else losses
        figure = figures.training_curves(losses, self.colours)
        rank = f"rank {self.cell['rank']}" if self.cell else ""
        return figure, f"{rank}; {losses['seed'].nunique() if len(losses) else 0} seeds." if len(losses) else "Not trained."

    def transfer(self):
        transfer = rows(table(self.tables, "transfer"), model=self.model, pair=self.pair)
        found = derive.accuracies(transfer, self.runs)
        if self.cell:
            found = found[(found["layer"] == self.cell["layer"]) & (found["rank"] == self.cell["rank"]) | (found["seed"] < 0)]
        seeds = found.loc[found["seed"] >= 0, "seed"].nunique()
        where = f"loss at {layer_name(self.cell['layer'])}, rank {self.cell['rank']}; " if self.cell else ""
        return figures.transfer_change(found, self.colours), f"{where}{seeds} seeds; n beside each task."

    def _accuracies(self) -> pd.DataFrame:
        return derive.accuracies(rows(table(self.tables, "transfer"), model=self.model, pair=self.pair), self.runs)

    def transfer_by_rank(self):
        found = self._accuracies()
        if self.cell:
            found = found[found["layer"].isin([self.cell["layer"], "output"])]
        seeds = found.loc[found["seed"] >= 0, "seed"].nunique()
        where = f"loss at {layer_name(self.cell['layer'])} or at the output; " if self.cell else ""
        return figures.transfer_by_rank(found, self.colours), f"{where}{seeds} seeds."

    def transfer_against_gain(self):
        found = self._accuracies()
        metric = self.metric if f"{self.metric}_change" in self.changes else "csls_p_at_1"
        figure = figures.transfer_against_gain(found, self.changes, self.colours, metric, label(metric))
        return figure, f"{found.loc[found['seed'] >= 0, 'run'].nunique()} runs."
