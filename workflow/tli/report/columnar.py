"""Tables as the files and the page hold them: cells that are text alike in both, and columns as the page's script reads them."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

CELLS_IN_PAGE = 36_000  # of one table; the file beside the page has them all


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Text without tabs and line ends, booleans and labels as text: what a cell of the TSV and of the page holds alike."""
    frame = frame.copy()
    for column in frame.columns:
        kind = frame[column].dtype
        if pd.api.types.is_bool_dtype(kind):
            frame[column] = frame[column].map({True: "True", False: "False"}).astype(object)
        elif not pd.api.types.is_numeric_dtype(kind):
            text = frame[column].astype(object)
            frame[column] = text.where(text.notna(), "").map(str).str.replace(r"[\t\r\n]+", " ", regex=True).astype(object)
    return frame


def fitted(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """As much of a table as the page takes, the rows that claims rest on first, and a note on what was left out."""
    most, whole, notes = max(100, CELLS_IN_PAGE // max(1, len(frame.columns))), len(frame), list[str]()
    for column, value, note in (
        ("split", "heldout", "held-out"),
        ("hidden_state", "output", "at the last hidden state"),
        ("test", "paired t over words", "paired t over words"),
    ):
        if len(frame) > most and column in frame.columns:
            part = frame[frame[column] == (frame[column].max() if value == "output" else value)]
            if len(part):
                frame, notes = part, [*notes, note]
    if len(frame) > most and "level" in frame.columns:
        frame = frame.loc[(frame["level"] != "confirmatory").sort_values(kind="stable").index]
    if len(frame) > most:
        frame, notes = frame.head(most), [*notes, f"the first {most:,}"]
    return frame, f"{', '.join(notes)}; {len(frame):,} of {whole:,} rows, the file has them all" if notes else ""


def columnar(frame: pd.DataFrame) -> dict:
    """A table as the page's script reads it: {"columns", "kinds", "data"}; repeated text is kept once (levels and codes)."""
    kinds, data = [], []
    for column in frame.columns:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values.dtype):
            kinds.append("number")
            integers = pd.api.types.is_integer_dtype(values.dtype)
            listed = values.tolist()
            data.append(listed if integers else [_number(value) for value in listed])
        else:
            kinds.append("text")
            codes, levels = pd.factorize(values.astype(object))
            repeated = len(levels) * 2 < len(values)
            data.append({"levels": list(levels), "codes": codes.tolist()} if repeated else values.tolist())
    return {"columns": list(frame.columns), "kinds": kinds, "data": data}


def _number(value: float) -> float | int | str | None:
    """A number as JSON can hold it: no NaN, infinities as text, whole numbers short."""
    if pd.isna(value):
        return None
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else float(value)


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element: no character in it ends the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
