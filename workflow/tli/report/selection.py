"""Which rows a figure or a sentence is about: the cell shown first, the endpoint's hidden state, the pooling.

Nothing here looks at a result: the cell shown first is the first that the config names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from tli.io.tables import CELL, UNTRAINED, WHOLE_LIST
from tli.report.input import Experiment, ReportInput, Tables

BASELINE = "baseline"  # what the names of untrained models begin with


@dataclass(frozen=True)
class Cell:
    """One (model, pair, arm, layer, rank); its seeds are its replicates."""

    model: str
    pair: str
    arm: str
    layer: str
    rank: str

    @classmethod
    def of(cls, row: Mapping) -> Cell:
        """The cell of a table's row."""
        return cls(*(row[name] for name in CELL))

    @property
    def columns(self) -> dict[str, str]:
        """Its values by the names of tables.CELL."""
        return asdict(self)

    @property
    def name(self) -> str:
        """The cell in words, without its model and pair: 'tli, loss at the best layer, rank 16'."""
        rank = "full fine-tuning" if self.rank in ("full", "") else f"rank {self.rank}"
        return f"{self.arm}, loss at {layer_name(self.layer)}, {rank}"


@dataclass(frozen=True)
class Endpoint:
    """Where claims are made: a hidden state, a pooling, and the pool of candidates."""

    hidden_state: int
    pooling: str | None
    pool: str = WHOLE_LIST

    @property
    def heldout(self) -> dict[str, str | None]:
        """What its held-out rows have, at any hidden state: pooling, pool, split."""
        return {"pooling": self.pooling, "pool": self.pool, "split": "heldout"}


def layer_name(layer: str) -> str:
    """A loss layer as the config asks for it, in words.

    >>> layer_name("best"), layer_name("6")
    ('the best layer', 'hs[6]')
    """
    return {"best": "the best layer", "output": "the output"}.get(layer, f"hs[{layer}]")


def rows(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows whose columns have the given values; a value None is not asked for."""
    for column, value in values.items():
        if value is not None:
            frame = frame[frame[column] == value]
    return frame


def in_pools(frame: pd.DataFrame, place: Endpoint) -> pd.DataFrame:
    """Held-out words as claims have them, in the endpoint's pool; the other splits are measured in the whole list alone."""
    return frame[frame["pool"] == frame["split"].map({"heldout": place.pool}).fillna(WHOLE_LIST)]


def baselines(frame: pd.DataFrame, column: str = "arm") -> pd.Series:
    """Which rows are of an untrained model, as booleans."""
    return frame[column].astype(str).str.startswith(BASELINE)


def with_bos(pooling: str) -> bool:
    """Whether the name of a pooling says that BOS is pooled in."""
    name = str(pooling).lower().replace("_", " ").replace("-", " ")
    return "bos" in name and not any(word in name.split() for word in ("without", "no", "nobos"))


def clean_pooling(frame: pd.DataFrame) -> str | None:
    """The pooling without BOS among a table's, else its first; None where there is none."""
    names = list(frame["pooling"].dropna().unique())
    return next((name for name in names if not with_bos(name)), names[0] if names else None)


def endpoint(tables: Tables, model: str, pair: str) -> Endpoint | None:
    """The primary endpoint: that of the confirmatory tests, else the last hidden state, without BOS; None where nothing is measured."""
    tests = rows(tables.confirmatory, model=model, pair=pair)
    if len(tests):
        return Endpoint(int(tests["hidden_state"].iloc[0]), tests["pooling"].iloc[0], tests["pool"].iloc[0])
    for frame in (tables.metrics, tables.similarities, tables.scan):
        frame = rows(frame, model=model, pair=pair)
        if len(frame):
            pool = UNTRAINED if (frame["pool"] == UNTRAINED).any() else WHOLE_LIST
            return Endpoint(int(frame["hidden_state"].max()), clean_pooling(frame), pool)
    return None


def by_place(values: Iterable, order: Iterable[str]) -> list[str]:
    """Distinct values, those of `order` first and in its order, numbers by size, the rest by name.

    >>> by_place(["16", "4", "tli", "placebo"], ["tli", "placebo"])
    ['tli', 'placebo', '4', '16']
    """
    order = list(order)

    def place(value: str) -> tuple[int, float, str]:
        known = order.index(value) if value in order else len(order)
        return (known, float(value) if value.replace(".", "", 1).isdigit() else float("inf"), value)

    return sorted(dict.fromkeys(map(str, values)), key=place)


def first_cell(cells: pd.DataFrame, experiment: Experiment, model: str, pair: str) -> Cell | None:
    """The cell shown first for (model, pair): the first arm, layer and rank that the config names, whatever came out.

    `cells` has the columns of tables.CELL (verdicts or the grid). Control arms are left out. None when there is none.
    """
    cells = rows(cells, model=model, pair=pair)
    if "control" in cells.columns:  # the grid's; verdicts have no controls
        cells = cells[~cells["control"].astype(bool)]
    cells = cells[~baselines(cells)]
    if cells.empty:
        return None
    arm = by_place(cells["arm"], [one.name for one in experiment.arms])[0]
    return Cell(model, pair, arm, *first_place(rows(cells, arm=arm), experiment))


def first_place(cells: pd.DataFrame, experiment: Experiment) -> tuple[str, str]:
    """The loss layer and the rank shown first of one arm's cells: the first ones that the config names."""
    arm = experiment.arm(str(cells["arm"].iloc[0]))
    layer = by_place(cells["layer"], arm.layers)[0]
    ranks = ["16"] if "16" in arm.ranks or not arm.ranks else arm.ranks
    return layer, by_place(rows(cells, layer=layer)["rank"], ranks)[0]


def first_cells(report: ReportInput) -> list[tuple[Cell, Endpoint]]:
    """The cell shown first and the endpoint of every group that has both."""
    found = []
    for model, pair in report.groups:
        cell = first_cell(report.tables.cells, report.experiment, model, pair)
        place = endpoint(report.tables, model, pair)
        if cell is not None and place is not None:
            found.append((cell, place))
    return found


def rows_of_first_cells(report: ReportInput, table: pd.DataFrame) -> list[tuple[Cell, pd.DataFrame]]:
    """The cell shown first of every group that has rows in `table` (columns tables.CELL and more), and these rows."""
    cells = [first_cell(report.tables.cells, report.experiment, model, pair) for model, pair in report.groups]
    found = [(cell, rows(table, **cell.columns)) for cell in cells if cell is not None]
    return [(cell, of_cell) for cell, of_cell in found if len(of_cell)]


def first_verdicts(report: ReportInput) -> pd.DataFrame:
    """The verdict of the first cell of every group."""
    verdicts = report.tables.verdicts
    cells = [first_cell(verdicts, report.experiment, model, pair) for model, pair in report.groups]
    parts = [rows(verdicts, **cell.columns).head(1) for cell in cells if cell is not None]
    return pd.concat(parts, ignore_index=True) if parts else verdicts.iloc[:0]


def in_order(cells: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Rows by model, pair, arm (as the config has them), loss layer and rank, numbers by size."""
    if cells.empty:
        return cells
    orders = {
        "model": [model.name for model in experiment.models],
        "pair": experiment.pairs,
        "arm": [arm.name for arm in experiment.arms],
        "layer": ["best"],
        "rank": [],
    }
    place = pd.DataFrame(index=cells.index)
    for column, order in orders.items():
        place[column] = cells[column].astype(str).map({v: i for i, v in enumerate(by_place(cells[column], order))})
    return cells.loc[place.sort_values(CELL, kind="stable").index]


def kept_runs(runs: pd.DataFrame) -> pd.Series:
    """The run in which each run's rows are found: its own, or that with which it is the same by construction."""
    return runs["same_as"].where(runs["same_as"].fillna("") != "", runs["run"])
