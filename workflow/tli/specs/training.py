"""How runs are trained, and what is tried before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil

from tli.specs.base import added

ALL_LINEAR = "all-linear"  # as target module: every matrix of a block


@dataclass(frozen=True)
class SelectSpec:
    """Which training pairs are used."""

    strategy: str
    budget: int
    rounds: int = 4


@dataclass(frozen=True)
class AnchorSpec:
    """What holds the model to its own running text while it is trained. The keys are those of `training.anchor`."""

    metric: str  # one of training.anchor.METRICS
    weight: float
    text: tuple[str, ...] = ()  # languages of the config's `text`; none: the pair's
    tokens_per_step: int = 64


@dataclass(frozen=True)
class TrainSpec:
    """How one cell is trained: the config's section `training` as its arm has it, for one layer and rank."""

    objective: str = "triplet-hardest"
    margin: float = 0.4
    temperature: float = 0.05
    mask_false_negatives: bool = True
    learning_rate: float = 2.0e-4
    weight_decay: float = 0.01
    epochs: int = 5
    batch_size: int = 8
    warmup_steps: int = 50
    schedule: str = "linear"
    max_gradient_norm: float | None = None
    optimizer: str = "adamw"
    full_dtype: str = "float32"
    gradient_checkpointing: bool = False
    alpha: float | None = 32.0  # None for full fine-tuning, as rank
    dropout: float = 0.05
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    adapted_blocks: str | int = "reachable"
    allow_unreached: bool = False
    select: SelectSpec | None = None
    method: str = "lora"
    shuffle_translations: bool = False
    rank: int | None = 16
    layer: str = "best"  # as the config asks for it
    pooling: str = "no-bos"
    positives: str = added("translation")  # or "own-word"
    anchor: AnchorSpec | None = added(None)
    templates: bool = added(False)  # words are fed in the frames of each pair's TemplateSpec, drawn for each step
    train_on: tuple[str, ...] = added(())  # the pairs of a joint training, in the config's order; none: the run's own
    mix: str = added("by-size")  # or "even": how their batches are mixed
    negatives: str = added("own-list")  # or "across": batches of one list, or of all

    @property
    def is_joint(self) -> bool:
        """One training on several lists."""
        return len(self.train_on) > 1

    @property
    def pulls_own_word(self) -> bool:
        """The positive of a word is the word itself under other dropout: nothing is pulled across."""
        return self.positives == "own-word"

    @property
    def is_full(self) -> bool:
        """All weights are trained, not adapters."""
        return self.method == "full"

    def steps(self, *pairs: int) -> int:
        """Optimizer steps of a run on lists of so many pairs: epochs x batches, the last batch of a list may be smaller.

        `mix: even`: an epoch is as many batches of each list as the largest one has.
        """
        counts = [max(pairs)] * len(pairs) if self.mix == "even" else list(pairs)
        if self.negatives == "across":
            return self.epochs * ceil(sum(counts) / self.batch_size)
        return self.epochs * sum(ceil(count / self.batch_size) for count in counts)


@dataclass(frozen=True)
class Trial:
    """A setting that tuning tries. weight: of the anchor, None where it is not tuned."""

    learning_rate: float
    epochs: int
    weight: float | None = None

    def of(self, spec: TrainSpec) -> TrainSpec:
        """How the cell is trained in this trial. An anchor of weight 0 is none, as in the config."""
        changed = replace(spec, learning_rate=self.learning_rate, epochs=self.epochs)
        if self.weight is None or spec.anchor is None:
            return changed
        return replace(changed, anchor=replace(spec.anchor, weight=self.weight) if self.weight else None)


@dataclass(frozen=True)
class TuneSpec:
    """What is tried of an arm before its runs, and with which seeds: none of them is a run's."""

    learning_rates: tuple[float, ...]
    epochs: tuple[int, ...]
    weights: tuple[float, ...]  # none: the anchor is not tuned
    seeds: tuple[int, ...]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every combination, the smaller change of the model first: by rate, then by epochs, then the heavier anchor."""
        weights: Sequence[float | None] = sorted(self.weights, reverse=True) or [None]
        return tuple(Trial(*values) for values in product(sorted(self.learning_rates), sorted(self.epochs), weights))


@dataclass(frozen=True)
class Member:
    """One run of a cell: a seed, and with folds the one that it does not learn from (0 without folds)."""

    seed: int
    fold: int = 0

    def __str__(self) -> str:
        return f"seed {self.seed}, fold {self.fold}" if self.fold else f"seed {self.seed}"
