"""Which split the components of a list go to: by hash, or by exact sizes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tli.lexicon.forms import SPLITS, fail
from tli.lexicon.placement import Placement
from tli.lexicon.sizes import exact_sizes

LARGE = 0.05  # a component above this share of the list goes to train
TO_SPLIT = ("heldout", "select", "train")  # order in which the unit interval is cut


def _unit(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but `name` and `salt`."""
    return int(hashlib.sha256(f"{salt}\t{name}".encode()).hexdigest()[:13], 16) / 16**13


@dataclass
class Division:
    """A list while it is divided: per pair its links and id, the split given so far ("" if none), and why it is set aside."""

    links: list[list[str]]
    identities: list[str]
    given: pd.Series
    reasons: pd.Series
    placement: Placement = field(default_factory=Placement)  # what the lists before have settled


class _Joined:
    """Components by union-find: those of the lists before, then those of this list."""

    def __init__(self, division: Division):
        self.parent: list[int] = []
        self.where: dict[str, int] = {}  # form -> component
        self.splits: list[set[str]] = []
        self.member: dict[int, int] = {}  # pair -> component
        placed: dict[str, int] = {}
        for place in np.flatnonzero((division.reasons == "").to_numpy()).tolist() if division.placement else ():
            for form in division.links[place]:
                name = division.placement.component(form)
                if name:
                    if name not in placed:
                        placed[name] = self._new(division.placement.splits(name))
                    self.where[form] = placed[name]
        self.placed = len(placed)  # the first components are those of the lists before

    def _new(self, splits: set[str]) -> int:
        self.parent.append(len(self.parent))
        self.splits.append(set(splits))
        return self.parent[-1]

    def root(self, component: int) -> int:
        while self.parent[component] != component:
            self.parent[component] = self.parent[self.parent[component]]
            component = self.parent[component]
        return component

    def touched(self, forms: list[str]) -> list[int]:
        return list({self.root(self.where[form]) for form in forms if form in self.where})

    def join(self, place: int, forms: list[str], roots: list[int], splits: set[str]) -> None:
        first = min(roots) if roots else self._new(set())
        for other in roots:
            self.parent[other] = first
        self.splits[first] = set(splits)
        self.member[place] = first
        for form in forms:
            self.where[form] = first


def _in_order(division: Division, new_split: Callable[[int], set[str]]) -> tuple[dict[int, int], dict[int, set[str]], set[int]]:
    """Join pairs to components: those with a split first, then the others in the order of the list.

    A pair that shares a form with components of different splits gets a reason and joins none. `new_split` gives the
    split of a component that a pair starts, or an empty set where that is decided later.

    Returns
    -------
        pair -> component, component -> its splits (several only where the given splits leak), and the components that hold a
        form of an earlier list.
    """
    joined = _Joined(division)
    usable = (division.reasons == "").to_numpy()
    known = np.array(division.given.tolist(), dtype=object)
    for place in np.flatnonzero(usable & (known != "")).tolist():
        roots = joined.touched(division.links[place])
        joined.join(place, division.links[place], roots, {known[place]}.union(*(joined.splits[one] for one in roots)))
    for place in np.flatnonzero(usable & (known == "")).tolist():
        forms = division.links[place]
        roots = joined.touched(forms)
        splits = set().union(*(joined.splits[one] for one in roots)) if roots else new_split(place)
        if len(splits) > 1:
            division.reasons[place] = _bridges(joined, forms, division.placement)
        else:
            joined.join(place, forms, roots, splits)
    components = {place: joined.root(component) for place, component in joined.member.items()}
    splits_of = {component: joined.splits[component] for component in set(components.values())}
    return components, splits_of, {component for component in splits_of if component < joined.placed}


def _bridges(joined: _Joined, forms: list[str], placement: Placement) -> str:
    """Which splits a pair with these forms would join, and by which form each."""
    by_split: dict[str, str] = {}
    for form in forms:
        if form in joined.where and joined.splits[joined.root(joined.where[form])]:
            by_split.setdefault("/".join(sorted(joined.splits[joined.root(joined.where[form])])), form)
    named = {split: f"{form!r} of {placement.origin(form)}" if placement.origin(form) else repr(form) for split, form in by_split.items()}
    return "would join " + " and ".join(f"{split} (by {form})" for split, form in named.items())


def by_shares(division: Division, shares: dict[str, float], salt: str) -> None:
    """Fill `given` by a hash of the first pair of each component."""
    order = [name for name in TO_SPLIT if shares.get(name)]
    edges = np.cumsum([shares[name] for name in order])[:-1]

    def new_split(place: int) -> set[str]:
        return {order[int(np.searchsorted(edges, _unit(division.identities[place], salt), side="right"))]}

    known = division.given.tolist()
    components, splits, fixed = _in_order(division, new_split)
    sizes = Counter(components.values())
    fixed |= {component for place, component in components.items() if known[place]}
    limit = max(1, LARGE * len(components))
    for place, component in components.items():
        if not known[place]:
            large = sizes[component] > limit and component not in fixed
            known[place] = "train" if large else next(iter(splits[component]))
    division.given[:] = known


def by_sizes(division: Division, sizes: dict[str, int], salt: str) -> None:
    """Fill `given` so that each split has its size; what is linked to pairs with a split follows them."""
    unknown = [name for name in sizes if name not in SPLITS]
    if unknown or any(not isinstance(size, (int, np.integer)) or size < 0 for size in sizes.values()):
        raise fail(f"sizes is {sizes}", f"give whole numbers of pairs for some of {', '.join(SPLITS)}")
    known = division.given.tolist()
    components, splits, _ = _in_order(division, lambda place: set())
    names: dict[int, str] = {}  # component without a split -> its first pair
    counts: Counter = Counter()
    for place, component in sorted(components.items()):
        if not known[place] and splits[component]:
            known[place] = next(iter(splits[component]))
        elif not known[place]:
            names.setdefault(component, division.identities[place])
            counts[component] += 1
    have = Counter(known[place] for place in components if known[place])
    for name, size in sizes.items():
        if size < have[name]:
            raise fail(
                f"{name} has {have[name]} pairs already (by the split column, held-out categories or the lists before), more than the {size} of sizes",
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
                division.reasons[place] = "beyond the sizes asked for"
    division.given[:] = known
