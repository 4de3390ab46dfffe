"""One copy of a model on which the seeds of a cell are trained, together or in turn: adapters or all weights, on chosen pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tli.errors import DivergedError, TrainingError
from tli.model import lora
from tli.model.full_weights import save_weights
from tli.model.lora.folder import Card
from tli.model.opening import open_model
from tli.specs import ModelSpec, TrainSpec
from tli.training import loop, pairing
from tli.training.batches import Batches
from tli.training.checkpoint import Checkpoint
from tli.training.weights import AllWeights

TOGETHER_BELOW = 200_000_000  # parameters that are open
Progress = Callable[[int, int, float], None]  # step, steps, loss


def no_progress(step: int, steps: int, loss: float) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class _Trained:
    """A trained seed that waits for its folder."""

    chosen: np.ndarray  # rows of the train split
    outcome: loop.Outcome
    tensors: dict


class Trainer:
    """The opened model and the train split, which all seeds of a cell share."""

    def __init__(self, model: ModelSpec, spec: TrainSpec, loss_layer: int, adapted: int, trained: pd.DataFrame):
        """adapted: blocks that carry adapters; trained: the train split, tables.PAIRS."""
        self.model, self.spec, self.loss_layer, self.trained = model, spec, loss_layer, trained
        self.asked, self.blocks = adapted, min(adapted, loss_layer)
        opening = replace(model, dtype=spec.full_dtype) if spec.is_full else model
        self.opened = open_model(opening, loss_layer, quantized=not spec.is_full)
        if spec.gradient_checkpointing:
            self.opened.base.gradient_checkpointing_enable({"use_reentrant": False})
        self.task = loop.Task(spec, loss_layer)
        self.shape = None
        if not spec.is_full:
            self.shape = lora.LoraShape(spec.rank, spec.alpha, spec.dropout, spec.target_modules, self.blocks)
        self._weights: AllWeights | None = None
        self._choices: dict[int, np.ndarray] = {}
        self._ready: dict[int, _Trained] = {}

    @property
    def trains_together(self) -> bool:
        """Whether a cell is done so soon that its seeds may be lost together when the job is killed."""
        return sum(p.numel() for p in self.opened.base.parameters()) < TOGETHER_BELOW

    def prepare(self, seeds: list[int], progress: Progress) -> None:
        """Train these seeds in one pass where each is then what it would be alone; `run` hands them out."""
        if self.spec.is_full or not seeds:
            return
        chosen = [self._chosen(seed) for seed in seeds]
        batches = [self._batches(rows, seed) for rows, seed in zip(chosen, seeds, strict=True)]
        if not loop.can_stack(self.opened, batches, self.spec):
            return
        stack = lora.Stack(self.opened, [lora.initial(self.opened, self.shape, seed) for seed in seeds], self.shape, seeds)
        try:
            outcomes = loop.train(stack, batches, seeds, self.task, self._counted(progress, len(chosen[0])))
        except TrainingError:
            if len(seeds) > 1:
                return  # a seed diverged: trained alone, each comes to its own end
            raise
        for number, seed in enumerate(seeds):
            self._ready[seed] = _Trained(chosen[number], outcomes[number], stack.tensors(number))

    def run(self, seed: int, folder: Path, progress: Progress, checkpoint: Checkpoint | None = None) -> dict:
        """One seed into `folder`: adapter/ or weights/, losses.parquet. Returns what is to be said of the run.

        progress is called at every step of the training proper. checkpoint: for a full training. A training whose loss is not
        finite is recorded as failed, and leaves what it started from: that can be measured.
        """
        chosen = self._chosen(seed)
        if checkpoint:  # a choice is made anew at each try, and another GPU may choose otherwise
            checkpoint.key = checkpoint.key | {"chosen": self.trained["pair_id"].iloc[chosen].tolist()}
        batches, progress = self._batches(chosen, seed), self._counted(progress, len(chosen))
        if self.spec.is_full:
            with self._all_weights().free():
                outcome = self._outcome(self._all_weights(), batches, seed, progress, checkpoint)
                if outcome.failed:
                    self._all_weights().restore()
                save_weights(self.opened, folder / "weights", self.model.dtype)
            return self._record(folder, chosen, outcome, sum(p.numel() for p in self._all_weights().parameters.values()))
        if seed not in self._ready:
            laid = loop.can_stack(self.opened, [batches], self.spec)
            start = lora.initial(self.opened, self.shape, seed)
            stack = lora.Stack(self.opened, [start], self.shape, [seed] if laid else None)
            outcome = self._outcome(stack, batches, seed, progress)
            self._ready[seed] = _Trained(chosen, outcome, start if outcome.failed else stack.tensors(0))
        done = self._ready.pop(seed)
        note = f"Loss at hs[{self.loss_layer}], seed {seed}, {len(done.outcome.losses)} steps on {len(chosen)} pairs."
        lora.save(self.opened, folder / "adapter", done.tensors, self.shape, Card(self.model.source, self.model.revision, note))
        return self._record(folder, chosen, done.outcome, sum(t.numel() for t in done.tensors.values()))

    def _outcome(
        self, trained: loop.Trainable, batches: Batches, seed: int, progress, checkpoint: Checkpoint | None = None
    ) -> loop.Outcome:
        """What came of one run, a failed one too."""
        try:
            return loop.train(trained, [batches], [seed], self.task, progress, checkpoint)[0]
        except DivergedError as error:
            return loop.Outcome(error.losses, error.learning_rates, error.seconds, error.reached, str(error))

    def _counted(self, progress: Progress, pairs: int) -> Callable[[int, float], None]:
        steps = loop.steps_of(pairs, self.spec)
        return lambda step, loss: progress(step, steps, loss)

    def _record(self, folder: Path, chosen: np.ndarray, outcome: loop.Outcome, count: int) -> dict:
        steps, losses = len(outcome.losses), outcome.losses
        table = pd.DataFrame({"step": range(1, steps + 1), "loss": losses, "learning_rate": outcome.learning_rates})
        table.to_parquet(folder / "losses.parquet", index=False)
        if self.spec.select:
            (folder / "pairs.json").write_text(json.dumps(self.trained["pair_id"].iloc[chosen].tolist()), encoding="utf-8")
        last = losses[-max(1, steps // max(1, self.spec.epochs)) :]
        return {
            "loss_layer": self.loss_layer,
            "adapted_blocks": self.loss_layer if self.spec.is_full else self.asked,
            # Blocks are of one shape, so those that the loss cannot reach are counted without being opened.
            "trainable_parameters": count if self.spec.is_full else count // self.blocks * self.asked,
            "reached_parameters": outcome.reached,
            "train_pairs": len(chosen),
            "steps": steps,
            "first_loss": losses[0] if steps else None,
            "last_loss": float(pd.Series(last).mean()) if steps and not outcome.failed else None,
            "failed": outcome.failed,
            "seconds": round(outcome.seconds, 3),
        }

    def _batches(self, rows: np.ndarray, seed: int, shuffled: bool | None = None) -> Batches:
        shuffled = self.spec.shuffle_translations if shuffled is None else shuffled
        sources, targets, accepted = pairing.assignments(self.trained.iloc[rows], shuffled, seed)
        return Batches(self.opened, sources, targets, accepted, self.spec.pooling)

    def _all_weights(self) -> AllWeights:
        if self._weights is None:
            self._weights = AllWeights(self.opened)
        return self._weights

    def _chosen(self, seed: int) -> np.ndarray:
        """What `_choose` gives, made once: it may take a training of its own."""
        if seed not in self._choices:
            self._choices[seed] = self._choose(seed)
        return self._choices[seed]

    def _choose(self, seed: int) -> np.ndarray:
        """Rows of the train split that this seed learns from: all, or what the arm's `select` asks for."""
        select, n = self.spec.select, len(self.trained)
        if select is None:
            return np.arange(n)
        if select.strategy == "random":
            return np.sort(pairing.choose(select.strategy, select.budget, n=n, seed=seed))
        rounds = min(select.rounds, select.budget // 2) if select.strategy == "uncertainty" else 1
        chosen = np.array([], dtype=int)
        for size in np.diff(np.linspace(0, select.budget, rounds + 1).round().astype(int)):
            margins, vectors = self._score(seed, chosen)
            more = pairing.choose(select.strategy, int(size), n=n, seed=seed, margins=margins, vectors=vectors, exclude=chosen)
            chosen = np.concatenate([chosen, more])
        return np.sort(chosen)

    def _score(self, seed: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Margin of each pair of the train split, and its source's vector, at the loss layer: after training on `rows`."""
        from tli.probes.words import measure

        def measured() -> tuple[np.ndarray, np.ndarray]:
            table, _, vectors = measure(self.opened, self.trained, [self.loss_layer], [self.spec.pooling])
            return (table["cosine"] - table["best_rival"]).to_numpy(), vectors[self.loss_layer, self.spec.pooling][0]

        if not len(rows):
            return measured()
        with self._trained_on(rows, seed):
            return measured()

    @contextmanager
    def _trained_on(self, rows: np.ndarray, seed: int) -> Iterator[loop.Trainable]:
        """Within the block the model is trained on `rows` of the train split with their own translations: a placebo learns from
        the same words as its arm. Afterwards it is as it was. A training that fails leaves the model at its start."""
        batches = self._batches(rows, seed, shuffled=False)
        if self.spec.is_full:
            weights = self._all_weights()
            with weights.free():
                if self._outcome(weights, batches, seed, lambda *_: None).failed:
                    weights.restore()
                yield weights
            return
        start = lora.initial(self.opened, self.shape, seed)
        stack = lora.Stack(self.opened, [start], self.shape)
        if self._outcome(stack, batches, seed, lambda *_: None).failed:
            yield stack
            return
        with stack.applied():
            yield stack
