"""The figures of a results folder that another run of the same experiment should give again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tli.errors import TableError
from tli.experiment.layout import Layout
from tli.io import table_files, tables

PLACE = ["model", "pair"]
PUBLISHED = "figures.parquet"  # of a folder that `tli repeat` wrote
FIGURES = ["table", "key", "figure", "value", "low", "high", "word"]


@dataclass(frozen=True)
class Compared:
    """What of a table is held against the same table of another run."""

    name: str
    key: tuple[str, ...]  # what tells its rows apart
    figures: tuple[tuple[str, str, str], ...] = ()  # a column, and those of its interval's ends; "" without an interval
    words: tuple[str, ...] = ()  # columns of text that should be the same


VERDICT_FIGURES = (
    ("change", "change_low", "change_high"),
    ("against_placebo", "against_placebo_low", "against_placebo_high"),
    ("before", "", ""),
    ("after", "", ""),
    ("placebo", "", ""),
)
TEST_KEY = ("test", "level", *tables.CELL, "seed", "fold", "split", "hidden_state", "pooling", "pool", "metric", "contrast")
LADDER_KEY = ("model", "pair", "rung", "name", "layer", "pool")
SCANNED = ("csls_p_at_1", "p_at_1", "mrr", "cosine", "gap")
STATISTICS = (
    Compared("verdicts", tuple(tables.CELL), VERDICT_FIGURES, ("verdict",)),
    Compared("lines", (*tables.CELL, "line"), (("estimate", "low", "high"),), ("answer",)),
    Compared("tests", TEST_KEY, (("estimate", "low", "high"),)),
    Compared("rivals", (*tables.CELL, "hidden_state", "pool", "metric"), (("estimate", "low", "high"),), ("map",)),
    Compared("added", (*tables.CELL, "hidden_state", "pool", "metric", "rival"), (("estimate", "low", "high"),)),
    Compared("templates", (*tables.CELL, "pooling", "hidden_state", "pool", "metric"), (("change", "low", "high"),)),
    Compared("across", (*tables.CELL, "trained_on", "on", "hidden_state", "pool", "metric"), VERDICT_FIGURES),
    Compared("ladder", LADDER_KEY, (("value", "low", "high"),)),
    Compared("harm", (*tables.CELL, "language"), (("rise", "low", "high"),)),
    Compared("translation", (*tables.CELL, "direction", "shots", "metric", "contrast"), (("estimate", "low", "high"),)),
    Compared("transfer_cells", (*tables.CELL, "task", "metric", "contrast"), (("estimate", "low", "high"),)),
)
SCAN = Compared("scan", (*PLACE, "split", "hidden_state", "pooling", "pool"), tuple((name, "", "") for name in SCANNED))
CHOICE = Compared("best", tuple(PLACE), (), ("hidden_state",))


def figures_of(results: str | Path) -> pd.DataFrame:
    """Every figure that is compared, columns FIGURES: `word` for text, else `value` with `low` and `high` (NaN without an interval).

    results: a results folder, or one that `tli repeat` wrote. Raises TableError for a folder that holds no results.
    """
    folder = Path(results)
    if (folder / PUBLISHED).is_file():
        return table_files.read(folder / PUBLISHED, FIGURES)[FIGURES]
    layout = Layout(str(folder))
    if not folder.is_dir():
        raise TableError(f"{results}: there is no such folder; give the results folder of a run")
    parts = []
    places = layout.statistics() | {"across": layout.matrix()}
    for one in STATISTICS:
        path = Path(places.get(one.name, layout.transfer_statistics(one.name.removeprefix("transfer_"))))
        if path.exists():
            parts.append(_figures(one, table_files.read(path)))
    for path in sorted((folder / "scan").glob("*/*/scan.tsv")):
        parts.append(_figures(SCAN, table_files.read(path)))
        best = table_files.read(path.with_name("best.tsv"), ["chosen"])
        parts.append(_figures(CHOICE, best[best["chosen"].astype(str) == "True"]))
    if not parts:
        raise TableError(f"{results}: holds neither a scan nor statistics; give the results folder of a run that has finished a scan")
    return pd.concat(parts, ignore_index=True)


def _figures(of: Compared, table: pd.DataFrame) -> pd.DataFrame:
    """The figures of one table. Columns of the key that an older run lacks are empty."""
    named = [_text(table[name]) if name in table else pd.Series("", index=table.index) for name in of.key]
    key = ["|".join(values) for values in zip(*named, strict=True)] if len(table) else []
    rows = []
    for column, low, high in of.figures:
        if column in table:
            ends = {
                end: pd.to_numeric(table[name], errors="coerce") if name in table else np.nan
                for end, name in (("low", low), ("high", high))
            }
            rows.append(
                pd.DataFrame({"key": key, "figure": column, "value": pd.to_numeric(table[column], errors="coerce"), **ends, "word": ""})
            )
    empty = {"value": np.nan, "low": np.nan, "high": np.nan}
    words = [column for column in of.words if column in table]
    rows += [pd.DataFrame({"key": key, "figure": column, **empty, "word": table[column].astype(str)}) for column in words]
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=FIGURES[1:])
    return found.assign(table=of.name)[FIGURES]


def _text(column: pd.Series) -> pd.Series:
    """A column of a key as text, the same whether a missing value beside them made whole numbers floats ("0" of 0.0) or not."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.map("{:g}".format).where(column.notna(), "")
    return column.astype("string").fillna("").astype(object)
