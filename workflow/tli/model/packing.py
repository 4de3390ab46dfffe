"""Words laid into rows for a forward pass without padding: end to end, positions counted anew, a mask that keeps them apart.

In a causal model a token sees only what stands before it in its own word. So words may share one row if the mask shows
each token its own word alone, and words that begin with the same tokens (BOS at least) may share these tokens' places:
the hidden states are the same, and are computed once. Both are exact; only the order of float additions differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tli.model.device import upload
from tli.model.memory import Room

if TYPE_CHECKING:
    import torch

ROW = 64  # tokens in a row: attention within a row costs this much a token, little beside a block's matrix products


@dataclass(frozen=True)
class Rows:
    """One forward pass's input, and where each word's tokens lie in it."""

    ids: np.ndarray  # [rows, width]
    positions: np.ndarray | None  # [rows, width], each word's tokens counted from 0; None: the model's own counting
    mask: np.ndarray | None  # bool [rows, width, width] who sees whom, or [rows, width] what is no padding; None: no mask
    members: list[int]  # the words of this pass, by their number in the caller's list
    places: list[np.ndarray]  # per member: row * width + column of each of its tokens


def pack(words: Sequence[tuple[int, ...]], width: int = ROW) -> Rows:
    """All words in one pass, in order, each with places of its own, in rows of about `width` or of the longest word."""
    lengths = np.array([len(word) for word in words])
    total, longest = int(lengths.sum()), int(lengths.max())
    count = -(-total // max(width, longest))
    limit = total if count == 1 else max(longest, -(-total // count) + int(lengths.mean()))  # rows filled evenly: little is left over
    rows, columns, row, used = np.empty(len(words), dtype=np.int64), np.empty(len(words), dtype=np.int64), 0, 0
    for i, length in enumerate(lengths.tolist()):
        if used + length > limit:
            row, used = row + 1, 0
        rows[i], columns[i] = row, used
        used += length
    width = int((columns + lengths).max())
    starts = rows * width + columns
    inside = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    flat = np.repeat(starts, lengths) + inside
    ids, positions, owner = (np.full((row + 1) * width, fill) for fill in (0, 0, -1))
    ids[flat] = np.fromiter((token for word in words for token in word), np.int64, total)
    positions[flat] = inside
    owner[flat] = np.repeat(np.arange(len(words)), lengths)
    shape = (row + 1, width)
    of = owner.reshape(shape)
    mask = (of[:, :, None] == of[:, None, :]) & np.tri(width, dtype=bool)
    return Rows(ids.reshape(shape), positions.reshape(shape), mask, list(range(len(words))), np.split(flat, np.cumsum(lengths)[:-1]))


def share(words: Sequence[tuple[int, ...]], tokens_per_pass: int = 8192, width: int = ROW) -> list[Rows]:
    """Distinct words in as many passes as `tokens_per_pass` asks for; within a row, equal beginnings are laid once."""
    rows: list[list[tuple[int, list[int]]]] = []  # per row: (word, its columns)
    ids: list[int]
    parents: list[int]
    seen: dict[tuple[int, ...], int]
    ids, parents, seen = [], [], {}  # of the row under way: its tokens, the column before each in its word, the prefixes
    content: list[tuple[list[int], list[int]]] = []
    for number in sorted(range(len(words)), key=lambda i: words[i]):
        word = words[number]
        new = sum(word[:n] not in seen for n in range(1, len(word) + 1))
        if not rows or len(ids) + new > width:
            ids, parents, seen = [], [], {}
            rows.append([])
            content.append((ids, parents))
        columns: list[int] = []
        for n in range(1, len(word) + 1):
            column = seen.get(word[:n])
            if column is None:
                column = seen[word[:n]] = len(ids)
                ids.append(word[n - 1])
                parents.append(columns[-1] if columns else -1)
            columns.append(column)
        rows[-1].append((number, columns))
    order = sorted(range(len(rows)), key=lambda i: len(content[i][0]))
    passes: list[list[int]] = []
    for i in order:  # rows of like length together, so that a long word does not widen them all
        if not passes or (len(passes[-1]) + 1) * len(content[i][0]) > max(tokens_per_pass, len(content[i][0])):
            passes.append([])
        passes[-1].append(i)
    return [_lay([content[i] for i in chosen], [rows[i] for i in chosen]) for chosen in passes]


def _lay(content: list, rows: list) -> Rows:
    width = max(len(ids) for ids, _ in content)
    ids, positions = np.zeros((2, len(content), width), dtype=np.int64)
    mask = np.broadcast_to(np.eye(width, dtype=bool), (len(content), width, width)).copy()
    for row, (tokens, parents) in enumerate(content):
        ids[row, : len(tokens)] = tokens
        for column, parent in enumerate(parents):
            if parent >= 0:
                positions[row, column] = positions[row, parent] + 1
                mask[row, column] |= mask[row, parent]
    members = [number for row in rows for number, _ in row]
    places = [np.array(columns) + i * width for i, row in enumerate(rows) for _, columns in row]
    return Rows(ids, positions, mask, members, places)


def equal_lengths(words: Sequence[tuple[int, ...]], tokens_per_pass: int = 8192) -> list[Rows]:
    """Words of equal length together: no padding and no mask, for any kind of model."""
    by_length: dict[int, list[int]] = {}
    for i, word in enumerate(words):
        by_length.setdefault(len(word), []).append(i)
    passes = []
    for length, members in sorted(by_length.items()):
        size = max(1, tokens_per_pass // length)
        for chosen in (members[i : i + size] for i in range(0, len(members), size)):
            places = list(np.arange(len(chosen) * length).reshape(len(chosen), length))
            passes.append(Rows(np.array([words[i] for i in chosen], dtype=np.int64), None, None, chosen, places))
    return passes


def pad(words: Sequence[tuple[int, ...]], fill: int = 0) -> Rows:
    """All words in one pass, one a row, padded on the right with the id `fill`, which the mask hides."""
    width = max(len(word) for word in words)
    ids = np.full((len(words), width), fill, dtype=np.int64)
    mask = np.zeros((len(words), width), dtype=bool)
    for row, word in enumerate(words):
        ids[row, : len(word)] = word
        mask[row, : len(word)] = True
    return Rows(ids, None, mask, list(range(len(words))), [np.arange(len(word)) + i * width for i, word in enumerate(words)])


def cut(rows: Rows, tokens_per_pass: int) -> list[Rows]:
    """The same words in passes of at most so many tokens, at least a row each: rows do not see each other."""
    count, width = rows.ids.shape
    step = max(1, tokens_per_pass // width)
    if step >= count:
        return [rows]
    row_of = np.array([place[0] // width for place in rows.places])
    parts = []
    for first in range(0, count, step):
        some, inside = slice(first, first + step), np.flatnonzero((row_of >= first) & (row_of < first + step))
        positions, mask = (None if one is None else one[some] for one in (rows.positions, rows.mask))
        places = [rows.places[i] - first * width for i in inside]
        parts.append(Rows(rows.ids[some], positions, mask, [rows.members[i] for i in inside], places))
    return parts


def each_that_fits(room: Room, passes: Iterable[Rows], do: Callable[[Rows], None]) -> None:
    """do(rows) for each pass, or for parts of it where the card's memory does not hold it (see tli.model.memory)."""
    room.each(passes, do, lambda rows: rows.ids.size, cut)


def inputs(rows: Rows, device: torch.device, dtype: torch.dtype) -> dict:
    """The keyword arguments of a Transformers model for these rows.

    A mask of three dimensions becomes the additive one [rows, 1, width, width] that every attention of Transformers takes.
    """
    import torch

    given = {"input_ids": upload(rows.ids, device)}
    if rows.positions is not None:
        given["position_ids"] = upload(rows.positions, device)
    if rows.mask is not None and rows.mask.ndim == 3:
        seen = upload(rows.mask, device)[:, None]
        given["attention_mask"] = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, torch.finfo(dtype).min)
    elif rows.mask is not None:
        given["attention_mask"] = upload(rows.mask, device).long()
    return given
