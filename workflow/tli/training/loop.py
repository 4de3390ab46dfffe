"""The training loop: AdamW on a contrastive loss at a hidden state, for one run or for several that share their passes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tli.errors import DivergedError, TrainingError
from tli.model.opened import Opened
from tli.specs import TrainSpec
from tli.training.anchor import Anchor
from tli.training.batches import Anchored, Batches, losses
from tli.training.checkpoint import Checkpoint
from tli.training.mixing import Mixture, epoch

if TYPE_CHECKING:
    import torch


class Trainable(Protocol):
    """What is trained: adapters (tli.model.lora.Stack) or all weights (tli.training.weights.AllWeights)."""

    opened: Opened
    members: int
    laid: bool  # each member has its own tokens in a pass, and its own generator of random numbers
    training: bool
    parameters: dict[str, Any]  # name -> torch Parameter

    def applied(self) -> AbstractContextManager[None]: ...
    def lay(self, places: list[list[np.ndarray]], tokens: int) -> None: ...
    def clip(self, largest: float) -> None: ...
    def reached(self) -> int: ...


@dataclass(frozen=True)
class Outcome:
    """What came of one run; its weights are in what was trained."""

    losses: list[float]
    learning_rates: list[float]
    seconds: float  # of all that were trained together, shared out evenly
    reached: int  # parameters that the loss gave a gradient
    failed: str = ""


def schedule_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """Learning rate at `step` (from 0) as a share of the peak: linear rise, then linear, cosine or none.

    The same as Transformers' get_{linear,cosine,constant}_schedule_with_warmup.
    """
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return max(0.0, 1 - progress)
    if schedule == "cosine":
        return max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))
    return 1.0


def can_stack(opened: Opened, batches: Sequence[Mixture | Batches], spec: TrainSpec) -> bool:
    """Whether these runs may share their passes and still be what each would be alone.

    Not for full fine-tuning (each needs weights of its own), for a model that is padded or has dropout of its own (its
    random draws would depend on the neighbours), for 8-bit AdamW (its blocks of 256 would span members), with gradient
    checkpointing (it asks for little memory; a stack takes more), nor for runs of unequal length.
    """
    if spec.is_full or spec.optimizer != "adamw" or spec.gradient_checkpointing or has_own_dropout(opened):
        return False
    mixtures = [Mixture.of(batch) for batch in batches]
    return len({mixture.sizes for mixture in mixtures}) == 1 and all(mixture.packed for mixture in mixtures)


def has_own_dropout(opened: Opened) -> bool:
    """Whether the model itself draws random numbers in training; such draws cannot be kept apart by member."""
    import torch

    config = opened.base.config.get_text_config()
    within = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in opened.base.modules())
    return within or any(getattr(config, key, 0) for key in ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob"))


@dataclass(frozen=True)
class Task:
    """What is learned, at which hidden state."""

    spec: TrainSpec
    layer: int
    anchor: Anchor | None = None


def train(
    trained: Trainable,
    batches: Sequence[Mixture | Batches],
    seeds: list[int],
    task: Task,
    progress: Callable[[int, float], None] = lambda step, loss: None,
    checkpoint: Checkpoint | None = None,
) -> list[Outcome]:
    """Train in place; one entry of `batches` and `seeds` for each member, whose lists have equal numbers of pairs.

    The order of a member's pairs comes from its seed alone, and so does its dropout. progress gets the mean loss. With a
    checkpoint (of a single run) it goes on after the last step that is written there, and ends where it would have without the
    pause. Raises DivergedError for a loss that is not finite, TrainingError when nothing moved although it should have.
    """
    import torch

    spec, mixtures = task.spec, [Mixture.of(batch) for batch in batches]
    sizes = mixtures[0].sizes
    steps = spec.steps(*sizes)
    optimizer = optimizer_of(list(trained.parameters.values()), spec)
    orders = [np.random.default_rng(seed) for seed in seeds]
    before = _sample(trained)
    if not trained.laid:
        torch.manual_seed(seeds[0])
    resumed = checkpoint.load(trained.parameters, optimizer) if checkpoint else None
    per_step: list[np.ndarray] = [np.array([value]) for value in resumed["losses"]] if resumed else []
    rates, seconds = (resumed["learning_rates"], resumed["seconds"]) if resumed else ([], 0.0)
    done, reached, start = len(per_step), None, time.perf_counter() - seconds
    scheduler = _scheduler(optimizer, steps, spec, done)
    draws = [task.anchor.draws(seed, done) for seed in seeds] if task.anchor else []
    templates = [mixture.templates(seed, done) for mixture, seed in zip(mixtures, seeds, strict=True)]
    with _training(trained):
        for part, rows in _batches_of_rows(orders, sizes, spec, done):
            anchored = Anchored(task.anchor, [next(drawn) for drawn in draws]) if task.anchor else None
            now = [mixture.parts[part].in_templates(*next(one)) for mixture, one in zip(mixtures, templates, strict=True)]
            each = losses(now, rows, task.layer, spec, trained.lay if trained.laid else None, anchored)
            values = each.detach().cpu().double().numpy()
            optimizer.zero_grad(set_to_none=True)
            if each.requires_grad:
                each.sum().backward()  # the sum: a member's gradient is what it would be alone
            reached = trained.reached() if reached is None else reached
            if not np.isfinite(values).all():
                bad = int(np.flatnonzero(~np.isfinite(values))[0])
                history = [float(v[bad]) for v in per_step]
                raise DivergedError(float(values[bad]), history, rates, time.perf_counter() - start, reached)
            if spec.max_gradient_norm:
                trained.clip(spec.max_gradient_norm)
            rates.append(scheduler.get_last_lr()[0])
            per_step.append(values)
            optimizer.step()
            scheduler.step()
            if checkpoint and len(per_step) < steps and checkpoint.due():
                history = [float(v[0]) for v in per_step]
                checkpoint.save(trained.parameters, optimizer, history, rates, time.perf_counter() - start)
            progress(len(per_step), float(values.mean()))
        if reached is None:  # an arm that is measured as it starts
            reached = measure_reach(trained, [mixture.parts[0] for mixture in mixtures], task)
    seconds = (time.perf_counter() - start) / len(batches)
    outcomes = [Outcome([float(values[number]) for values in per_step], list(rates), seconds, reached) for number in range(trained.members)]
    _assert_moved(trained, before, outcomes, seeds)
    return outcomes


def measure_reach(trained: Trainable, batches: list[Batches], task: Task) -> int:
    """How many of one member's parameters the loss reaches: those that get a gradient from one batch. None is left."""
    rows = [np.arange(min(task.spec.batch_size, len(batch))) for batch in batches]
    loss = losses(batches, rows, task.layer, task.spec, trained.lay if trained.laid else None).sum()
    if loss.requires_grad:
        loss.backward()
    reached = trained.reached()
    for parameter in trained.parameters.values():
        parameter.grad = None
    return reached


def _batches_of_rows(
    orders: list[np.random.Generator], sizes: Sequence[int], spec: TrainSpec, done: int
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """The part of the mixture and the rows of each step, one array a member, from the step after `done`."""
    step = 0
    for _ in range(spec.epochs):
        for of_members in zip(*(epoch(order, sizes, spec) for order in orders), strict=True):
            step += 1
            if step > done:
                yield of_members[0][0], [rows for _, rows in of_members]


@contextmanager
def _training(trained: Trainable) -> Iterator[None]:
    """Dropout is on within the block: the adapters' own, and where there is one run the model's too."""
    with trained.applied():
        trained.training = True
        if not trained.laid:
            trained.opened.base.train()
        try:
            yield
        finally:
            trained.training = False
            trained.opened.base.eval()


def _scheduler(optimizer: torch.optim.Optimizer, steps: int, spec: TrainSpec, done: int) -> torch.optim.lr_scheduler.LambdaLR:
    import torch

    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule_factor(step, steps, spec.warmup_steps, spec.schedule), last_epoch=done - 1
    )


def _sample(trained: Trainable) -> dict[str, Any]:
    """Copies of some of the parameters, enough to see that something moved, without a copy of a whole model."""
    names = list(trained.parameters)
    taken = names if sum(p.numel() for p in trained.parameters.values()) < 2**24 else names[:: max(1, len(names) // 8)]
    return {name: trained.parameters[name].detach().clone() for name in taken}


def _assert_moved(trained: Trainable, before: dict[str, Any], outcomes: list[Outcome], seeds: list[int]) -> None:
    import torch

    for number, (outcome, seed) in enumerate(zip(outcomes, seeds, strict=True)):
        if not any(loss > 0 and rate > 0 for loss, rate in zip(outcome.losses, outcome.learning_rates, strict=True)):
            continue
        mine: Any = number if trained.members > 1 else slice(None)
        if all(torch.equal(value[mine], trained.parameters[name].detach()[mine]) for name, value in before.items()):
            raise TrainingError(f"seed {seed}: training moved no weight although its loss was above zero; the gradient does not arrive")


def optimizer_of(parameters: list, spec: TrainSpec) -> torch.optim.Optimizer:
    """AdamW as the spec asks for it."""
    import torch

    options: dict[str, Any] = {"lr": spec.learning_rate, "weight_decay": spec.weight_decay}
    if spec.optimizer == "adamw-8bit":
        import bitsandbytes

        return bitsandbytes.optim.AdamW8bit(parameters, **options)
    return torch.optim.AdamW(parameters, **options)
