"""What a unit of work depends on, as frozen dataclasses. Each stage gets its spec; none sees the config.

They are made from the config in one place (tli.experiment.settings). `plain` gives a spec's values for a digest, a rule's
params or a record. A field that came after version 0.1.0 is `added`: it is left out where it has its default, so that what
was finished before it came is still found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import ceil
from typing import Any

WORD = "{word}"  # where a template has the word
ALL_LINEAR = "all-linear"  # as target module: every matrix of a block

# Raised when a stage gives other results than before from the same inputs; docs/decisions/ says when and why.
STAGE_VERSIONS = {
    "fetch": 1,
    "lexicon": 2,
    "lists": 1,
    "folds": 1,
    "check": 1,
    "scan": 3,
    "tune": 1,
    "train": 1,
    "evaluate": 2,
    "across": 1,
    "transfer": 1,
    "statistics": 4,
    "report": 1,
}


def added(default: Any) -> Any:
    """A field with a default that `plain` leaves out while it has it."""
    return field(default=default, metadata={"added": True})


def plain(spec: Any) -> dict:
    """A spec's fields as plain JSON types, by name."""
    values = {}
    for one in dataclasses.fields(spec):
        value = getattr(spec, one.name)
        if one.metadata.get("added") and value == one.default:
            continue
        values[one.name] = plain(value) if dataclasses.is_dataclass(value) else list(value) if isinstance(value, tuple) else value
    return values


@dataclass(frozen=True)
class ModelSpec:
    """A model, and how it is opened. The keys are those of the config's section `models`."""

    source: str
    revision: str | None = None
    quantization: str = "none"
    dtype: str = "bfloat16"
    device: str = "auto"
    stream: str = "auto"
    across_gpus: bool = False
    demo: bool = False
    trust_remote_code: bool = False
    store: str = added("")  # where its NF4 weights are written and found; it changes no result
    word_form: str = added("alone")  # or "leading-space": how it is fed a word, in scan, training and evaluation alike

    @property
    def word_key(self) -> dict[str, str]:
        """What a digest of something made from words has beside the model's identity: nothing with the default."""
        return {} if self.word_form == "alone" else {"word_form": self.word_form}


@dataclass(frozen=True)
class SplitSpec:
    """How the pairs of a lexicon are divided. The keys are those of the config's section `split`."""

    by: str = "forms"
    shares: dict[str, float] = field(default_factory=lambda: {"train": 0.6, "select": 0.15, "heldout": 0.25})
    sizes: dict[str, int] | None = None
    heldout_categories: tuple[str, ...] = ()
    leaks: str = "error"
    folds: int = added(1)
    union: bool = added(True)  # with the lists before it that share a language


@dataclass(frozen=True)
class LexiconSpec:
    """How a list is read, cleaned and split. The keys are those of the config's section `pairs`."""

    format: str = "tsv"
    columns: tuple[str, ...] | dict[str, str] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    merge: bool = True
    splits: tuple[str, ...] | None = None
    split: SplitSpec = field(default_factory=SplitSpec)
    clean: str = added("normalised")  # or "verbatim"
    units: str = added("")  # "words" or "sentences"; "": as the format has it
    train: bool = added(True)  # False: nobody trains on it, so that all of it is held out

    @property
    def is_verbatim(self) -> bool:
        """Every row and string stays as the file has it."""
        return self.clean == "verbatim"


@dataclass(frozen=True)
class TemplateSpec:
    """The frames in which the words of a pair are fed too: `source[i]` and `target[i]` belong together."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    averaged: bool = False  # a word's vectors over its frames become one; else each template has figures of its own

    @property
    def carry_claims(self) -> bool:
        """Whether the user put a frame first. With WORD first, claims rest on the words alone, as without templates."""
        return self.source[0] != WORD

    @property
    def names(self) -> tuple[str, ...]:
        """What stands after a pooling's name in tables, "no-bos@2": the template's number, or that it is the mean of all."""
        return ("@mean",) if self.averaged else tuple(f"@{number}" for number in self.numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The templates that are read beside the words by themselves, counted from 1; the mean is over all."""
        both = enumerate(zip(self.source, self.target, strict=True), 1)
        return tuple(number for number, sides in both if self.averaged or sides != (WORD, WORD))

    @property
    def first(self) -> TemplateSpec:
        """What the first of `names` needs."""
        return self if self.averaged else TemplateSpec(self.source[:1], self.target[:1])


@dataclass(frozen=True)
class ScanSpec:
    """What the scan measures and how it chooses `best`."""

    poolings: tuple[str, ...] = ("no-bos", "with-bos")
    best_by: str = "csls_p_at_1"
    best_at_most: int | None = None
    csls_k: int = 10
    bootstrap: int = 1000
    templates: TemplateSpec | None = added(None)


@dataclass(frozen=True)
class MapsSpec:
    """Which free maps are fitted, and where they are measured beside their own state, the scan's best one and the output."""

    names: tuple[str, ...] = ()
    twins: tuple[int, ...] = ()  # seeds of the twins on shuffled pairs; with folds there is one for each seed and fold
    states: tuple[int, ...] = ()
    csls_k: int = 10


@dataclass(frozen=True)
class TextSpec:
    """A file of running text in one language. The keys are those of the config's section `text`."""

    file: str
    column: str | int | None = None
    sha256: str = ""


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


@dataclass(frozen=True)
class MeasureSpec:
    """What the evaluation measures of every subject."""

    hidden_states: tuple[str | int, ...] = ("output", "loss-layer")
    poolings: tuple[str, ...] = ("no-bos",)
    merge: bool = False
    projected_pairs: int = 80
    csls_k: int = 10
    select_maps: tuple[str, ...] = added(())  # fitted to each subject's vectors of the select pairs; the best by cross-validation
    templates: TemplateSpec | None = added(None)


@dataclass(frozen=True)
class AcrossSpec:
    """What is measured of every subject on any list: where claims are made, and nowhere else."""

    on: tuple[str, ...]  # pairs whose lists are measured
    hidden_state: str | int = "output"
    pooling: str = "no-bos"
    merge: bool = False
    csls_k: int = 10


@dataclass(frozen=True)
class TranslateSpec:
    """How words are translated by prompt. The keys are those of the config's `transfer.translate`."""

    shots: tuple[int, ...] = (0, 5)
    choices: int = 10
    names: dict[str, str] = field(default_factory=dict)  # language code -> its name in the prompt, where it is not CLDR's


@dataclass(frozen=True)
class TransferSpec:
    """Which tasks are scored, and how. The keys are those of the config's section `transfer`."""

    tasks: tuple[str, ...] = ()
    source: str = "hub"
    question_from: str | None = None
    limit: int | None = None
    num_fewshot: int = 0
    batch_size: int = 16
    add_bos: bool | None = None
    translate: TranslateSpec | None = added(None)


@dataclass(frozen=True)
class StatisticsSpec:
    """What is claimed and how it is corrected. The keys are those of the config's section `statistics`, and where claims are made."""

    primary: str = "csls_p_at_1"
    correction: str = "holm"
    alpha: float = 0.05
    minimum_seeds: int = 5
    equivalence_margin: float | None = None
    bootstrap: int = 2000
    claim_at: str | int = "output"  # the hidden state
    pooling: str = "no-bos"
    minimum_units: int = added(20)
    harm_margin: float = added(0.05)  # nats a predicted token
    alike_margin: float = added(0.02)  # a gap that changes by less has not changed
