"""The figures of a pool: those of a whole list, with chance, spelling and strata beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tli.io import tables
from tli.metrics import baselines, strata
from tli.metrics.pools import Pool
from tli.metrics.retrieval import per_pair
from tli.metrics.summary import figures_of
from tli.metrics.vectors import Vectors


@dataclass(frozen=True, eq=False)
class Questions:
    """What is known of a list's pairs beside their vectors; arrays of the whole list."""

    splits: np.ndarray  # [n_pairs] each pair's split
    similarity: np.ndarray | None = None  # [n_source_forms, n_target_forms] how alike they are spelt
    strata: Mapping[str, np.ndarray] = field(default_factory=dict)  # {stratum: part of each pair} (strata.parts)


def evaluate_pool(
    vectors: Vectors, pool: Pool, questions: Questions, *, k: int = 10, sink_ratio: float = np.nan
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the pool's queries, and their figures.

    vectors: of the whole list's forms. Returns (rows: one a query, `pair` (its index in the list) and the columns of
    per_pair and tables.POOL_ROWS; figures: one a split (stratum and part "") or a stratum's part, columns split, stratum,
    part, tables.METRICS, tables.POOLS).
    """
    among = pool.vectors(vectors)
    rows = per_pair(among, pool.candidates, k=k)
    rows["leaked"] = pool.leaked
    rows["chance"], rows["chance_reverse"] = baselines.chance(pool.candidates)
    rows["string_rank"], rows["string_rank_reverse"] = np.nan, np.nan
    if questions.similarity is not None:
        ranks = baselines.string_ranks(pool.candidates, pool.similarity(questions.similarity))
        rows["string_rank"], rows["string_rank_reverse"] = ranks
    masks = strata.groups(np.asarray(questions.splits)[pool.pairs], {name: of[pool.pairs] for name, of in questions.strata.items()})
    figures = [
        {"split": split, "stratum": stratum, "part": part} | figure | _beside(rows[masks[split, stratum, part]], pool)
        for (split, stratum, part), figure in figures_of(rows, among, pool.candidates, masks, k=k, sink_ratio=sink_ratio).items()
    ]
    rows.insert(0, "pair", pool.pairs)
    rows.insert(1, "pool", pool.name)
    return rows, pd.DataFrame(figures, columns=["split", "stratum", "part", *tables.METRICS, *tables.POOLS])


def _beside(rows: pd.DataFrame, pool: Pool) -> dict:
    """tables.POOLS for a group of queries."""
    sources, targets = pool.candidates.rivals
    by_spelling = {
        name: float((rows[rank] <= 1).mean()) if rows[rank].notna().any() else float("nan")
        for name, rank in (("string_p_at_1", "string_rank"), ("string_p_at_1_reverse", "string_rank_reverse"))
    }
    return {
        "pool": pool.name,
        "pool_sources": sources,
        "pool_targets": targets,
        "leaked": int(rows["leaked"].sum()),
        "chance": float(rows["chance"].mean()),
        "chance_reverse": float(rows["chance_reverse"].mean()),
        **by_spelling,
    }
