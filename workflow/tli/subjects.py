"""Who is measured: the model as it came, an adapter, fully trained weights. Put on an opened model, then taken off again.

A new rival is a new kind of subject here: it says how it is worn, and every probe can be asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tli.model import lora
from tli.model.full_weights import replaced_weights
from tli.model.opened import Opened


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
    unit: str = ""  # digest of its training; "" for the model as it came
    folder: Path | None = None  # where its adapter/ or weights/ lies
    is_full: bool = False  # all weights were trained
    quantized: bool = True  # it is measured on the model as the config quantises it

    @property
    def is_baseline(self) -> bool:
        return not self.unit

    @property
    def stands_for_its_seed(self) -> bool:
        """With folds: the run of the first one, or the model as it came, judged once for all. Without folds every subject does."""
        return self.fold <= 1 and not (self.is_baseline and self.fold)

    @property
    def place(self) -> tuple[str, int, int]:
        """Run, seed and fold: with folds a baseline is a subject for each of them."""
        return self.run, self.seed, self.fold

    @property
    def form(self) -> tuple[bool, bool]:
        """Subjects of one form are measured on one opened model."""
        return self.quantized, self.is_full

    def adapter(self, opened: Opened) -> lora.Adapter | None:
        """Its adapter, for a model that is streamed; None for the model as it came."""
        return None if self.is_baseline else lora.read(opened, self.folder / "adapter")

    @contextmanager
    def worn(self, opened: Opened, merge: bool = False) -> Iterator[None]:
        """Within the block `opened` is this subject; afterwards it is as it was, to the bit.

        merge: the adapter is added to the weights (and rounded with them, where they are in NF4) instead of beside them.
        """
        if self.is_baseline:
            yield
        elif self.is_full:
            with replaced_weights(opened, self.folder / "weights" / "model.safetensors"):
                yield
        else:
            adapter = lora.read(opened, self.folder / "adapter")
            with lora.merged(opened, adapter) if merge else lora.applied(opened, adapter):
                yield


def baseline(model: str, pair: str, name: str, quantized: bool = True, *, seed: int = -1, fold: int = 0) -> Subject:
    """The model as it came, as tables name it. With folds it is judged for each seed and fold, on that fold's words."""
    return Subject(model, pair, arm=name, layer="", rank="", seed=seed, fold=fold, run=name, quantized=quantized)
