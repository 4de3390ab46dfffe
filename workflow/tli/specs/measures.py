"""What is measured, asked and claimed."""

from __future__ import annotations

from dataclasses import dataclass, field

from tli.specs.base import added
from tli.specs.lists import TemplateSpec


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
