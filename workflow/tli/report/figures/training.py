"""Training curves and transfer to other tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.report import look
from tli.report.choose import by_place, layer_name


@look.styled
def training_curves(losses: pd.DataFrame, colours: dict[str, str]):
    """Loss by optimiser step: a thin line is a seed (running mean over a twentieth of the steps), the thick one their mean.

    `losses` holds the runs of one model and pair at one rank; one panel per loss layer, at most four.
    """
    if losses.empty:
        return look.nothing("No training curve.")
    layers = by_place(losses["layer"], ["best"])[:4]
    figure, grid = look.new(1.4 + 3.1 * len(layers), 3.6, 1, len(layers), sharey=True, squeeze=False)
    for axes, layer in zip(grid[0], layers, strict=True):
        for arm in (arm for arm in colours if (losses["arm"] == arm).any()):
            part = losses[(losses["layer"] == layer) & (losses["arm"] == arm)]
            if part.empty:
                continue
            wide = part.pivot_table(index="step", columns="seed", values="loss").sort_index()
            wide = wide.rolling(max(1, len(wide) // 20), min_periods=1, center=True).mean()
            wide = wide.iloc[:: max(1, len(wide) // 200)]
            for seed in wide.columns[:10]:
                axes.plot(wide.index, wide[seed], color=colours[arm], lw=0.6, alpha=0.5, label="_seed")
            axes.plot(wide.index, wide.mean(axis=1), color=colours[arm], lw=2.2, label=arm)
        axes.set_title(f"loss at {layer_name(layer)}")
        axes.set_xlabel("optimiser step")
        axes.set_ylim(bottom=0)
    grid[0][0].set_ylabel("training loss")
    handles = {label: handle for axes in grid[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(4, len(handles)))
    return figure


@look.styled
def transfer_change(accuracies: pd.DataFrame, colours: dict[str, str]):
    """Change of accuracy on each task: a point is a seed, the bar their mean; the baseline's accuracy and chance stand in
    the row's name. Draws `change` of derive.accuracies, for one model and pair.
    """
    after = accuracies[accuracies["change"].notna() & ~accuracies["arm"].astype(str).str.startswith("baseline")]
    if after.empty:
        return look.nothing("Transfer was not measured.")
    key = ["task", "language"]
    tasks = after.drop_duplicates(key)[key].to_records(index=False).tolist()
    arms = [arm for arm in colours if (after["arm"] == arm).any()]
    figure, axes = look.new(7.4, 1.4 + (0.3 + 0.2 * len(arms)) * len(tasks))
    names = []
    for place, (task, language) in enumerate(tasks):
        part = after[(after["task"] == task) & (after["language"] == language)]
        before, chance, n = part["accuracy_before"].mean(), part["chance"].mean(), int(part["n"].max())
        label = str(task) if str(language) in str(task) else f"{task} ({language})"
        names.append(f"{label}\nbefore {before:.2f}, chance {chance:.2f}, n = {n}")
        for number, arm in enumerate(arms):
            values = part.loc[part["arm"] == arm, "change"].to_numpy(float)
            at = place + (number - (len(arms) - 1) / 2) * 0.2
            spread = np.linspace(-0.06, 0.06, len(values)) if len(values) > 1 else np.zeros(len(values))  # equal seeds stay apart
            axes.plot(values, at + spread, look.MARKERS[number % len(look.MARKERS)], color=colours[arm], ms=5,
                      alpha=0.65, mew=0, ls="none", label=arm if place == 0 else f"_{arm}")  # fmt: skip
            if len(values):
                axes.plot([values.mean()] * 2, [at - 0.09, at + 0.09], color=look.INK, lw=2, label="_mean")
    axes.axvline(0, color=look.INK, lw=0.9)
    axes.set_yticks(range(len(tasks)), names, fontsize=8.5)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlabel("change of accuracy (share of items), each seed")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=min(4, len(arms)))
    return figure
