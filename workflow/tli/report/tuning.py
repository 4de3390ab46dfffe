"""What was tried before the runs, and what was chosen: the table of trials and its sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pandas as pd

from tli.io.tables import CELL
from tli.labels import metric_label
from tli.metrics.trial_choice import is_at_the_edge
from tli.statistics.sentences import listing

SETTINGS = {"learning_rate": "learning rate {:g}", "epochs": "{:g} epochs", "weight": "anchor's weight {:g}"}


def tried(trials: pd.DataFrame) -> pd.DataFrame:
    """One row a trial: its settings, how many seeds it has and how many of them failed, its value and the lowest and highest of a seed.

    trials: tables.TRIALS.
    """
    place = [*CELL, "trial", *SETTINGS, "criterion", "hidden_state", "pooling", "words", "chosen"]
    if trials.empty:
        return pd.DataFrame(columns=[*place, "seeds", "failed", "value", "lowest", "highest"])
    grouped = trials.assign(value=trials["value"].astype(float), failed=trials["failed"].astype(bool)).groupby(
        place, sort=False, dropna=False
    )
    columns = {"seeds": ("seed", "nunique"), "failed": ("failed", "sum")}
    return grouped.agg(**columns, value=("value", "mean"), lowest=("value", "min"), highest=("value", "max")).reset_index()


def tuning_sentences(trials: pd.DataFrame, folds: bool = False, joint: Collection[str] = ()) -> list[str]:
    """How the settings were chosen, and for each arm what was; nothing where none was tuned. joint: arms trained on several lists together."""
    if trials.empty:
        return []
    table = tried(trials)
    first = table.iloc[0]
    count = table.groupby(CELL, sort=False)["trial"].nunique().iloc[0]
    seeds = f"{first['seeds']} seed{'' if first['seeds'] == 1 else 's'}"
    read = "they learned from the list's own train split, whatever the folds" if folds else "no held-out pair was read"
    told = [
        f"Before the runs every cell had {count} trials of {seeds}, none of which is a run's; they were judged by "
        f"{metric_label(first['criterion'])} of the select pairs among their own forms, and {read}. Ties "
        "went to the lower rate, then to fewer epochs, then to the heavier anchor; a placebo was trained with its arm's choice."
    ]
    if together := [arm for arm in dict.fromkeys(table["arm"]) if arm in joint]:
        told.append(f"Trials of {listing(together)}, trained on several lists together, were judged by the mean over the lists.")
    chosen = table[table["chosen"].astype(bool)]
    by_arm = [f"{arm}: {_chosen(table[table['arm'] == arm], rows)}" for arm, rows in chosen.groupby("arm", sort=False)]
    return [*told, f"Chosen were {'; '.join(by_arm)}."]


def edges(trials: pd.DataFrame) -> Iterator[str]:
    """Of each arm and setting, where cells chose the lowest or the highest of what was tried."""
    for arm, rows in tried(trials).groupby("arm", sort=False):
        chosen = rows[rows["chosen"].astype(bool)]
        for name in SETTINGS:
            values = rows[name].dropna().unique().tolist()
            at = sum(is_at_the_edge(values, value) for value in chosen[name])
            if at:
                yield (
                    f"{arm}: {at} of {len(chosen)} tuned cells took the lowest or the highest {_name(name)} that was tried "
                    f"({min(values):g} to {max(values):g}); a better one may lie beyond."
                )


def _name(setting: str) -> str:
    return {"weight": "weight of the anchor", "epochs": "number of epochs"}.get(setting, setting.replace("_", " "))


def _chosen(tried_of_arm: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """What was chosen: "learning rate 0.0002", or "learning rate 0.0002 (4 of 5 cells), learning rate 0.0008 (1 of 5)"."""
    tuned = [name for name in SETTINGS if tried_of_arm[name].nunique() > 1] or ["learning_rate"]
    words = chosen.apply(lambda row: ", ".join(SETTINGS[name].format(float(row[name])) for name in tuned), axis=1)
    counts = words.value_counts(sort=False)
    if len(counts) == 1:
        return str(words.iloc[0])
    return ", ".join(f"{text} ({count} of {len(words)} cells)" for text, count in counts.items())
