"""Planted worlds of several lists: every list's adapters measured on every list, as the tables that the matrix is made from.

A word's two forms share a concept, as in `planted`; training replaces a part of the rests and scales the signal of a list by
1 + gain[trained on, measured on]. Where the gain is 0 nothing changes in the population of words and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from planted import DIMENSIONS, FIGURES, figures_of, forms_of

from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics.across import Across, matrix


@dataclass(frozen=True)
class Lists:
    """names: of the lists, all of them trained on but those in `only_measured`. gains: (trained on, measured on) -> gain."""

    names: tuple[str, ...] = ("swh-eng", "lin-eng", "fra-eng")
    only_measured: tuple[str, ...] = ()
    gains: dict[tuple[str, str], float] = field(default_factory=dict)
    placebo_gain: float = 0.0
    placebo: bool = True
    seeds: int = 5
    words: int = 75
    signal: float = 0.6
    word_moves: float = 0.4
    run_moves: float = 0.1
    luck: float = 0.05

    @property
    def trained(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name not in self.only_measured)


def tables_of(world: Lists, seed: int) -> Across:
    """The tables of one such experiment."""
    random = np.random.default_rng(seed)
    size = (2, world.words, DIMENSIONS)
    concept = {name: random.standard_normal(size[1:]) for name in world.names}
    rests = {name: random.standard_normal(size) for name in world.names}
    blocks = [("", ("baseline", "", "", -1, "baseline"), on, forms_of(concept[on], rests[on], world.signal)) for on in world.names]
    runs = []
    for pair in world.trained:
        moved = {(arm, on): random.standard_normal(size) for arm in ("tli", "placebo-tli") for on in world.names}
        for arm in ("tli", "placebo-tli") if world.placebo else ("tli",):
            for number in range(world.seeds):
                key = (arm, "2", "16", number, f"{arm}/layer-2/rank-16/seed-{number}")
                runs.append((pair, *key))
                luck = 1 + world.luck * random.standard_normal()
                for on in world.names:
                    kept = 1 - world.word_moves - world.run_moves
                    rest = np.sqrt(kept) * rests[on] + np.sqrt(world.word_moves) * moved[arm, on]
                    rest = rest + np.sqrt(world.run_moves) * random.standard_normal(size)
                    gain = world.gains.get((pair, on), 0.0) if arm == "tli" else world.placebo_gain
                    blocks.append((pair, key, on, forms_of(concept[on], rest, world.signal * (1 + gain) * luck)))
    return Across(_similarities(blocks, world.words), _runs(runs), _pairs(world))


def matrix_of(world: Lists, seed: int, **spec: float) -> pd.DataFrame:
    """MATRIX of one such experiment."""
    return matrix(tables_of(world, seed), StatisticsSpec(**spec))


def _similarities(blocks: list, words: int) -> pd.DataFrame:
    columns = {"pair": [pair for pair, *_ in blocks], "on": [on for *_, on, _ in blocks]}
    for place, name in enumerate(("arm", "layer", "rank", "seed", "run")):
        columns[name] = [key[place] for _, key, *_ in blocks]
    columns = {name: np.repeat(np.array(values), words) for name, values in columns.items()}
    columns |= dict(zip(FIGURES, np.concatenate([figures_of(forms) for *_, forms in blocks], axis=1), strict=True))
    columns |= {"pair_id": np.tile([f"w{i:03d}" for i in range(words)], len(blocks)), "split": "heldout", "pool": tables.UNTRAINED}
    columns |= {"model": "model-1", "fold": 0, "hidden_state": 4, "pooling": "no-bos"}
    rest = {name: np.nan for name in tables.SIMILARITIES if name not in columns}
    return pd.DataFrame({**columns, **rest})[tables.ACROSS]


def _runs(runs: list) -> pd.DataFrame:
    table = pd.DataFrame(runs, columns=["pair", "arm", "layer", "rank", "seed", "run"]).assign(model="model-1", fold=0)
    control = table["arm"] != "tli"
    table = table.assign(placebo_of=np.where(control, "tli", ""), control=control, baseline="baseline", loss_layer=2, same_as="")
    table = table.assign(steps=10, last_loss=0.1, alpha=32.0)
    return table.assign(**{name: "" for name in tables.RUNS if name not in table.columns})[tables.RUNS]


def _pairs(world: Lists) -> pd.DataFrame:
    """Every tenth component has two words."""
    number = range(world.words)
    one = {"pair_id": [f"w{i:03d}" for i in number], "component": [f"c{i - 1 if i % 10 == 1 else i:03d}" for i in number]}
    table = pd.concat([pd.DataFrame({"pair": name, **one, "split": "heldout"}) for name in world.names], ignore_index=True)
    return table.assign(**{name: "" for name in tables.PAIRS if name not in table.columns})
