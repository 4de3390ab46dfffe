"""How much a job's work is: the model as the job opens it, its words, its text and a step of its training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from tli.cluster.cards import ASSUMED_GB
from tli.cluster.sizes import BYTES, Size, size
from tli.cluster.work import (
    SENTENCE_TOKENS,
    SHIPPED,
    TOKENS,
    Work,
    asked_across,
    depth,
    fed_tokens,
    form_tokens,
    frame_tokens,
    pairs,
    text_tokens,
    ways_of_feeding,
)
from tli.experiment import Experiment
from tli.experiment.settings import template_spec, training_templates
from tli.facts import languages_of_name
from tli.specs import ALL_LINEAR, TrainSpec
from tli.training.grouping import Shape, StepCost, cost_of

if TYPE_CHECKING:
    from tli.config.keys.models import Model

USABLE = 0.985  # of a card, the rest is the driver's
PASS = 8192  # tokens of a pass on a card


@dataclass(frozen=True, eq=False)
class Extent:
    """A work of an experiment, on cards of so many GB."""

    experiment: Experiment
    work: Work
    card_gb: float = ASSUMED_GB
    given: TrainSpec | None = None  # a training's spec, where it is not its arm's

    @cached_property
    def phases(self) -> tuple[Self, ...]:
        """Of a tuning job its trainings and then its measurements, each on a model of its own; of another, nothing."""
        if self.work.stage != "tune":
            return ()
        return tuple(replace(self, work=work) for work in (self.work.trainings, self.work.measurements))

    @cached_property
    def size(self) -> Size:
        return size(self.experiment, self.work.model)

    @cached_property
    def spec(self) -> TrainSpec:
        """Of a training."""
        return self.given or self.experiment.arms[self.work.arm].training

    @property
    def section(self) -> Model:
        return self.experiment.config.models[self.work.model]

    @property
    def on_card(self) -> bool:
        return self.section.device != "cpu" and not self.work.is_taken

    @property
    def room(self) -> float:
        """Bytes of a card."""
        return USABLE * self.card_gb * 2**30

    @property
    def dtype(self) -> str:
        return self.spec.full_dtype if self.work.stage == "train" and self.work.is_full else self.section.dtype

    @property
    def quantization(self) -> str:
        """NF4 weights cannot be trained in full: such a run is opened, and measured, unquantised."""
        return "none" if self.work.is_full else self.section.quantization

    @property
    def streams(self) -> bool:
        """Whether the model goes through one block at a time: by `stream`, or where a card does not hold it. On a processor as much
        memory is asked for as holds it.
        """
        stage, stream, transfer = self.work.stage, self.section.stream, self.experiment.config.transfer
        asks_whole = stage == "transfer" and (transfer.tasks or transfer.translate)
        if stage == "train" or asks_whole or self.work.trained_whole or stream == "never":
            return False
        if stream == "always":
            return True
        held = self.size.bytes(self.dtype, self.quantization, with_head=self.quantization == "none")
        return self.on_card and not self.section.across_gpus and 1.2 * held > self.room

    @property
    def blocks(self) -> int:
        """Blocks that are opened."""
        if self.work.stage != "train" or self._anchor == "kl":
            return self.size.layers
        return depth(self.experiment, self.work.model, self.work.layer)

    @property
    def _anchor(self) -> str:
        """The metric of the arm's anchor, "" without one."""
        return self.spec.anchor.metric if self.work.stage == "train" and self.work.arm and self.spec.anchor else ""

    @cached_property
    def _pairs(self) -> int:
        """Pairs of the job's list, of the longest one for a job of no list; of all lists that it measures, those that compete."""
        if self.work.stage == "across":
            return sum(competing for _, competing in self._columns)
        return max((pairs(self.experiment, name) for name in self._lists), default=0)

    @property
    def _lists(self) -> list[str]:
        return [self.work.pair] if self.work.pair else list(self.experiment.config.pairs)

    @cached_property
    def _columns(self) -> list[tuple[int, int]]:
        """Of each list of `evaluation.on` the pairs that are asked, and those that compete."""
        return [asked_across(self.experiment, pair) for pair in self.experiment.lists_measured]

    @property
    def _judged(self) -> int:
        """Runs, and the base model once for each seed and fold."""
        work = self.work
        return work.runs - work.baselines + work.baselines * len(self.experiment.judged)

    @property
    def _read_in_templates(self) -> int:
        """Templates in which the words are read, averaged or not."""
        found = (template_spec(self.experiment.config, name) for name in self._lists)
        return max((len(made.numbers) for made in found if made), default=0)

    @property
    def _ways(self) -> int:
        """How many figures the list has at a hidden state and pooling."""
        return max((ways_of_feeding(self.experiment, name) for name in self._lists), default=1)

    @property
    def _pass(self) -> float:
        """Tokens of a pass of tli.model.embedding."""
        return PASS if self.on_card else min(PASS, max(256, 2**25 / (self.size.widest * BYTES[self.dtype])))

    @property
    def _fed(self) -> tuple[float, float]:
        """Tokens of the job's list: of its words by themselves, and in templates."""
        if self.work.stage == "across":  # other lists are measured of words, or sentences, by themselves
            sizes = zip(self.experiment.lists_measured, self._columns, strict=True)
            return float(sum(2 * competing * form_tokens(self.experiment, name) for name, (_, competing) in sizes)), 0.0
        return max((fed_tokens(self.experiment, name) for name in self._lists), default=(0.0, 0.0))

    @property
    def _states(self) -> list[float]:
        """Bytes of the hidden states of all words at one depth: of those by themselves, then in templates. Each is read by itself."""
        return [tokens * self.size.hidden_size * BYTES[self.dtype] for tokens in self._fed]

    @property
    def _languages(self) -> list[str]:
        return languages_of_name(self.work.pair or next(iter(self.experiment.config.pairs)))

    @property
    def _measured_text(self) -> float:
        """Tokens of running text that a subject of the transfer is asked for: two thirds of the files, or the shipped sentences."""
        there = text_tokens(self.experiment, self._languages, 2 / 3)
        return there + (2 - len(self.experiment.texts(self._languages))) * SHIPPED * SENTENCE_TOKENS

    @property
    def _anchor_tokens(self) -> int:
        """Tokens of running text in a step."""
        return self.spec.anchor.tokens_per_step if self.spec.anchor else 0

    @property
    def _anchor_text(self) -> float:
        """Tokens of running text that an anchored training may draw."""
        given = list(self.spec.anchor.text) if self.spec.anchor else []
        lists = self.experiment.arms[self.work.arm].lists(self.work.pair)
        return text_tokens(self.experiment, given or [one for pair in lists for one in pair.split("-")], 1 / 3)

    @property
    def _step_tokens(self) -> float:
        """Of a step: both sides of the batch, all forms twice where a word is pulled to itself, and the anchor's text."""
        lists = self.experiment.arms[self.work.arm].lists(self.work.pair)
        made = training_templates(self.experiment.config, self.spec, lists).values()
        frames = max((sum(map(frame_tokens, (*one.source, *one.target))) / len(one.source) for one in made), default=0.0)
        words = self.spec.batch_size * (2 * TOKENS + frames) * (2 if self.spec.pulls_own_word else 1)
        return words + self._anchor_tokens

    @property
    def _modules(self) -> int:
        """Matrices of a block that carry an adapter."""
        every = ALL_LINEAR in self.spec.target_modules
        return len(self.size.sides) if every else len(self.spec.target_modules)

    @cached_property
    def _step(self) -> StepCost:
        """tli.training.grouping's count of a seed's step."""
        known = self.size
        rank = int(self.work.rank) if self.work.rank.isdigit() else 64
        shape = Shape(known.multiplied(self.blocks), self.blocks, known.hidden_size, known.widest, BYTES[self.dtype])
        adapter = 0 if self.work.is_full else known.adapter(self.spec.target_modules, self.blocks, rank)
        return cost_of(shape, self._step_tokens, 0 if self.work.is_full else self._modules, adapter)
