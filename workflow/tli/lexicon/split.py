"""Splits without leaks: pairs that share a form lie in one component, a component lies in one split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from tli.io.tables import PAIRS
from tli.lexicon.assign import LARGE, Division, by_shares, by_sizes
from tli.lexicon.components import complete, components_of, links_of, pair_ids
from tli.lexicon.components import leaks as forms_that_leak
from tli.lexicon.forms import FUNCTION_WORDS, SPLITS, fail
from tli.lexicon.placement import Placement
from tli.lexicon.untrained import askable, keys_of
from tli.specs import SplitSpec

ASIDE = ["pair_id", "source", "target", "alternatives", "category", "provenance", "reason"]


def split(
    pairs: pd.DataFrame,
    spec: SplitSpec | None = None,
    *,
    repeats: str = "set aside",
    salt: str = "",
    function_words: Iterable[str] = FUNCTION_WORDS,
    placement: Placement | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give each pair its id, component and split.

    Pairs are joined by equal normalised whole forms of source, target and alternatives, on either side, and lemmas where
    given; with by="content-words" by equal content words too. What a `split` column says wins; pairs of
    `heldout_categories` are held out, and a pair that shares a form with one of them is set aside. The others:

    - shares (of pairs, in sum 1): a component goes where a hash of its first pair (and `salt`) falls; a pair that would
      bridge components of different splits is set aside. So pairs appended to a list move no earlier pair, but for a
      component that comes to hold more than 5 % of the list, which goes to train.
    - sizes: split -> pairs, met exactly; components above 5 % go to train. A split left out of `sizes` takes the rest
      (train if it is left out); where all three are named and the list is longer, whole components are set aside.

    Args:
        pairs: source, target and optionally alternatives, category, split, cognate, provenance, source_lemma,
            target_lemma; in the order of the list.
        spec: `leaks` is "error", or "report" to let the file's own split column leak (the protocols of the paper).
            `shares` are not used where `sizes` are given.
        repeats: "set aside" or "keep" a pair whose source and target an earlier one has.
        placement: what the lists before have settled. A component that holds one of their forms has their split and their name
            for it; a pair that would bridge two of their splits is set aside.

    Returns
    -------
        The pairs (columns tables.PAIRS, order kept), and the pairs set aside (ASIDE), each with its reason.

    Raises
    ------
        LexiconError: a leak, a size that cannot be met (with the nearest), a split left empty (naming the largest
            component), an unknown split.
    """
    return split_with_links(pairs, spec, repeats=repeats, salt=salt, function_words=function_words, placement=placement)[:2]


def split_with_links(
    pairs: pd.DataFrame,
    spec: SplitSpec | None = None,
    *,
    repeats: str = "set aside",
    salt: str = "",
    function_words: Iterable[str] = FUNCTION_WORDS,
    placement: Placement | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[list[str]]]:
    """What `split` gives, and for each of the pairs the keys that link it to others."""
    spec = spec or SplitSpec()
    _check(spec)
    pairs = complete(pairs)
    if not len(pairs):
        raise fail("no pair is left to split", "see the table of dropped rows for the reasons")
    words = frozenset(function_words)
    pairs["pair_id"] = pair_ids(pairs, apart=repeats == "keep")
    reasons = pd.Series("", index=pairs.index, dtype=object)
    if repeats != "keep":
        reasons[pairs.duplicated(["source", "target"])] = "repeats an earlier pair"
    links = links_of(pairs, spec.by, words)
    division = Division(links, pairs["pair_id"].tolist(), _given(pairs), reasons, placement or Placement())
    given = division.given
    if spec.leaks == "error":
        _stop_at_leaks(pairs[given != ""], spec.by, words)
        _stop_at_leaks_between_lists(pairs, division)
    _hold_categories(pairs, division, spec.heldout_categories)
    free = ((given == "") & (reasons == "")).any()
    if free and spec.sizes is not None:
        by_sizes(division, spec.sizes, salt)
    elif free:
        by_shares(division, spec.shares, salt)
    used = pairs[reasons == ""].assign(split=given[reasons == ""])
    used["component"] = components_of([links[i] for i in used.index], list(used["pair_id"]), placement)
    if free:
        wanted = spec.shares if spec.sizes is None else spec.sizes
        _stop_at_an_empty_split(used, links, {name for name in SPLITS if wanted.get(name)})
    aside = pairs.assign(reason=reasons)[reasons != ""]
    return used[PAIRS].reset_index(drop=True), aside[ASIDE].reset_index(drop=True), [links[i] for i in used.index]


def held_out(
    pairs: pd.DataFrame, by: str, trained: frozenset[str], *, repeats: str = "set aside", placement: Placement | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs of a list that nobody trains on, and those set aside, as `split`: all held out but those with a trained form.

    by, repeats, placement: as in `split`; a component keeps the name that the lists before have for it, and none is broken. trained:
    keys of forms; a pair whose source or target is one of them is in `train`. A split column of the file does not count.
    Raises LexiconError for a list without a pair.
    """
    pairs = complete(pairs)
    if not len(pairs):
        raise fail("no pair is left", "see the table of dropped rows for the reasons")
    pairs["pair_id"] = pair_ids(pairs, apart=repeats == "keep")
    again = pairs.duplicated(["source", "target"]) if repeats != "keep" else pd.Series(False, index=pairs.index)
    used = pairs[~again].copy()
    used["split"] = np.where(askable(keys_of(used), None, trained), "heldout", "train")
    used["component"] = components_of(links_of(used, by, FUNCTION_WORDS), used["pair_id"].tolist(), placement)
    aside = pairs[again].assign(reason="repeats an earlier pair")
    return used[PAIRS].reset_index(drop=True), aside[ASIDE].reset_index(drop=True)


def leaks_between_lists(pairs: pd.DataFrame, links: list[list[str]], placement: Placement) -> dict[int, str]:
    """Pair (index label) -> in words, which of its forms an earlier list has in another split."""
    leaking = {}
    for place, split, forms in zip(pairs.index, pairs["split"], links):
        for form in forms if split else ():
            component = placement.component(form)
            others = (placement.splits(component) if component else set()) - {split}
            if others:
                leaking[place] = f"{form!r} is {'/'.join(sorted(others))} in {placement.origin(form)} and {split} here"
                break
    return leaking


def _check(spec: SplitSpec) -> None:
    if spec.by not in {"forms", "content-words"} or spec.leaks not in {"error", "report"}:
        raise fail(f"by is {spec.by!r} and leaks is {spec.leaks!r}", "use by: forms or content-words, leaks: error or report")
    unknown = set(spec.shares) - set(SPLITS)
    if unknown or any(not 0 <= share <= 1 for share in spec.shares.values()) or abs(sum(spec.shares.values()) - 1) > 1e-6:
        raise fail(f"shares is {spec.shares}", f"give shares of {', '.join(SPLITS)} that add up to 1")


def _given(pairs: pd.DataFrame) -> pd.Series:
    """The file's own splits, checked."""
    given = pairs["split"].astype(object)
    for place in given.index[~given.isin(["", *SPLITS])][:1]:
        file, line = (pairs[name].loc[place] if name in pairs.columns else "" for name in ("file", "line"))
        raise fail(
            f"the split {given[place]!r} of {pairs['source'][place]!r} is not known",
            f"use {', '.join(SPLITS)}, or leave it empty",
            file=str(file),
            line=int(line or 0),
        )
    return given


def _stop_at_leaks(pairs: pd.DataFrame, by: str, words: frozenset[str]) -> None:
    leaking = forms_that_leak(pairs, by, words)
    if len(leaking):
        shown = "; ".join(f"{row.form!r} in {row.splits.replace('|', ' and ')} ({row.example})" for row in leaking.head(3).itertuples())
        raise fail(
            f"{len(leaking)} form{'s leak' if len(leaking) > 1 else ' leaks'} across the splits of the file: {shown}",
            "put the pairs into one split, or set leaks: report to keep the file's split and have the leaks reported",
        )


def _stop_at_leaks_between_lists(pairs: pd.DataFrame, division: Division) -> None:
    leaking = leaks_between_lists(pairs.assign(split=division.given), division.links, division.placement)
    if leaking:
        raise fail(
            f"{len(leaking)} pairs leak between lists: {'; '.join(list(leaking.values())[:3])}",
            "put this list first in the config, set split.union: false, or leaks: report",
        )


def _hold_categories(pairs: pd.DataFrame, division: Division, categories: Iterable[str]) -> None:
    """Hold out the pairs of `categories`; set aside what shares a form with them."""
    links, given, reasons = division.links, division.given, division.reasons
    categories = [categories] if isinstance(categories, str) else list(categories)
    unknown = [name for name in categories if name not in set(pairs["category"])]
    if unknown:
        known = ", ".join(sorted(set(pairs["category"]) - {""})[:12]) or "none"
        raise fail(f"heldout_categories names {unknown[0]!r}, which no pair has", f"the list has: {known}")
    held = pairs["category"].isin(categories)
    if not categories:
        return
    clash = held & ~given.isin(["", "heldout"])
    if clash.any():
        first = pairs[clash].iloc[0]
        raise fail(
            f"{first['source']!r} of the held-out category {first['category']!r} is in {first['split']} by the file",
            "change the split column or heldout_categories",
        )
    trained = leaks_between_lists(pairs[held].assign(split="heldout"), [links[i] for i in pairs.index[held]], division.placement)
    for place, why in trained.items():
        reasons[place] = f"of a held-out category, but {why}"
    taken = {form: place for place in pairs.index[held & (reasons == "")] for form in links[place]}
    for place in pairs.index[~held & (given != "heldout") & (reasons == "")]:
        form = next((form for form in links[place] if form in taken), None)
        if form is not None and given[place] == "":
            reasons[place] = f"shares {form!r} with {pairs['source'][taken[form]]!r} of a held-out category"
        elif form is not None:
            raise fail(
                f"{pairs['source'][place]!r} ({given[place]} by the file) shares {form!r} with a held-out category",
                "change the split column or heldout_categories",
            )
    given[held & (reasons == "")] = "heldout"


def _stop_at_an_empty_split(pairs: pd.DataFrame, links: list[list[str]], wanted: set[str]) -> None:
    """Raise where a split that should have pairs has none, naming what is the cause: few pairs, or the largest component."""
    empty = [name for name in SPLITS if name in wanted and not (pairs["split"] == name).any()]
    if empty:
        counts = pairs["component"].value_counts()
        if counts.iloc[0] <= max(1, LARGE * len(pairs)):
            raise fail(
                f"{len(pairs)} pairs in {len(counts)} components are too few: {' and '.join(empty)} would be empty",
                "add pairs, or give sizes instead of shares",
            )
        inside = pairs.index[pairs["component"] == counts.index[0]]
        form, times = Counter(form for place in inside for form in links[place]).most_common(1)[0]
        raise fail(
            f"the list cannot be split: {' and '.join(empty)} would be empty; its largest component holds "
            f"{counts.iloc[0]} of {len(pairs)} pairs ({times} of them share {form!r})",
            "add pairs that share no form, give sizes instead of shares, or use by: forms",
        )
