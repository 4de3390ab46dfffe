"""Effects and their intervals: the primary endpoint, the forest of cells, layer by rank, gain by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tli.facts import AFTER_BEFORE, REAL_PLACEBO
from tli.report import style
from tli.report.selection import baselines, by_place, layer_name, rows
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTRASTS = [  # filled and open: colours belong to the arms
    (AFTER_BEFORE, "change", style.INK, "o"),
    (REAL_PLACEBO, "against_placebo", style.PAPER, "D"),
]
FOREST_ROWS = 40


@style.styled
def forest(verdicts: pd.DataFrame, labels: list[str], metric: str = "CSLS P@1", width: float = 7.6) -> Figure:
    """Each row's change from before to after and its difference from the placebo, with 95 % intervals over other seeds and held-out words.

    Draws change, change_low, change_high and against_placebo, against_placebo_low, against_placebo_high of `verdicts` (and switches by its arm), one
    line a row, named by `labels`; at most FOREST_ROWS rows. `width` is in inches. The line at 0 is "no effect".
    """
    if verdicts.empty:
        return style.nothing("No cell has been tested.")
    shown = verdicts.head(FOREST_ROWS).reset_index(drop=True)
    figure, axes = style.new(width, 1.35 + 0.52 * len(shown))
    y = np.arange(len(shown))
    for number, (name, column, fill, mark) in enumerate(CONTRASTS):
        at = y + (number - 0.5) * 0.3
        middle = shown[column].to_numpy(float)
        low, high = shown[f"{column}_low"].to_numpy(float), shown[f"{column}_high"].to_numpy(float)
        there = np.isfinite(low) & np.isfinite(high)
        bars = axes.hlines(at[there], low[there], high[there], color=style.INK, lw=2.4 - number, label="_")
        (points,) = axes.plot(middle, at, mark, color=fill, ms=7, mec=style.INK, mew=1.2, label=name, ls="none")
        told = [f"{label}, {name}: {m:+.3f} ({a:+.3f} to {b:+.3f})" for label, m, a, b in zip(labels, middle, low, high, strict=False)]
        set_tooltips(points, [text.replace("\n", ", ") for text in told], shown["arm"])
        set_tooltips(bars, arm=shown["arm"][there])
    axes.axvline(0, color=style.INK, lw=1)
    axes.set_yticks(y, [style.shorter(label, 46) for label in labels[: len(shown)]])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"difference in {metric} (share of queries),\nheld-out pairs; bars: 95 % intervals over seeds and words")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


@style.styled
def heat(verdicts: pd.DataFrame, arm: str) -> Figure:
    """Layer x rank: mean over the seeds of after - before and of real - placebo for one arm, each cell with its figure."""
    shown = rows(verdicts, arm=arm)
    layers = by_place(shown["layer"], ["best"])
    ranks = by_place(shown["rank"], [])
    if shown.empty:
        return style.nothing("No cell has been tested.")
    figure, pair = style.new(1.8 + 2 * max(2.1, 0.78 * len(ranks)), 1.6 + 0.5 * len(layers), 1, 2, sharey=True)
    most = np.nanmax([1e-9, shown[["change", "against_placebo"]].abs().max().max()])
    for axes, (name, column, *_) in zip(pair, CONTRASTS, strict=True):
        cells = shown.pivot_table(index="layer", columns="rank", values=column, aggfunc="mean", dropna=False)
        values = cells.reindex(index=layers, columns=ranks).to_numpy(float)
        axes.grid(visible=False)
        axes.pcolormesh(np.ma.masked_invalid(values), cmap="PuOr_r", vmin=-most, vmax=most, edgecolors=style.PAPER, lw=1)
        for i, j in np.ndindex(values.shape):
            value = values[i, j]
            text = "–" if np.isnan(value) else f"{value:+.3f}"
            colour = style.INK if np.isnan(value) else "#ffffff" if abs(value) > 0.62 * most else "#111111"
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=9, color=colour)
        axes.set_title(name)
        axes.set_xticks(np.arange(len(ranks)) + 0.5, ranks)
        axes.set_yticks(np.arange(len(layers)) + 0.5, [layer_name(layer) for layer in layers])
        axes.set_ylim(len(layers), 0)
        axes.set_xlabel("rank")
    pair[0].set_ylabel("hidden state of the loss")
    return figure


@style.styled
def rank_gain(changes: pd.DataFrame, colours: dict[str, str], metric: str = "csls_p_at_1", label: str = "CSLS P@1") -> Figure:
    """Change of `metric` by rank: a point is a seed, the line joins the seeds' means; one panel per loss layer.

    Draws <metric>_change of `changes`, whose rows are runs of one model and pair on one split, hidden state and pooling.
    """
    changes = changes[~baselines(changes)]
    if changes.empty:
        return style.nothing("No run has been evaluated.")
    layers = by_place(changes["layer"], ["best"])[:6]
    ranks = by_place(changes["rank"], [])
    if len(ranks) < 2:
        return style.nothing(f"Only rank {ranks[0]} was run: there is nothing to draw over ranks.")
    arms = [arm for arm in colours if (changes["arm"] == arm).any()]
    wide = min(3, len(layers))
    high = -(-len(layers) // wide)
    width = min(10.5, 1.4 + wide * max(2.4, 0.62 * len(ranks)))
    figure, grid = style.new(max(5.2, width), 0.9 + 2.7 * high, high, wide, sharey=True, sharex=True, squeeze=False)
    for axes, layer in zip(grid.flat, layers, strict=False):
        for number, arm in enumerate(arms):
            part = rows(changes, layer=layer, arm=arm)
            at = part["rank"].astype(str).map({rank: place for place, rank in enumerate(ranks)}).to_numpy(float)
            aside = (number - (len(arms) - 1) / 2) * min(0.16, 0.6 / len(arms))
            mark = style.MARKERS[number % len(style.MARKERS)]
            (points,) = axes.plot(at + aside, part[f"{metric}_change"], mark, **style.dots(colours[arm]), ms=4.5, label="_")
            named = zip(part["rank"], part["seed"], part[f"{metric}_change"], strict=True)
            set_tooltips(points, [f"{arm}, rank {rank}, seed {seed}: {change:+.3f}" for rank, seed, change in named], arm)
            mean = part.groupby(at)[f"{metric}_change"].mean()
            (line,) = axes.plot(mean.index + aside, mean, "-", marker=mark, color=colours[arm], ms=8, mec=style.INK, mew=0.6, label=arm)
            set_tooltips(line, [f"{arm}, rank {ranks[int(at)]}, mean of seeds: {change:+.3f}" for at, change in mean.items()], arm)
        axes.axhline(0, color=style.INK, lw=0.9)
        axes.set_title(f"loss at {layer_name(layer)}")
        axes.set_xticks(range(len(ranks)), ranks)
        axes.set_xlim(-0.6, len(ranks) - 0.4)
    for axes in list(grid.flat)[len(layers) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel("rank")
    for axes in grid[:, 0]:
        axes.set_ylabel(f"change of {label}")
    handles = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(4, len(handles)))
    return figure
