"""What the injection did to other tasks: item-level figures per run (descriptive), accuracy changes over seeds (claims)."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from tli.io import tables
from tli.statistics import items, seeds
from tli.statistics.families import adjust_families, named
from tli.statistics.ranks import RANKS, trend
from tli.statistics.seeds import AFTER_BEFORE, PLACE, REAL_PLACEBO
from tli.statistics.tests import smallest_detectable

PER_RUN = [
    *tables.RUN, "control", "task", "language", "n", "chance", "before", "before_low", "above_chance", "after", "change", "low",
    "high", "gained", "lost", "p", "log10_p", "family", "family_size", "p_holm", "p_bh", "p_by", "detectable", "retention", "note",
]  # fmt: skip
GAPS = [
    *tables.RUN, "control", "task", "english_task", "paired", "n", "gap_before", "gap_after", "change", "low", "high", "note",
]  # fmt: skip
CELLS = [
    *tables.CELL, "loss_layer", "control", "task", "language", "metric", "contrast", "seeds", "chance", "before", "after",
    "placebo", "estimate", "sd", "low", "high", "df", "statistic", "p", "log10_p", "family", "family_size", "p_holm", "p_bh", "p_by",
    "detectable", "note", "sentence",
]  # fmt: skip
TREND = [name for name in RANKS if name not in PLACE]
TREND.insert(TREND.index("metric"), "task")
ENGLISH = {"en", "eng", "eng_Latn"}
PROMPT = r"_prompt_?\d+"  # how the harness numbers the prompts of a task
WORST = "worst prompt of "


def transfer(
    transfer_table: pd.DataFrame, runs: pd.DataFrame, *, correction="holm", alpha=0.05, minimum_seeds=5, bootstrap=2000, seed=0,
    english: dict[str, str] | None = None,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """All statistics of the transfer tasks.

    transfer_table: TRANSFER of tli.io.tables with the baselines' rows; runs: RUNS. english: the English task of each task in
    another language; where not given it is found by name (`english_task`).

    Returns: runs (PER_RUN: McNemar, bootstrap, retention), gaps (GAPS: English minus target, per run), cells (CELLS: t over
    the seeds, after - before and real - placebo, of accuracy, of the worst prompt, of the transfer gap), trend (over log2
    rank). Claims rest on `cells`. Errors are tables.TableError.
    """
    correction = named(correction)
    missing = [name for name in tables.TRANSFER if name not in transfer_table.columns]
    if missing:
        raise tables.TableError(f"statistics: the table transfer lacks the columns {', '.join(missing)}")
    runs = runs.assign(**{name: runs[name].fillna("") for name in ("placebo_of", "same_as")})
    correct = {
        task: part.assign(name=list(zip(part["model"], part["pair"], part["run"], strict=True)))
        .pivot(index="item", columns="name", values="correct").astype(float)
        for task, part in transfer_table.groupby("task", sort=True)
    }  # fmt: skip
    about = transfer_table.groupby("task", sort=True).agg(language=("language", "first"), choices=("choices", "mean"))
    inverse = (1 / transfer_table["choices"].astype(float)).groupby(transfer_table["task"]).mean()
    about["chance"] = inverse.where(np.isfinite(inverse))
    per_run = _per_run(correct, about, runs, bootstrap, seed, alpha)
    aligned = transfer_table[["task", "item", "aligned_id"]].drop_duplicates(["task", "item"])
    gaps = _gaps(correct, about, aligned, runs, english or english_task(about), bootstrap, seed, alpha)
    cells, slopes = _cells(per_run, gaps, about, runs, correction, alpha, minimum_seeds)
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
    kept = seeds.counted(runs)
    names = list(zip(kept["model"], kept["pair"], kept["run"], strict=True))
    bases = list(zip(kept["model"], kept["pair"], kept["baseline"], strict=True))
    kept = kept.assign(name=names, base=bases)[[name in there for name in names]]
    lost = [base for base in kept["base"] if base not in there]
    if lost:
        model, pair, run = lost[0]
        raise tables.TableError(f"statistics: the table transfer has no rows of {run} (model {model}, pair {pair})")
    return kept


def _items(matrix: pd.DataFrame, task: str, run) -> tuple[np.ndarray, np.ndarray]:
    after, before = matrix[run.name].to_numpy(float), matrix[run.base].to_numpy(float)
    if (np.isfinite(after) != np.isfinite(before)).any():
        raise tables.TableError(f"statistics: transfer task {task}: {run.run} and {run.baseline} have different items")
    here = np.isfinite(after)
    return before[here], after[here]


def _per_run(correct, about, runs, bootstrap, seed, alpha) -> pd.DataFrame:
    rows = []
    for task, matrix in correct.items():
        chance = float(about.loc[task, "chance"])
        for run in _trained(runs, matrix.columns).itertuples(index=False):
            before, after = _items(matrix, task, run)
            if not len(before):
                continue
            found = items.paired_bootstrap_accuracy(before, after, bootstrap, seed, alpha)
            binary = np.isin(np.concatenate([before, after]), (0, 1)).all()
            test = items.mcnemar_exact(before, after) if binary else {"note": "graded items: no McNemar test"}
            low = items.accuracy_interval(before.sum(), found["n"], alpha)[0]
            kept, why = items.retention(found["after"], found["before"], chance, found["n"], alpha)
            floor = run.control and not run.placebo_of
            rows.append({
                **{name: getattr(run, name) for name in [*tables.RUN, "control"]}, **found, **test, "task": task,
                "language": about.loc[task, "language"], "chance": chance, "before_low": low, "above_chance": bool(low > chance),
                "retention": kept, "family": "" if floor or not binary else "transfer, within one run",
                "detectable": items.smallest_detectable_accuracy_change(found["n"], (before != after).mean(), alpha),
                "note": "; ".join(text for text in (test["note"], why) if text),
            })  # fmt: skip
    return adjust_families(pd.DataFrame(rows, columns=PER_RUN))[PER_RUN]


def _gaps(correct, about, aligned, runs, english, bootstrap, seed, alpha) -> pd.DataFrame:
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
        for run in _trained(runs, both).itertuples(index=False):
            before_target, after_target = _items(target, task, run)
            before_english, after_english = _items(other, theirs, run)
            together = paired and len(after_target) == len(after_english)
            before, after, change, low, high = items.gap_interval(
                after_english, after_target, before_english, before_target, together, bootstrap, seed, alpha
            )
            rows.append({
                **{name: getattr(run, name) for name in [*tables.RUN, "control"]}, "task": task, "english_task": theirs,
                "paired": together, "n": len(after_target), "gap_before": before, "gap_after": after, "change": change,
                "low": low, "high": high, "note": note,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=GAPS)


def _aligned(aligned: pd.DataFrame, task: str, theirs: str):
    """Whether the tasks share aligned_id's, and the items of both in the same order."""
    one, two = (aligned[(aligned["task"] == name) & (aligned["aligned_id"].fillna("") != "")] for name in (task, theirs))
    joined = one.merge(two, on="aligned_id", suffixes=("", "_english")).drop_duplicates("aligned_id").sort_values("aligned_id")
    return bool(len(joined)), joined["item"].tolist(), joined["item_english"].tolist()


def _cells(per_run, gaps, about, runs, correction, alpha, minimum_seeds):
    """t over seeds per cell of every measure, and its trend over log2 rank."""
    cells, slopes = [], []
    for measure, values in _measures(per_run, gaps, runs):
        table = seeds.compared(runs, values, ["task"], [measure])
        if table.empty:
            continue
        by = [*tables.CELL, "loss_layer", "task"]
        for contrast in (AFTER_BEFORE, REAL_PLACEBO):
            found = seeds.over_seeds(table, [measure], contrast, by, alpha)
            if len(found):
                means = table.groupby(by, as_index=False)[[measure, f"{measure}_before", f"{measure}_placebo"]].mean()
                means.columns = [*by, "after", "before", "placebo"]
                cells.append(found.merge(means, on=by, how="left"))
        slopes.append(trend(table, runs, ["task"], [measure], "transfer, rank trend", alpha))
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
        smallest_detectable(row.sd, row.seeds, max(row.family_size, 1), alpha) if row.sd > 0 and not row.zero else np.nan
        for row in table.itertuples()
    ]
    table["sentence"] = [sentence(row, correction, alpha, minimum_seeds) for row in table.to_dict("records")]
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


def sentence(row: dict, correction="holm", alpha=0.05, minimum_seeds=5) -> str:
    """One line of the answer to "what did it do to other tasks?", from a row of CELLS."""
    what = f"{row['task']}, {row['metric']}, {row['contrast']}: {row['estimate']:+.3f}"
    if row["seeds"] < minimum_seeds:
        return f"{what}; no claim: {row['seeds']} seeds, and a claim needs at least {minimum_seeds}."
    if not np.isfinite(row["p"]):
        return f"{what}; {row['note']}."
    p = row[f"p_{correction}"]
    interval = f"{100 * (1 - alpha):g} % interval {row['low']:+.3f} to {row['high']:+.3f}, adjusted p {p:.2g}, {row['seeds']} seeds"
    if p <= alpha:
        return f"{what} ({interval}): {'higher' if row['estimate'] > 0 else 'lower'}."
    return f"{what} ({interval}): no detectable difference; one of {row['detectable']:.3f} or more would have been found with 80 % power."
