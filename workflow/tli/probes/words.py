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
from tli.model.opened import Opened
from tli.model.pooling import tokenize
from tli.model.streaming import Wanted
from tli.specs import STAGE_VERSIONS, MeasureSpec, ModelSpec
from tli.subjects import Subject

Figures = tuple[pd.DataFrame, pd.DataFrame, dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]]


def measure(
    opened: Opened, pairs: pd.DataFrame, hidden_states: Sequence[int], poolings: Sequence[str], *, k: int = 10, progress=None
) -> Figures:
    """Embed the forms of a list on an opened model, then take `figures_of` them."""
    forms = metrics.candidates(pairs).forms
    return figures_of(embed(opened, forms, list(hidden_states), list(poolings), progress=progress), pairs, opened.layers, k)


def figures_of(embedded: Embedded, pairs: pd.DataFrame, layers: int, k: int = 10) -> Figures:
    """Rows per pair and figures per split, for each hidden state and pooling, and the vectors.

    embedded: of the forms of `metrics.candidates(pairs)`. pairs: columns tables.PAIRS. layers: L, whose hidden state is normed.
    Returns (rows with the columns of tables.SIMILARITIES after the run's names, figures with those of tables.RUN_METRICS after
    them, {(hidden state, pooling): (source vectors [n, d], target vectors [n, d])} by pair, float32).
    """
    candidates, splits = metrics.candidates(pairs), pairs["split"].to_numpy()
    rows, figures, vectors = [], [], {}
    for (state, pooling), stacked in embedded.vectors.items():
        parts = metrics.Vectors.of(stacked, candidates)
        of_pairs, by_split = metrics.evaluate(parts, candidates, splits, k=k, sink_ratio=embedded.sink_ratio[state])
        place = {"hidden_state": state, "pooling": pooling}
        for number, (name, values) in enumerate({"pair_id": pairs["pair_id"].to_numpy(), "split": splits, **place}.items()):
            of_pairs.insert(number, name, values)
        rows.append(of_pairs)
        figures += [
            {"split": split, "hidden_state": state, "normed": state == layers, "pooling": pooling, **values}
            for split, values in by_split.items()
        ]
        vectors[state, pooling] = (parts.source[candidates.source_of], parts.target[candidates.target_of])
    return pd.concat(rows, ignore_index=True), pd.DataFrame(figures), vectors


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
        embedded = embed_all(opened, metrics.candidates(self.pairs).forms, wanted, list(self.spec.poolings))
        self._embedded = {subject.run: one for subject, one in zip(subjects, embedded, strict=True)}

    def measure(self, loaded, subject: Subject, folder: Path) -> None:
        states, poolings = list(self.states[subject.run]), list(self.spec.poolings)
        embedded = self._embedded.pop(subject.run, None)
        if embedded is None:
            embedded = embed(loaded.opened, metrics.candidates(self.pairs).forms, states, poolings)
        rows, figures, vectors = figures_of(embedded, self.pairs, loaded.opened.layers, self.spec.csls_k)
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
