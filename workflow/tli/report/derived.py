"""Tables that the figures and the page draw from, computed from the stages' tables. Every figure shows one of these."""

from __future__ import annotations

import pandas as pd

from tli.facts import MAP_INSIDE, MAP_PREFIX
from tli.io.tables import CELL, RUN
from tli.labels import arm_label
from tli.report.input import ReportInput
from tli.report.selection import Cell, Endpoint, first_cell, in_pools, kept_runs, rows

# Metrics whose change is listed per run.
SHOWN = ["csls_p_at_1", "gap", "mrr", "cosine", "mismatched", "p_at_1", "xcs", "xcs_mismatched"]
PER_PAIR = ["cosine", "mismatched_mean", "target_rank", "csls_target_rank"]


def changes(metrics: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per run, split, hidden state and pooling: each metric of SHOWN before (its baseline), after, and the difference.

    Runs whose baseline has no row for the same split, hidden state and pooling are left out.
    """
    place = ["split", "hidden_state", "pooling", "pool"]
    columns = RUN + place + [f"{m}_{when}" for m in SHOWN for when in ("before", "after", "change")]
    if metrics.empty or runs.empty:
        return pd.DataFrame(columns=columns)
    own = runs[["model", "pair", "run", "baseline"]].drop_duplicates()
    after = metrics[RUN + place + SHOWN].merge(own, on=["model", "pair", "run"])
    before = metrics[["model", "pair", "run", "seed", "fold", *place, *SHOWN]].rename(columns={"run": "baseline"})
    before = before[before["baseline"].isin(set(own["baseline"]))]
    both = _with_baselines(after, before, ["model", "pair", "baseline", *place])
    for metric in SHOWN:
        both[f"{metric}_change"] = both[f"{metric}_after"] - both[f"{metric}_before"]
    return both[columns].reset_index(drop=True)


def _with_baselines(after: pd.DataFrame, before: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Each row beside its baseline's: the one of its seed and fold, where there is one, else the one that stands for all (seed -1)."""
    general = before[before["seed"] == -1].drop(columns=["seed", "fold"])
    judged = before[before["seed"] != -1]
    parts = [
        after.merge(general, on=key, suffixes=("_after", "_before")),
        after.merge(judged, on=[*key, "seed", "fold"], suffixes=("_after", "_before")),
    ]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def cell_means(metrics: pd.DataFrame) -> pd.DataFrame:
    """Every metric's mean over the seeds of a cell, with the number of seeds; a baseline is a cell of its own."""
    place = [*CELL, "split", "hidden_state", "normed", "pooling", "pool"]
    if metrics.empty:
        return pd.DataFrame(columns=[*place, "seeds"])
    numbers = [c for c in metrics.columns if c not in (*RUN, *place) and pd.api.types.is_numeric_dtype(metrics[c])]
    grouped = metrics.groupby(place, sort=False, dropna=False, observed=True)
    return pd.concat([grouped["seed"].nunique().rename("seeds"), grouped[numbers].mean()], axis=1).reset_index()


def paired(similarities: pd.DataFrame, runs: pd.DataFrame, cell: Cell, place: Endpoint) -> pd.DataFrame:
    """Per pair of words: the figures before (the baseline) and after (mean over the seeds of `cell`), and the changes.

    Columns: the cell's, pair_id, split, seeds, <figure>_before, <figure>_after for cosine, mismatched_mean, gap and the ranks
    of the translation (1 is best), gap_change and cosine_change.
    """
    there = rows(similarities, model=cell.model, pair=cell.pair, hidden_state=place.hidden_state, pooling=place.pooling)
    there = in_pools(there, place)
    runs = rows(runs, **cell.columns)
    figures = [*PER_PAIR, "gap"]
    columns = [*CELL, "pair_id", "split", "seeds", *(f"{f}_{w}" for f in figures for w in ("before", "after"))]
    columns += ["cosine_change", "gap_change"]
    after = there[there["run"].isin(set(kept_runs(runs)))]
    before = there[there["run"].isin(set(runs["baseline"]))]
    if after.empty or before.empty:
        return pd.DataFrame(columns=columns)
    grouped = after.groupby(["pair_id", "split"], sort=False, observed=True)
    mean = pd.concat([grouped[PER_PAIR].mean(), grouped["seed"].nunique().rename("seeds")], axis=1).reset_index()
    start = before.groupby("pair_id", sort=False, observed=True)[PER_PAIR].mean().reset_index()
    both = mean.merge(start, on="pair_id", suffixes=("_after", "_before"))
    for when in ("before", "after"):
        both[f"gap_{when}"] = both[f"cosine_{when}"] - both[f"mismatched_mean_{when}"]
    both["cosine_change"] = both["cosine_after"] - both["cosine_before"]
    both["gap_change"] = both["gap_after"] - both["gap_before"]
    return both.assign(**cell.columns)[columns].sort_values(["split", "pair_id"]).reset_index(drop=True)


def with_words(pairs_of_words: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Add source, target and category of each pair_id, in front; what the list lacks stays empty."""
    words = pairs[["pair_id", "source", "target", "category"]].drop_duplicates("pair_id")
    joined = pairs_of_words.merge(words, on="pair_id", how="left").fillna({"source": "", "target": "", "category": ""})
    front = [*CELL, "pair_id", "source", "target", "category", "split", "seeds"]
    return joined[[*front, *[c for c in joined.columns if c not in front]]]


def accuracies(transfer: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per run, task and language: n items, chance, accuracy, the baseline's accuracy on the same items, and the change."""
    key = [*RUN, "task", "language"]
    columns = [*key, "n", "chance", "accuracy", "accuracy_before", "change"]
    if transfer.empty:
        return pd.DataFrame(columns=columns)
    frame = transfer.assign(correct=transfer["correct"].astype(float), chance=1.0 / transfer["choices"].astype(float))
    grouped = frame.groupby(key, sort=False, dropna=False, observed=True)
    after = grouped.agg(n=("item", "nunique"), chance=("chance", "mean"), accuracy=("correct", "mean")).reset_index()
    after = after.merge(runs[["model", "pair", "run", "baseline"]].drop_duplicates(), on=["model", "pair", "run"], how="left")
    start = after[["model", "pair", "run", "task", "language", "accuracy"]]
    start = start.rename(columns={"run": "baseline", "accuracy": "accuracy_before"})
    both = after.merge(start, on=["model", "pair", "baseline", "task", "language"], how="left")
    return both.assign(change=both["accuracy"] - both["accuracy_before"])[columns]


def placebo_of(runs: pd.DataFrame, cell: Cell) -> Cell | None:
    """The placebo cell of `cell`: same model, pair, layer and rank, on shuffled translations. None where there is none."""
    theirs = rows(runs, placebo_of=cell.arm, model=cell.model, pair=cell.pair, layer=cell.layer, rank=cell.rank)
    return Cell(cell.model, cell.pair, str(theirs["arm"].iloc[0]), cell.layer, cell.rank) if len(theirs) else None


def shown_runs(report: ReportInput) -> dict[tuple[str, str], set[str]]:
    """The runs whose words the page shows, by model and pair: of the cell shown first and its placebo, as they were kept, and their baselines."""
    trained, found = report.tables.trained, {}
    for model, pair in report.groups:
        first = first_cell(report.tables.cells, report.experiment, model, pair)
        cells = [cell for cell in (first, placebo_of(trained, first) if first else None) if cell]
        own = [rows(trained, **cell.columns) for cell in cells]
        found[model, pair] = {name for runs in own for name in (*kept_runs(runs), *runs["baseline"])}
    return found


def front(ladder: pd.DataFrame, harm: pd.DataFrame) -> pd.DataFrame:
    """LADDER's rows of the trained arms, controls and maps inside the model of one model and pair, with the rise of cross-entropy in
    the language that rises most: columns arm, rise, rise_low, rise_high, language, margin beside LADDER's. Empty where no text was measured.
    """
    worst = harm.sort_values("rise", ascending=False, kind="stable").drop_duplicates(CELL)
    inside = worst["arm"].astype(str).str.endswith(MAP_INSIDE).to_numpy(bool)
    labels = [arm_label(arm, str(rank)) for arm, rank in zip(worst["arm"], worst["rank"], strict=True)]
    names = [label.removeprefix(MAP_PREFIX).removesuffix(MAP_INSIDE) if of else label for label, of in zip(labels, inside, strict=True)]
    worst = worst.rename(columns={"low": "rise_low", "high": "rise_high"}).assign(name=names, inside=inside)
    columns = ["arm", "name", "layer", "rise", "rise_low", "rise_high", "language", "margin"]
    shown = ladder[ladder["rung"].isin(["arm", "control", "map inside"])]
    if shown.empty or worst.empty:
        return pd.DataFrame(columns=[*ladder.columns, *(name for name in columns if name not in ladder.columns)])
    shown = shown.assign(inside=shown["rung"] == "map inside")
    both = shown.merge(worst[["inside", *columns]], on=["inside", "name", "layer"], how="inner", validate="one_to_one")
    return both.drop(columns="inside")
