"""Which split the components of a list go to: by hash, or by exact sizes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from tli.lexicon.forms import SPLITS, fail
from tli.lexicon.sizes import exact_sizes

LARGE = 0.05  # a component above this share of the list goes to train
TO_SPLIT = ("heldout", "select", "train")  # order in which the unit interval is cut


def _unit(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but `name` and `salt`."""
    return int(hashlib.sha256(f"{salt}\t{name}".encode()).hexdigest()[:13], 16) / 16**13


def _in_order(
    links: list[list[str]], given: pd.Series, reasons: pd.Series, new_split: Callable[[int], set[str]]
) -> tuple[dict[int, int], dict[int, set[str]]]:
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

    def join(place: int, roots: list[int], names: set[str]) -> None:
        if not roots:
            roots = [len(parent)]
            parent.append(len(parent))
            splits.append(set())
        first = min(roots)
        for other in roots:
            parent[other] = first
        splits[first] = set(names)
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
        names = set().union(*(splits[one] for one in roots)) if roots else new_split(place)
        if len(names) > 1:
            by_split = {}
            for form in links[place]:
                if form in where and splits[root(where[form])]:
                    by_split.setdefault("/".join(sorted(splits[root(where[form])])), form)
            reasons[place] = "would join " + " and ".join(f"{split} (by {form!r})" for split, form in by_split.items())
        else:
            join(place, roots, names)
    components = {place: root(component) for place, component in member.items()}
    return components, {component: splits[component] for component in set(components.values())}


def by_shares(
    links: list[list[str]], identities: list[str], given: pd.Series, reasons: pd.Series, shares: dict[str, float], salt: str
) -> None:
    """Fill `given` by a hash of the first pair of each component."""
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


def by_sizes(links: list[list[str]], identities: list[str], given: pd.Series, reasons: pd.Series, sizes: dict[str, int], salt: str) -> None:
    """Fill `given` so that each split has its size; what is linked to pairs with a split follows them."""
    unknown = [name for name in sizes if name not in SPLITS]
    if unknown or any(not isinstance(size, (int, np.integer)) or size < 0 for size in sizes.values()):
        raise fail(f"sizes is {sizes}", f"give whole numbers of pairs for some of {', '.join(SPLITS)}")
    known = given.tolist()
    components, splits = _in_order(links, given, reasons, lambda place: set())
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
    split_of = dict(zip(order, exact_sizes(size_of, large, need, {name: have[name] for name in SPLITS})))
    for place, component in components.items():
        if not known[place]:
            known[place] = split_of[component]
            if not known[place]:
                reasons[place] = "beyond the sizes asked for"
    given[:] = known
