"""Whole components into splits of exact sizes."""

from __future__ import annotations

import numpy as np

from tli.lexicon.forms import fail

WORK = 3_000_000_000  # components x states that the exact search may look at (seconds)


def exact_sizes(sizes: np.ndarray, large: np.ndarray, need: dict[str, int], have: dict[str, int]) -> list[str]:
    """A split for each component, "" for one that is left over.

    Args:
        sizes: pairs of each component, in the (random, fixed) order in which they are offered.
        large: the components that go to train whatever happens.
        need: split -> pairs still wanted; a split that is not named takes the rest, train before others.
        have: split -> pairs it has already, for the messages.

    Raises
    ------
        LexiconError: when the sizes cannot be met, with the nearest that can.
    """
    total = int(sizes.sum())
    rest = total - sum(need.values())
    if rest < 0:
        raise fail(
            f"sizes ask for {sum(need.values()) + sum(have[name] for name in need)} pairs, the list has "
            f"{total + sum(have[name] for name in need)}",
            "ask for fewer or add pairs",
        )
    need = dict(need)
    unnamed = [name for name in ("train", "heldout", "select") if name not in need]
    need[unnamed[0] if unnamed else ""] = rest  # "" are those left over
    bins = [name for name in ("heldout", "select", "") if need.get(name)]
    biggest = int(sizes.max(initial=0))
    if sizes[large].sum() > need.get("train", 0):
        raise fail(
            f"the components above 5 % hold {int(sizes[large].sum())} pairs (the largest {biggest}) and go to train, "
            f"which has room for {need.get('train', 0)}",
            "ask for a larger train split, or use by: forms",
        )
    split_of = ["train"] * len(sizes)
    offered = np.flatnonzero(~large)
    left = _in_order(sizes, offered, [need[name] for name in bins], bins, split_of)
    if not any(left):
        return split_of
    goal = tuple(need[name] for name in bins)
    states = int(np.prod([size + 1 for size in goal], dtype=float))
    bin_of, nearest = None, tuple(size - missing for size, missing in zip(goal, left))
    if states * len(offered) <= WORK:
        bin_of, nearest = _search(sizes[offered], goal)
    if bin_of is None:
        near = dict(zip(bins, nearest))
        near["train"] = total - sum(nearest)
        shown = {name: near.get(name, 0) + have[name] for name in ("train", "select", "heldout")}
        told = ", ".join(f"{name} {size}" for name, size in shown.items())
        raise fail(
            f"the sizes cannot be met with whole components (the largest has {biggest} pairs); the nearest found: {told}"
            + (f", {near['']} left over" if "" in near else ""),
            "ask for these, or give shares instead",
        )
    split_of = ["train"] * len(sizes)
    for item, place in bin_of.items():
        split_of[offered[item]] = bins[place]
    return split_of


def _in_order(sizes: np.ndarray, offered: np.ndarray, room: list[int], bins: list[str], split_of: list[str]) -> list[int]:
    """Put each component into the first bin with room for it; returns the room left."""
    for item in offered:
        for place, free in enumerate(room):
            if sizes[item] <= free:
                split_of[item], room[place] = bins[place], free - int(sizes[item])
                break
    return room


def _search(sizes: np.ndarray, goal: tuple[int, ...]) -> tuple[dict[int, int] | None, tuple[int, ...]]:
    """Exact search (dynamic programme over the fill of the bins): item -> bin, or None and the nearest fill.

    A state notes the item and bin by which it was first reached; the state before was reached by earlier items, so the
    way back uses no item twice.
    """
    shape = tuple(size + 1 for size in goal)
    by_item = np.full(shape, -1, dtype=np.int32)
    by_bin = np.zeros(shape, dtype=np.int8)
    reached = np.zeros(shape, dtype=bool)
    reached[(0,) * len(shape)] = True
    for item, size in enumerate(sizes.tolist()):
        before = reached.copy()
        for place in range(len(shape)):
            if size > goal[place]:
                continue
            to = tuple(slice(size, None) if axis == place else slice(None) for axis in range(len(shape)))
            origin = tuple(slice(None, -size) if axis == place else slice(None) for axis in range(len(shape)))
            new = before[origin] & ~reached[to]
            by_item[to][new] = item
            by_bin[to][new] = place
            reached[to] |= new
        if reached[goal]:
            break
    states = np.argwhere(reached)
    nearest = states[np.argmin(np.abs(states - np.array(goal)).sum(axis=1))]
    if not reached[goal]:
        return None, tuple(int(fill) for fill in nearest)
    bin_of, state = {}, list(goal)
    while any(state):
        item, place = int(by_item[tuple(state)]), int(by_bin[tuple(state)])
        bin_of[item] = place
        state[place] -= int(sizes[item])
    return bin_of, goal
