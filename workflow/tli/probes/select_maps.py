"""Adapter + map: the best free map for a subject as it stands, fitted to select pairs, which no run trained on.

Beside the base model with a map of its own this asks whether training adds what no map can. Fitted to trained pairs
instead, an adapter that is a rotation and knows its words by heart would look like a gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli import metrics
from tli.errors import LexiconError
from tli.io import tables
from tli.log import say
from tli.metrics.map_choice import MapChoice, MapRows, fit_choice, map_curve
from tli.probes.listed import Listed

ROWS, FITS = ([name for name in table if name not in tables.RUN] for table in (tables.SIMILARITIES, tables.SELECT_MAPS))


@dataclass(frozen=True, eq=False)
class WithMap:
    """A subject's held-out words once the map is on."""

    rows: pd.DataFrame  # tables.SIMILARITIES after the run's names
    fits: pd.DataFrame  # tables.SELECT_MAPS after the run's names


def measure_select_maps(
    vectors_at: Mapping[int, metrics.Vectors], listed: Listed, names: Sequence[str], pooling: str, k: int = 10
) -> WithMap | None:
    """Fit at each hidden state the map that cross-validation among the select pairs chooses, and ask it the held-out words.

    vectors_at: the whole list's forms by hidden state; of trained and held-out forms nothing is read before the map is
    fitted. names: of metrics.maps.KINDS, simplest first: ties go to the earlier one, then to the simpler hyperparameter. None
    where there is nothing to fit to or to ask, which the log says.
    """
    pool = next((pool for pool in listed.pools if pool.name == tables.UNTRAINED), None)
    rows = MapRows(listed.candidates, select_rows(listed), components=listed.pairs["component"].to_numpy(), k=k, among_all=True)
    try:
        rows.parts()
    except LexiconError as error:
        say(f"adapter + map: not measured: {error}")
        return None
    if pool is None:
        say("adapter + map: not measured: no word is held out")
        return None
    fits, made = [], []
    for state, vectors in vectors_at.items():
        best = map_curve([(state, vectors)], rows, names).sort_values("value", ascending=False, kind="stable").iloc[0]
        choice = MapChoice(best["map"], state, float(best["hyperparameter"]), float(best["value"]))
        mapped = fit_choice(choice, vectors, rows).vectors(pool.vectors(vectors))
        of_pairs, _ = metrics.evaluate_pool(mapped, pool.by_itself, metrics.Questions(listed.pairs["split"].to_numpy()), k=k)
        asked = listed.pairs.iloc[of_pairs.pop("pair").to_numpy()]
        names_of = {"pair_id": asked["pair_id"].to_numpy(), "split": asked["split"].to_numpy()}
        made.append(of_pairs.assign(**names_of, hidden_state=state, pooling=pooling))
        fits.append([state, pooling, choice.name, choice.hyperparameter, choice.value, len(rows.fitted)])
    return WithMap(pd.concat(made, ignore_index=True)[ROWS], pd.DataFrame(fits, columns=FITS))


def select_rows(listed: Listed) -> np.ndarray:
    """Which pairs of the list the map is fitted to: those of the select split none of whose forms is trained, here or through
    another list, or held out.
    """
    split = listed.pairs["split"].to_numpy()
    others, select = split != "select", split == "select"
    for of in (listed.candidates.source_of, listed.candidates.target_of):
        select = select & ~np.isin(of, of[others])
    if listed.elsewhere:
        trained = [listed.pairs[side].isin(listed.elsewhere).to_numpy() for side in ("source", "target")]
        select = select & ~trained[0] & ~trained[1]
    return np.flatnonzero(select)
