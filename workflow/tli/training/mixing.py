"""Which pairs stand in which batch: of one list its own batches, of several lists batches that take turns.

An epoch of `by-size` is every list once; of `even` as many batches of each list as the largest one has: a smaller one is gone through
again and again, shuffled anew each time, the last time as far as needed. With negatives of the `own-list` a batch is of one list, the
last one of each time through may be smaller, and the lists take turns in proportion to their batches, at the same steps whatever the
seed, so that seeds may share their passes. With negatives `across` all lists' pairs are shuffled together and cut (`by-size`), or dealt
out in turn, one of each list (`even`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, repeat

import numpy as np
import pandas as pd

from tli.specs import TemplateSpec, TrainSpec
from tli.training.batches import Batches

LIST = "list"  # the column of a joint training's pairs that names their list


def joined(lists: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The training pairs of a run: of one list as they are, of several below each other, with the column LIST."""
    if len(lists) == 1:
        return next(iter(lists.values()))
    return pd.concat([pairs.assign(**{LIST: name}) for name, pairs in lists.items()], ignore_index=True)


def by_list(pairs: pd.DataFrame) -> list[pd.DataFrame]:
    """The training pairs of a run, one table a list; what `joined` put together."""
    return [of for _, of in pairs.groupby(LIST, sort=False)] if LIST in pairs.columns else [pairs]


class Mixture:
    """The batches of a run: one set of them for each list, or one of all lists (`negatives: across`)."""

    def __init__(self, parts: Sequence[Batches], sizes: Sequence[int]):
        """sizes: pairs of each list."""
        self.parts, self.sizes = tuple(parts), tuple(sizes)

    @classmethod
    def of(cls, batches: Mixture | Batches) -> Mixture:
        """A mixture as it is, and the batches of a single list as one."""
        return batches if isinstance(batches, Mixture) else cls([batches], [len(batches)])

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def packed(self) -> bool:
        return all(part.packed for part in self.parts)

    @property
    def tokens(self) -> float:
        """Of the forms of both sides; in templates in the mean over them."""
        return sum(part.tokens for part in self.parts)

    def templates(self, seed: int, done: int = 0) -> Iterator[tuple[int, int]]:
        """The template of all anchors and that of all positives at each step after `done`, by their numbers, by the seed alone.

        They are drawn independently: a frame that a word shared with its own translation alone would tell which one is right.
        """
        count = self.parts[0].templates
        if count == 1:
            return repeat((0, 0))
        order = np.random.default_rng([seed, 17])
        return ((int(one), int(other)) for one, other in islice(_draws(order, count), done, None))


def templates_of(pairs: pd.DataFrame, templates: Mapping[str, TemplateSpec]) -> list[TemplateSpec] | None:
    """Those of each pair's list; None where words are fed by themselves. templates: by list, in a training on one list that one's."""
    if not templates:
        return None
    return [templates[name] for name in pairs[LIST]] if LIST in pairs.columns else [*templates.values()] * len(pairs)


def _draws(order: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    while True:
        yield order.integers(count, size=2)


def epoch(order: np.random.Generator, sizes: Sequence[int], spec: TrainSpec) -> Iterator[tuple[int, np.ndarray]]:
    """The batches of one epoch: (number of the part, rows there). A part is a list, or with negatives `across` all lists, one below
    the other. Of one list they are one permutation, cut.
    """
    size = spec.batch_size
    if spec.negatives == "across":
        rows = _across(order, sizes, spec.mix == "even")
        yield from ((0, rows[first : first + size]) for first in range(0, len(rows), size))
        return
    counts = [-(-pairs // size) for pairs in sizes]
    wanted = [max(counts)] * len(sizes) if spec.mix == "even" else counts
    batches = [_of_list(order, pairs, count, size) for pairs, count in zip(sizes, wanted, strict=True)]
    for part, number in _turns(wanted):
        yield part, batches[part][number]


def mixing_alike(sizes: Sequence[int], spec: TrainSpec) -> bool:
    """Whether `by-size` and `even` give the same epochs: all lists have equally many batches of their own."""
    return spec.negatives == "own-list" and len({-(-pairs // spec.batch_size) for pairs in sizes}) == 1


def _of_list(order: np.random.Generator, pairs: int, count: int, size: int) -> list[np.ndarray]:
    """`count` batches of a list; no pair stands twice in one."""
    found: list[np.ndarray] = []
    while len(found) < count:
        shuffled = order.permutation(pairs)
        found += [shuffled[first : first + size] for first in range(0, pairs, size)]
    return found[:count]


def _turns(counts: Sequence[int]) -> list[tuple[int, int]]:
    """(list, its batch) of each step: batch k of n stands at (k + 1/2) / n of the epoch, the earlier list first where two meet."""
    return [(part, k) for _, part, k in sorted(((2 * k + 1) / (2 * n), part, k) for part, n in enumerate(counts) for k in range(n))]


def _across(order: np.random.Generator, sizes: Sequence[int], even: bool) -> np.ndarray:
    """The rows of an epoch over all lists, one below the other, in the order in which they are cut."""
    if not even:
        return order.permutation(sum(sizes))
    largest, firsts = max(sizes), np.cumsum([0, *sizes[:-1]])
    columns = [first + np.concatenate(_of_list(order, pairs, largest, 1)) for first, pairs in zip(firsts, sizes, strict=True)]
    return np.stack(columns, axis=1).ravel()
