"""Who is measured: the base model, an adapter, fully trained weights, a map inside. Put on an opened model, then taken off.

A new rival is a new kind of subject here: it says how it is worn, and every probe can be asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tli.facts import MAP_INSIDE, MAP_PREFIX
from tli.io import store
from tli.metrics import maps
from tli.model import lora
from tli.model.embedding import embed
from tli.model.full_weights import replaced_weights
from tli.model.inside import Inside, placed, spared_ids
from tli.model.opened import Opened
from tli.model.streaming import Wanted


class FormVectors:
    """The vectors of a list's forms at one hidden state of the base model, embedded when they are first asked for."""

    def __init__(self, forms: Sequence[str], hidden_state: int, pooling: str):
        self.forms, self.hidden_state, self.pooling = list(dict.fromkeys(forms)), hidden_state, pooling
        self._opened: Opened | None = None
        self._vectors: dict[str, np.ndarray] = {}

    def of(self, opened: Opened, forms: Sequence[str]) -> np.ndarray:
        """[forms, hidden], float32. `opened` wears nobody when this is asked for the first time."""
        if self._opened is not opened:
            rows = embed(opened, self.forms, [self.hidden_state], [self.pooling]).vectors[self.hidden_state, self.pooling]
            self._opened, self._vectors = opened, dict(zip(self.forms, rows, strict=True))
        return np.stack([self._vectors[form] for form in forms])


@dataclass(eq=False)
class MapInside:
    """A free map, fitted to training pairs at a hidden state, that the source language's tokens go through there.

    source, target: the training pairs, row by row. vectors: of their forms, shared by the maps of all seeds and folds.
    """

    name: str  # one of metrics.maps.KINDS that leaves the target's vectors alone
    hyperparameter: float
    language: str  # the source's
    source: tuple[str, ...]
    target: tuple[str, ...]
    vectors: FormVectors
    word_key: dict[str, Any] = field(default_factory=dict)  # ModelSpec's: how the model is fed the words that it is fitted to
    _made: tuple[Opened, Inside] | None = None

    def fitted(self, opened: Opened) -> Inside:
        """Fitted once for an opened model, which wears nobody then."""
        if self._made is None or self._made[0] is not opened:
            source, target = (self.vectors.of(opened, forms) for forms in (self.source, self.target))
            mapping = maps.fit(self.name, source, target, self.hyperparameter)
            self._made = opened, Inside(self.vectors.hidden_state, mapping, spared_ids(opened.tokenizer))
        return self._made[1]

    @contextmanager
    def paused(self, opened: Opened) -> Iterator[None]:
        """Within the block the model is unchanged, though it wears this map: for text of the other language."""
        inside = self.fitted(opened)
        inside.paused = True
        try:
            yield
        finally:
            inside.paused = False

    @property
    def unit(self) -> str:
        """Digest of all that it depends on beside the model."""
        key = {"version": 1, "map": self.name, "hyperparameter": self.hyperparameter, "hidden_state": self.vectors.hidden_state}
        return store.digest(key | self.word_key | {"pooling": self.vectors.pooling, "pairs": [list(self.source), list(self.target)]})


@dataclass(frozen=True)
class Subject:
    """A run of the grid, or a baseline. The first eight fields are the columns tables.RUN."""

    model: str
    pair: str
    arm: str
    layer: str
    rank: str
    seed: int
    fold: int
    run: str
    unit: str = ""  # digest of its training; "" for the base model
    folder: Path | None = None  # where its adapter/ or weights/ lies
    is_full: bool = False  # all weights were trained
    quantized: bool = True  # it is measured on the model as the config quantises it
    map_inside: MapInside | None = None

    @property
    def is_baseline(self) -> bool:
        return not self.unit

    @property
    def trained(self) -> Path:
        """The folder of what was trained; none is asked of the base model."""
        assert self.folder is not None
        return self.folder

    @property
    def stands_for_its_seed(self) -> bool:
        """With folds: the run of the first one, or the base model, judged once for all. Without folds every subject does."""
        return self.fold <= 1 and not (self.is_baseline and self.fold)

    @property
    def place(self) -> tuple[str, int, int]:
        """Run, seed and fold: with folds a baseline is a subject for each of them."""
        return self.run, self.seed, self.fold

    @property
    def form(self) -> tuple[bool, bool]:
        """Subjects of one form are measured on one opened model."""
        return self.quantized, self.is_full

    def changes(self, language: str) -> bool:
        """Whether the model reads text of this language otherwise than it came."""
        return self.map_inside.language == language if self.map_inside else not self.is_baseline

    def wanted(self, opened: Opened, hidden_states: Sequence[int], merge: bool = False) -> Wanted:
        """How it rides in the reading of a model that is streamed."""
        if self.map_inside:
            return Wanted(hidden_states, inside=self.map_inside.fitted(opened))
        adapter = None if self.is_baseline else lora.read(opened, self.trained / "adapter")
        return Wanted(hidden_states, adapter, merge)

    @contextmanager
    def worn(self, opened: Opened, merge: bool = False) -> Iterator[None]:
        """Within the block `opened` is this subject; afterwards it is as it was, to the bit.

        merge: the adapter is added to the weights (and rounded with them, where they are in NF4) instead of beside them.
        """
        if self.is_baseline:
            yield
        elif self.map_inside:
            with placed(opened, self.map_inside.fitted(opened)):
                yield
        elif self.is_full:
            with replaced_weights(opened, self.trained / "weights" / "model.safetensors"):
                yield
        else:
            adapter = lora.read(opened, self.trained / "adapter")
            with lora.merged(opened, adapter) if merge else lora.applied(opened, adapter):
                yield


def baseline(model: str, pair: str, name: str, quantized: bool = True, *, seed: int = -1, fold: int = 0) -> Subject:
    """The base model, as tables name it. With folds it is judged for each seed and fold, on that fold's words."""
    return Subject(model, pair, arm=name, layer="", rank="", seed=seed, fold=fold, run=name, quantized=quantized)


def inside(model: str, pair: str, map_inside: MapInside, *, seed: int = -1, fold: int = 0) -> Subject:
    """A map inside the model, as tables name it. With folds there is one for the training pairs of each seed and fold."""
    arm, layer = f"{MAP_PREFIX}{map_inside.name}{MAP_INSIDE}", str(map_inside.vectors.hidden_state)
    names: dict[str, Any] = {"arm": arm, "layer": layer, "rank": "", "seed": seed, "fold": fold, "run": f"{arm}/layer-{layer}"}
    return Subject(model, pair, **names, unit=map_inside.unit, map_inside=map_inside)
