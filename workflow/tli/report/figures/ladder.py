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
    "control": "v",
    "arm": "D",
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
    if row.rung == "before":
        return "before training"
    if row.rung == "spelling":
        return "spelling alone"
    if row.rung in ("arm", "control"):
        return f"{row.name}, {layer_name(row.layer)}"
    where = {"shuffled map": f"{row.name}, shuffled pairs", "map at its own state": f"{row.name}, at its own hs[{row.layer}]"}
    return f"map: {where.get(row.rung, row.name)}"


def _colour(row, colours: dict[str, str]) -> str:
    if row.rung in ("arm", "control"):
        return colours.get(row.name.partition(", ")[0], style.BLUE)
    return {"before": style.BASELINE, "spelling": style.BASELINE, "shuffled map": style.ORANGE}.get(row.rung, style.GREEN)
