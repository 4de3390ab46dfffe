"""One training run on an opened model: batches, contrastive loss at a hidden state, AdamW, schedule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from tli.errors import DivergedError, TrainingError
from tli.model import packing
from tli.model.opening import Opened
from tli.model.pooling import Tokens, mix, tokenize, weights
from tli.model.states import capture, run
from tli.training.checkpoint import Checkpoint


def steps_of(pairs: int, settings: dict) -> int:
    """Optimizer steps of a run: epochs x batches, the last batch of an epoch may be smaller."""
    return settings["epochs"] * math.ceil(pairs / settings["batch_size"])


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


class Batches:
    """Tokenised pairs, and what a batch of them needs: ids, masks, pooling weights, accepted translations."""

    def __init__(self, opened: Opened, sources: list[str], targets: list[str], accepted: np.ndarray, pooling: str):
        """sources, targets: n forms each; accepted: bool [n, n], True where target j is right for source i."""
        self.opened, self.accepted, self.pooling = opened, accepted, pooling
        self.sources, self.targets = tokenize(opened.tokenizer, sources), tokenize(opened.tokenizer, targets)
        pad = opened.tokenizer.pad_token_id
        self.pad = 0 if pad is None else pad  # masked out, so its value does not matter

    def words(self, rows: np.ndarray) -> list[Tokens]:
        """The rows' sources, then their targets."""
        return [self.sources[i] for i in rows] + [self.targets[i] for i in rows]

    def embed(self, layer: int, rows: np.ndarray):
        """Pooled float32 vectors of the rows' sources and targets at hs[layer], with gradient: two [len(rows), hidden].

        Both sides share one forward pass (see `pooled_states`).
        """
        pooled = pooled_states(self.opened, self.words(rows), layer, self.pooling, pad=self.pad)
        return pooled[: len(rows)], pooled[len(rows) :]

    def known(self, rows: np.ndarray, settings: dict) -> np.ndarray:
        """bool [len(rows), len(rows)]: which targets of the batch are no negatives."""
        return self.accepted[np.ix_(rows, rows)] if settings["mask_false_negatives"] else np.eye(len(rows), dtype=bool)

    def loss(self, layer: int, rows: np.ndarray, settings: dict):
        """The batch's loss, a scalar with gradient."""
        import torch

        from tli.training import objective

        anchors, positives = self.embed(layer, rows)
        accepted = self.known(rows, settings)
        mean, _ = objective.loss(
            settings["objective"], anchors, positives, torch.from_numpy(accepted).to(anchors.device),
            margin=settings["margin"], temperature=settings["temperature"],
        )  # fmt: skip
        return mean


def pooled_states(opened: Opened, words: list[Tokens], layer: int, pooling: str, *, pad: int = 0, before=None):
    """Pooled float32 vectors [words, hidden] at hs[layer], with gradient, from one forward pass.

    Packed end to end where that is exact for the model, else padded on the right. before: called with the rows laid out
    (tli.model.packing.Rows) before they are run.
    """
    import torch

    ids = [word.ids for word in words]
    rows = packing.pack(ids) if packing.can_pack(opened, ids) else packing.pad(ids, pad)
    if before is not None:
        before(rows)
    with capture(opened, [layer]) as states:
        run(opened, packing.inputs(rows, opened.device, opened.dtype))
        state = states[layer].float()
    matrix, slots = mix(rows, [weights([word], pooling, len(word.ids))[0] for word in words])
    pooled = torch.bmm(torch.from_numpy(matrix).to(state.device), state).flatten(0, 1)
    return pooled[torch.from_numpy(slots).to(state.device)]


def measure_reach(batches: Batches, layer: int, settings: dict, trainable: dict) -> int:
    """How many of the trainable parameters the loss reaches: those that get a gradient from one batch."""
    rows = np.arange(min(settings["batch_size"], len(batches.sources)))
    loss = batches.loss(layer, rows, settings)
    if loss.requires_grad:
        loss.backward()
    reached = sum(p.numel() for p in trainable.values() if p.grad is not None)
    for parameter in trainable.values():
        parameter.grad = None
    return reached


def train(
    batches: Batches,
    layer: int,
    settings: dict,
    seed: int,
    trainable: dict,
    progress: Callable[[int, float], None] = lambda step, loss: None,
    checkpoint: Checkpoint | None = None,
) -> dict:
    """Train `trainable` (name -> parameter) in place. Returns losses and learning rates per step, and seconds.

    The order of the pairs comes from `seed` alone, the dropout from torch's generator seeded with it. With a checkpoint the
    run goes on after the last step that is written there, and ends where it would have without the pause.
    Raises TrainingError for a loss that is not finite, and when nothing moved although it should have.
    """
    import torch

    steps, pairs = steps_of(len(batches.sources), settings), len(batches.sources)
    optimizer = optimizer_of(list(trainable.values()), settings)
    order = np.random.default_rng(seed)
    before = {name: p.detach().clone() for name, p in _sample(trainable).items()}
    torch.manual_seed(seed)
    there = checkpoint.load(trainable, optimizer) if checkpoint else None
    losses, rates, seconds = (there["losses"], there["learning_rates"], there["seconds"]) if there else ([], [], 0.0)
    done, start = len(losses), time.perf_counter() - seconds
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule_factor(step, steps, settings["warmup_steps"], settings["schedule"]), last_epoch=done - 1
    )
    batches.opened.base.train()
    try:
        for epoch in range(settings["epochs"]):
            shuffled = order.permutation(pairs)
            for number, first in enumerate(range(0, pairs, settings["batch_size"])):
                if epoch * (steps // settings["epochs"]) + number < done:
                    continue
                loss = batches.loss(layer, shuffled[first : first + settings["batch_size"]], settings)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise DivergedError(value, losses, rates, time.perf_counter() - start)
                optimizer.zero_grad(set_to_none=True)
                if loss.requires_grad:
                    loss.backward()
                if settings["max_gradient_norm"]:
                    torch.nn.utils.clip_grad_norm_(trainable.values(), settings["max_gradient_norm"])
                rates.append(scheduler.get_last_lr()[0])
                losses.append(value)
                optimizer.step()
                scheduler.step()
                if checkpoint and len(losses) < steps and checkpoint.due():
                    checkpoint.save(trainable, optimizer, losses, rates, time.perf_counter() - start)
                progress(len(losses), value)
    finally:
        batches.opened.base.eval()
    should_move = any(loss > 0 and rate > 0 for loss, rate in zip(losses, rates, strict=True))
    if should_move and all(torch.equal(before[name], p.detach()) for name, p in _sample(trainable).items()):
        raise TrainingError("training moved no weight although its loss was above zero; the gradient does not arrive")
    return {"losses": losses, "learning_rates": rates, "seconds": time.perf_counter() - start}


def _sample(trainable: dict) -> dict:
    """Some of the parameters, enough to see that something moved, without a copy of a whole model."""
    names = sorted(trainable)
    return {name: trainable[name] for name in names[:: max(1, len(names) // 8)]}


def optimizer_of(parameters: list, settings: dict):
    """AdamW as the settings ask for it."""
    import torch

    options = {"lr": settings["learning_rate"], "weight_decay": settings["weight_decay"]}
    if settings["optimizer"] == "adamw-8bit":
        import bitsandbytes

        return bitsandbytes.optim.AdamW8bit(parameters, **options)
    return torch.optim.AdamW(parameters, **options)
