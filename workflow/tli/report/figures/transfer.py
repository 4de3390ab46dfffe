"""What else the training changed: accuracy on downstream tasks, by cell, by rank, and against the gain in alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from tli.report import style
from tli.report.selection import baselines, by_place
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.styled
def transfer_change(accuracies: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Change of accuracy on each task: a point is a seed, the bar their mean; the baseline's accuracy and chance stand in
    the row's name. Draws `change` of derived.accuracies, for one model and pair.
    """
    after = _trained(accuracies)
    if after.empty:
        return style.nothing("Transfer was not measured.")
    key = ["task", "language"]
    tasks = after.drop_duplicates(key)[key].to_records(index=False).tolist()
    arms = [arm for arm in colours if (after["arm"] == arm).any()]
    figure, axes = style.new(7.4, 1.4 + (0.3 + 0.2 * len(arms)) * len(tasks))
    names = []
    for place, (task, language) in enumerate(tasks):
        part = after[(after["task"] == task) & (after["language"] == language)]
        before, chance, n = part["accuracy_before"].mean(), part["chance"].mean(), int(part["n"].max())
        label = str(task) if str(language) in str(task) else f"{task} ({language})"
        names.append(f"{label}\nbefore {before:.2f}, chance {chance:.2f}, n = {n}")
        for number, arm in enumerate(arms):
            of_arm = part[part["arm"] == arm]
            values = of_arm["change"].to_numpy(float)
            at = place + (number - (len(arms) - 1) / 2) * 0.2
            spread = np.linspace(-0.06, 0.06, len(values)) if len(values) > 1 else np.zeros(len(values))  # equal seeds stay apart
            (points,) = axes.plot(
                values,
                at + spread,
                style.MARKERS[number % len(style.MARKERS)],
                **style.dots(colours[arm]),
                ms=5,
                label=arm if place == 0 else f"_{arm}",
            )
            set_tooltips(
                points, [f"{arm}, {label}, seed {seed}: {value:+.3f}" for seed, value in zip(of_arm["seed"], values, strict=True)], arm
            )
            if len(values):
                (bar,) = axes.plot([values.mean()] * 2, [at - 0.09, at + 0.09], color=style.INK, lw=2, label="_mean")
                set_tooltips(bar, f"{arm}, {label}, mean of seeds: {values.mean():+.3f}", arm)
    axes.axvline(0, color=style.INK, lw=0.9)
    axes.set_yticks(range(len(tasks)), names, fontsize=8.5)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlabel("change of accuracy (share of items), each seed")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=min(4, len(arms)))
    return figure


@style.styled
def transfer_by_rank(accuracies: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Change of accuracy by LoRA rank, a panel a task: a point is a seed, the large mark their mean with its 95 % t interval.

    Draws `change` of derived.accuracies, for one model, pair and loss layer.
    """
    after = _trained(accuracies)
    if after.empty:
        return style.nothing("Transfer was not measured.")
    tasks, ranks = list(dict.fromkeys(after["task"].astype(str)))[:8], by_place(after["rank"], [])
    if len(ranks) < 2:
        return style.nothing(f"Only rank {ranks[0]} was run: there is nothing to draw over ranks.")
    figure, panels = _panels(tasks)
    arms = [arm for arm in colours if (after["arm"] == arm).any()]
    for axes, task in zip(panels, tasks, strict=True):
        for number, arm in enumerate(arms):
            part = after[(after["task"] == task) & (after["arm"] == arm)]
            aside = (number - (len(arms) - 1) / 2) * min(0.16, 0.6 / len(arms))
            mark = style.MARKERS[number % len(style.MARKERS)]
            for place, rank in enumerate(ranks):
                of_rank = part[part["rank"].astype(str) == rank]
                values = of_rank["change"].to_numpy(float)
                if not len(values):
                    continue
                at = place + aside
                (points,) = axes.plot(np.full(len(values), at), values, mark, **style.dots(colours[arm]), ms=4, label="_")
                named = zip(of_rank["seed"], values, strict=True)
                set_tooltips(points, [f"{arm}, rank {rank}, seed {seed}: {value:+.3f}" for seed, value in named], arm)
                half = special.stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
                bars = axes.errorbar(
                    at, values.mean(), half, fmt=mark, color=colours[arm], ms=7, mec=style.INK, mew=0.6, capsize=2, label=arm
                )
                for part_of in bars.get_children():
                    set_tooltips(part_of, arm=arm)
                set_tooltips(bars.lines[0], f"{arm}, rank {rank}, mean of seeds: {values.mean():+.3f} (± {half:.3f})", arm)
        axes.axhline(0, color=style.INK, lw=0.9)
        axes.set_title(task)
        axes.set_xticks(range(len(ranks)), ranks)
        axes.set_xlim(-0.6, len(ranks) - 0.4)
        axes.set_xlabel("rank")
    panels[0].set_ylabel("change of accuracy")
    _legend(figure, panels)
    return figure


@style.styled
def transfer_against_gain(accuracies: pd.DataFrame, gains: pd.DataFrame, colours: dict[str, str], metric: str, label: str) -> Figure:
    """Change of accuracy against the change of `metric` on held-out pairs, a panel a task: a point is a run.

    Draws `change` of derived.accuracies and <metric>_change of derived.changes, joined by run.
    """
    after = _trained(accuracies)
    if after.empty or gains.empty:
        return style.nothing("Transfer was not measured.")
    joined = after.merge(gains[["run", f"{metric}_change"]].drop_duplicates("run"), on="run")
    tasks = list(dict.fromkeys(joined["task"].astype(str)))[:8]
    if not tasks:
        return style.nothing("No run was measured both ways.")
    figure, panels = _panels(tasks)
    arms = [arm for arm in colours if (joined["arm"] == arm).any()]
    for axes, task in zip(panels, tasks, strict=True):
        for number, arm in enumerate(arms):
            part = joined[(joined["task"] == task) & (joined["arm"] == arm)]
            mark = style.MARKERS[number % len(style.MARKERS)]
            (points,) = axes.plot(part[f"{metric}_change"], part["change"], mark, **style.dots(colours[arm]), ms=5.5, label=arm)
            named = zip(part["run"], part[f"{metric}_change"], part["change"], strict=True)
            set_tooltips(points, [f"{run}: {label} {gain:+.3f}, accuracy {change:+.3f}" for run, gain, change in named], arm)
        axes.axhline(0, color=style.INK, lw=0.9)
        axes.axvline(0, color=style.INK, lw=0.9)
        axes.set_title(task)
        axes.set_xlabel(f"change of {label}")
    panels[0].set_ylabel("change of accuracy")
    _legend(figure, panels)
    return figure


def _trained(accuracies: pd.DataFrame) -> pd.DataFrame:
    return accuracies[accuracies["change"].notna() & ~baselines(accuracies)]


def _panels(tasks: list[str]) -> tuple:
    wide = min(4, len(tasks))
    high = -(-len(tasks) // wide)
    figure, grid = style.new(max(5.2, 2.6 * wide), 1.0 + 2.6 * high, high, wide, sharey=True, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.axis("off")
    return figure, list(grid.flat[: len(tasks)])


def _legend(figure: Figure, panels: list) -> None:
    handles = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(4, len(handles)))
