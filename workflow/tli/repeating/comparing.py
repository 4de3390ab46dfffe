"""Two results folders side by side: which figures agree, within what, and what was different about the runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tli.repeating.figures import FIGURES, figures_of

SAME = "to the last bit"
CLOSE = "to 1e-6"
WITHIN = "within the intervals"
APART = "no interval, differs"
BEYOND = "beyond the intervals"
OTHER_WORD = "another word"
ONE_SIDED = "in one run only"
GRADES = (SAME, CLOSE, WITHIN, APART, BEYOND, OTHER_WORD, ONE_SIDED)
DISAGREE = (BEYOND, OTHER_WORD, ONE_SIDED)
TOLERANCE = 1e-6  # relative to the larger of 1 and the figure: what another order of sums may change
COMPARED = ["table", "key", "figure", "first", "second", "difference", "grade"]


def compare(first: str | Path, second: str | Path) -> pd.DataFrame:
    """`compare_figures` of two results folders. Raises TableError."""
    return compare_figures(figures_of(first), figures_of(second))


def compare_figures(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Every figure of both runs, columns COMPARED, the gravest grade first. first, second: columns FIGURES.

    A figure agrees `to the last bit` where both are equal (or both undefined), `to 1e-6` of the larger of 1 and itself, `within the
    intervals` where each lies in the other's interval. One without an interval that differs is told and blames nobody.
    """
    both = _numbered(first).merge(_numbered(second), on=[*FIGURES[:3], "number"], how="outer", suffixes=("", "_second"), indicator=True)
    grades = [_grade(row) for row in both.to_dict("records")]
    is_word = (both["word"].fillna("") != "") | (both["word_second"].fillna("") != "")
    shown = {
        side: both[f"word{suffix}"].where(is_word, both[f"value{suffix}"].map("{:.9g}".format))
        for side, suffix in (("first", ""), ("second", "_second"))
    }
    table = both[FIGURES[:3]].assign(**shown, difference=both["value_second"] - both["value"], grade=grades)
    order = table["grade"].map({grade: -number for number, grade in enumerate(GRADES)})
    return table.assign(order=order).sort_values(["order", "table", "key"], kind="stable")[COMPARED].reset_index(drop=True)


def _numbered(figures: pd.DataFrame) -> pd.DataFrame:
    """With a number for rows that the key does not tell apart, in their order."""
    return figures.assign(number=figures.groupby(FIGURES[:3]).cumcount())


def _grade(row: Mapping[str, Any]) -> str:
    if row["_merge"] != "both":
        return ONE_SIDED
    if row["word"] or row["word_second"]:
        return SAME if row["word"] == row["word_second"] else OTHER_WORD
    a, b = row["value"], row["value_second"]
    if a == b or (np.isnan(a) and np.isnan(b)):
        return SAME
    if abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b)):
        return CLOSE
    ends = [row[name] for name in ("low", "high", "low_second", "high_second")]
    if not np.isfinite([a, b, *ends]).all():
        return APART if not np.isfinite(ends).any() and np.isfinite([a, b]).all() else BEYOND
    return WITHIN if ends[0] <= b <= ends[1] and ends[2] <= a <= ends[3] else BEYOND


def summary_lines(table: pd.DataFrame, settings: list[str] | None = None, most: int = 20) -> list[str]:
    """The comparison in lines for a terminal: the counts, what disagrees first, and what was different about the runs, where that is known."""
    counts = table["grade"].value_counts()
    lines = [f"{len(table)} figures are compared:"]
    lines += [f"  {counts[grade]:6d} agree {grade}" for grade in (SAME, CLOSE, WITHIN) if grade in counts]
    lines += [f"  {counts[grade]:6d} {grade}" for grade in (APART, *DISAGREE) if grade in counts]
    worst = table[table["grade"].isin(DISAGREE)]
    for row in worst.head(most).to_dict("records"):
        lines.append(
            f"  {row['grade']}: {row['table']}, {row['key'].replace('|', ', ')}, {row['figure']}: {row['first']} | {row['second']}"
        )
    if len(worst) > most:
        lines.append(f"  ... and {len(worst) - most} more")
    spread = table["difference"].abs()
    if spread.notna().any() and spread.max() > 0:
        row = table.loc[spread.idxmax()]
        lines.append(f"The largest difference is {spread.max():.3g}: {row['table']}, {row['key'].replace('|', ', ')}, {row['figure']}")
    if settings:
        lines += ["The runs differ in:", *(f"  {line}" for line in settings)]
    elif settings is not None:
        lines.append("The runs have the same config, with the same versions.")
    return lines


def agree(table: pd.DataFrame) -> bool:
    """Whether no figure lies beyond the intervals, no word differs and no figure is missing on one side."""
    return not table["grade"].isin(DISAGREE).any()
