"""Which jobs a card does not hold, by how much, and what to lower so that it does. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tli.cluster.costs import Cost
from tli.cluster.extent import USABLE
from tli.cluster.work import Work, works
from tli.experiment import Experiment

TIGHT = 0.93  # of a card: above it an estimate that is a little wrong ends the job
USUAL = (24, 40, 48, 80, 96, 141, 180)  # GB of cards that there are


@dataclass(frozen=True)
class Misfit:
    """A job that needs more of a card than it has, or nearly all of it."""

    what: str
    needed_gb: float
    card_gb: float
    mends: tuple[str, ...]

    @property
    def is_tight(self) -> bool:
        """It fits, if the estimate is right to a tenth."""
        return self.needed_gb <= USABLE * self.card_gb

    @property
    def fault(self) -> str:
        need = f"{self.what} needs {self.needed_gb:.0f} GB of a card's memory"
        if self.is_tight:
            return f"{need}, nearly all of its {self.card_gb:.0f}"
        return f"{need}, {max(self.needed_gb - self.card_gb, 1):.0f} GB more than its {self.card_gb:.0f}"

    @property
    def mend(self) -> str:
        return "; or ".join(self.mends)

    def __str__(self) -> str:
        return f"{'NEARLY FULL' if self.is_tight else 'DOES NOT FIT'}: {self.fault}: {self.mend}"


def misfits(experiment: Experiment, card_gb: float) -> list[Misfit]:
    """One for each stage, model and kind of training, the largest job of each."""
    largest: dict[tuple, Cost] = {}
    # A tuning job opens what the training and the evaluation of its cell open.
    for work in (work for stage, several in works(experiment).items() if stage != "tune" for work in several):
        cost = Cost(experiment, work, card_gb)
        if cost.gpu_memory_gb > TIGHT * card_gb:
            key = (work.stage, work.model, work.arm and cost.spec, bool(work.trained_whole))
            largest[key] = max(largest.get(key, cost), cost, key=lambda one: one.gpu_memory_gb)
    return [Misfit(_name(cost.work), cost.gpu_memory_gb, card_gb, tuple(_mends(cost))) for cost in largest.values()]


def _name(work: Work) -> str:
    trained = (
        f" of {work.arm} at hs[{work.layer}]"
        if work.arm and work.layer.isdigit()
        else f" of {work.arm} at {work.layer}"
        if work.arm
        else ""
    )
    return f"{work.stage}{trained}{' of fully trained weights' if work.trained_whole else ''}, {work.model}"


def _mends(cost: Cost) -> Iterator[str]:
    """Changes of the config with which the job fits, each with what it then needs; and the card that holds it as it is."""
    fits = False
    for text, changed in _changes(cost):
        if changed.gpu_memory_gb <= TIGHT * cost.card_gb:
            fits = True
            cards = f" on each of {changed.gpus} cards" if changed.gpus > 1 else ""
            yield f"{text} ({changed.gpu_memory_gb:.0f} GB{cards})"
            if cost.work.stage == "train" and cost.work.is_full:
                break  # what costs least is named first
    larger = [card for card in USUAL if TIGHT * card >= cost.gpu_memory_gb]
    if larger:
        yield f"a card of {larger[0]} GB"
    elif not fits:
        yield "a smaller model, or a lower loss layer"


def _changes(cost: Cost) -> Iterator[tuple[str, Cost]]:
    work, section = cost.work, cost.section
    if work.stage == "train" and work.is_full:
        spec = cost.spec
        rounded = "full_dtype: bfloat16, which loses most small updates"
        smaller = replace(spec, gradient_checkpointing=True), replace(spec, optimizer="adamw-8bit")
        for text, changed in (
            ("gradient_checkpointing: true", smaller[0]),
            ("optimizer: adamw-8bit", smaller[1]),
            (rounded, replace(spec, full_dtype="bfloat16")),
            (f"optimizer: adamw-8bit and {rounded}", replace(smaller[1], full_dtype="bfloat16")),
        ):
            if changed != spec:
                yield text, replace(cost, given=changed)
        return
    if work.stage == "train" and cost.spec.anchor and cost.spec.anchor.metric == "kl":
        yield "anchor.metric: drift", replace(cost, given=replace(cost.spec, anchor=replace(cost.spec.anchor, metric="drift")))
    if section.quantization == "none" and not work.is_full:
        yield "quantization: nf4", _with_model(cost, quantization="nf4")
    if section.stream == "never" and work.stage in ("scan", "evaluate", "across"):
        yield "stream: auto", _with_model(cost, stream="auto")
    if work.stage == "transfer" and cost.experiment.config.transfer.batch_size > 1:
        config = cost.experiment.config
        lowered = config.model_copy(update={"transfer": config.transfer.model_copy(update={"batch_size": 1})})
        yield "transfer.batch_size: 1", replace(cost, experiment=Experiment(lowered))
    if work.stage == "train" and work.layer == "best":
        config = cost.experiment.config
        for layer in (16, 8, 4, 2):
            if layer >= cost.blocks:
                continue
            lowered = config.model_copy(update={"scan": config.scan.model_copy(update={"best_at_most": layer})})
            shallower = replace(cost, experiment=Experiment(lowered))
            if shallower.gpu_memory_gb <= TIGHT * cost.card_gb:
                yield f"scan.best_at_most: {layer}", shallower
                break
    if not section.across_gpus:
        yield "across_gpus: true", _with_model(cost, across_gpus=True)


def _with_model(cost: Cost, **changes: Any) -> Cost:
    config, model = cost.experiment.config, cost.work.model
    models = dict(config.models) | {model: config.models[model].model_copy(update=changes)}
    return replace(cost, experiment=Experiment(config.model_copy(update={"models": models})))
