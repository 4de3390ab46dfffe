"""Normalised edit similarity of many pairs of words at once."""

from __future__ import annotations

import numpy as np

from tli.lexicon.forms import fold


def edit_distance(first: list[str], second: list[str]) -> np.ndarray:
    """Levenshtein distance of first[i] and second[i] (insert, delete, replace: 1 each), int64 array of the same length.

    One row of the dynamic programme is an array operation over all pairs whose first word has one length: an insertion
    chain within a row, D[j] = min_k<=j (T[k] + j - k), is a running minimum of T[k] - k.

    >>> edit_distance(["kitten", "maji"], ["sitting", "maji"]).tolist()
    [3, 0]
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} words against {len(second)}: give as many of each")
    result = np.zeros(len(first), dtype=np.int64)
    if not len(first):
        return result
    lengths = np.array([len(word) for word in first]), np.array([len(word) for word in second])
    order = np.lexsort((lengths[1], lengths[0]))
    starts = np.flatnonzero(np.r_[True, np.diff(lengths[0][order]) > 0])
    for start, stop in zip(starts, [*starts[1:], len(order)]):
        rows, width = lengths[0][order[start]], max(1, lengths[1][order[stop - 1]])
        block = max(1, 4_000_000 // int(width))
        for begin in range(start, stop, block):
            chosen = order[begin : min(begin + block, stop)]
            result[chosen] = _same_length(_codes([first[i] for i in chosen], rows), _codes([second[i] for i in chosen]), lengths[1][chosen])
    return result


def _codes(words: list[str], width: int | None = None) -> np.ndarray:
    """Code points, one row a word, -1 after its end."""
    width = max(map(len, words)) if width is None else width
    if width == 0:
        return np.empty((len(words), 0), dtype=np.int32)
    codes = np.array(words, dtype=f"U{width}").view(np.uint32).reshape(len(words), width).astype(np.int32)
    ends = np.array([len(word) for word in words])
    codes[np.arange(width) >= ends[:, None]] = -1
    return codes


def _same_length(first: np.ndarray, second: np.ndarray, ends: np.ndarray) -> np.ndarray:
    steps = np.arange(second.shape[1] + 1, dtype=np.int32)
    row = np.broadcast_to(steps, (len(second), len(steps))).copy()
    for place in range(first.shape[1]):
        new = row + 1
        np.minimum(new[:, 1:], row[:, :-1] + (second != first[:, place, None]), out=new[:, 1:])
        row = np.minimum.accumulate(new - steps, axis=1) + steps
    return row[np.arange(len(second)), ends]


def edit_similarity(first: list[str], second: list[str]) -> np.ndarray:
    """1 - Levenshtein / length of the longer, case and diacritics folded; float64 in [0, 1], 1 for two empty words."""
    folded = [[fold(word) for word in words] for words in (first, second)]
    longer = np.maximum([len(word) for word in folded[0]], [len(word) for word in folded[1]]).astype(float)
    return 1.0 - edit_distance(*folded) / np.maximum(longer, 1.0)
