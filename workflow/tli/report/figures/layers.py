"""Alignment by hidden state: the paper's figure 1 with what it left out, the mismatched baseline and the sink ratio."""

from __future__ import annotations

import pandas as pd

from tli.facts import SINK_LIMIT
from tli.report import style
from tli.report.selection import clean_pooling, rows, with_bos


@style.styled
def layer_curve(scan: pd.DataFrame, choice: pd.DataFrame, model: str, pair: str, split: str = "heldout"):
    """Cosine of translations and of wrong pairs, retrieval, and sink ratio by hidden state, for each pooling.

    Draws columns cosine, mismatched, csls_p_at_1 and sink_ratio of `scan`; the hidden state that the select split chose is
    marked. Returns a matplotlib Figure with three axes.
    """
    scan = rows(scan, model=model, pair=pair)
    if scan.empty:
        return style.nothing("No scan of this model and pair.")
    there = list(scan["split"].unique())
    scan = rows(scan, split=split if split in there else there[0]).sort_values("hidden_state")
    figure, (top, middle, bottom) = style.new(7.6, 6.6, 3, 1, sharex=True, height_ratios=[3, 2, 1.3])
    clean = clean_pooling(scan)
    for pooling, part in scan.groupby("pooling", sort=False):
        bos = with_bos(pooling)
        colour, mark = (style.VERMILLION, "^") if bos and pooling != clean else (style.INK, "o")
        words = "BOS pooled in" if bos else "without BOS"
        top.plot(part["hidden_state"], part["cosine"], color=colour, marker=mark, ms=4, label=f"translations, {words}")
        top.plot(
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
        middle.plot(part["hidden_state"], part["csls_p_at_1"], color=colour, marker=mark, ms=4, label=words)
    sink = scan.drop_duplicates("hidden_state")
    bottom.plot(sink["hidden_state"], sink["sink_ratio"], color=style.BASELINE, marker="D", ms=3.5)
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
