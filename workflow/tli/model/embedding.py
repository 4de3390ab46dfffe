"""Words to vectors: pooled at the hidden states asked for, each distinct word once, no padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from tli.model import packing
from tli.model.device import upload
from tli.model.framed import Fed
from tli.model.inside import placed
from tli.model.layouts import is_exact
from tli.model.lora import applied
from tli.model.opened import Opened, is_linear, sides
from tli.model.pooling import Tokens, mix, tokens_of, weights
from tli.model.states import capture, run
from tli.model.streaming import Wanted, stream_all


@dataclass
class Embedded:
    """What a pass over the words gives."""

    vectors: dict[tuple[int, str], np.ndarray]  # (hidden state, pooling) -> [words, hidden] float32, not normalised
    sink_ratio: dict[int, float]  # median norm of token 0 / median norm of the other tokens
    token_counts: np.ndarray  # [words], the word's own tokens

    def of(self, words: Sequence[Fed], some: Sequence[Fed]) -> Embedded:
        """The same of some of the words, in their order; `words` are all, in the order of the vectors."""
        place = {word: i for i, word in enumerate(words)}
        rows = np.array([place[word] for word in some], dtype=int)
        vectors = {key: values[rows] for key, values in self.vectors.items()}
        return Embedded(vectors, self.sink_ratio, self.token_counts[rows])

    def above(self, other: Embedded) -> Embedded:
        """These words, then those of `other`, at the states and poolings of these; the sink ratio is that of these."""
        vectors = {key: np.concatenate([values, other.vectors[key]]) for key, values in self.vectors.items()}
        return Embedded(vectors, self.sink_ratio, np.concatenate([self.token_counts, other.token_counts]))


def embed(
    opened: Opened,
    words: Sequence[Fed],
    hidden_states: list[int],
    poolings: list[str],
    tokens_per_batch: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Embedded:
    """Embed `words`, by themselves or in frames, in order, each distinct one once and without padding (see tli.model.packing).

    tokens_per_batch bounds the memory of a batch; by default it suits the model and the device. progress: called with the
    number of words done after each batch.
    """
    return embed_all(opened, words, [Wanted(hidden_states)], poolings, tokens_per_batch, progress)[0]


def embed_all(
    opened: Opened,
    words: Sequence[Fed],
    wanted: list[Wanted],
    poolings: list[str],
    tokens_per_batch: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Embedded]:
    """The same words through several models that share the base: each entry of `wanted` has its adapter and its states.

    A streamed model is read once for all of them, or as often as their states need to fit half of the free memory.
    """
    distinct = list(dict.fromkeys(words))
    tokens = tokens_of(opened, distinct)
    laid = passes(opened, tokens, tokens_per_batch)
    gathered = [Gathered(tokens, list(one.hidden_states), poolings, opened.hidden_size) for one in wanted]
    if opened.stream is not None:
        stream_all(opened, laid, wanted, lambda number, rows, state, values: gathered[number].add(rows, state, values))
    else:
        for one, into in zip(wanted, gathered, strict=True):
            inside = placed(opened, one.inside) if one.inside else nullcontext()
            with inside, applied(opened, one.adapter) if one.adapter else nullcontext():
                _run(opened, laid, into, list(one.hidden_states), progress)
    return [into.in_order(distinct, words) for into in gathered]


def _run(
    opened: Opened, laid: list[packing.Rows], into: Gathered, hidden_states: list[int], progress: Callable[[int], None] | None
) -> None:
    import torch

    done = 0

    def one(rows: packing.Rows) -> None:
        nonlocal done
        try:
            run(opened, packing.inputs(rows, opened.device, opened.dtype))
            for state in hidden_states:
                into.add(rows, state, states[state])
        finally:
            states.clear()
        done += len(rows.members)
        if progress is not None:
            progress(done)

    with torch.inference_mode(), capture(opened, hidden_states) as states:
        packing.each_that_fits(opened.room(), laid, one)


def passes(opened: Opened, tokens: list[Tokens], tokens_per_batch: int | None = None) -> list[packing.Rows]:
    """The forward passes that embed these words: packed with shared beginnings where that is exact, else by equal length."""
    ids = [word.ids for word in tokens]
    tokens_per_batch = tokens_per_batch or tokens_per_pass(opened)
    if is_exact(opened, "share", tokens):
        return packing.share(ids, tokens_per_batch)
    return packing.equal_lengths(ids, tokens_per_batch)


def tokens_per_pass(opened: Opened) -> int:
    """Tokens of a pass. On a processor the widest product between two layers is kept at 32 MiB: more takes memory and gains no time."""
    if opened.device.type != "cpu":
        return 8192
    linear = [m for m in opened.blocks[0].modules() if is_linear(m)]
    widest = max((side for module in linear for side in sides(module)), default=opened.hidden_size)
    return min(8192, max(256, 2**25 // (widest * opened.dtype.itemsize)))


class Gathered:
    """Pooled vectors and norms of distinct words, filled pass by pass."""

    def __init__(self, tokens: list[Tokens], hidden_states: list[int], poolings: list[str], hidden_size: int):
        self.tokens, self.poolings = tokens, poolings
        self.vectors = {(h, p): np.empty((len(tokens), hidden_size), np.float32) for h in hidden_states for p in poolings}
        self._others = np.cumsum([0] + [len(word.ids) - 1 for word in tokens])  # where each word's begin, token 0 left out
        self.first_norms = {h: np.empty(len(tokens), np.float32) for h in hidden_states}
        self.other_norms = {h: np.empty(self._others[-1], np.float32) for h in hidden_states}
        self._mixes: dict[int, tuple] = {}

    def add(self, rows: packing.Rows, hidden_state: int, values: Any) -> None:
        """Take in one hidden state [rows, width, hidden] of one pass. A pass may come again; it counts once."""
        import torch

        if id(rows) not in self._mixes:  # the same for all hidden states of a pass
            chosen = [self.tokens[i] for i in rows.members]
            self._mixes[id(rows)] = rows, [mix(rows, [weights([w], p, len(w.ids))[0] for w in chosen]) for p in self.poolings]
        values = values.float()
        for pooling, (matrix, slots) in zip(self.poolings, self._mixes[id(rows)][1], strict=True):
            pooled = torch.bmm(upload(matrix, values.device), values)
            self.vectors[hidden_state, pooling][rows.members] = pooled.flatten(0, 1).cpu().numpy()[slots]
        norms = values.norm(dim=-1).flatten().cpu().numpy()
        self.first_norms[hidden_state][rows.members] = norms[[place[0] for place in rows.places]]
        others = [np.arange(self._others[i], self._others[i + 1]) for i in rows.members]
        self.other_norms[hidden_state][np.concatenate(others)] = norms[np.concatenate([place[1:] for place in rows.places])]

    def in_order(self, distinct: Sequence[Fed], words: Sequence[Fed]) -> Embedded:
        """The result for `words`, which repeat the distinct ones in any order."""
        place = {word: i for i, word in enumerate(distinct)}
        order = np.array([place[word] for word in words], dtype=int)
        if list(words) != list(distinct):
            for key, vectors in self.vectors.items():  # one at a time: all states of a large model are gigabytes
                self.vectors[key] = vectors[order]
        ratios = {h: _ratio(self.first_norms[h], self.other_norms[h]) for h in self.first_norms}
        counts = np.array([word.last - word.first for word in self.tokens])
        return Embedded(self.vectors, ratios, counts[order])


def _ratio(first: np.ndarray, others: np.ndarray) -> float:
    return float(np.median(first) / np.median(others)) if len(others) else float("nan")
