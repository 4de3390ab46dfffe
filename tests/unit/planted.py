"""Planted worlds: vectors of words before and after a training whose effect is known, as the tables that the statistics read.

A word's two forms share a concept (`signal` of their length) and have a rest each. Training replaces a part of the rests, the same
for all seeds (`words`: these words move) and another for each run (`runs`), and scales the signal of a run by a luck of its own.
Nothing of that changes what a word scores on average: a world without `gain` has no effect in the population of words and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli import statistics
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics.analysis import judge_cells

DIMENSIONS = 40
TRUE_OF = {"model": "model-1", "pair": "pair-1", "layer": "2", "rank": "16"}


@dataclass(frozen=True)
class World:
    """seeds, words (held out, or dealt into folds), folds; what training does to real and placebo runs."""

    seeds: int = 5
    words: int = 75
    folds: int = 1
    signal: float = 0.6
    word_moves: float = 0.4  # share of the rests that training replaces, alike in all seeds
    run_moves: float = 0.1  # and anew in each run
    luck: float = 0.05  # of a run: its signal is scaled by 1 + luck x normal
    gain: float = 0.0  # of the real runs: the signal is scaled by 1 + gain
    placebo_gain: float = 0.0
    collapse: float = 0.0  # length of one vector added to every form, real and placebo
    memorise: bool = False  # trained pairs become equal, and the trained forms come near all others
    rotate: bool = False  # both languages are turned alike
    train_words: int = 75  # without folds


def tables_of(world: World, seed: int) -> statistics.Measured:
    """The tables of one such experiment: one list, one cell and its placebo."""
    random = np.random.default_rng(seed)
    names, n_train = [], 0 if world.folds > 1 else world.train_words
    total = world.words + n_train
    concept, rests = random.standard_normal((total, DIMENSIONS)), random.standard_normal((2, total, DIMENSIONS))
    moved = {arm: random.standard_normal((2, total, DIMENSIONS)) for arm in ("tli", "placebo-tli")}
    blocks, runs = [], []
    base = forms_of(concept, rests, world.signal)
    for number in range(world.seeds):
        fold_of = random.permutation(world.words) % world.folds + 1 if world.folds > 1 else np.zeros(world.words, int)
        for fold in range(1, world.folds + 1) if world.folds > 1 else [0]:
            heldout = np.flatnonzero(fold_of == fold)
            if world.folds > 1 or not names:
                names.append("baseline")
                key = ("baseline", number if world.folds > 1 else -1, fold, "baseline")
                blocks += _measured(key, base, heldout, world.words, n_train)
            for arm, gain in (("tli", world.gain), ("placebo-tli", world.placebo_gain)):
                run = f"{arm}/layer-2/rank-16/seed-{number}" + (f"/fold-{fold}" if fold else "")
                kept = 1 - world.word_moves - world.run_moves
                own = random.standard_normal((2, total, DIMENSIONS))
                rest = np.sqrt(kept) * rests + np.sqrt(world.word_moves) * moved[arm] + np.sqrt(world.run_moves) * own
                signal = world.signal * (1 + gain) * (1 + world.luck * random.standard_normal())
                forms = forms_of(concept, rest, signal)
                if world.memorise and arm == "tli" and n_train:
                    forms[:, world.words :] = forms[0, world.words :]
                if world.rotate:
                    forms = forms @ np.linalg.qr(random.standard_normal((DIMENSIONS, DIMENSIONS)))[0]
                if world.collapse:
                    forms = forms + world.collapse * _unit(np.ones(DIMENSIONS))
                blocks += _measured((arm, number, fold, run), forms, heldout, world.words, n_train)
                runs.append((arm, number, fold, run))
    return statistics.Measured(_runs(runs), _similarities(blocks, total), METRICS, _pairs(world, total), {"model-1": 4})


def verdict(world: World, seed: int, **spec) -> dict:
    """The row of VERDICTS of one experiment."""
    return judge_cells(tables_of(world, seed), StatisticsSpec(**spec)).iloc[0].to_dict()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def forms_of(concept: np.ndarray, rests: np.ndarray, signal: float) -> np.ndarray:
    signal = min(max(signal, 0.0), 0.999)
    return _unit(signal * _unit(concept) + np.sqrt(1 - signal**2) * _unit(rests))


def _measured(key: tuple, forms: np.ndarray, heldout: np.ndarray, words: int, n_train: int):
    """The untrained pool, and the whole list where there are trained words."""
    forms = _unit(forms)
    yield key, tables.UNTRAINED, heldout, np.zeros(len(heldout), bool), figures_of(forms[:, heldout])
    if n_train:
        everything = np.arange(words + n_train)
        yield key, tables.WHOLE_LIST, everything, everything >= words, figures_of(forms)


def figures_of(forms: np.ndarray) -> np.ndarray:
    """[figures, words]: cosine, mean and sd of the mismatched, rank by cosine, rank by CSLS."""
    s = forms[0] @ forms[1].T
    n, right = len(s), np.diag(s)
    k = max(1, min(10, n // 10))
    wrong_mean = (s.sum(1) - right) / (n - 1)
    near = [np.partition(one, n - k, axis=1)[:, n - k :].mean(1) for one in (s, s.T)]
    csls = 2 * s - near[0][:, None] - near[1][None]
    ranks = [(one >= np.diag(one)[:, None]).sum(1) for one in (s, csls)]
    return np.stack([right, wrong_mean, s.std(1), *ranks])


FIGURES = ["cosine", "mismatched_mean", "mismatched_sd", "target_rank", "csls_target_rank"]


def _similarities(blocks: list, total: int) -> pd.DataFrame:
    sizes = [len(words) for _, _, words, _, _ in blocks]
    columns = {name: np.repeat([key[place] for key, *_ in blocks], sizes) for place, name in enumerate(("arm", "seed", "fold", "run"))}
    columns["pool"] = np.repeat([pool for _, pool, *_ in blocks], sizes)
    words = np.concatenate([words for _, _, words, _, _ in blocks])
    train = np.concatenate([train for *_, train, _ in blocks])
    figures = np.concatenate([figures for *_, figures in blocks], axis=1)
    columns |= {"pair_id": np.array([f"w{i:03d}" for i in range(total)], object)[words], "split": np.where(train, "train", "heldout")}
    columns |= dict(zip(FIGURES, figures, strict=True))
    columns |= {"model": "model-1", "pair": "pair-1", "layer": "2", "rank": "16", "hidden_state": 4, "pooling": "no-bos"}
    rest = {name: np.nan for name in tables.SIMILARITIES if name not in columns}
    return pd.DataFrame({**columns, **rest})[tables.SIMILARITIES]


def _runs(runs: list) -> pd.DataFrame:
    table = pd.DataFrame(runs, columns=["arm", "seed", "fold", "run"]).assign(**TRUE_OF)
    control = table["arm"] != "tli"
    table = table.assign(placebo_of=np.where(control, "tli", ""), control=control, baseline="baseline", loss_layer=2, same_as="")
    table = table.assign(steps=10, last_loss=0.1, alpha=32.0)
    return table.assign(**{name: "" for name in tables.RUNS if name not in table.columns})[tables.RUNS]


def _pairs(world: World, total: int) -> pd.DataFrame:
    """Every tenth component has two words."""
    component = [f"c{i - 1 if i % 10 == 1 else i:03d}" for i in range(total)]
    split = np.where(np.arange(total) < world.words, "heldout", "train")
    table = pd.DataFrame({"pair": "pair-1", "pair_id": [f"w{i:03d}" for i in range(total)], "component": component, "split": split})
    return table.assign(**{name: "" for name in tables.PAIRS if name not in table.columns})


METRICS = pd.DataFrame(columns=tables.RUN_METRICS)
METRICS.loc[0, ["model", "hidden_state", "pooling", "pool"]] = ["model-1", 4, "no-bos", tables.UNTRAINED]
