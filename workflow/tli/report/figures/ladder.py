"""The ladder: from what is free to what was trained, the same words and the same endpoint for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tli.report import style
from tli.report.figures.labelling import Name, names
from tli.report.selection import layer_name
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LADDER_ROWS = 44
NAMED_MARKS = 8  # at most, in gain against harm
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
def ladder(table: pd.DataFrame, colours: dict[str, str], label: str = "CSLS P@1", rival: str = "", is_small: bool = False) -> Figure:
    """Each rung's figure on held-out words with its 95 % interval; the line stands at the figure of the map `rival` at the same state.

    Draws value, low and high of `table` (LADDER, one model and pair), in its order; at most LADDER_ROWS rows. rival: the map that
    trainings are held against. is_small: as one of three figures side by side.
    """
    if table.empty:
        return style.nothing("Nothing has been measured.")
    shown = table.head(LADDER_ROWS).reset_index(drop=True)
    figure, axes = style.new(4.1, 0.8 + 0.17 * len(shown)) if is_small else style.new(7.6, 1.1 + 0.25 * len(shown))
    for rung, part in shown.groupby("rung", sort=False):
        y = part.index.to_numpy()
        colour = [_colour(row, colours) for row in part.itertuples()]
        bars = axes.hlines(y, part["low"].astype(float), part["high"].astype(float), color=colour, lw=2)
        set_tooltips(bars, arm=[_arm(row) for row in part.itertuples()])
        for row, place, its in zip(part.itertuples(), y, colour, strict=True):
            mark = axes.scatter([float(row.value)], [place], color=its, marker=MARKS.get(rung, "o"), s=24 if is_small else 34, zorder=3)
            bounds = f" ({row.low:.3f} to {row.high:.3f})" if pd.notna(row.low) else ""
            set_tooltips(mark, f"{_named(row)}: {row.value:.3f}{bounds}", _arm(row))
    against = _rival(table, rival)
    if np.isfinite(against):
        axes.axvline(against, color=style.GREEN, lw=1, ls=(0, (4, 2)))
    starts = np.flatnonzero(shown["rung"].ne(shown["rung"].shift()).to_numpy())[1:]
    for start in starts:
        axes.axhline(start - 0.5, color=style.INK, lw=0.5, alpha=0.35)
    told_apart = _told_apart(shown) if is_small else (True, True)
    named = [_named(row, *told_apart) for row in shown.itertuples()]
    axes.set_yticks(range(len(shown)), [style.shorter(name, 36 if is_small else 50) for name in named])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=min(0.0, float(np.nanmin([*shown["low"].astype(float), 0.0]))))
    explained = ["bars: 95 % intervals"] if shown["low"].notna().any() else []
    explained += ["dashed: the map that the select words choose"] if np.isfinite(against) else []
    below = (";\n" if is_small else "; ").join(explained)
    axes.set_xlabel(f"{label} of held-out words\n{below}", fontsize=9 if is_small else None, loc="right")
    if is_small:
        axes.tick_params(labelsize=8)
    return figure


def _told_apart(table: pd.DataFrame) -> tuple[bool, bool]:
    """Whether the trained rungs differ in their rank, and in their loss layer: what they share need not stand in each name."""
    trained = table[table["rung"].isin(["arm", "control"])]
    ranks = {str(name).partition(", ")[2] for name in trained["name"]}
    return len(ranks) > 1, trained["layer"].nunique() > 1


def _named(row: Any, with_rank: bool = True, with_layer: bool = True) -> str:
    if row.rung.removesuffix(" + map") in ("arm", "control"):
        name = row.name if with_rank else row.name.partition(", ")[0]
        name += f", {layer_name(row.layer)}" if with_layer else ""
        return f"{name} + such a map" if row.rung.endswith(" + map") else name
    named = {
        "before": "before training",
        "before + map": f"base model + map on {row.fitted:.0f} select pairs" if row.rung == "before + map" else "",
        "spelling": "spelling alone",
        "map inside": f"map: {row.name}, put in at hs[{row.layer}]",
        "shuffled map": f"map: {row.name}, shuffled pairs",
        "map at its own state": f"map: {row.name}, read at hs[{row.layer}]",
    }
    return named.get(row.rung, f"map: {row.name}")


def _arm(row: Any) -> str:
    """Whose a rung is; "" of what was not trained."""
    return str(row.name).partition(", ")[0] if row.rung.removesuffix(" + map") in ("arm", "control") else ""


def _colour(row: Any, colours: dict[str, str]) -> str:
    if row.rung.removesuffix(" + map") in ("arm", "control"):
        return colours.get(row.name.partition(", ")[0], style.BLUE)
    return {"before": style.BASELINE, "spelling": style.BASELINE, "shuffled map": style.ORANGE}.get(row.rung, style.GREEN)


def _rival(table: pd.DataFrame, name: str) -> float:
    """What the map of this name gives at the output; NaN without one."""
    return float(table.loc[(table["rung"] == "map") & (table["name"] == name), "value"].astype(float).max())


@style.styled
def harm_gain(
    front: pd.DataFrame, ladder: pd.DataFrame, colours: dict[str, str], label: str = "CSLS P@1", rival: str = "", is_small: bool = False
) -> Figure:
    """What a training gives against what it costs: the figure on held-out words over the rise of cross-entropy, both with intervals.

    Draws value, low, high, rise, rise_low, rise_high and margin of `front` (derived.front, one model and pair); at a rise of 0
    stand the model before and the free map `rival` of `ladder`. The scale across is linear below the margin, logarithmic above.
    is_small: as one of three figures side by side.
    """
    if front.empty:
        return style.nothing("No running text has been measured.")
    figure, axes = style.new(4.1, 3.5) if is_small else style.new(7.6, 4.4)
    margin = float(front["margin"].iloc[0])
    for row in front.itertuples():
        colour = style.GREEN if row.rung == "map inside" else colours.get(row.arm, style.BLUE)
        arm = "" if row.rung == "map inside" else str(row.arm)
        for bar in (
            *axes.plot([row.rise_low, row.rise_high], [row.value] * 2, color=colour, lw=1.6),
            *axes.plot([row.rise] * 2, [row.low, row.high], color=colour, lw=1.6),
        ):
            set_tooltips(bar, arm=arm)
        mark = axes.scatter([row.rise], [row.value], color=colour, marker=MARKS[row.rung], s=44, zorder=3, label="_")
        set_tooltips(mark, f"{_named(row)}: {row.value:.3f}, {row.rise:+.3f} nats a token in {row.language}", arm)
    before, outside = ladder.loc[ladder["rung"] == "before", "value"].astype(float).max(), {}
    for rung, named, colour, value in (
        ("before", "before training", style.BASELINE, before),
        ("map", f"map: {rival}", style.GREEN, _rival(ladder, rival)),
    ):
        if np.isfinite(value):
            axes.scatter([0], [value], color=colour, marker=MARKS[rung], s=44, zorder=3)
            outside[named] = float(value)
    axes.axvline(margin, color=style.INK, lw=1, ls=(0, (4, 2)))
    axes.annotate(
        f"whole \u2190 margin {margin:.2g} \u2192 damaged",
        (margin, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        fontsize=8,
        ha="center",
        va="bottom",
    )
    axes.set_xscale("symlog", linthresh=margin, linscale=1.4)
    low, high = float(front["rise_low"].min()), float(front["rise_high"].max())
    axes.set_xlim(min(-margin / 4, 1.2 * low), max(2 * margin, 1.6 * high))
    ticks = [0.0, margin, *(margin * factor for factor in (2, 20, 200, 2000)), *([-margin] if low < -margin / 2 else [])]
    axes.set_xticks(sorted(tick for tick in ticks if tick < 1.6 * high or tick <= 2 * margin))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(-0.04, 1.04)
    _name_marks(axes, front, outside, margin, (3.3, 2.4) if is_small else (6.6, 3.4))
    across = "rise of cross-entropy on running text, nats a token," + ("\n" if is_small else " ") + "in the language that rises most"
    scale = " (logarithmic)" if is_small else "\n(linear up to the margin, then logarithmic)"
    axes.set_xlabel(across + scale, fontsize=9 if is_small else None)
    axes.set_ylabel(f"{label} of held-out words", fontsize=9 if is_small else None)
    if is_small:
        axes.tick_params(labelsize=8)
    return figure


def _name_marks(axes: Axes, front: pd.DataFrame, outside: dict[str, float], margin: float, size: tuple[float, float]) -> None:
    """The names beside the marks of `front`, and of what stands outside the model (its name -> its figure), off bars and margin.

    Of more than NAMED_MARKS trainings none is named: names would cover each other, and legend and tooltips have them.
    """
    told_apart = _told_apart(front)
    marks = list(front.sort_values("value", ascending=False).itertuples())
    lines = [(row.rise_low, row.value, row.rise_high, row.value) for row in marks if pd.notna(row.rise_low)]
    lines += [(row.rise, row.low, row.rise, row.high) for row in marks if pd.notna(row.low)]
    if len(marks) > NAMED_MARKS:
        marks = [row for row in marks if row.rung == "map inside"]
    named = [f"{row.name}, put in at hs[{row.layer}]" if row.rung == "map inside" else _named(row, *told_apart) for row in marks]
    told = [Name(style.shorter(name, 34), row.rise, row.value) for name, row in zip(named, marks, strict=True)]
    written = names(
        axes, [*told, *(Name(name, 0.0, value) for name, value in outside.items())], [*lines, (margin, -0.04, margin, 1.04)], size
    )
    for row, note in zip(marks, written, strict=False):
        set_tooltips(note, arm="" if row.rung == "map inside" else str(row.arm))
