"""Folds: components dealt anew for each seed, so that every dealt word is held out once per seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tli.lexicon.assign import LARGE
from tli.lexicon.components import components_of, links_of
from tli.lexicon.forms import FUNCTION_WORDS, fail


def deal_folds(pairs: pd.DataFrame, folds: int, seed: int) -> pd.Series:
    """The fold of each pair of one list, 1 to `folds`; 0 for what is never dealt. See `deal_folds_of_union`."""
    return deal_folds_of_union({"": pairs}, folds, seed)[""]


def deal_folds_of_union(lists: Mapping[str, pd.DataFrame], folds: int, seed: int, by: str = "forms") -> dict[str, pd.Series]:
    """Deal the components of lists that share a language, a component into one fold for all of them.

    Never dealt, and fold 0, are the select split and the components above 5 % of a list (always trained). The others are
    shuffled by the seed, the largest first, each into the fold where its lists have the fewest pairs: on one list no two
    folds differ by more than its largest dealt component.

    Args:
        lists: name -> pairs (tables.PAIRS), as `Union` gives them; in the order of the config.
        folds: K, at least 2.
        by: what joins pairs of different lists; inside a list its column `component` does. Lemmas, which the tables do not
            hold, join pairs of one list only.

    Returns
    -------
        name -> fold by pair_id (int64).

    Raises
    ------
        LexiconError: fewer than 2 folds, or than components to deal in a list.
    """
    if folds < 2:
        raise fail(f"{folds} folds are asked for", "ask for 2 or more; with folds: 1 the split column decides")
    table = pd.concat([pairs.assign(list=name) for name, pairs in lists.items()], ignore_index=True)
    links = [[*one, "\0" + component] for one, component in zip(links_of(table, by, FUNCTION_WORDS), table["component"].tolist())]
    group = pd.factorize(components_of(links, [str(place) for place in range(len(table))]))[0]
    column = pd.factorize(table["list"])[0]
    counts = np.zeros((group.max(initial=-1) + 1, len(lists)), dtype=np.int64)  # [components, lists]
    np.add.at(counts, (group, column), 1)
    limits = np.array([max(1, LARGE * len(pairs)) for pairs in lists.values()])
    dealt = np.asarray((counts <= limits).all(axis=1))
    dealt[group[(table["split"] == "select").to_numpy()]] = False
    for name, number in zip(lists, (counts[dealt] > 0).sum(axis=0)):
        if number < folds:
            raise fail(f"{name or 'the list'} has {number} components to deal into {folds} folds", "ask for fewer folds, or add pairs")
    fold_of = np.zeros(len(counts), dtype=np.int64)
    fold_of[dealt] = _dealt(counts[dealt], folds, np.random.default_rng([seed, folds]))
    table["fold"] = fold_of[group]
    return {name: table.loc[table["list"] == name].set_index("pair_id")["fold"] for name in lists}


def _dealt(counts: np.ndarray, folds: int, random: np.random.Generator) -> np.ndarray:
    """A fold, 1 to `folds`, for each component; counts: pairs [components, lists]."""
    shares = counts / counts.sum(axis=0)
    shuffled = random.permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    filled = np.zeros((folds, counts.shape[1]))  # pairs in each fold, by list
    fold_of = np.empty(len(counts), dtype=np.int64)
    for component in order:
        ties = random.permutation(folds)
        fold = ties[np.argmin(filled[ties] @ shares[component])]
        filled[fold] += counts[component]
        fold_of[component] = fold + 1
    return fold_of
