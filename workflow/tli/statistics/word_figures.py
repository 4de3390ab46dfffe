"""What a row of SIMILARITIES says of one word, for every metric that is a mean over words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tli.facts import COSINE_TIE

XCS_SCALE = 2.5  # CLIPScore's


def _at_most(column: str, rank: int) -> Callable[[pd.DataFrame], np.ndarray]:
    return lambda rows: np.where(rows[column].notna(), rows[column] <= rank, np.nan).astype(float)


def _reciprocal(column: str) -> Callable[[pd.DataFrame], np.ndarray]:
    return lambda rows: 1 / rows[column].to_numpy(float)


def _gap(rows: pd.DataFrame) -> np.ndarray:
    return (rows["cosine"] - rows["mismatched_mean"]).to_numpy(float)


def _z(rows: pd.DataFrame) -> np.ndarray:
    spread = rows["mismatched_sd"].to_numpy(float)
    return np.divide(_gap(rows), spread, out=np.full(len(rows), np.nan), where=spread > COSINE_TIE)


def _mexa(rows: pd.DataFrame) -> np.ndarray:
    cosine = rows["cosine"].to_numpy(float)
    rivals = [rows[name].to_numpy(float) for name in ("best_rival", "best_rival_reverse")]
    return np.all([~(rival >= cosine - COSINE_TIE) for rival in rivals], axis=0).astype(float)


# metric: its value for every row of SIMILARITIES; the mean over the rows is the metric of tables.METRICS
WORD_FIGURES: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {
    "cosine": lambda rows: rows["cosine"].to_numpy(float),
    "mismatched": lambda rows: rows["mismatched_mean"].to_numpy(float),
    "gap": _gap,
    "z": _z,
    "p_at_1": _at_most("target_rank", 1),
    "p_at_5": _at_most("target_rank", 5),
    "mrr": _reciprocal("target_rank"),
    "p_at_1_reverse": _at_most("source_rank", 1),
    "p_at_5_reverse": _at_most("source_rank", 5),
    "mrr_reverse": _reciprocal("source_rank"),
    "csls_p_at_1": _at_most("csls_target_rank", 1),
    "csls_p_at_1_reverse": _at_most("csls_source_rank", 1),
    "mexa": _mexa,
    "margin_error": lambda rows: 1 - _at_most("margin_target_rank", 1)(rows),
    "xcs": lambda rows: XCS_SCALE * rows["cosine"].to_numpy(float).clip(min=0),
    "xcs_mismatched": lambda rows: rows["mismatched_xcs"].to_numpy(float),
}
NAMES = list(WORD_FIGURES)
