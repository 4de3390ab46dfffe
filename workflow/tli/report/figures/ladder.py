"""The ladder: from what is free to what was trained, the same words and the same endpoint for all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.report import style
from tli.report.selection import layer_name

LADDER_ROWS = 44
MARKS = {  # rung: its mark
    "before": "o",
    "spelling": "X",
    "shuffled map": "v",
    "map": "s",
    "map at its own state": "P",
    "map inside": "h",
    "control": "v",
    "arm": "D",
    "before + map": "s",
    "control + map": "v",
    "arm + map": "D",
}


@style.styled
def ladder(table: pd.DataFrame, colours: dict[str, str], label: str = "CSLS P@1"):
    """Each rung's figure on held-out words with its 95 % interval; the line stands at the best map's figure at the same state.

    Draws value, low and high of `table` (LADDER, one model and pair), in its order; at most LADDER_ROWS rows.
    """
    if table.empty:
        return style.nothing("Nothing has been measured.")
    shown = table.head(LADDER_ROWS).reset_index(drop=True)
    figure, axes = style.new(7.6, 1.1 + 0.25 * len(shown))
    for rung, part in shown.groupby("rung", sort=False):
        y = part.index.to_numpy()
        colour = [_colour(row, colours) for row in part.itertuples()]
        axes.hlines(y, part["low"].astype(float), part["high"].astype(float), color=colour, lw=2)
        axes.scatter(part["value"].astype(float), y, color=colour, marker=MARKS.get(rung, "o"), s=34, zorder=3, label=rung)
    maps = table.loc[table["rung"] == "map", "value"].astype(float)
    if maps.notna().any():
        axes.axvline(maps.max(), color=style.GREEN, lw=1, ls=(0, (4, 2)))
    starts = np.flatnonzero(shown["rung"].ne(shown["rung"].shift()).to_numpy())[1:]
    for start in starts:
        axes.axhline(start - 0.5, color=style.INK, lw=0.5, alpha=0.35)
    axes.set_yticks(range(len(shown)), [style.shorter(_named(row), 50) for row in shown.itertuples()])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=min(0.0, float(np.nanmin([*shown["low"].astype(float), 0.0]))))
    axes.set_xlabel(f"{label} of held-out words\nbars: 95 % intervals; dashed: the best free map here")
    return figure


def _named(row) -> str:
    if row.rung == "before + map":
        return f"as it came, and a map on {int(row.fitted)} select pairs"
    if row.rung in ("arm + map", "control + map"):
        return f"{row.name}, {layer_name(row.layer)}, and such a map"
    if row.rung == "before":
        return "before training"
    if row.rung == "spelling":
        return "spelling alone"
    if row.rung in ("arm", "control"):
        return f"{row.name}, {layer_name(row.layer)}"
    if row.rung == "map inside":
        return f"map: {row.name}, inside at hs[{row.layer}]"
    where = {"shuffled map": f"{row.name}, shuffled pairs", "map at its own state": f"{row.name}, at its own hs[{row.layer}]"}
    return f"map: {where.get(row.rung, row.name)}"


def _colour(row, colours: dict[str, str]) -> str:
    if row.rung.removesuffix(" + map") in ("arm", "control"):
        return colours.get(row.name.partition(", ")[0], style.BLUE)
    return {"before": style.BASELINE, "spelling": style.BASELINE, "shuffled map": style.ORANGE}.get(row.rung, style.GREEN)


@style.styled
def harm_gain(front: pd.DataFrame, ladder: pd.DataFrame, colours: dict[str, str], label: str = "CSLS P@1"):
    """What a training gives against what it costs: the figure on held-out words over the rise of cross-entropy, both with intervals.

    Draws value, low, high, rise, rise_low, rise_high and margin of `front` (derived.front, one model and pair); at a rise of 0
    stand the model before and the best free map of `ladder`. The scale across is linear below the margin, logarithmic above.
    """
    if front.empty:
        return style.nothing("No running text has been measured.")
    figure, axes = style.new(7.6, 4.4)
    margin = float(front["margin"].iloc[0])
    for row in front.itertuples():
        control = row.rung == "control"
        colour = style.GREEN if row.rung == "map inside" else colours.get(row.arm, style.BLUE)
        named = _named(row).removeprefix("map: ")
        axes.plot([row.rise_low, row.rise_high], [row.value] * 2, color=colour, lw=1.6)
        axes.plot([row.rise] * 2, [row.low, row.high], color=colour, lw=1.6)
        axes.scatter([row.rise], [row.value], color=colour, marker=MARKS[row.rung], s=44, zorder=3, label="_")
        left = row.rise > 1  # else the name would leave the axes
        axes.annotate(
            style.shorter(named, 34),
            (row.rise, row.value),
            (-6 if left else 6, -11 if control else 6),
            textcoords="offset points",
            fontsize=8,
            ha="right" if left else "left",
        )
    free = {"before": ladder[ladder["rung"] == "before"], "map": ladder[ladder["rung"] == "map"]}
    for rung, named, colour in (("before", "before training", style.BASELINE), ("map", "the best free map, outside", style.GREEN)):
        value = free[rung]["value"].astype(float).max()
        if np.isfinite(value):
            axes.scatter([0], [value], color=colour, marker=MARKS[rung], s=44, zorder=3)
            axes.annotate(named, (0, value), (6, 6), textcoords="offset points", fontsize=8)
    axes.axvline(margin, color=style.INK, lw=1, ls=(0, (4, 2)))
    axes.annotate(
        f"margin {margin:g}", (margin, 0.01), xycoords=("data", "axes fraction"), fontsize=8, xytext=(3, 0), textcoords="offset points"
    )
    axes.set_xscale("symlog", linthresh=margin)
    low, high = float(front["rise_low"].min()), float(front["rise_high"].max())
    axes.set_xlim(min(-margin / 4, 1.2 * low), max(2 * margin, 1.6 * high))
    ticks = [0.0, margin, *(margin * factor for factor in (2, 20, 200, 2000)), *([-margin] if low < -margin / 2 else [])]
    axes.set_xticks(sorted(tick for tick in ticks if tick < 1.6 * high or tick <= 2 * margin))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(
        "rise of cross-entropy on running text, nats a token, in the language that rises most\n(linear up to the margin, then logarithmic)"
    )
    axes.set_ylabel(f"{label} of held-out words")
    return figure
