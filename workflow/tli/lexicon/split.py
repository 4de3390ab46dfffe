"""Splits without leaks: pairs that share a form lie in one component, a component lies in one split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from tli.io.tables import PAIRS
from tli.lexicon.components import complete, components_of, links_of, pair_id
from tli.lexicon.components import leaks as forms_that_leak
from tli.lexicon.forms import FUNCTION_WORDS, SPLITS, fail
from tli.lexicon.sizes import exact_sizes

ASIDE = ["pair_id", "source", "target", "alternatives", "category", "provenance", "reason"]
LARGE = 0.05  # a component above this share of the list goes to train
TO_SPLIT = ("heldout", "select", "train")  # order in which the unit interval is cut

SHARES = {"train": 0.6, "select": 0.15, "heldout": 0.25}


def split(
    pairs: pd.DataFrame,
    *,
    shares: dict[str, float] | None = None,
    sizes: dict[str, int] | None = None,
    by: str = "forms",
    heldout_categories: tuple[str, ...] | list[str] = (),
    leaks: str = "error",
    salt: str = "",
    function_words: frozenset[str] | set[str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give each pair its id, component and split.

    Pairs are joined by equal normalised whole forms of source, target and alternatives, on either side, and lemmas where
    given; with by="content-words" by equal content words too. What a `split` column says wins; pairs of
    `heldout_categories` are held out, and a pair that shares a form with one of them is set aside. The others:

    - shares: a component goes where a hash of its first pair (and `salt`) falls; a pair that would bridge components
      of different splits is set aside. So pairs appended to a list move no earlier pair, but for a component that comes to
      hold more than 5 % of the list, which goes to train.
    - sizes: split -> pairs, met exactly; components above 5 % go to train. A split left out of `sizes` takes the rest
      (train if it is left out); where all three are named and the list is longer, whole components are set aside.

    Args:
        pairs: source, target and optionally alternatives, category, split, cognate, provenance, source_lemma,
            target_lemma; in the order of the list.
        shares: of pairs, in sum 1; default SHARES. Not used if `sizes` is given.
        leaks: "error", or "report" to let the file's own split column leak (the protocols of the paper).

    Returns:
        The pairs (columns tables.PAIRS, order kept), and the pairs set aside (ASIDE), each with its reason.

    Raises:
        LexiconError: a leak, a size that cannot be met (with the nearest), a split left empty (naming the largest
            component), an unknown split.
    """
    if by not in {"forms", "content-words"} or leaks not in {"error", "report"}:
        raise fail(f"by is {by!r} and leaks is {leaks!r}", "use by: forms or content-words, leaks: error or report")
    shares = _checked_shares(shares)
    pairs = complete(pairs)
    if not len(pairs):
        raise fail("no pair is left to split", "see the table of dropped rows for the reasons")
    words = FUNCTION_WORDS if function_words is None else frozenset(function_words)
    pairs["pair_id"] = [pair_id(source, target) for source, target in zip(pairs["source"].tolist(), pairs["target"].tolist())]
    reasons = pd.Series("", index=pairs.index, dtype=object)
    reasons[pairs["pair_id"].duplicated()] = "repeats an earlier pair"
    given = _given(pairs)
    links = links_of(pairs, by, words)
    if leaks == "error":
        _stop_at_leaks(pairs[given != ""], by, words)
    _hold_categories(pairs, links, given, reasons, heldout_categories, by, words)
    free = ((given == "") & (reasons == "")).any()
    if sizes is not None and free:
        _by_sizes(pairs, links, given, reasons, sizes, salt)
    elif free:
        _by_shares(pairs, links, given, reasons, shares, salt)
    kept = pairs[reasons == ""].assign(split=given[reasons == ""])
    kept["component"] = components_of([links[i] for i in kept.index], list(kept["pair_id"]))
    if free:
        _no_empty_split(kept, links, {name for name in SPLITS if (sizes or shares).get(name)})
    aside = pairs.assign(reason=reasons)[reasons != ""]
    return kept[PAIRS].reset_index(drop=True), aside[ASIDE].reset_index(drop=True)


def _checked_shares(shares) -> dict[str, float]:
    shares = SHARES if shares is None else dict(shares)
    if set(shares) - set(SPLITS) or any(not 0 <= share <= 1 for share in shares.values()) or (
        abs(sum(shares.values()) - 1) > 1e-6
    ):  # fmt: skip
        raise fail(f"shares is {shares}", f"give shares of {', '.join(SPLITS)} that add up to 1")
    return shares


def _given(pairs: pd.DataFrame) -> pd.Series:
    """The file's own splits, checked."""
    given = pairs["split"].astype(object)
    for place in given.index[~given.isin(["", *SPLITS])][:1]:
        file, line = (pairs[name].loc[place] if name in pairs.columns else "" for name in ("file", "line"))
        raise fail(
            f"the split {given[place]!r} of {pairs['source'][place]!r} is not known",
            f"use {', '.join(SPLITS)}, or leave it empty", file=str(file), line=line or 0,
        )  # fmt: skip
    return given


def _stop_at_leaks(pairs, by, words) -> None:
    found = forms_that_leak(pairs, by, words)
    if len(found):
        shown = "; ".join(f"{row.form!r} in {row.splits.replace('|', ' and ')} ({row.example})" for row in
                          found.head(3).itertuples())  # fmt: skip
        raise fail(
            f"{len(found)} form{'s leak' if len(found) > 1 else ' leaks'} across the splits of the file: {shown}",
            "put the pairs into one split, or set leaks: report to keep the file's split and have the leaks reported",
        )


def _hold_categories(pairs, links, given, reasons, categories, by, words) -> None:
    """Hold out the pairs of `categories`; set aside what shares a form with them."""
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
    given[held] = "heldout"


def _unit(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but `name` and `salt`."""
    return int(hashlib.sha256(f"{salt}\t{name}".encode()).hexdigest()[:13], 16) / 16**13


def _in_order(links, given, reasons, new_split: Callable[[int], set[str]]) -> tuple[dict[int, int], dict[int, set[str]]]:
    """Join pairs to components: those with a split first, then the others in the order of the list.

    A pair that shares a form with components of different splits gets a reason and joins none. `new_split` gives the
    split of a component that a pair starts, or an empty set where that is decided later.

    Returns:
        pair -> component, and component -> its splits (several only where the given splits leak).
    """
    parent: list[int] = []  # union-find
    where: dict[str, int] = {}  # form -> component
    splits: list[set[str]] = []
    member: dict[int, int] = {}

    def root(component: int) -> int:
        while parent[component] != component:
            parent[component] = parent[parent[component]]
            component = parent[component]
        return component

    def join(place: int, roots: list[int], found: set[str]) -> None:
        if not roots:
            roots = [len(parent)]
            parent.append(len(parent))
            splits.append(set())
        first = min(roots)
        for other in roots:
            parent[other] = first
        splits[first] = set(found)
        member[place] = first
        for form in links[place]:
            where[form] = first

    usable = (reasons == "").to_numpy()
    known = np.array(given.tolist(), dtype=object)
    for place in np.flatnonzero(usable & (known != "")).tolist():
        roots = list({root(where[form]) for form in links[place] if form in where})
        join(place, roots, {known[place]}.union(*(splits[one] for one in roots)))
    for place in np.flatnonzero(usable & (known == "")).tolist():
        roots = list({root(where[form]) for form in links[place] if form in where})
        found = set().union(*(splits[one] for one in roots)) if roots else new_split(place)
        if len(found) > 1:
            by_split = {}
            for form in links[place]:
                if form in where and splits[root(where[form])]:
                    by_split.setdefault("/".join(sorted(splits[root(where[form])])), form)
            reasons[place] = "would join " + " and ".join(f"{split} (by {form!r})" for split, form in by_split.items())
        else:
            join(place, roots, found)
    components = {place: root(component) for place, component in member.items()}
    return components, {component: splits[component] for component in set(components.values())}


def _by_shares(pairs, links, given, reasons, shares, salt) -> None:
    """Fill `given` by a hash of the first pair of each component."""
    identities = pairs["pair_id"].tolist()
    order = [name for name in TO_SPLIT if shares.get(name)]
    edges = np.cumsum([shares[name] for name in order])[:-1]

    def new_split(place: int) -> set[str]:
        return {order[int(np.searchsorted(edges, _unit(identities[place], salt), side="right"))]}

    known = given.tolist()
    components, splits = _in_order(links, given, reasons, new_split)
    sizes = Counter(components.values())
    fixed = {component for place, component in components.items() if known[place]}
    limit = max(1, LARGE * len(components))
    for place, component in components.items():
        if not known[place]:
            large = sizes[component] > limit and component not in fixed
            known[place] = "train" if large else next(iter(splits[component]))
    given[:] = known


def _by_sizes(pairs, links, given, reasons, sizes, salt) -> None:
    """Fill `given` so that each split has its size; what is linked to pairs with a split follows them."""
    unknown = [name for name in sizes if name not in SPLITS]
    if unknown or any(not isinstance(size, (int, np.integer)) or size < 0 for size in sizes.values()):
        raise fail(f"sizes is {sizes}", f"give whole numbers of pairs for some of {', '.join(SPLITS)}")
    known = given.tolist()
    components, splits = _in_order(links, given, reasons, lambda place: set())
    identities = pairs["pair_id"].tolist()
    names: dict[int, str] = {}  # component without a split -> its first pair
    counts: Counter = Counter()
    for place, component in sorted(components.items()):
        if not known[place] and splits[component]:
            known[place] = next(iter(splits[component]))
        elif not known[place]:
            names.setdefault(component, identities[place])
            counts[component] += 1
    have = Counter(known[place] for place in components if known[place])
    for name, size in sizes.items():
        if size < have[name]:
            raise fail(
                f"{name} has {have[name]} pairs already (by the split column or held-out categories), more than the {size} of sizes",
                "ask for more",
            )
    need = {name: size - have[name] for name, size in sizes.items()}
    order = sorted(names, key=lambda component: (_unit(names[component], salt), names[component]))
    size_of = np.array([counts[component] for component in order], dtype=np.int64)
    large = size_of > max(1, LARGE * len(components))
    chosen = dict(zip(order, exact_sizes(size_of, large, need, {name: have[name] for name in SPLITS})))
    for place, component in components.items():
        if not known[place]:
            known[place] = chosen[component]
            if not known[place]:
                reasons[place] = "beyond the sizes asked for"
    given[:] = known


def _no_empty_split(kept, links, wanted) -> None:
    """Raise where a split that should have pairs has none, naming the largest component."""
    empty = [name for name in SPLITS if name in wanted and not (kept["split"] == name).any()]
    if empty:
        counts = kept["component"].value_counts()
        inside = kept.index[kept["component"] == counts.index[0]]
        form, times = Counter(form for place in inside for form in links[place]).most_common(1)[0]
        raise fail(
            f"the list cannot be split: {' and '.join(empty)} would be empty; its largest component holds "
            f"{counts.iloc[0]} of {len(kept)} pairs ({times} of them share {form!r})",
            "add pairs that share no form, give sizes instead of shares, or use by: forms",
        )
