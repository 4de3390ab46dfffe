"""t-SNE and PCA of the words before and after, translation pairs joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tli.report import style
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_PAIRS = 36


@style.styled
def projection(before: pd.DataFrame, after: pd.DataFrame, method: str, split: str = "heldout", most: int = NAMED_PAIRS) -> Figure:
    """Words of both sides before and after, each translation pair joined by a line, the words written beside the points.

    `before` and `after` are rows of the projections table (columns side, pair_id, split, form, x, y) for one run and hidden
    state each. At most `most` pairs, the first by pair_id, are drawn, so that the words stay legible; labels that would
    cover one another are left out. Axes of t-SNE have no unit and the two panels are not on one scale.
    """
    from matplotlib.collections import LineCollection

    panels = [(name, frame[frame["split"] == split]) for name, frame in (("before", before), ("after", after)) if len(frame)]
    panels = [(name, frame) for name, frame in panels if len(frame)]
    if not panels:
        return style.nothing("No projection of these words.")
    figure, grid = style.new(5.6 * len(panels), 5.9, 1, len(panels), squeeze=False)
    kept = sorted(set.intersection(*(set(frame["pair_id"]) for _, frame in panels)))[:most]
    words = []
    for axes, (name, frame) in zip(grid[0], panels, strict=True):
        frame = frame[frame["pair_id"].isin(kept)]
        source = frame[frame["side"] == "source"].drop_duplicates("pair_id").set_index("pair_id")
        target = frame[frame["side"] == "target"].drop_duplicates("pair_id").set_index("pair_id")
        both = source.index.intersection(target.index)
        ends = np.stack([source.loc[both, ["x", "y"]].to_numpy(float), target.loc[both, ["x", "y"]].to_numpy(float)], axis=1)
        axes.add_collection(LineCollection(list(ends), colors=style.INK, linewidths=0.7, alpha=0.45, label="pairs"))
        (sources,) = axes.plot(source["x"], source["y"], "o", color=style.INK, ms=4.5, label="source language", ls="none")
        (targets,) = axes.plot(target["x"], target["y"], "^", color=style.VERMILLION, ms=4.5, label="target language", ls="none")
        set_tooltips(sources, source["form"].astype(str))
        set_tooltips(targets, target["form"].astype(str))
        axes.margins(0.09)
        axes.set_title(f"{name} training")
        unit = "no unit" if "sne" in method.lower() else "units of the normalised vectors"
        axes.set_xlabel(f"{method} 1 ({unit})")
        axes.set_ylabel(f"{method} 2 ({unit})")
        axes.grid(visible=False)
        right = source["x"].reindex(both) > target["x"].reindex(both)  # words stand on the side that their line leaves free
        source["right"], target["right"] = right.reindex(source.index, fill_value=True), ~right.reindex(target.index, fill_value=False)
        words.append(pd.concat([source, target]))
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.draw_without_rendering()  # the layout must stand before words are placed by what they cover
    for axes, own in zip(grid[0], words, strict=True):
        name_points(axes, own)
    return figure


def name_points(axes: Axes, words: pd.DataFrame) -> None:
    """Write each word beside its point where it covers no other word or point; the place is the first of eight that is free."""
    points = axes.transData.transform(words[["x", "y"]].to_numpy(float))
    frame = axes.get_window_extent()
    taken = np.concatenate([points - 3, points + 3], axis=1)  # left, bottom, right, top in pixels
    to_points = 72 / axes.figure.dpi
    high = 11.0
    for place, ((x, y), form, right) in enumerate(zip(points, words["form"].astype(str), words["right"], strict=True)):
        text = style.shorter(form, 22)
        wide = 5.9 * len(text) + 2
        left, above = -5 - wide, 3
        near, far = (5, left) if right else (left, 5)
        for aside, up in (
            (near, -high / 2),
            (-wide / 2, 5),
            (-wide / 2, -5 - high),
            (near, above),
            (near, -high - 2),
            (far, above),
            (far, -high - 2),
            (far, -high / 2),
        ):
            box = np.array([x + aside, y + up, x + aside + wide, y + up + high])
            inside = box[0] > frame.x0 and box[2] < frame.x1 and box[1] > frame.y0 and box[3] < frame.y1
            covers = (taken[:, 0] < box[2]) & (taken[:, 2] > box[0]) & (taken[:, 1] < box[3]) & (taken[:, 3] > box[1])
            covers[place] = False
            if inside and not covers.any():
                taken = np.vstack([taken, box])
                note = axes.annotate(
                    text,
                    words[["x", "y"]].iloc[place],
                    fontsize=7.5,
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    xytext=((aside + wide / 2) * to_points, (up + high / 2) * to_points),
                )
                note.set_in_layout(False)
                break
