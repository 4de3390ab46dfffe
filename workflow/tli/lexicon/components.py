"""Which pairs share a form, and what leaks from one split into another."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pandas as pd

from tli.lexicon.forms import FUNCTION_WORDS, alternatives, content_words, key
from tli.lexicon.placement import Placement
from tli.lexicon.similarity import edit_similarity


def pair_id(source: str, target: str) -> str:
    """The first 12 hex digits of sha256 of "source<tab>target"."""
    return hashlib.sha256(f"{source}\t{target}".encode()).hexdigest()[:12]


def pair_ids(pairs: pd.DataFrame, apart: bool = False) -> list[str]:
    """The id of each pair; with `apart` a pair that repeats earlier ones counts them in its id, so that no two are equal."""
    counts: Counter = Counter()
    ids = []
    for source, target in zip(pairs["source"].tolist(), pairs["target"].tolist()):
        counts[source, target] += apart
        again = counts[source, target]
        ids.append(pair_id(source, target if again < 2 else f"{target}\t{again}"))
    return ids


def complete(pairs: pd.DataFrame) -> pd.DataFrame:
    """A copy of `pairs` with the optional columns filled in, index 0, 1, ..."""
    pairs = pairs.reset_index(drop=True).copy()
    for name in ("alternatives", "category", "split", "provenance"):
        pairs[name] = pairs[name].astype(object).fillna("") if name in pairs.columns else ""
    if "cognate" not in pairs.columns:
        pairs["cognate"] = np.round(edit_similarity(pairs["source"].tolist(), pairs["target"].tolist()), 4)
    return pairs


def links_of(pairs: pd.DataFrame, by: str, function_words: frozenset[str]) -> list[list[str]]:
    """For each pair the keys that join it to others: whole forms (and lemmas), with content-words their words too."""
    names = [name for name in ("source", "target", "source_lemma", "target_lemma") if name in pairs.columns]
    links = []
    for cells, more in zip(zip(*(pairs[name].tolist() for name in names)), pairs["alternatives"].tolist()):
        keys = dict.fromkeys(key(cell) for cell in [*cells, *alternatives(more)] if cell)
        if by == "content-words":
            # A word and a one-word form are the same thing to a model: one space of keys for both.
            keys |= dict.fromkeys(word for form in list(keys) for word in content_words(form, function_words))
        links.append([one for one in keys if one])
    return links


def leaks(pairs: pd.DataFrame, by: str = "forms", function_words: frozenset[str] = FUNCTION_WORDS) -> pd.DataFrame:
    """Forms that stand in more than one split: form, splits ('|'-joined), pairs (how many), example. Empty if none leaks."""
    pairs = complete(pairs)
    rows = [
        (form, split, f"{source} = {target}")
        for form_list, split, source, target in zip(links_of(pairs, by, function_words), pairs["split"], pairs["source"], pairs["target"])
        for form in form_list
        if split
    ]
    table = pd.DataFrame(rows, columns=["form", "split", "pair"])
    several = table.drop_duplicates(["form", "split"])
    several = several[several.duplicated("form", keep=False)]
    counts = table["form"].value_counts()
    leaking = several.groupby("form", sort=False).agg(
        splits=("split", "|".join), example=("pair", lambda shown: "; ".join(list(shown)[:2]))
    )
    leaking["pairs"] = counts.reindex(leaking.index)
    return leaking.reset_index()[["form", "splits", "pairs", "example"]]


def components_of(links: list[list[str]], names: list[str], placement: Placement | None = None) -> np.ndarray:
    """The component of each pair, named by its first pair; one with a form of an earlier list has that list's name for it."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not links:
        return np.array([], dtype=object)
    earlier: list[str] = []
    if placement:
        touched = [{placement.component(form) for form in one} - {""} for one in links]
        earlier = sorted(set().union(*touched), key=placement.order)
        links = [["\0" + name] for name in earlier] + [[*one, *("\0" + name for name in also)] for one, also in zip(links, touched)]
    count = len(links)
    rows = np.repeat(np.arange(count), [len(one) for one in links])
    columns, forms = pd.factorize(np.array([form for one in links for form in one], dtype=object))
    total = count + len(forms)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns + count)), shape=(total, total))
    labels = connected_components(graph, directed=False)[1][:count]
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    return np.array([*earlier, *names], dtype=object)[first][place][len(earlier) :]
