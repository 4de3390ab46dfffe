"""What the injection did to other tasks: item-level figures per run (descriptive), accuracy changes over seeds (claims)."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing, items, seeds
from tli.statistics.columns import CELLS, GAPS, PER_RUN, TREND
from tli.statistics.families import adjust_families
from tli.statistics.inputs import Scored
from tli.statistics.paired import smallest_detectable
from tli.statistics.ranks import trend

ENGLISH = {"en", "eng", "eng_Latn"}
PROMPT = r"_prompt_?\d+"  # how the harness numbers the prompts of a task
WORST = "worst prompt of "


def transfer(scored: Scored, spec: StatisticsSpec) -> dict[str, pd.DataFrame]:
    """All statistics of the transfer tasks.

    Returns: runs (PER_RUN: McNemar, bootstrap, retention), gaps (GAPS: English minus target, per run), cells (CELLS: t over
    the seeds, after - before and real - placebo, of accuracy, of the worst prompt, of the transfer gap), trend (TREND: over
    log2 rank). Claims rest on `cells`. Errors are TableError.
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
    per_run = _per_run(correct, about, runs, spec)
    gaps = _gaps(correct, aligned, scored, english_task(about) | scored.english, spec)
    cells, slopes = _cells(per_run, gaps, about, runs, spec)
    return {"runs": per_run, "gaps": gaps, "cells": cells, "trend": slopes}


def english_task(about: pd.DataFrame) -> dict[str, str]:
    """The English task of each task in another language, by name: xnli_sw and xnli_en, xcopa_sw and copa.

    about: index task, column language. Tasks are kin when their names agree once the language is cut off, xcopa counting as copa.
    """

    def stem(task):
        language = about.loc[task, "language"]
        return re.sub(rf"_{re.escape(str(language))}(?=_|$)", "", task).replace("xcopa", "copa")

    theirs = {stem(task): task for task in about.index[about["language"].isin(ENGLISH)]}
    others = about.index[~about["language"].isin(ENGLISH)]
    return {task: theirs[stem(task)] for task in others if stem(task) in theirs}


def _trained(runs: pd.DataFrame, columns) -> pd.DataFrame:
    """The runs that count and have items in `columns` (names: model, pair, run), with their baseline there too."""
    there = set(columns)
    counting = comparing.counted(runs)
    names = list(zip(counting["model"], counting["pair"], counting["run"], strict=True))
    bases = list(zip(counting["model"], counting["pair"], counting["baseline"], strict=True))
    counting = counting.assign(name=names, base=bases)[[name in there for name in names]]
    lost = [base for base in counting["base"] if base not in there]
    if lost:
        model, pair, run = lost[0]
        raise tables.TableError(f"statistics: the table transfer has no rows of {run} (model {model}, pair {pair})")
    return counting


def _items(matrix: pd.DataFrame, task: str, run) -> tuple[np.ndarray, np.ndarray]:
    after, before = matrix[run.name].to_numpy(float), matrix[run.base].to_numpy(float)
    if (np.isfinite(after) != np.isfinite(before)).any():
        raise tables.TableError(f"statistics: transfer task {task}: {run.run} and {run.baseline} have different items")
    here = np.isfinite(after)
    return before[here], after[here]


def _per_run(correct, about, runs, spec) -> pd.DataFrame:
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


def _gaps(correct, aligned, scored, english, spec) -> pd.DataFrame:
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


def _aligned(aligned: pd.DataFrame, task: str, theirs: str):
    """Whether the tasks share aligned_id's, and the items of both in the same order."""
    one, two = (aligned[(aligned["task"] == name) & (aligned["aligned_id"].fillna("") != "")] for name in (task, theirs))
    joined = one.merge(two, on="aligned_id", suffixes=("", "_english")).drop_duplicates("aligned_id").sort_values("aligned_id")
    return bool(len(joined)), joined["item"].tolist(), joined["item_english"].tolist()


def _cells(per_run, gaps, about, runs, spec):
    """t over seeds per cell of every measure, and its trend over log2 rank."""
    cells, slopes = [], []
    for measure, values in _measures(per_run, gaps, runs):
        table = comparing.compared(runs, values, ["task"], [measure])
        if table.empty:
            continue
        by = [*tables.CELL, "loss_layer", "task"]
        for contrast in (facts.AFTER_BEFORE, facts.REAL_PLACEBO):
            tested = seeds.over_seeds(table, [measure], contrast, by, spec.alpha)
            if len(tested):
                means = table.groupby(by, as_index=False)[[measure, f"{measure}_before", f"{measure}_placebo"]].mean()
                means.columns = [*by, "after", "before", "placebo"]
                cells.append(tested.merge(means, on=by, how="left"))
        slopes.append(trend(table, runs, ["task"], [measure], "transfer, rank trend", spec.alpha))
    if not cells:
        return pd.DataFrame(columns=CELLS), pd.DataFrame(columns=TREND)
    table = pd.concat(cells, ignore_index=True)
    table["family"] = np.where(table["control"], "transfer, controls: ", "transfer: ") + table["metric"]
    table.loc[table["zero"], "family"] = ""
    table = adjust_families(table)
    table["seeds"] = table["n"].astype(int)
    plain = about.rename(index=lambda task: re.sub(PROMPT, "", task)).groupby(level=0).first()
    for name in ("language", "chance"):
        table[name] = table["task"].map(about[name]).fillna(table["task"].str.removeprefix(WORST).map(plain[name]))
    table["chance"] = table["chance"].where(table["metric"] != "transfer gap")
    table["detectable"] = [
        smallest_detectable(row.sd, row.seeds, max(row.family_size, 1), spec.alpha) if row.sd > 0 and not row.zero else np.nan
        for row in table.itertuples()
    ]
    table["sentence"] = [sentence(row, spec) for row in table.to_dict("records")]
    slopes = pd.concat(slopes, ignore_index=True) if slopes else pd.DataFrame(columns=TREND)
    return table[CELLS], slopes[TREND]


def _measures(per_run, gaps, runs):
    """Yield (measure, values by model, pair, run and task), the baselines' values as rows of their own."""
    yield "accuracy", _with_baselines(per_run, "before", "after", "accuracy", runs)
    base = per_run["task"].str.replace(PROMPT, "", regex=True)
    prompts = per_run[base != per_run["task"]].assign(task=WORST + base)
    if prompts.duplicated(["model", "pair", "run", "task"]).any():
        worst = prompts.groupby(["model", "pair", "run", "task"], as_index=False)[["before", "after"]].min()
        yield "worst prompt accuracy", _with_baselines(worst, "before", "after", "worst prompt accuracy", runs)
    if len(gaps):
        yield "transfer gap", _with_baselines(gaps, "gap_before", "gap_after", "transfer gap", runs)


def _with_baselines(table, before, after, measure, runs) -> pd.DataFrame:
    key = ["model", "pair", "run", "task"]
    table = table.merge(runs[["model", "pair", "run", "baseline"]], on=["model", "pair", "run"], how="left")
    theirs = table.drop(columns="run").rename(columns={"baseline": "run", before: measure})[[*key, measure]]
    return pd.concat([table.rename(columns={after: measure})[[*key, measure]], theirs.drop_duplicates(key)], ignore_index=True)


def sentence(row: dict, spec: StatisticsSpec) -> str:
    """One line of the answer to "what did it do to other tasks?", from a row of CELLS."""
    what = f"{row['task']}, {row['metric']}, {row['contrast']}: {row['estimate']:+.3f}"
    if row["seeds"] < spec.minimum_seeds:
        return f"{what}; no claim: {row['seeds']} seeds, and a claim needs at least {spec.minimum_seeds}."
    if not np.isfinite(row["p"]):
        return f"{what}; {row['note']}."
    p = row[facts.CORRECTIONS[spec.correction]]
    interval = f"{100 * (1 - spec.alpha):g} % interval {row['low']:+.3f} to {row['high']:+.3f}, adjusted p {p:.2g}, {row['seeds']} seeds"
    if p <= spec.alpha:
        return f"{what} ({interval}): {'higher' if row['estimate'] > 0 else 'lower'}."
    return f"{what} ({interval}): no detectable difference; one of {row['detectable']:.3f} or more would have been found with 80 % power."
