"""Tables as the files and the page hold them: cells that are text alike in both, and columns as the page's script reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

ROWS_AT_ONCE = 50_000  # written as JSON; a long table is never whole in memory as text


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Text without tabs and line ends, booleans and labels as text: what a cell of the TSV and of the page holds alike."""
    frame = frame.copy(deep=False)
    for column in frame.columns:
        kind = frame[column].dtype
        if pd.api.types.is_bool_dtype(kind):
            frame[column] = frame[column].map({True: "True", False: "False"}).astype("category")
        elif isinstance(kind, pd.CategoricalDtype):
            names = frame[column].cat.remove_unused_categories()
            known = _one_line(pd.Series(names.cat.categories, dtype=object))
            if known.is_unique and names.notna().all():
                frame[column] = names.cat.rename_categories(known.tolist())
            else:  # two labels have become one, or one is missing
                frame[column] = _one_line(names)
        elif not pd.api.types.is_numeric_dtype(kind):
            frame[column] = _one_line(frame[column])
    return frame


def _one_line(text: pd.Series) -> pd.Series:
    text = text.astype(object)
    return text.where(text.notna(), "").map(str).str.replace(r"[\t\r\n]+", " ", regex=True).astype(object)


def as_columns(frame: pd.DataFrame) -> Iterator[str]:
    """A table as JSON, in parts, as the page's script reads it: {"columns", "kinds", "data"}; repeated text is kept once (levels and codes)."""
    kinds = ["number" if pd.api.types.is_numeric_dtype(kind) else "text" for kind in frame.dtypes]
    yield f'{{"columns":{as_json(list(frame.columns))},"kinds":{as_json(kinds)},"data":['
    for place, (column, kind) in enumerate(zip(frame.columns, kinds, strict=True)):
        yield "," if place else ""
        yield from _numbers(frame[column]) if kind == "number" else _texts(frame[column])
    yield "]}"


def _texts(values: pd.Series) -> Iterator[str]:
    codes, levels = pd.factorize(values)
    if len(levels) * 2 < len(values):
        yield f'{{"levels":{as_json(list(levels))},"codes":'
        yield from _listed(codes)
        yield "}"
    else:
        yield from _listed(values.astype(object).to_numpy())


def _numbers(values: pd.Series) -> Iterator[str]:
    if pd.api.types.is_integer_dtype(values.dtype):
        yield from _listed(values.to_numpy())
    else:
        yield from _listed(values.to_numpy(float))


def _listed(values: np.ndarray) -> Iterator[str]:
    """A list as JSON; of floats as JSON can hold them: no NaN, infinities as text, whole numbers short."""
    yield "["
    for start in range(0, len(values), ROWS_AT_ONCE):
        part = values[start : start + ROWS_AT_ONCE]
        held: list[Any] = part.tolist()
        if part.dtype.kind == "f":
            whole = (np.abs(part) < 1e15) & (np.mod(part, 1) == 0)  # False of what is not finite
            odd = whole | ~np.isfinite(part)
            for place in np.flatnonzero(odd):
                held[place] = _number(held[place])
        yield ("," if start else "") + as_json(held)[1:-1]
    yield "]"


def _number(value: float) -> float | int | str | None:
    if pd.isna(value):
        return None
    if np.isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value)


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element: no character in it ends the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
