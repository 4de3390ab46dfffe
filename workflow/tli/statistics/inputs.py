"""What the statistics read: frozen sets of tables, checked once when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from tli.errors import TableError
from tli.io import tables


@dataclass(frozen=True)
class Measured:
    """The tables of the evaluation.

    runs, similarities, metrics: RUNS, SIMILARITIES, RUN_METRICS of tli.io.tables; baselines are rows whose `run` is named in
    runs.baseline. pairs: PAIRS with the column `pair`, and `model` where the lists differ between models. layers: the last
    hidden state of each model; where it is not given or was not measured, the highest one that was stands for it. together: rows of
    WORDS for joint trainings; what `pairs` says of a word's nearest trained one is of its own list.
    Raises TableError when a table lacks a column.
    """

    runs: pd.DataFrame
    similarities: pd.DataFrame
    metrics: pd.DataFrame
    pairs: pd.DataFrame
    layers: dict[str, int] = field(default_factory=dict)
    together: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=tables.WORDS))

    def __post_init__(self) -> None:
        need("runs", self.runs, tables.RUNS)
        need("metrics", self.metrics, tables.RUN_METRICS)
        need("similarities", self.similarities, tables.SIMILARITIES)
        need("pairs", self.pairs, ["pair", *tables.PAIRS])
        object.__setattr__(self, "runs", _no_missing_names(self.runs))
        object.__setattr__(self, "similarities", _with_places(self.similarities))
        object.__setattr__(self, "metrics", _with_places(self.metrics))

    @property
    def claim_pool(self) -> str:
        """The pool of candidates that claims rest on: the untrained one, or what there is instead (the sentences name it)."""
        pools = sorted(self.similarities["pool"].unique())
        return tables.UNTRAINED if tables.UNTRAINED in pools or not pools else pools[0]

    @property
    def train_pool(self) -> str:
        """The pool in which trained and held-out words are compared: one that has trained words."""
        pools = sorted(self.similarities.loc[self.similarities["split"] == "train", "pool"].unique())
        return self.claim_pool if self.claim_pool in pools or not pools else pools[0]

    def with_pooling(self, pooling: str) -> Measured:
        """The rows of one pooling only. Raises TableError where there are none."""
        chosen = {}
        for name in ("metrics", "similarities"):
            table = getattr(self, name)
            chosen[name] = table[table["pooling"] == pooling]
            if chosen[name].empty and len(table):
                there = ", ".join(sorted(table["pooling"].unique()))
                raise TableError(f"statistics: the table {name} has no rows with pooling {pooling!r}; it has {there}")
        return Measured(self.runs, chosen["similarities"], chosen["metrics"], self.pairs, self.layers, self.together)

    def outputs(self) -> dict[str, int]:
        """The last hidden state of each model among those that were measured."""
        return self.claim_states("output")

    def claim_states(self, claim_at: str | int) -> dict[str, int]:
        """The hidden state of each model at which claims are made: claim_at where it was measured, else the highest that was."""
        measured = self.metrics.groupby("model")["hidden_state"]
        asked = self.layers if claim_at == "output" else dict.fromkeys(self.layers, int(claim_at))
        return {model: int(asked[model]) if asked.get(model) in set(states) else int(states.max()) for model, states in measured}


@dataclass(frozen=True)
class Scored:
    """The tables of the transfer tasks: items (TRANSFER of tli.io.tables, with the baselines' rows) and runs (RUNS).

    english: the English task of each task in another language; those that it does not name are found by name.
    Raises TableError when a table lacks a column.
    """

    items: pd.DataFrame
    runs: pd.DataFrame
    english: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need("transfer", self.items, tables.TRANSFER)
        need("runs", self.runs, tables.RUNS)
        object.__setattr__(self, "runs", _no_missing_names(self.runs))


def need(name: str, table: pd.DataFrame, columns: list[str]) -> None:
    """Raises TableError where the table lacks one of the columns."""
    without = {"fold", *tables.POOLS, *tables.POOL_ROWS}  # what a table of one pool, or without folds, may lack
    missing = [column for column in columns if column not in table.columns and column not in without]
    if missing:
        raise TableError(f"statistics: the table {name} lacks the columns {', '.join(missing)}")


def _no_missing_names(runs: pd.DataFrame) -> pd.DataFrame:
    fold = runs["fold"] if "fold" in runs.columns else 0
    return runs.assign(placebo_of=runs["placebo_of"].fillna(""), same_as=runs["same_as"].fillna(""), fold=fold)


def _with_places(table: pd.DataFrame) -> pd.DataFrame:
    """With the columns fold and pool, which a table without folds, or of one pool, may lack."""
    places = {"fold": 0, "pool": tables.WHOLE_LIST}
    return table.assign(**{name: value for name, value in places.items() if name not in table.columns})
