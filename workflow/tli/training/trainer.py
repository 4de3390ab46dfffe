"""One copy of a model on which the seeds of a cell are trained, together or in turn: adapters or all weights, on chosen pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tli.errors import DivergedError, TrainingError
from tli.log import say
from tli.model import lora
from tli.model.device import free_on
from tli.model.full_weights import save_weights
from tli.model.lora.folder import Card
from tli.model.memory import attempt
from tli.model.opening import below_head, open_model, open_whole
from tli.specs import Member, ModelSpec, TemplateSpec, TrainSpec
from tli.training import grouping, loop, pairing
from tli.training.anchor import Anchor, Anchoring
from tli.training.batches import Batches
from tli.training.checkpoint import Checkpoint
from tli.training.mixing import Mixture, by_list, templates_of
from tli.training.weights import AllWeights, below

Progress = Callable[[int, int, float], None]  # step, steps, loss


def no_progress(step: int, steps: int, loss: float) -> None:
    """Say nothing."""


def times_weights(spec: TrainSpec) -> float:
    """The card's memory that a training takes, as a multiple of its weights: those and what passes through them, or where they are
    trained themselves also their gradients and AdamW's two moments.
    """
    if not spec.is_full:
        return 2.0
    return 3.5 if spec.optimizer == "adamw-8bit" else 5.0


@dataclass(frozen=True)
class _Trained:
    """A trained run that waits for its folder."""

    chosen: np.ndarray  # rows of the train split
    outcome: loop.Outcome
    tensors: dict


class Trainer:
    """The opened model, which all runs of a cell share, and what each of them learns from."""

    def __init__(
        self,
        model: ModelSpec,
        spec: TrainSpec,
        loss_layer: int,
        adapted: int,
        trained: Callable[[Member], pd.DataFrame],
        anchoring: Anchoring | None = None,
        templates: Mapping[str, TemplateSpec] | None = None,
    ):
        """adapted: blocks that carry adapters; trained: the train split of a run, tables.PAIRS; templates: of each list the frames that its
        words are fed in, none for words by themselves.
        """
        self.templates = dict(templates or {})
        self.model, self.spec, self.loss_layer, self.trained = model, spec, loss_layer, trained
        self.asked, self.blocks = adapted, min(adapted, loss_layer)
        opening = replace(model, dtype=spec.full_dtype) if spec.is_full else model
        self._whole = None
        if _needs_head(spec):
            self._whole, tokenizer = open_whole(replace(opening, quantization="none") if spec.is_full else opening, times_weights(spec))
            self.opened = below_head(self._whole, tokenizer, model.word_form)
        else:
            self.opened = open_model(opening, loss_layer, quantized=not spec.is_full, times=times_weights(spec))
        if spec.gradient_checkpointing:
            self.opened.base.gradient_checkpointing_enable({"use_reentrant": False})
        self.task = self._task(anchoring)
        rank, alpha = spec.rank or 0, spec.alpha or 0.0  # none of a full fine-tuning, which asks for no shape
        self.shape = lora.LoraShape(rank, alpha, spec.dropout, spec.target_modules, self.blocks)
        self._weights: AllWeights | None = None
        self._choices: dict[Member, np.ndarray] = {}
        self._expected: list[Member] = []
        self._ready: dict[Member, _Trained] = {}
        self._room = self.opened.room("runs in a pass")

    def _task(self, anchoring: Anchoring | None) -> loop.Task:
        spec = self.spec
        anchor = Anchor(self.opened, spec.anchor, self.loss_layer, anchoring or Anchoring(()), self._whole) if spec.anchor else None
        return loop.Task(spec, self.loss_layer, anchor)

    def can_turn_to(self, spec: TrainSpec) -> bool:
        """Whether the model as it lies open serves these settings, which differ in what is tuned alone."""
        return _needs_head(spec) == (self._whole is not None)

    def turn_to(self, spec: TrainSpec, anchoring: Anchoring | None = None) -> None:
        """Go on with other settings of the cell on the same weights; each run is what it is on weights opened anew."""
        self.spec = spec
        del self.task  # its anchor holds states of the model: the old one goes before the new one comes
        self.task = self._task(anchoring)
        self._choices, self._expected, self._ready = {}, [], {}
        self.__dict__.pop("seeds_at_a_time", None)

    @property
    def trains_together(self) -> bool:
        """Whether several seeds are trained in one pass; `prepare` then tells which there are."""
        return self.seeds_at_a_time > 1

    @cached_property
    def seeds_at_a_time(self) -> int:
        """How many runs share their passes: 1 where they would not each be what it is alone, else by memory and time."""
        if self.spec.is_full:
            return 1
        first = self._expected[0] if self._expected else Member(0)
        batches = self._batches(np.arange(len(self.trained(first))), first, plain=True)
        if not self._can_stack([batches]):
            return 1
        tokens = batches.tokens / len(batches) * self.spec.batch_size
        tokens *= 2 if self.spec.pulls_own_word else 1
        tokens += self.spec.anchor.tokens_per_step if self.spec.anchor else 0
        values = sum(tensor.numel() for tensor in lora.initial(self.opened, self.shape, 0).values())
        cost = grouping.step_cost(self.opened, self.spec, tokens, values)
        device = self.opened.device
        return cost.seeds_at_a_time(self.spec.steps(*batches.sizes), device.type, min(map(free_on, self.opened.cards)))

    def _can_stack(self, batches: list[Mixture]) -> bool:
        return loop.can_stack(self.opened, batches, self.spec) and (self.task.anchor is None or self.task.anchor.packed)

    def prepare(self, members: Sequence[Member], progress: Progress) -> None:
        """Say which runs are to come. `run` trains those that fit in one pass with the one it is asked for, and hands them out."""
        self._expected = list(members)
        if members:
            self._train_groups(members[0], progress)

    def _group(self, member: Member) -> list[Member]:
        """The runs that share a pass with this one: on as many pairs of each list (folds may differ by a few), as many as fit."""
        sizes = self._sizes(member)
        waiting = [other for other in self._expected if other not in self._ready and self._sizes(other) == sizes]
        fit = min(self.seeds_at_a_time, self._room.at_once or self.seeds_at_a_time)
        return waiting[waiting.index(member) :][:fit]

    def _train_groups(self, member: Member, progress: Progress) -> None:
        """Train the runs that share a pass with this one, in as many passes as the card's memory makes of them."""

        def cut(members: list[Member], at_most: int) -> list[list[Member]]:
            return [members[first : first + at_most] for first in range(0, len(members), at_most)]

        self._room.each([self._group(member)], lambda members: self._train_group(members, progress), len, cut)

    def _train_group(self, members: list[Member], progress: Progress) -> None:
        """Train these runs in one pass, where that is possible and each is then what it would be alone."""
        if len(members) < 2:
            return
        seeds = [member.seed for member in members]
        chosen = [self._chosen(member) for member in members]
        batches = [self._batches(rows, member) for rows, member in zip(chosen, members, strict=True)]
        if not self._can_stack(batches):
            return
        say(f"train: {len(members)} runs in one pass")
        stack = lora.Stack(self.opened, [lora.initial(self.opened, self.shape, seed) for seed in seeds], self.shape, seeds)
        try:
            outcomes = loop.train(stack, batches, seeds, self.task, self._counted(progress, batches[0].sizes))
        except TrainingError as error:
            say(f"train: {error}; trained one by one, each comes to its end")
            self._expected = []
            return
        for number, member in enumerate(members):
            self._expected.remove(member)
            self._ready[member] = _Trained(chosen[number], outcomes[number], stack.tensors(number))

    def run(self, member: Member, folder: Path, progress: Progress, checkpoint: Checkpoint | None = None) -> dict:
        """One run into `folder`: adapter/ or weights/, losses.parquet. Returns what is to be said of the run.

        progress is called at every step of the training proper. checkpoint: for a full training. A training whose loss is not
        finite is recorded as failed, and leaves what it started from: that can be measured.
        """
        chosen, seed = self._chosen(member), member.seed
        if self.spec.is_full:
            return self._run_full(member, folder, progress, checkpoint)
        if member not in self._ready and member in self._expected:
            self._train_groups(member, progress)
        if member not in self._ready:
            batches, start = self._batches(chosen, member), lora.initial(self.opened, self.shape, seed)
            laid = self._can_stack([batches])
            stack = lora.Stack(self.opened, [start], self.shape, [seed] if laid else None)
            outcome = self._outcome(stack, batches, seed, self._counted(progress, batches.sizes))
            self._ready[member] = _Trained(chosen, outcome, start if outcome.failed else stack.tensors(0))
        done = self._ready.pop(member)
        pairs = f"{len(chosen)} pairs" + (f" of {' + '.join(self.spec.train_on)}" if self.spec.is_joint else "")
        note = f"Loss at hs[{self.loss_layer}], {member}, {len(done.outcome.losses)} steps on {pairs}."
        note += " Words were fed as after a space in text." if self.model.word_form == "leading-space" else ""
        note += " Words were fed in templates, drawn for each step." if self.templates else ""
        lora.save(self.opened, folder / "adapter", done.tensors, self.shape, Card(self.model.source, self.model.revision, note))
        return self._record(folder, member, done.outcome, sum(t.numel() for t in done.tensors.values()))

    def _run_full(self, member: Member, folder: Path, progress: Progress, checkpoint: Checkpoint | None) -> dict:
        chosen, weights = self._chosen(member), self._all_weights()
        if checkpoint:  # a choice is made anew at each try, and another GPU may choose otherwise
            checkpoint.key = checkpoint.key | {"chosen": self.trained(member)["pair_id"].iloc[chosen].tolist()}
        with weights.free():
            batches = self._batches(chosen, member)
            outcome = self._outcome(weights, batches, member.seed, self._counted(progress, batches.sizes), checkpoint)
            if outcome.failed:
                weights.restore()
            save_weights(self.opened, folder / "weights", self.model.dtype, weights.parameters)
        return self._record(folder, member, outcome, sum(p.numel() for p in weights.parameters.values()))

    def _outcome(
        self,
        trained: loop.Trainable,
        batches: Mixture,
        seed: int,
        progress: Callable[[int, float], None],
        checkpoint: Checkpoint | None = None,
    ) -> loop.Outcome:
        """What came of one run, a failed one too. Raises TrainingError where the card's memory does not hold a step of it."""

        def train() -> loop.Outcome:
            try:
                return loop.train(trained, [batches], [seed], self.task, progress, checkpoint)[0]
            except DivergedError as error:
                return loop.Outcome(error.losses, error.learning_rates, error.seconds, error.reached, str(error))

        outcome, reason = attempt(train)
        if reason:
            raise TrainingError(f"the card's memory does not hold one step of one run ({reason}). {self._smaller()}")
        return outcome

    def _smaller(self) -> str:
        """What makes a step of this training take less memory."""
        spec, mends = self.spec, []
        if spec.batch_size > 2:
            mends.append(f"lower training.batch_size (it is {spec.batch_size}; with fewer pairs a word has fewer negatives)")
        if not spec.gradient_checkpointing:
            mends.append("set training.gradient_checkpointing: true")
        if spec.anchor:
            mends.append(f"lower anchor.tokens_per_step (it is {spec.anchor.tokens_per_step})")
        if spec.is_full:
            mends += ["take optimizer: adamw-8bit"] if spec.optimizer == "adamw" else []
            mends.append("train an adapter instead of all weights")
        elif self.model.quantization == "none":
            mends.append("set quantization: nf4 for the model")
        mends.append("take a lower loss_layer, a card with more memory, or across_gpus: true")
        return (
            "Any of these helps: "
            + "; ".join(mends)
            + ". Runs were trained one at a time, so seeds_together need not be changed; more main memory does not help"
        )

    def _counted(self, progress: Progress, sizes: Sequence[int]) -> Callable[[int, float], None]:
        steps = self.spec.steps(*sizes)
        return lambda step, loss: progress(step, steps, loss)

    def _record(self, folder: Path, member: Member, outcome: loop.Outcome, count: int) -> dict:
        chosen = self._chosen(member)
        steps, losses = len(outcome.losses), outcome.losses
        table = pd.DataFrame({"step": range(1, steps + 1), "loss": losses, "learning_rate": outcome.learning_rates})
        table.to_parquet(folder / "losses.parquet", index=False)
        lists = {"lists": dict(zip(self.spec.train_on, self._sizes(member), strict=True))} if self.spec.is_joint else {}
        if self.spec.select:
            (folder / "pairs.json").write_text(json.dumps(self.trained(member)["pair_id"].iloc[chosen].tolist()), encoding="utf-8")
        last = losses[-max(1, steps // max(1, self.spec.epochs)) :]
        return {
            "loss_layer": self.loss_layer,
            "adapted_blocks": self.loss_layer if self.spec.is_full else self.asked,
            # Blocks are of one shape, so those that the loss cannot reach are counted without being opened.
            "trainable_parameters": count if self.spec.is_full else count // self.blocks * self.asked,
            "reached_parameters": outcome.reached,
            "train_pairs": len(chosen),
            **lists,
            "steps": steps,
            "first_loss": losses[0] if steps else None,
            "last_loss": float(pd.Series(last).mean()) if steps and not outcome.failed else None,
            "failed": outcome.failed,
            "seconds": round(outcome.seconds, 3),
        }

    def _batches(self, rows: np.ndarray, member: Member, plain: bool = False) -> Mixture:
        """plain: with their own translations, whatever the arm makes of them."""
        spec, tables = self.spec, by_list(self.trained(member).iloc[rows])
        across = spec.negatives == "across"
        groups = [pd.concat(tables)] if across else tables  # those whose pairs meet in a batch
        if spec.pulls_own_word and not plain:
            parts = map(pairing.own_words, groups)
            dealt = [(one.sources, one.targets, one.right) for one in parts]
        else:
            shuffled = spec.shuffle_translations and not plain
            if across:
                dealt = [pairing.assignments_across(tables, shuffled, member.seed)]
            else:
                dealt = [pairing.assignments(table, shuffled, member.seed) for table in tables]
        made = [
            Batches(self.opened, *one, spec.pooling, templates_of(group, self.templates)) for one, group in zip(dealt, groups, strict=True)
        ]
        return Mixture(made, [len(table) for table in tables])

    def _sizes(self, member: Member) -> tuple[int, ...]:
        """Pairs of each list that this run learns from."""
        return tuple(len(table) for table in by_list(self.trained(member).iloc[self._chosen(member)]))

    def _all_weights(self) -> AllWeights:
        if self._weights is None:
            names = None
            if (
                self.task.anchor and self.task.anchor.whole is not None
            ):  # open beyond the loss: what lies above it is not trained by the anchor
                names = below(self.opened, self.loss_layer, self.task.anchor.sentences[0].ids)
            self._weights = AllWeights(self.opened, names)
        return self._weights

    def _chosen(self, member: Member) -> np.ndarray:
        """What `_choose` gives, made once: it may take a training of its own."""
        if member not in self._choices:
            self._choices[member] = self._choose(member)
        return self._choices[member]

    def _choose(self, member: Member) -> np.ndarray:
        """Rows of the train split that this run learns from: all, or what the arm's `select` asks for."""
        select, n, seed = self.spec.select, len(self.trained(member)), member.seed
        if select is None:
            return np.arange(n)
        if select.strategy == "random":
            return np.sort(pairing.choose(select.strategy, select.budget, n=n, seed=seed))
        rounds = min(select.rounds, select.budget // 2) if select.strategy == "uncertainty" else 1
        chosen = np.array([], dtype=int)
        for size in np.diff(np.linspace(0, select.budget, rounds + 1).round().astype(int)):
            margins, vectors = self._score(member, chosen)
            more = pairing.choose(select.strategy, int(size), n=n, seed=seed, margins=margins, vectors=vectors, exclude=chosen)
            chosen = np.concatenate([chosen, more])
        return np.sort(chosen)

    def _score(self, member: Member, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Margin of each pair of the train split, and its source's vector, at the loss layer: after training on `rows`."""
        from tli.probes.words import Listed, measure

        def measured() -> tuple[np.ndarray, np.ndarray]:
            result = measure(self.opened, Listed.of(self.trained(member)), [self.loss_layer], [self.spec.pooling])
            margins = (result.rows["cosine"] - result.rows["best_rival"]).to_numpy()
            return margins, result.vectors[self.loss_layer, self.spec.pooling][0]

        if not len(rows):
            return measured()
        with self._trained_on(rows, member):
            return measured()

    @contextmanager
    def _trained_on(self, rows: np.ndarray, member: Member) -> Iterator[loop.Trainable]:
        """Within the block the model is trained on `rows` of the train split with their own translations: a placebo learns from
        the same words as its arm. Afterwards it is as it was. A training that fails leaves the model at its start.
        """
        batches, seed = self._batches(rows, member, plain=True), member.seed
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


def _needs_head(spec: TrainSpec) -> bool:
    return spec.anchor is not None and spec.anchor.metric == "kl"
