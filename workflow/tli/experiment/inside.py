"""Which free maps are tried inside the model, and where: chosen by what the scan wrote of the select words, never by held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from tli.experiment.folds import Splits
from tli.io import table_files, tables
from tli.subjects import FormVectors, MapInside, Subject, inside


def maps_inside(
    names: Sequence[str],
    curve: pd.DataFrame,
    splits: Splits,
    judged: Sequence[tuple[int, int]],
    pooling: str,
    place: tuple[str, str, int],
    word_key: dict[str, Any] | None = None,
) -> list[Subject]:
    """Each named map inside the model, for the training pairs of each seed and fold that is judged.

    curve: tables.MAPS of the scan. place: model, pair, and L: the map stands at the hidden state among hs[0]..hs[L-1] where it
    found most select words, in the mean over seeds and folds, so that one state serves them all; ties go to the lower one. None
    of a map that the scan left out.
    """
    model, pair, layers = place
    found = []
    for name in names:
        taken = curve[(curve["map"] == name) & curve["at_state"].astype(bool) & (curve["hidden_state"] < layers)]
        if taken.empty:
            continue
        state = int(taken.groupby("hidden_state")["value"].mean().idxmax())
        pairs = splits.pairs
        vectors = FormVectors([*pairs["source"], *pairs["target"]], state, pooling)
        at = taken[taken["hidden_state"] == state].set_index(["seed", "fold"])["hyperparameter"]
        for seed, fold in judged:
            if (seed, fold) not in at.index:
                continue
            trained = splits.of(seed, fold).query("split == 'train'")
            sides = tuple(trained["source"]), tuple(trained["target"])
            made = MapInside(name, float(at[seed, fold]), pair.partition("-")[0], *sides, vectors, word_key or {})
            found.append(inside(model, pair, made, seed=seed, fold=fold))
    return found


def read_maps_inside(job: Any, layers: int, judged: Sequence[tuple[int, int]]) -> list[Subject]:
    """Those of the job's part; its inputs name the scan's maps and the list."""
    if not job.content.inside:
        return []
    curve = table_files.read(job.inputs["maps"], tables.MAPS)
    about = (job.scan_pooling, (job.model, job.pair, layers), job.model_spec.word_key)
    return maps_inside(job.content.inside, curve, Splits.read(job.inputs), judged, *about)
