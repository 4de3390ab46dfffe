"""Training curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from tli.report import style
from tli.report.selection import by_place, layer_name
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.styled
def training_curves(losses: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Loss by optimiser step: a thin line is a seed (running mean over a twentieth of the steps), the thick one their mean.

    `losses` holds the runs of one model and pair at one rank; one panel per loss layer, at most four.
    """
    if losses.empty:
        return style.nothing("No training curve.")
    layers = by_place(losses["layer"], ["best"])[:4]
    figure, grid = style.new(1.4 + 3.1 * len(layers), 3.6, 1, len(layers), sharey=True, squeeze=False)
    for axes, layer in zip(grid[0], layers, strict=True):
        for arm in (arm for arm in colours if (losses["arm"] == arm).any()):
            part = losses[(losses["layer"] == layer) & (losses["arm"] == arm)]
            if part.empty:
                continue
            wide = part.pivot_table(index="step", columns="seed", values="loss").sort_index()
            wide = wide.rolling(max(1, len(wide) // 20), min_periods=1, center=True).mean()
            wide = wide.iloc[:: max(1, len(wide) // 200)]
            for seed in wide.columns[:10]:
                (line,) = axes.plot(wide.index, wide[seed], color=colours[arm], lw=0.6, label="_seed")
                set_tooltips(line, f"{arm}, seed {seed}: {wide[seed].iloc[0]:.3f} → {wide[seed].iloc[-1]:.3f}", arm)
            mean = wide.mean(axis=1)
            (line,) = axes.plot(wide.index, mean, color=colours[arm], lw=2.2, label=arm)
            set_tooltips(line, f"{arm}, mean of seeds: {mean.iloc[0]:.3f} → {mean.iloc[-1]:.3f}", arm)
        axes.set_title(f"loss at {layer_name(layer)}")
        axes.set_xlabel("optimiser step")
        axes.set_ylim(bottom=0)
    grid[0][0].set_ylabel("training loss")
    handles = {label: handle for axes in grid[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(4, len(handles)))
    return figure
