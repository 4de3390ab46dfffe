"""Measure a lexicon on an opened model: embed its forms, then every figure of every pair, split and hidden state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from tli import metrics
from tli.io import store
from tli.metrics.projection import project
from tli.model.embedding import Embedded, embed, embed_all
from tli.model.opening import Opened
from tli.model.pooling import tokenize
from tli.model.streaming import Wanted
from tli.specs import STAGE_VERSIONS, MeasureSpec, ModelSpec
from tli.subjects import Subject


def measure(
    opened: Opened, pairs: pd.DataFrame, hidden_states: list[int], poolings: list[str], *, k: int = 10, progress=None, embedded=None
) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Rows per pair and figures per split, for each hidden state and pooling, and the vectors.

    pairs: columns tables.PAIRS. embedded: what `embed` gave for `forms(pairs)`, where it was done before. Returns (rows with the columns of tables.SIMILARITIES after the run's own,
    figures with those of tables.RUN_METRICS after the run's own, {(hidden state, pooling): (source vectors [n, d],
    target vectors [n, d])} by pair, float32).
    """
    candidates = metrics.candidates(pairs)
    if embedded is None:
        embedded = embed(opened, forms(candidates), hidden_states, poolings, progress=progress)
    rows, figures, vectors = [], [], {}
    splits = pairs["split"].to_numpy()
    for (state, pooling), all_vectors in embedded.vectors.items():
        parts = metrics.Vectors.of(all_vectors, candidates)
        found, by_split = metrics.evaluate(parts, candidates, splits, k=k, sink_ratio=embedded.sink_ratio[state])
        found.insert(0, "pair_id", pairs["pair_id"].to_numpy())
        found.insert(1, "split", splits)
        found.insert(2, "hidden_state", state)
        found.insert(3, "pooling", pooling)
        rows.append(found)
        normed = state == opened.layers
        figures += [
            {"split": split, "hidden_state": state, "normed": normed, "pooling": pooling, **values} for split, values in by_split.items()
        ]
        vectors[state, pooling] = (parts.source[candidates.source_of], parts.target[candidates.target_of])
    return pd.concat(rows, ignore_index=True), pd.DataFrame(figures), vectors


def forms(candidates: metrics.Candidates) -> list[str]:
    """The forms that `measure` embeds, in its order."""
    return candidates.forms


EDIT_LIMIT = 4_000_000  # comparisons of two words; beyond, edit similarity is left empty


def word_facts(opened: Opened, pairs: pd.DataFrame, source_vectors: np.ndarray) -> pd.DataFrame:
    """What else may tell which words gain: tables.WORDS without model and pair.

    source_vectors: [pairs, hidden] at the output, before training. A trained word is compared with the other trained ones.
    """
    from tli.lexicon import edit_similarity

    trained = np.flatnonzero((pairs["split"] == "train").to_numpy())
    units = source_vectors / np.maximum(np.linalg.norm(source_vectors, axis=1, keepdims=True), 1e-12)
    sources = pairs["source"].tolist()
    nearest, edit = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    for start in range(0, len(pairs), 2000) if len(trained) else ():
        rows = slice(start, start + 2000)
        cosines = units[rows] @ units[trained].T
        same = pairs["source"].to_numpy()[rows, None] == pairs["source"].to_numpy()[None, trained]
        nearest[rows] = np.where(same, -np.inf, cosines).max(axis=1)
    if 0 < len(pairs) * len(trained) <= EDIT_LIMIT:
        names = [sources[j] for j in trained]
        for i, source in enumerate(sources):
            others = [name for name in names if name != source]
            edit[i] = edit_similarity([source] * len(others), others).max() if others else np.nan
    counts = [tokenize(opened.tokenizer, pairs[side].tolist()) for side in ("source", "target")]
    return pd.DataFrame(
        {
            "pair_id": pairs["pair_id"].to_numpy(),
            "token_count": [word.last - word.first for word in counts[0]],
            "target_token_count": [word.last - word.first for word in counts[1]],
            "nearest_trained": np.where(np.isfinite(nearest), nearest, np.nan),
            "edit_similarity": edit,
        }
    )


@dataclass
class WordsProbe:
    """The words of a list at hidden states: rows.parquet, figures.parquet and, for some subjects, projections.parquet."""

    spec: MeasureSpec
    model: ModelSpec
    identity: str  # of the model
    pairs: pd.DataFrame  # columns tables.PAIRS
    states: Mapping[str, Sequence[int]]  # of each subject's run: the hidden states at which it is measured
    projected: frozenset[str] = frozenset()  # runs whose words are drawn by t-SNE and PCA; baselines always are
    kind: ClassVar[str] = "evaluate"
    needs_head: ClassVar[bool] = False
    _embedded: dict[str, Embedded] = field(default_factory=dict)

    def key(self, subject: Subject) -> dict:
        return {
            "version": STAGE_VERSIONS["evaluate"],
            "identity": self.identity,
            "dtype": self.model.dtype,
            "quantization": self.model.quantization if subject.quantized else "none",
            "unit": subject.unit,
            "states": list(self.states[subject.run]),
            "poolings": list(self.spec.poolings),
            "k": self.spec.csls_k,
            "merge": self.spec.merge and not subject.is_baseline,
            "pairs": self._digest,
            "projected": self._projected_pairs(subject),
        }

    @cached_property
    def _digest(self) -> str:
        return store.digest_table(self.pairs)

    def prepare(self, loaded, subjects: Sequence[Subject]) -> None:
        """Of a streamed model: all subjects' words in one reading of its files."""
        opened = loaded.opened
        if opened.stream is None:
            return
        wanted = [Wanted(self.states[subject.run], subject.adapter(opened), self.spec.merge) for subject in subjects]
        embedded = embed_all(opened, forms(metrics.candidates(self.pairs)), wanted, list(self.spec.poolings))
        self._embedded = {subject.run: one for subject, one in zip(subjects, embedded, strict=True)}

    def measure(self, loaded, subject: Subject, folder: Path) -> None:
        states, poolings = list(self.states[subject.run]), list(self.spec.poolings)
        rows, figures, vectors = measure(
            loaded.opened, self.pairs, states, poolings, k=self.spec.csls_k, embedded=self._embedded.pop(subject.run, None)
        )
        rows.to_parquet(folder / "rows.parquet", index=False)
        figures.to_parquet(folder / "figures.parquet", index=False)
        if self._projected_pairs(subject):
            maps = project(*vectors[states[0], poolings[0]], self.pairs, self.spec.projected_pairs)
            maps.insert(0, "hidden_state", states[0])
            maps.to_parquet(folder / "projections.parquet", index=False)

    def _projected_pairs(self, subject: Subject) -> int:
        return self.spec.projected_pairs if subject.is_baseline or subject.run in self.projected else 0


def states_of(asked: Sequence[str | int], layers: int, loss_layers: Sequence[int]) -> list[int]:
    """Hidden states as numbers, in the config's order, each once. `asked` may name "output" and "loss-layer"."""
    resolved: list[int] = []
    for state in asked:
        resolved += [layers] if state == "output" else loss_layers if state == "loss-layer" else [int(state)]
    return list(dict.fromkeys(resolved))
