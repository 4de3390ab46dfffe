"""What happened to the single pairs of words: before against after, and which words gained and lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tli.facts import SPLITS
from tli.report import style
from tli.report.selection import baselines
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.styled
def before_after(real: pd.DataFrame, placebo: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Every pair of words before (x) and after (y), as cosine and as gap; above the diagonal is a gain.

    `real` and `placebo` are tables of derived.with_words; draws cosine_before, cosine_after, gap_before, gap_after. One column of
    panels for train, one for held-out.
    """
    if real.empty:
        return style.nothing("No pair of words has been evaluated before and after.")
    splits = [split for split in ("train", "heldout") if (real["split"] == split).any()] or list(real["split"].unique()[:2])
    figure, grid = style.new(0.7 + 3.4 * len(splits), 7.9, 2, len(splits), squeeze=False)
    for row, (figure_name, label) in enumerate((("cosine", "cosine"), ("gap", "gap"))):
        columns = [f"{figure_name}_before", f"{figure_name}_after"]
        values = pd.concat([part[columns] for part in (real, placebo) if len(part)]).to_numpy(float)
        low, high = np.nanmin(values), np.nanmax(values)
        room = 0.04 * (high - low or 1)
        for axes, split in zip(grid[row], splits, strict=True):
            for part, mark in ((placebo, "D"), (real, "o")):
                part = part[part["split"] == split]
                if len(part):
                    arm = part["arm"].iloc[0]
                    dots = style.dots(colours.get(arm, style.BLUE))
                    (points,) = axes.plot(part[columns[0]], part[columns[1]], mark, **dots, ms=4, label=arm)
                    named = zip(part["source"], part["target"], part[columns[0]], part[columns[1]], strict=True)
                    set_tooltips(points, [f"{source} / {target}: {a:.3f} → {b:.3f}" for source, target, a, b in named], arm)
            axes.axline((low, low), slope=1, color=style.INK, lw=0.9)
            axes.set_xlim(low - room, high + room)
            axes.set_ylim(low - room, high + room)
            axes.set_box_aspect(1)
            gained = (real[real["split"] == split][f"{figure_name}_change"] > 0).mean()
            axes.set_title(f"{SPLITS[split]}\n{100 * gained:.0f} % of {(real['split'] == split).sum()} pairs gain")
            axes.set_xlabel(f"{label}, before")
        grid[row][0].set_ylabel(f"{label}, after")
    handles = dict(zip(*reversed(grid[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=2)
    return figure


@style.styled
def gap_against_cosine(changes: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Each run: how much all cosines of translations rose (x) and how much the gap to wrong pairs rose (y).

    On the horizontal line right translations and wrong pairs rose alike: nothing was learned about meaning. On the diagonal
    only the translations rose. Draws cosine_change and gap_change of derived.changes.
    """
    changes = changes[~baselines(changes)]
    if changes.empty:
        return style.nothing("No run has been evaluated.")
    figure, axes = style.new(6.4, 4.8)
    for number, arm in enumerate(arm for arm in colours if (changes["arm"] == arm).any()):
        part = changes[changes["arm"] == arm]
        (points,) = axes.plot(
            part["cosine_change"],
            part["gap_change"],
            style.MARKERS[number % len(style.MARKERS)],
            **style.dots(colours[arm]),
            ms=6,
            label=arm,
        )
        named = zip(part["run"], part["cosine_change"], part["gap_change"], strict=True)
        set_tooltips(points, [f"{run}: cosine {cosine:+.3f}, gap {gap:+.3f}" for run, cosine, gap in named], arm)
    axes.axhline(0, color=style.INK, lw=0.9)
    axes.axvline(0, color=style.INK, lw=0.6)
    ends = np.array([changes["cosine_change"].min(), changes["cosine_change"].max(), 0.0])
    axes.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color=style.INK, lw=0.8, ls=":", label="_diagonal")
    axes.annotate(
        "all cosines rise alike",
        (1, 0),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8.5,
        ha="right",
    )
    axes.annotate(
        "only translations rise", (ends.max(), ends.max()), xytext=(0, 3), textcoords="offset points", fontsize=8.5, ha="right", va="bottom"
    )
    axes.set_xlabel("change of the mean cosine of translations")
    axes.set_ylabel("change of the gap")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@style.styled
def gained_and_lost(words: pd.DataFrame, placebo: pd.DataFrame, colours: dict[str, str], most: int = 12) -> Figure:
    """The held-out pairs that gained and lost most in gap: a line from before (open) to after (filled), placebo as a diamond.

    `words` is a table of derived.paired with source and target; draws gap_before and gap_after of the `most` best and worst.
    """
    words = words[words["split"] == "heldout"]
    if words.empty:
        return style.nothing("No held-out pair has been evaluated before and after.")
    words = words.sort_values("gap_change", ascending=False, kind="stable")
    shown = words if len(words) <= 2 * most else pd.concat([words.head(most), words.tail(most)])
    figure, axes = style.new(7.4, 1.3 + 0.27 * len(shown))
    y = np.arange(len(shown), dtype=float)
    y[len(shown) - min(most, len(shown) // 2) :] += 0.7 if len(words) > 2 * most else 0
    colour = colours.get(shown["arm"].iloc[0], style.BLUE)
    own, words_of = str(shown["arm"].iloc[0]), [f"{s} / {t}" for s, t in zip(shown["source"], shown["target"], strict=True)]
    lines = axes.hlines(y, shown["gap_before"], shown["gap_after"], color=colour, lw=1.6)
    set_tooltips(lines, arm=own)
    before = axes.plot(shown["gap_before"], y, "o", mfc=style.PAPER, mec=colour, ms=6, label="before", ls="none")
    after = axes.plot(shown["gap_after"], y, "o", color=colour, ms=6, label=f"after ({own})", ls="none")
    for (points,), when in ((before, "before"), (after, f"after, {own}")):
        set_tooltips(points, [f"{one}, {when}: {gap:.3f}" for one, gap in zip(words_of, points.get_xdata(), strict=True)], own)
    if len(placebo):
        aligned = shown[["pair_id"]].merge(placebo.drop_duplicates("pair_id"), on="pair_id", how="left")
        arm = placebo["arm"].iloc[0]
        (points,) = axes.plot(aligned["gap_after"], y, "D", color=colours.get(arm, style.ORANGE), ms=4, label=f"after ({arm})", ls="none")
        set_tooltips(points, [f"{one}, after, {arm}: {gap:.3f}" for one, gap in zip(words_of, aligned["gap_after"], strict=True)], arm)
    axes.axvline(0, color=style.INK, lw=0.8)
    labels = [f"{style.shorter(s, 24)} / {style.shorter(t, 24)}" for s, t in zip(shown["source"], shown["target"], strict=True)]
    axes.set_yticks(y, labels, fontsize=8.5)
    axes.set_ylim(y[-1] + 0.8, -0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("gap: cosine to the translation - mean cosine to wrong targets")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure
