"""The seeds of a cell, and its placebo, trained in one pass on one copy of the frozen weights."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tli.errors import TrainingError
from tli.model import packing
from tli.model.opening import Opened
from tli.model.stacked import Stack, has_own_dropout
from tli.training.loop import Batches, optimizer_of, pooled_states, schedule_factor, steps_of


def can_stack(opened: Opened, batches: list[Batches], settings: dict) -> bool:
    """Whether these runs may share their passes and still be what each would be alone.

    Not for full fine-tuning (each needs weights of its own), for a model that is padded or has dropout of its own (its
    random draws would depend on the neighbours), for 8-bit AdamW (its blocks of 256 would span members), nor for runs of
    unequal length.
    """
    if settings.get("method", "lora") != "lora" or settings["optimizer"] != "adamw" or has_own_dropout(opened):
        return False
    if settings.get("gradient_checkpointing"):
        return False  # it asks for little memory; a stack takes more
    words = [word.ids for batch in batches for word in (*batch.sources, *batch.targets)]
    return len({len(batch.sources) for batch in batches}) == 1 and packing.can_pack(opened, words)


def train_together(
    batches: list[Batches], layer: int, settings: dict, seeds: list[int], members: list[dict],
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> list[dict]:  # fmt: skip
    """Train one adapter per member, all in one pass; one member is the same code.

    batches: each member's own pairs, all on one opened model. members: each one's tensors at the start
    (tli.model.stacked.initial). The order of a member's pairs and its dropout come from its seed alone.
    Returns for each: tensors, losses, learning_rates, seconds (of all together, shared out evenly) and
    reached, the number of its parameters that got a gradient. progress gets the mean loss. Raises TrainingError as `tli.training.loop.train` does.
    """
    import torch

    opened, pairs = batches[0].opened, len(batches[0].sources)
    steps = steps_of(pairs, settings)
    stack = Stack(opened, members, settings["alpha"] / settings["rank"], settings["dropout"], seeds)
    optimizer = optimizer_of(list(stack.parameters.values()), settings)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule_factor(step, steps, settings["warmup_steps"], settings["schedule"])
    )
    orders = [np.random.default_rng(seed) for seed in seeds]
    losses, rates, reached, start = [], [], 0, time.perf_counter()
    stack.training = True
    with stack.hooked():
        for _ in range(settings["epochs"]):
            shuffled = [order.permutation(pairs) for order in orders]
            for first in range(0, pairs, settings["batch_size"]):
                each = _losses(stack, batches, [s[first : first + settings["batch_size"]] for s in shuffled], layer, settings)
                values = each.detach().cpu().double().numpy()
                if not np.isfinite(values).all():
                    seed = seeds[int(np.flatnonzero(~np.isfinite(values))[0])]
                    raise TrainingError(
                        f"seed {seed}: the loss is not finite at step {len(losses) + 1}; lower learning_rate, or take dtype float32"
                    )
                optimizer.zero_grad(set_to_none=True)
                each.sum().backward()  # the sum: a member's gradient is what it would be alone
                reached = reached or _reached(stack)
                if settings["max_gradient_norm"]:
                    stack.clip(settings["max_gradient_norm"])
                rates.append(scheduler.get_last_lr()[0])
                losses.append(values)
                optimizer.step()
                scheduler.step()
                progress(len(losses), float(values.mean()))
        if not steps:  # an arm that is measured as it starts
            _losses(stack, batches, [np.arange(min(settings["batch_size"], pairs))] * len(batches), layer, settings).sum().backward()
            reached = _reached(stack)
    seconds = (time.perf_counter() - start) / len(batches)
    results = []
    for number, seed in enumerate(seeds):
        tensors, own = stack.tensors(number), [float(values[number]) for values in losses]
        moving = any(loss > 0 and rate > 0 for loss, rate in zip(own, rates, strict=True))
        if moving and all(torch.equal(tensors[name], members[number][name]) for name in tensors):
            raise TrainingError(f"seed {seed}: training moved no weight although its loss was above zero; the gradient does not arrive")
        results.append({"tensors": tensors, "losses": own, "learning_rates": list(rates), "seconds": seconds, "reached": reached})
    return results


def _reached(stack: Stack) -> int:
    """Parameters of one member that have a gradient."""
    return sum(p[0].numel() for p in stack.parameters.values() if p.grad is not None)


def _losses(stack: Stack, batches: list[Batches], rows: list[np.ndarray], layer: int, settings: dict):
    """The loss of each member's batch, [members], with gradient."""
    import torch

    from tli.training import objective

    words = [batch.words(r) for batch, r in zip(batches, rows, strict=True)]
    count = len(words[0])

    def lay(laid):
        stack.lay([laid.places[i : i + count] for i in range(0, len(laid.places), count)], laid.ids.size)

    pooled = pooled_states(stack.opened, [w for own in words for w in own], layer, batches[0].pooling, before=lay)
    pooled = pooled.view(len(batches), 2, count // 2, -1)
    known = np.stack([batch.known(r, settings) for batch, r in zip(batches, rows, strict=True)])

    def loss(both, accepted):
        return objective.loss(
            settings["objective"], both[0], both[1], accepted, margin=settings["margin"], temperature=settings["temperature"]
        )[0]

    return torch.vmap(loss)(pooled, torch.from_numpy(known).to(pooled.device))
