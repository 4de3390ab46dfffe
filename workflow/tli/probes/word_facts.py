"""What else may tell which words gain: a word's tokens, and how near it is to the words that a training is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tli.lexicon import edit_similarity
from tli.model.embedding import embed
from tli.model.opened import Opened
from tli.model.pooling import tokenize

EDIT_LIMIT = 4_000_000  # comparisons of two words; beyond, edit similarity is left empty
BLOCK = 2000  # words whose cosines to the trained ones are held at a time


def word_facts(
    opened: Opened, pairs: pd.DataFrame, source_vectors: np.ndarray, beside: Mapping[str, Sequence[str]], pooling: str
) -> pd.DataFrame:
    """tables.WORDS without model and pair, trained_on "" for the list itself: a row a pair, and one more for each joint training.

    source_vectors: [pairs, hidden] at the output, before training, pooled as `pooling` says. beside: what joint trainings are given
    beside the list's own train pairs, by their name: source forms of the other lists.
    """
    counts = [tokenize(opened.tokenizer, pairs[side].tolist(), opened.word_form) for side in ("source", "target")]
    own = {
        "pair_id": pairs["pair_id"].to_numpy(),
        "token_count": [word.last - word.first for word in counts[0]],
        "target_token_count": [word.last - word.first for word in counts[1]],
    }
    is_trained = (pairs["split"] == "train").to_numpy()
    sources = pairs["source"].tolist()
    others = list(dict.fromkeys(form for forms in beside.values() for form in forms))
    read = embed(opened, others, [opened.layers], [pooling]).vectors[opened.layers, pooling] if others else source_vectors[:0]
    place = {form: row for row, form in enumerate(others)}
    rows = []
    for name, forms in {"": (), **beside}.items():
        names = [source for source, trained in zip(sources, is_trained, strict=True) if trained] + list(forms)
        vectors = np.concatenate([source_vectors[is_trained], read[[place[form] for form in forms]]])
        nearest, edit = nearest_cosine(sources, source_vectors, names, vectors), nearest_spelling(sources, names)
        rows.append(pd.DataFrame({**own, "nearest_trained": nearest, "edit_similarity": edit, "trained_on": name}))
    return pd.concat(rows, ignore_index=True)


def nearest_cosine(words: Sequence[str], vectors: np.ndarray, trained: Sequence[str], trained_vectors: np.ndarray) -> np.ndarray:
    """The highest cosine of each word to a trained one of another form, [words]; NaN where there is none.

    vectors: [words, hidden]; trained_vectors: [trained, hidden].
    """
    nearest = np.full(len(words), np.nan)
    if not len(trained):
        return nearest
    units, others = _units(vectors), _units(trained_vectors)
    forms, named = np.array(words, object), np.array(trained, object)
    for start in range(0, len(words), BLOCK):
        rows = slice(start, start + BLOCK)
        nearest[rows] = np.where(forms[rows, None] == named[None], -np.inf, units[rows] @ others.T).max(axis=1)
    return np.where(np.isfinite(nearest), nearest, np.nan)


def nearest_spelling(words: Sequence[str], trained: Sequence[str]) -> np.ndarray:
    """The highest edit similarity of each word to a trained one of another form, [words]; NaN where there is none.

    NaN for all where the comparisons would be more than EDIT_LIMIT.
    """
    nearest = np.full(len(words), np.nan)
    if 0 < len(words) * len(trained) <= EDIT_LIMIT:
        for i, word in enumerate(words):
            others = [name for name in trained if name != word]
            nearest[i] = edit_similarity([word] * len(others), others).max() if others else np.nan
    return nearest


def _units(vectors: np.ndarray) -> np.ndarray:
    """With length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
