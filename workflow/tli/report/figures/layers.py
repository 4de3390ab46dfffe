"""Alignment by hidden state: the paper's figure 1 with what it left out, the mismatched baseline and the sink ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tli.facts import SINK_LIMIT
from tli.labels import is_in_template, metric_label
from tli.report import style
from tli.report.selection import clean_pooling, rows, with_bos
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


@style.styled
def layer_curve(scan: pd.DataFrame, choice: pd.DataFrame, model: str, pair: str, split: str = "heldout") -> Figure:
    """Cosine of translations and of wrong pairs, retrieval, and sink ratio by hidden state, for each pooling.

    Draws columns cosine, mismatched, csls_p_at_1 and sink_ratio of `scan`; the hidden state that the select split chose is
    marked. Returns a matplotlib Figure with three axes.
    """
    scan = rows(scan, model=model, pair=pair)
    if scan.empty:
        return style.nothing("No scan of this model and pair.")
    there = list(scan["split"].unique())
    scan = rows(scan, split=split if split in there else there[0]).sort_values("hidden_state")
    scan = scan[~scan["pooling"].map(is_in_template).astype(bool)]  # those stand in the table of the scan
    figure, (top, middle, bottom) = style.new(7.6, 6.6, 3, 1, sharex=True, height_ratios=[3, 2, 1.3])
    clean = clean_pooling(scan)
    for pooling, part in scan.groupby("pooling", sort=False):
        bos = with_bos(pooling)
        colour, mark = (style.VERMILLION, "^") if bos and pooling != clean else (style.INK, "o")
        words = "BOS pooled in" if bos else "without BOS"
        (right,) = top.plot(part["hidden_state"], part["cosine"], color=colour, marker=mark, ms=4, label=f"translations, {words}")
        (wrong,) = top.plot(
            part["hidden_state"],
            part["mismatched"],
            color=colour,
            marker=mark,
            ms=4,
            mfc=style.PAPER,
            ls="--",
            lw=1.2,
            label=f"wrong pairs, {words}",
        )
        (found,) = middle.plot(part["hidden_state"], part["csls_p_at_1"], color=colour, marker=mark, ms=4, label=words)
        for line, named in ((right, f"translations, {words}"), (wrong, f"wrong pairs, {words}"), (found, f"CSLS P@1, {words}")):
            _set_tooltips(line, named)
    sink = scan.drop_duplicates("hidden_state")
    (ratio,) = bottom.plot(sink["hidden_state"], sink["sink_ratio"], color=style.BASELINE, marker="D", ms=3.5)
    _set_tooltips(ratio, "sink ratio")
    bottom.set_yscale("log")
    bottom.axhline(SINK_LIMIT, color=style.INK, lw=0.8, ls=":")
    bottom.annotate(
        f"warning above {SINK_LIMIT:.0f}", (0.995, SINK_LIMIT), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
    )
    low, high = sink["sink_ratio"].min(), sink["sink_ratio"].max()
    bottom.set_ylim(min(0.8, low * 0.8), max(30, high * 1.6))
    bottom.yaxis.set_major_formatter("{x:g}")
    bottom.minorticks_off()
    chosen = rows(choice, model=model, pair=pair)
    chosen = chosen[chosen["chosen"].astype(bool)]
    if len(chosen):
        best = int(chosen["hidden_state"].iloc[0])
        for axes in (top, middle, bottom):
            axes.axvline(best, color=style.INK, lw=0.9, ls=(0, (1, 2)))
        top.annotate(
            f"chosen: hs[{best}]",
            (best, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 2),
            textcoords="offset points",
            fontsize=8.5,
            va="bottom",
        )
    top.set_ylabel("cosine")
    middle.set_ylabel("CSLS P@1\n(share of queries)")
    middle.set_ylim(bottom=min(0, middle.get_ylim()[0]))
    bottom.set_ylabel("sink ratio\n(log scale)")
    states = sorted(int(state) for state in scan["hidden_state"].unique())
    last = states[-1]
    step = max(1, len(states) // 16)
    ticks = [state for state in states if state % step == 0 and (last - state >= step or state == last)] + [last]
    normed = rows(scan, hidden_state=last)["normed"].astype(bool).any()
    bottom.set_xticks(sorted(set(ticks)))
    bottom.set_xlabel(f"hidden state k of hs[k] (0 = embeddings{f'; hs[{last}] is after the final norm' if normed else ''})")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


@style.styled
def alignment_curve(scan: pd.DataFrame, choice: pd.DataFrame, mapped: pd.DataFrame, metric: str = "csls_p_at_1") -> Figure:
    """Were the words aligned before training, and where: retrieval by hidden state beside chance, spelling and a free map.

    scan: held-out words in one pool and pooling, by hidden state; its columns `metric`, chance, string_p_at_1, cosine and mismatched are
    drawn. choice: the criterion on the select split by hidden state; what it chose is marked. mapped: hidden_state and `metric` of
    the map that the select words rank first, may be empty. Returns a matplotlib Figure with two axes.
    """
    if scan.empty:
        return style.nothing("Not scanned yet.")
    scan = scan.sort_values("hidden_state")
    states = scan["hidden_state"]
    figure, (top, bottom) = style.new(4.1, 3.9, 2, 1, sharex=True, height_ratios=[3, 1.4])
    if len(mapped):
        of_map = mapped.sort_values("hidden_state")
        top.plot(of_map["hidden_state"], of_map[metric], color=style.GREEN, marker="s", ms=4, ls=(0, (4, 2)), label="with a free map")
    top.plot(states, scan[metric], color=style.INK, marker="o", ms=4, label="held-out words")
    if len(choice):
        criterion = choice.sort_values("hidden_state")
        top.plot(criterion["hidden_state"], criterion["value"], color=style.SKY, lw=1, marker=".", ms=4, label="select words, whole list")
        chosen = criterion[criterion["chosen"].astype(bool)]
        for state in chosen["hidden_state"].head(1):
            for axes in (top, bottom):
                axes.axvline(state, color=style.SKY, lw=1, ls=(0, (1, 2)))
            place = {"xycoords": ("data", "axes fraction"), "xytext": (3, -1), "textcoords": "offset points"}
            top.annotate(f"they choose hs[{state:.0f}]", (state, 1), fontsize=8, va="top", **place)
    for name, label, colour, dashes in (("string_p_at_1", "spelling", style.BASELINE, (0, (4, 2))), ("chance", "chance", style.INK, ":")):
        if scan[name].notna().any():
            top.plot(states, scan[name], color=colour, lw=1, ls=dashes, label=label)
    bottom.plot(states, scan["cosine"], color=style.INK, marker="o", ms=3, label="translations")
    bottom.plot(states, scan["mismatched"], color=style.INK, marker="o", mfc=style.PAPER, ms=3, lw=1, ls="--", label="wrong pairs")
    for axes in (top, bottom):
        for line in axes.get_legend_handles_labels()[0]:
            _set_tooltips(line, str(line.get_label()))
    high = min(1.09, max(0.1, 1.25 * max(float(np.nanmax(line.get_ydata())) for line in top.lines if len(line.get_ydata()) > 2)))
    top.set_ylim(-0.03 * high, high)
    top.set_ylabel(metric_label(metric), fontsize=9)
    bottom.set_ylabel("cosine", fontsize=9)
    last = int(states.max())
    step = max(1, last // 8)
    bottom.set_xticks(sorted({*(state for state in range(0, last + 1, step) if last - state >= step), last}))
    bottom.set_xlabel("hidden state k of hs[k], 0 = embeddings", fontsize=9)
    for axes in (top, bottom):
        axes.tick_params(labelsize=8)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8, handlelength=2.4, columnspacing=1)
    bottom.legend(loc="best", fontsize=7.5, ncols=2, borderaxespad=0.1)
    return figure


def _set_tooltips(line: Line2D, what: str) -> None:
    """Each mark says its hidden state and value; a line without marks is level, and says its one value."""
    if line.get_marker() in ("None", "", None):
        values = np.asarray(line.get_ydata(), float)
        set_tooltips(line, f"{what}: {np.nanmean(values):.3f}")
    else:
        set_tooltips(line, [f"hs[{state:.0f}], {what}: {value:.3f}" for state, value in np.asarray(line.get_xydata(), float)])
