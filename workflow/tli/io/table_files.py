"""A table written to a file, and read again. Which columns it has, and which of them are text: tli.io.tables."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_string_dtype, union_categoricals

from tli.errors import TableError
from tli.io.atomic import whole
from tli.io.tables import TEXT

ROWS_AT_ONCE = 5_000  # of a long table that is read as categories


def write(table: pd.DataFrame, path: str | os.PathLike, columns: list[str] | None = None) -> None:
    """Write `table` to `path` (.tsv or .parquet) whole; `columns` gives their order and must all be there.

    Raises TableError when a column is missing or unknown.
    """
    if columns is not None:
        missing = [name for name in columns if name not in table.columns]
        unknown = [name for name in table.columns if name not in columns]
        if missing or unknown:
            raise TableError(f"{path}: columns missing {missing}, columns unknown {unknown}")
        table = table[columns]
    with whole(path) as beside:
        if str(path).endswith(".parquet"):
            table.to_parquet(beside, index=False)
        else:
            text = table.select_dtypes(include=["object", "string"]).columns
            table = table.assign(**{c: table[c].astype("string").str.replace(r"[\t\r\n\x00]+", " ", regex=True) for c in text})
            table.to_csv(beside, sep="\t", index=False, quoting=csv.QUOTE_NONE, escapechar=None, quotechar="\x00")


def read(
    path: str | os.PathLike,
    columns: list[str] | None = None,
    text: Sequence[str] = (),
    *,
    compact: bool = False,
    only: Mapping[str, Collection[Any]] | None = None,
    keep: Callable[[pd.DataFrame], pd.Series] | None = None,
) -> pd.DataFrame:
    """Read a table; names, labels and the columns in `text` stay text, even where they look like numbers or "NA".

    compact: text as categories, so that a name that stands in a million rows is held once. only: of a Parquet file the rows whose
    columns have one of these values. keep: of a TSV file that is read compact, which rows; asked of some at a time. Raises TableError when the file is missing, is no table, or lacks one of `columns`.
    """
    try:
        if str(path).endswith(".parquet"):
            table = pd.read_parquet(path, filters=[(name, "in", sorted(values)) for name, values in only.items()] if only else None)
            table = compacted(table) if compact else table
        else:
            table = _read_tsv(path, text, compact, keep)
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: cannot be read as a table ({error})") from error
    missing = [name for name in columns or [] if name not in table.columns]
    if missing:
        raise TableError(f"{path}: lacks the columns {', '.join(missing)}; it has {', '.join(table.columns)}")
    return table


def _read_tsv(
    path: str | os.PathLike, text: Sequence[str], compact: bool, keep: Callable[[pd.DataFrame], pd.Series] | None
) -> pd.DataFrame:
    header = pd.read_csv(path, sep="\t", nrows=0, quoting=csv.QUOTE_NONE).columns
    kinds = {name: str for name in header if name in TEXT or name in text}
    missing = {name: [] if name in kinds else ["", "nan", "NaN"] for name in header}
    how = {"sep": "\t", "quoting": csv.QUOTE_NONE, "dtype": kinds, "keep_default_na": False, "na_values": missing}
    if compact:
        with pd.read_csv(path, **how, chunksize=ROWS_AT_ONCE) as chunks:
            parts = [compacted(part[keep(part)] if keep else part) for part in chunks if _is_table(part)]
        return stacked(parts) if parts else pd.DataFrame(columns=header)
    table = pd.read_csv(path, **how)
    _is_table(table)
    return table


def _is_table(part: pd.DataFrame) -> bool:
    """True; raises ValueError where rows have more cells than the header has names."""
    if not isinstance(part.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than the header")
    return True


def compacted(table: pd.DataFrame) -> pd.DataFrame:
    """With text as categories."""
    return table.astype({name: "category" for name in table.columns if is_string_dtype(table[name].dtype)})


def stacked(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts, categories joined (pd.concat would make text of them). The parts, at least one, are used up: the list is emptied.

    Column by column, so that no more than the parts and one column more is held at a time.
    """
    names = parts[0].columns
    pieces: list[dict[str, Any]] = []
    while parts:
        part = parts.pop(0)
        if len(part) or (not parts and not pieces):  # text of no rows has no type that could be joined
            pieces.append({name: part[name].array.copy() for name in names})
    columns = {}
    for name in names:
        values = [piece.pop(name) for piece in pieces]
        is_text = all(isinstance(one.dtype, pd.CategoricalDtype) for one in values)
        columns[name] = union_categoricals(values) if is_text else np.concatenate(values)
    return pd.DataFrame(columns, copy=False)
