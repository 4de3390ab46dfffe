"""What the injection did to other tasks: item-level figures per run (descriptive), accuracy over items and seeds (claims)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from tli import facts
from tli.errors import TableError
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing, items, power, ranks
from tli.statistics.cells import NOTE_OF_ZERO
from tli.statistics.columns import CELLS, GAPS, PER_RUN, TREND
from tli.statistics.comparing import RUNS_OF
from tli.statistics.crossed import crossed, one
from tli.statistics.families import adjust_families
from tli.statistics.inputs import Scored

ENGLISH = {"en", "eng", "eng_Latn"}
PROMPT = r"_prompt_?\d+"  # how the harness numbers the prompts of a task
WORST = "worst prompt of "
CONTRASTS = (facts.AFTER_BEFORE, facts.REAL_PLACEBO)


def transfer(scored: Scored, spec: StatisticsSpec) -> dict[str, pd.DataFrame]:
    """All statistics of the transfer tasks.

    Returns: runs (PER_RUN: McNemar, bootstrap, retention), gaps (GAPS: English minus target, per run), cells (CELLS: the
    crossed test over items and seeds, after - before and real - placebo, of accuracy, of the worst prompt, of the transfer gap),
    trend (TREND: over log2 rank). Claims rest on `cells`. Errors are TableError.
    """
    table, runs = scored.items, scored.runs
    correct = {}
    for task, part in table.groupby("task", sort=True):
        part = part.assign(name=list(zip(part["model"], part["pair"], part["run"], strict=True)))
        correct[task] = part.pivot(index="item", columns="name", values="correct").astype(float)
    about = table.groupby("task", sort=True).agg(language=("language", "first"), choices=("choices", "mean"))
    inverse = (1 / table["choices"].astype(float)).groupby(table["task"]).mean()
    about["chance"] = inverse.where(np.isfinite(inverse))
    aligned = table[["task", "item", "aligned_id"]].drop_duplicates(["task", "item"])
    english = english_task(about) | scored.english
    measures = [*_accuracies(correct), *_worst_prompts(correct), *_transfer_gaps(correct, aligned, english)]
    per_run = _per_run(correct, about, runs, spec)
    gaps = _gaps(correct, aligned, scored, english, spec)
    return {"runs": per_run, "gaps": gaps, "cells": _cells(measures, about, runs, spec), "trend": _trends(measures, runs, spec)}


def english_task(about: pd.DataFrame) -> dict[str, str]:
    """The English task of each task in another language, by name: xnli_sw and xnli_en, xcopa_sw and copa.

    about: index task, column language. Tasks are kin when their names agree once the language is cut off, xcopa counting as copa.
    """

    def stem(task: str) -> str:
        language = about.loc[task, "language"]
        return re.sub(rf"_{re.escape(str(language))}(?=_|$)", "", task).replace("xcopa", "copa")

    theirs = {stem(task): task for task in about.index[about["language"].isin(ENGLISH)]}
    others = about.index[~about["language"].isin(ENGLISH)]
    return {task: theirs[stem(task)] for task in others if stem(task) in theirs}


def _trained(runs: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The runs that count and have items in `columns` (names: model, pair, run), with their baseline there too."""
    there = set(columns)
    counting = comparing.counted(runs)
    names = list(zip(counting["model"], counting["pair"], counting["run"], strict=True))
    bases = list(zip(counting["model"], counting["pair"], counting["baseline"], strict=True))
    counting = counting.assign(name=names, base=bases)[[name in there for name in names]]
    lost = [base for base in counting["base"] if base not in there]
    if lost:
        model, pair, run = lost[0]
        raise TableError(f"statistics: the table transfer has no rows of {run} (model {model}, pair {pair})")
    return counting


def _items(matrix: pd.DataFrame, task: str, run: Any) -> tuple[np.ndarray, np.ndarray]:
    after, before = matrix[run.name].to_numpy(float), matrix[run.base].to_numpy(float)
    if (np.isfinite(after) != np.isfinite(before)).any():
        raise TableError(f"statistics: transfer task {task}: {run.run} and {run.baseline} have different items")
    here = np.isfinite(after)
    return before[here], after[here]


def _per_run(correct: dict[str, pd.DataFrame], about: pd.DataFrame, runs: pd.DataFrame, spec: StatisticsSpec) -> pd.DataFrame:
    rows = []
    for task, matrix in correct.items():
        chance = float(about.loc[task, "chance"])
        for run in _trained(runs, matrix.columns).itertuples(index=False):
            before, after = _items(matrix, task, run)
            if not len(before):
                continue
            change = items.paired_bootstrap_accuracy(before, after, spec.bootstrap, alpha=spec.alpha)
            binary = np.isin(np.concatenate([before, after]), (0, 1)).all()
            test = items.mcnemar_exact(before, after) if binary else {"note": "graded items: no McNemar test"}
            low = items.accuracy_interval(before.sum(), change["n"], spec.alpha)[0]
            retention, why = items.retention(change["after"], change["before"], chance, change["n"], spec.alpha)
            floor = run.control and not run.placebo_of
            rows.append(
                {
                    **{name: getattr(run, name) for name in [*tables.RUN, "control"]},
                    **change,
                    **test,
                    "task": task,
                    "language": about.loc[task, "language"],
                    "chance": chance,
                    "before_low": low,
                    "above_chance": bool(low > chance),
                    "retention": retention,
                    "family": "" if floor or not binary else "transfer, within one run",
                    "detectable": items.smallest_detectable_accuracy_change(change["n"], (before != after).mean(), spec.alpha),
                    "note": "; ".join(text for text in (test["note"], why) if text),
                }
            )
    return adjust_families(pd.DataFrame(rows, columns=PER_RUN))[PER_RUN]


def _gaps(
    correct: dict[str, pd.DataFrame], aligned: pd.DataFrame, scored: pd.DataFrame, english: dict[str, str], spec: StatisticsSpec
) -> pd.DataFrame:
    rows = []
    for task, theirs in sorted(english.items()):
        if task not in correct or theirs not in correct:
            continue
        paired, at_target, at_english = _aligned(aligned, task, theirs)
        target, other = correct[task], correct[theirs]
        if paired:
            target, other = target.loc[at_target], other.loc[at_english]
        note = f"{len(target)} aligned items" if paired else "unpaired: the items of the two tasks are not aligned"
        both = target.columns.intersection(other.columns)
        for run in _trained(scored.runs, both).itertuples(index=False):
            before_target, after_target = _items(target, task, run)
            before_english, after_english = _items(other, theirs, run)
            together = paired and len(after_target) == len(after_english)
            accuracies = (after_english, after_target, before_english, before_target)
            before, after, change, low, high = items.gap_interval(accuracies, together, spec.bootstrap, alpha=spec.alpha)
            rows.append(
                {
                    **{name: getattr(run, name) for name in [*tables.RUN, "control"]},
                    "task": task,
                    "english_task": theirs,
                    "paired": together,
                    "n": len(after_target),
                    "gap_before": before,
                    "gap_after": after,
                    "change": change,
                    "low": low,
                    "high": high,
                    "note": note,
                }
            )
    return pd.DataFrame(rows, columns=GAPS)


def _aligned(aligned: pd.DataFrame, task: str, theirs: str) -> tuple[bool, list, list]:
    """Whether the tasks share aligned_id's, and the items of both in the same order."""
    one, two = (aligned[(aligned["task"] == name) & (aligned["aligned_id"].fillna("") != "")] for name in (task, theirs))
    joined = one.merge(two, on="aligned_id", suffixes=("", "_english")).drop_duplicates("aligned_id").sort_values("aligned_id")
    return bool(len(joined)), joined["item"].tolist(), joined["item_english"].tolist()


def _accuracies(correct: dict[str, pd.DataFrame]) -> Iterator[tuple]:
    """(measure, task, [right or wrong by item and run], nothing to take off)."""
    for task, matrix in correct.items():
        yield "accuracy", task, matrix, None


def _worst_prompts(correct: dict[str, pd.DataFrame]) -> Iterator[tuple]:
    """The same of the prompt that each run does worst on, for tasks asked in several prompts."""
    prompts: dict[str, list[pd.DataFrame]] = {}
    for task, matrix in correct.items():
        base = re.sub(PROMPT, "", task)
        if base != task:
            prompts.setdefault(base, []).append(matrix)
    for base, matrices in prompts.items():
        if len(matrices) > 1:
            worst = pd.DataFrame([matrix.mean() for matrix in matrices]).idxmin()
            chosen = {run: matrices[int(number)][run] for run, number in worst.items() if np.isfinite(number)}
            table = pd.DataFrame(dict(enumerate(chosen.values())))
            yield "worst prompt accuracy", WORST + base, table.set_axis(pd.Index(list(chosen), tupleize_cols=False), axis=1), None


def _transfer_gaps(correct: dict[str, pd.DataFrame], aligned: pd.DataFrame, english: dict[str, str]) -> Iterator[tuple]:
    """English minus target: item by item where the items are aligned, else two tables of items."""
    for task, theirs in sorted(english.items()):
        if task in correct and theirs in correct:
            paired, at_target, at_english = _aligned(aligned, task, theirs)
            target, other = correct[task], correct[theirs]
            if paired:
                target, other = (part.loc[at].reset_index(drop=True) for part, at in ((target, at_target), (other, at_english)))
            yield "transfer gap", task, *((other - target, None) if paired else (other, target))


def _difference(matrix: pd.DataFrame | None, cell: pd.DataFrame, contrast: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Seeds, and both sides [2, seeds, items] of one contrast on the items that all have; None without any."""
    if matrix is None:
        return None
    there, sides = set(matrix.columns), dict[int, np.ndarray]()
    for run in cell.itertuples(index=False):
        names = [(run.model, run.pair, getattr(run, side)) for side in RUNS_OF[contrast]]
        if all(name in there for name in names):
            sides.setdefault(run.seed, np.stack([matrix[name].to_numpy(float) for name in names]))
    if not sides:
        return None
    both = np.stack(list(sides.values()), 1)
    return np.array(list(sides)), both[:, :, np.isfinite(both).all((0, 1))]


def _cells(measures: list, about: pd.DataFrame, runs: pd.DataFrame, spec: StatisticsSpec) -> pd.DataFrame:
    """The crossed test of every cell, measure and contrast, with what it could have found."""
    members = comparing.members(runs)
    rows, grids = [], []
    for key, cell in members.groupby(tables.CELL, sort=True):
        head = dict(zip(tables.CELL, key, strict=True)) | {name: cell[name].iloc[0] for name in ("loss_layer", "control", "zero")}
        for measure, task, matrix, minus in measures:
            for contrast in CONTRASTS:
                sides_of = _difference(matrix, cell, contrast)
                if sides_of is None or not sides_of[1].shape[2]:
                    continue
                apart = _difference(minus, cell, contrast)
                grids.append((sides_of[1][0] - sides_of[1][1], None if apart is None else apart[1][0] - apart[1][1]))
                test = one(crossed(*grids[-1], alpha=spec.alpha))
                sides = sides_of[1].mean((1, 2)) - (0 if apart is None else apart[1].mean((1, 2)))
                means = dict(zip(("after", "before" if contrast == facts.AFTER_BEFORE else "placebo"), sides, strict=True))
                names = {"task": task, "metric": measure, "contrast": contrast, "items": test["units"]}
                rows.append({**head, **test, **means, **names, "sd": np.sqrt(test["v_seeds"] * test["seeds"])})
    if not rows:
        return pd.DataFrame(columns=CELLS)
    table = pd.DataFrame(rows).reindex(columns=[*CELLS, "zero"])
    zero = table["zero"].astype(bool)
    table.loc[zero, ["low", "high", "statistic", "p", "log10_p"]] = np.nan
    table.loc[zero, "note"] = NOTE_OF_ZERO
    table["family"] = np.where(table["control"], "transfer, controls: ", "transfer: ") + table["metric"]
    table.loc[zero, "family"] = ""
    table = adjust_families(table)
    plain = about.rename(index=lambda task: re.sub(PROMPT, "", task)).groupby(level=0).first()
    for name in ("language", "chance"):
        table[name] = table["task"].map(about[name]).fillna(table["task"].str.removeprefix(WORST).map(plain[name]))
    table["chance"] = table["chance"].where(table["metric"] != "transfer gap")
    table["detectable"] = [_detectable(grid, row, spec) for (grid, _), row in zip(grids, table.itertuples(), strict=True)]
    table["sentence"] = [sentence(row, spec) for row in table.to_dict("records")]
    return table[CELLS]


def _detectable(grid: np.ndarray, row: Any, spec: StatisticsSpec) -> float:
    if row.zero or min(grid.shape) < 2:
        return float("nan")
    design = power.Design(len(grid), grid.shape[1], family=max(row.family_size, 1), with_placebo=False)
    return power.detectable(power.components([grid]), design, spec.alpha)


def _trends(measures: list, runs: pd.DataFrame, spec: StatisticsSpec) -> pd.DataFrame:
    """TREND: the slope over log2 rank of every item and seed, where one table of items has the measure."""
    rows = []
    for head, by_rank in ranks.lines(ranks.points(runs), runs):
        for measure, task, matrix, minus in measures:
            for contrast in CONTRASTS if minus is None else ():
                found = {rank: _difference(matrix, cell, contrast) for rank, cell in by_rank.items()}
                parts = {rank: part for rank, part in found.items() if part is not None}
                if len({part[1].shape[2] for part in parts.values()}) != 1:
                    continue
                differences = {rank: (seeds, both[0] - both[1]) for rank, (seeds, both) in parts.items()}
                size = next(iter(differences.values()))[1].shape[1]
                test = ranks.tested_slopes(differences, np.arange(size), spec.alpha)
                if test is not None:
                    names = {"task": task, "metric": measure, "contrast": contrast, "family": f"transfer, rank trend: {measure}"}
                    rows.append({**head, **test, **names})
    return adjust_families(pd.DataFrame(rows, columns=TREND))[TREND]


def sentence(row: dict, spec: StatisticsSpec) -> str:
    """One line of the answer to "what did it do to other tasks?", from a row of CELLS."""
    what = f"{row['task']}, {row['metric']}, {row['contrast']}: {row['estimate']:+.3f}"
    counts = f"{row['items']} items, {row['seeds']} seeds"
    chance = f", chance {row['chance']:.3f}" if np.isfinite(row["chance"]) else ""
    if row["seeds"] < spec.minimum_seeds or row["items"] < spec.minimum_units:
        return f"{what}; no claim: {counts}{chance}; a claim needs at least {spec.minimum_seeds} seeds and {spec.minimum_units} items."
    if not np.isfinite(row["p"]):
        return f"{what}; {row['note']}."
    p = row[facts.CORRECTIONS[spec.correction]]
    interval = f"{100 * (1 - spec.alpha):g} % interval {row['low']:+.3f} to {row['high']:+.3f}, over other seeds and items"
    text = f"{what} ({interval}; adjusted p {p:.2g}, {counts}{chance}): "
    if p <= spec.alpha:
        return text + f"{'higher' if row['estimate'] > 0 else 'lower'}."
    if row["detectable"] > 1:
        return text + f"no detectable difference; none that is possible would have been found with {100 * facts.POWER:.0f} % power."
    found = f"one of {row['detectable']:.3f} or more would have been found with {100 * facts.POWER:.0f} % power"
    return text + f"no detectable difference; {found}."
