"""How alike two columns of words are as languages: character trigrams, corrected for how short the lists are."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence

import numpy as np
from scipy import sparse

MOST_FORMS = 5_000  # of a column that are looked at; further ones move its trigrams no more
_BITS = 21  # of a character's number, so that three of them are one integer
_END = ord("\n")


def likeness(columns: Sequence[Collection[str]]) -> np.ndarray:
    """How alike every two columns are, float64 (n, n): about 1 for two lists of one language, whatever their length.

    A column's distinct forms are dealt by their checksum into two halves, each a distribution p of character trigrams (a form
    stands between spaces). Two halves are as alike as their Bhattacharyya coefficient, sum sqrt(p q) (Bhattacharyya 1943); two
    columns as the mean of their unlike halves, divided by the geometric mean of what each column's own two halves reach:
    Spearman's (1904) correction for attenuation. A form always falls into the same half, so forms that both columns hold (loans,
    names, the file itself) are never held against themselves, and a file and its copy come out at exactly 1.
    NaN where a column has too little to be judged.

    columns: normalised forms (`tli.lexicon.key`); of more than MOST_FORMS those with the lowest checksums.
    """
    halves = [half for column in columns for half in _halves(column)]
    known = [_trigrams(half) for half in halves]
    codes = np.unique(np.concatenate([trigrams for trigrams, _ in known])) if known else np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(known)), [len(trigrams) for trigrams, _ in known])
    places = np.searchsorted(codes, np.concatenate([trigrams for trigrams, _ in known])) if known else rows
    shares = np.concatenate([np.sqrt(counts / max(1, counts.sum())) for _, counts in known]) if known else np.zeros(0)
    table = sparse.csr_matrix((shares, (rows, places)), shape=(len(known), len(codes)))
    cross = (table[0::2] @ table[1::2].T).toarray()
    alike = (cross + cross.T) / 2
    own = np.diag(alike).copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.outer(own, own) > 0, alike / np.sqrt(np.outer(own, own)), np.nan)


def _halves(column: Collection[str]) -> tuple[list[str], list[str]]:
    """The distinct forms by the last bit of their checksum, in its order; at most MOST_FORMS of them."""
    forms = sorted((zlib.crc32(form.encode()), form) for form in set(column) - {""})[:MOST_FORMS]
    return [form for number, form in forms if number % 2 == 0], [form for number, form in forms if number % 2]


def _trigrams(forms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The trigrams of the forms, each as one integer, and how often each stands."""
    text = "\n".join(f" {form} " for form in forms)
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    if len(letters) < 3:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    within = (letters[:-2] != _END) & (letters[1:-1] != _END) & (letters[2:] != _END)
    codes = (letters[:-2] << 2 * _BITS) | (letters[1:-1] << _BITS) | letters[2:]
    return np.unique(codes[within], return_counts=True)
