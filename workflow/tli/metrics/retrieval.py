"""Cosines, ranks and margins of every pair against all candidates, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from tli.io import tables
from tli.metrics.candidates import Candidates, neighbourhood
from tli.metrics.vectors import Vectors, normalise

TIE = 3e-7  # what float32 cosines cannot tell apart (measured error 2e-7); cosines this near are tied, against the pair
MARGIN_NEIGHBOURS = 4
XCS_SCALE = 2.5  # CLIPScore's (arXiv 2104.08718)
Sides = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see _sides
COLUMNS = tables.SIMILARITIES[tables.SIMILARITIES.index("cosine") :]


def per_pair(
    vectors: Vectors,
    candidates: Candidates,
    *,
    k: int = 10,
    block_megabytes: float = 256,
) -> pd.DataFrame:
    """Compare every pair with all candidates; one row a pair, in their order, columns SIMILARITIES from `cosine` on.

    `vectors` are those of the candidates' forms; a zero vector has cosine 0 with everything. Ranks are those of the best accepted form, ties (nearer than TIE) counting against it;
    other accepted forms are neither rivals nor in the mismatched mean and sd (ddof 1). Undefined is NaN.

    CSLS: 2 S_ij - r_T(i) - r_S(j) (Conneau et al. 2018, k nearest). Margin: S_ij / ((n_T(i) + n_S(j)) / 2), the ratio
    of Artetxe & Schwenk 2019 with the 4 nearest, searched over all candidates; a neighbourhood without a positive mean,
    where a ratio means nothing, is set to TIE. Rivals, mismatched targets and both neighbourhoods are the forms that
    compete (`Candidates.rivals`; all of them in a whole list); how many neighbours, `neighbourhood` says.

    Temporary matrices stay within `block_megabytes`, beside the normalised vectors themselves.
    Raises ValueError for shapes that do not fit and for vectors that are not finite.
    """
    accepted = candidates.accepted
    source = normalise(vectors.source, "source", accepted.shape[0])
    target = normalise(vectors.target, "target", accepted.shape[1])
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"source vectors have {source.shape[1]} dimensions, target vectors {target.shape[1]}")
    near, near_margin = neighbourhood(k, candidates), neighbourhood(MARGIN_NEIGHBOURS, candidates)
    sides = _sides(source, target, candidates.rivals)
    seen = _first_pass(sides, candidates, max(near, near_margin), block_megabytes)

    rows, columns = _row_numbers(accepted), accepted.indices
    right = seen["right"].astype(np.float64)  # cosine of every accepted cell, in the order of the sparse matrix
    source_mean = seen["row_top"][:, :near].mean(axis=1)
    target_mean = seen["column_top"][:, :near].mean(axis=1)
    csls = 2 * right - source_mean[rows] - target_mean[columns]
    half_source = seen["row_top"][:, :near_margin].mean(axis=1) / 2
    half_target = seen["column_top"][:, :near_margin].mean(axis=1) / 2
    ratio = right / np.maximum(half_source[rows] + half_target[columns], TIE)
    ranks = _second_pass(
        sides,
        candidates,
        block_megabytes,
        cosine=(_best(right, rows, accepted.shape[0]), _best(right, columns, accepted.shape[1])),
        csls=(_best(csls, rows, accepted.shape[0]), _best(csls, columns, accepted.shape[1]), source_mean, target_mean),
        margin=(_best(ratio, rows, accepted.shape[0]), half_source, half_target),
    )

    i, j = candidates.source_of, candidates.target_of
    cell = np.searchsorted(rows * np.int64(accepted.shape[1]) + columns, i * np.int64(accepted.shape[1]) + j)
    reference = None
    if vectors.reference is not None:
        reference = normalise(vectors.reference, "reference", candidates.references.shape[1])
    return pd.DataFrame(
        {
            "cosine": right[cell],
            "mismatched_mean": seen["mean"][i],
            "mismatched_sd": seen["sd"][i],
            "mismatched_xcs": seen["xcs"][i],
            "best_rival": _finite(seen["row_rival"])[i],
            "best_rival_reverse": _finite(seen["column_rival"])[j],
            "best_reference": _best_reference(target, reference, candidates, block_megabytes),
            "target_rank": ranks["target_rank"][i],
            "source_rank": ranks["source_rank"][j],
            "csls_target_rank": ranks["csls_target_rank"][i],
            "csls_source_rank": ranks["csls_source_rank"][j],
            "margin": ratio[cell],
            "margin_target_rank": ranks["margin_target_rank"][i],
        }
    )[COLUMNS]


def _sides(source: np.ndarray, target: np.ndarray, rivals: tuple[int, int]) -> Sides:
    """What float32 needs to get cosines near 1 right: the sides less the rivals' common mean, and that mean's share.

    s.t = (s - c).(t - c) + s.c + t.c - c.c; with a sink the first term is small, and its rounding with it.
    """
    total = source[: rivals[0]].sum(axis=0, dtype=np.float64) + target[: rivals[1]].sum(axis=0, dtype=np.float64)
    less = (total / sum(rivals)).astype(np.float32)
    centre = less.astype(np.float64)
    rows = np.einsum("ij,j->i", source, centre, dtype=np.float64) - centre @ centre
    columns = np.einsum("ij,j->i", target, centre, dtype=np.float64)
    return source - less, target - less, rows.astype(np.float32), columns.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Block:
    """Cosines of some rows with all columns. `wide` and `tall` are views: what competes for the rows, and for the columns."""

    part: slice  # its rows among all
    cosines: np.ndarray  # [rows, n_targets]
    wide: np.ndarray  # [rows, competing targets]
    tall: np.ndarray  # [competing sources among the rows, n_targets]
    cells: slice  # its accepted cells among all
    accepted: tuple[np.ndarray, np.ndarray]  # rows and columns of those cells


def _blocks(sides: Sides, candidates: Candidates, block_megabytes: float) -> Iterator[_Block]:
    source, target, row_share, column_share = sides
    indptr, (competing_rows, competing_columns) = candidates.accepted.indptr, candidates.rivals
    height = max(1, int(block_megabytes * 2**20 / (len(target) * 4 * 4)))  # a float32 block and three like it
    for start in range(0, len(source), height):
        part = slice(start, min(start + height, len(source)))
        cells = slice(indptr[part.start], indptr[part.stop])
        counts = np.diff(indptr[part.start : part.stop + 1])
        block = source[part] @ target.T
        block += row_share[part, None]
        block += column_share
        accepted = np.repeat(np.arange(len(counts)), counts), candidates.accepted.indices[cells]
        yield _Block(part, block, block[:, :competing_columns], block[: max(0, competing_rows - start)], cells, accepted)


def _first_pass(sides: Sides, candidates: Candidates, near: int, block_megabytes: float) -> dict[str, np.ndarray]:
    """Nearest cosines of both sides, mismatched means and sd of the rows, best rivals, cosines of accepted cells."""
    n, m = candidates.accepted.shape
    competing = candidates.rivals[1]
    right = np.empty(candidates.accepted.nnz, np.float32)
    row_top, column_top = np.empty((n, near), np.float32), np.full((near, m), -np.inf, np.float32)
    row_rival, column_rival = np.empty(n, np.float32), np.full(m, -np.inf, np.float32)
    wrong = competing - np.bincount(_row_numbers(candidates.accepted)[candidates.accepted.indices < competing], minlength=n)
    mean, sd, xcs = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    for block in _blocks(sides, candidates, block_megabytes):
        cosines, wide, part = block.cosines, block.wide, block.part
        right[block.cells] = cosines[block.accepted]
        row_top[part] = np.partition(wide, competing - near, axis=1)[:, competing - near :]
        column_top = _largest(column_top, block.tall, near)
        cosines[block.accepted] = -np.inf
        row_rival[part] = wide.max(axis=1)
        np.maximum(column_rival, block.tall.max(axis=0, initial=-np.inf), out=column_rival)
        cosines[block.accepted] = 0
        count = wrong[part]
        centre = _ratio(wide.sum(axis=1, dtype=np.float64), count)
        xcs[part] = XCS_SCALE * _ratio(np.maximum(wide, 0).sum(axis=1, dtype=np.float64), count)
        cosines -= np.nan_to_num(centre)[:, None].astype(np.float32)
        cosines[block.accepted] = 0
        squares = np.einsum("ij,ij->i", wide, wide, dtype=np.float64)
        mean[part] = centre
        sd[part] = np.sqrt(_ratio(squares, count - 1))
    return {
        "right": right,
        "row_top": _descending(row_top),
        "column_top": _descending(column_top.T),
        "mean": mean,
        "sd": sd,
        "xcs": xcs,
        "row_rival": row_rival,
        "column_rival": column_rival,
    }


def _second_pass(
    sides: Sides,
    candidates: Candidates,
    block_megabytes: float,
    *,
    cosine: tuple[np.ndarray, ...],
    csls: tuple[np.ndarray, ...],
    margin: tuple[np.ndarray, ...],
) -> dict[str, np.ndarray]:
    """Ranks: 1 + how many wrong rivals reach the best accepted one."""
    n, m = candidates.accepted.shape
    ranks = {name: np.ones(n, int) for name in ("target_rank", "csls_target_rank", "margin_target_rank")}
    ranks |= {name: np.ones(m, int) for name in ("source_rank", "csls_source_rank")}
    single = [np.asarray(values, np.float32) for values in (cosine[0] - TIE, cosine[1] - TIE)]
    double = [np.asarray(values, np.float32) for values in (csls[0] - 2 * TIE, csls[1] - 2 * TIE, csls[2], csls[3])]
    best, half_source, half_target = (np.asarray(values, np.float32) for values in margin)
    for block in _blocks(sides, candidates, block_megabytes):
        cosines, part, competing = block.cosines, block.part, block.wide.shape[1]
        cosines[block.accepted] = -np.inf
        ranks["target_rank"][part] += np.count_nonzero(block.wide >= single[0][part, None], axis=1)
        ranks["source_rank"] += np.count_nonzero(block.tall >= single[1], axis=0)
        reach = half_source[part, None] + half_target[:competing]
        np.maximum(reach, np.float32(TIE), out=reach)
        reach *= best[part, None]  # S_ij / d_ij >= best, written S_ij >= best d_ij: the tolerance stays one of cosine
        reach -= np.float32(TIE)
        ranks["margin_target_rank"][part] += np.count_nonzero(block.wide >= reach, axis=1)
        cosines *= 2
        cosines -= double[2][part, None]
        cosines -= double[3]
        ranks["csls_target_rank"][part] += np.count_nonzero(block.wide >= double[0][part, None], axis=1)
        ranks["csls_source_rank"] += np.count_nonzero(block.tall >= double[1], axis=0)
    return ranks


def _largest(top: np.ndarray, block: np.ndarray, near: int) -> np.ndarray:
    """The `near` largest of each column of `top` [near, m] and `block` [rows, m] together."""
    if len(block) > near:
        block = np.partition(block, len(block) - near, axis=0)[len(block) - near :]
    both = np.concatenate([top, block])
    return np.partition(both, len(both) - near, axis=0)[len(both) - near :]


def _descending(values: np.ndarray) -> np.ndarray:
    return -np.sort(-values.astype(np.float64), axis=1)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _best(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    best = np.full(count, -np.inf)
    np.maximum.at(best, groups, values)
    return best


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan).astype(np.float64)


def _row_numbers(matrix: sparse.csr_array) -> np.ndarray:
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))


def _best_reference(target: np.ndarray, reference: np.ndarray | None, candidates: Candidates, block_megabytes: float) -> np.ndarray:
    """Highest cosine of each pair's target to another accepted translation of its source; NaN without one."""
    best = np.full(len(candidates.source_of), -np.inf)
    for accepted, vectors in ((candidates.accepted, target), (candidates.references, reference)):
        if vectors is None or not accepted.nnz:
            continue
        by_pair = accepted[candidates.source_of]
        pair, other = _row_numbers(by_pair), by_pair.indices
        if vectors is target:
            another = other != candidates.target_of[pair]
            pair, other = pair[another], other[another]
        height = max(1, int(block_megabytes * 2**20 / (target.shape[1] * 4 * 2)))
        for start in range(0, len(pair), height):
            part = slice(start, start + height)
            translation = target[candidates.target_of[pair[part]]]
            np.maximum.at(best, pair[part], np.einsum("ij,ij->i", translation, vectors[other[part]], dtype=np.float64))
    return _finite(best)
