"""A list as a column of the matrix of adapters and lists: who is asked, and among which forms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from tli import metrics
from tli.io import store
from tli.lexicon.forms import key
from tli.lexicon.similarity import edit_similarity


@dataclass(frozen=True, eq=False)
class Column:
    """A list as every subject is asked it, whatever that was trained on."""

    pairs: pd.DataFrame  # columns tables.PAIRS
    asked: np.ndarray  # bool [n_pairs]: the queries
    trained: frozenset[str]  # the key (tli.lexicon.forms.key) of every form that any list trains

    @cached_property
    def pool(self) -> metrics.Pool:
        """The queries among the list's forms that nobody trains. Raises LexiconError where no form is left."""
        candidates = metrics.candidates(self.pairs)
        sides = candidates.source_forms, (*candidates.target_forms, *candidates.reference_forms)
        trained = [{form for form in side if key(form) in self.trained} for side in sides]
        return metrics.untrained(candidates, self.asked, *trained).by_itself

    @property
    def forms(self) -> list[str]:
        """The forms that need a vector."""
        return self.pool.candidates.forms

    @cached_property
    def digest(self) -> str:
        """Of its rows and of who competes."""
        rows = self.pairs[["pair_id", "source", "target", "alternatives"]].assign(asked=self.asked)
        candidates = self.pool.candidates
        return store.digest([store.digest_table(rows), candidates.source_forms, candidates.target_forms, candidates.reference_forms])

    @cached_property
    def spelling(self) -> tuple[np.ndarray, np.ndarray]:
        """What spelling gives for nothing: a query's rank both ways, NaN in a pool too large for it."""
        candidates = self.pool.candidates
        alike = metrics.baselines.similarity_matrix(candidates, edit_similarity)
        if alike is None:
            nothing = np.full(len(candidates.source_of), np.nan)
            return nothing, nothing
        return metrics.baselines.string_ranks(candidates, alike)

    def figures(self, vectors: np.ndarray, k: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows of the queries and the figures of all of them, from the vectors [forms, d] of `forms`.

        Columns as metrics.evaluate_pool; the ratio of the sink is not known here (NaN: of token norms, which the evaluation has).
        """
        candidates = self.pool.candidates
        questions = metrics.Questions(np.full(len(self.pairs), "heldout", dtype=object))
        rows, figures = metrics.evaluate_pool(metrics.Vectors.of(vectors, candidates), self.pool, questions, k=k)
        rows["string_rank"], rows["string_rank_reverse"] = self.spelling
        for name, ranks in zip(("string_p_at_1", "string_p_at_1_reverse"), self.spelling, strict=True):
            figures[name] = float((ranks <= 1).mean()) if np.isfinite(ranks).any() else float("nan")
        rows.insert(0, "pair_id", self.pairs["pair_id"].to_numpy()[rows.pop("pair")])
        return rows.assign(split="heldout"), figures.drop(columns=["stratum", "part"])
