"""What a job costs: cards, memory, time and disk, from the model's size, its quantisation, the words, the text and the seeds.

docs/costs.md derives the figures. Expected seconds are what a machine of `machines.Machine` takes; a scheduler is asked for ten
minutes and three times as much. A job that is ended for too little all the same is tried again with twice as much (the rules
multiply by `attempt`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

from tli.cluster.machines import (
    CPU_DOUBLE,
    READING,
    ROUNDING,
    SEARCHED,
    START,
    TO_CARD,
    WRITING,
    Machine,
    asked_minutes,
    figures_seconds,
    full_training_bytes,
    maps_seconds,
)
from tli.cluster.sizes import BYTES, Size, size
from tli.cluster.work import (
    ITEM_TOKENS,
    LONGEST_ITEM,
    LONGEST_SENTENCE,
    MATRIX_SENTENCES,
    NEW_TOKENS,
    SAID_TOKENS,
    SENTENCE_TOKENS,
    SHIPPED,
    TOKENS,
    Work,
    answers,
    asked_across,
    depth,
    fed_tokens,
    form_tokens,
    frame_tokens,
    is_of_sentences,
    pairs,
    steps,
    text_tokens,
    trained_pairs,
    translation,
    ways_of_feeding,
)
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.experiment.settings import maps_spec, template_spec, training_templates
from tli.facts import languages_of_name
from tli.probes.maps import candidate_states, work_of
from tli.specs import ALL_LINEAR, TrainSpec
from tli.training.grouping import Shape, StepCost, cost_of

if TYPE_CHECKING:
    from tli.config.keys.models import Model

IMPORTS_MB = 1500  # Python with torch, transformers, peft and scikit-learn, and what Snakemake itself holds
CUDA_MB = 2000  # main memory that the GPU's libraries hold
CONTEXT = 1e9  # bytes of the card that they and what is cut into pieces take
USABLE = 0.985  # of a card, the rest is the driver's
SHARD = 5e9  # bytes of a checkpoint's file, which passes through main memory on its way to a card
CARD_GB = 80.0  # of a card that nobody named, as cards are sold (2^30 bytes)
PASS, ROW = 8192, 64  # tokens of a pass on a card; of a row
STATES = 4e9  # bytes of hidden states that a streamed model's job asks for: with more subjects its files are read again
ACROSS_ROW = 300  # bytes in main memory of a word of a run on a list
OF_A_LIST = 0.02  # seconds that a list's figures take beside what grows with it
SPELT, SPELLING = 4_000_000, 1e-6  # comparisons of two forms' spelling: at most, and seconds
REQUEST = 5e-4  # seconds that the harness takes for an answer beside the model: cutting it up, putting it in order


@dataclass(frozen=True)
class Asked:
    """What a job asks a scheduler for at its first try."""

    gpu: int
    memory_mb: int
    minutes: int


OF_OTHERS = {  # what the stages without a model ask for
    "fetch": Asked(0, 1000, 60),
    "lexicon": Asked(0, 2000, 10),
    "folds": Asked(0, 2000, 10),
    "lists": Asked(0, 2000, 10),
    "statistics": Asked(0, 4000, 30),
    "report": Asked(0, 4000, 20),
}


def asked(job: Job, card_gb: float = CARD_GB) -> Asked:
    """What this job asks for. card_gb: memory of a card, which says how many `across_gpus` takes, and whether a model is streamed."""
    if job.stage in OF_OTHERS:
        return OF_OTHERS[job.stage]
    cost = Cost(job.experiment, Work.of(job), card_gb)
    return Asked(cost.gpus, cost.memory_mb, asked_minutes(cost.seconds))


def uses_gpu(experiment: Experiment) -> bool:
    """Whether any model asks for a card."""
    return any(section.device != "cpu" for section in experiment.config.models.values())


@dataclass(frozen=True, eq=False)
class Cost:
    """The cost of a work of an experiment, on cards of so many GB."""

    experiment: Experiment
    work: Work
    card_gb: float = CARD_GB
    given: TrainSpec | None = None  # a training's spec, where it is not its arm's

    @cached_property
    def phases(self) -> tuple[Cost, ...]:
        """Of a tuning job its trainings and then its measurements, each on a model of its own; of another, nothing."""
        if self.work.stage != "tune":
            return ()
        return tuple(Cost(self.experiment, work, self.card_gb, self.given) for work in (self.work.trainings, self.work.measurements))

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

    @cached_property
    def gpus(self) -> int:
        """Cards that the job asks for: none on the processor, one, or for `across_gpus` as many as it fills, two at least where it
        opens all blocks.
        """
        if not self.on_card or not self.section.across_gpus:
            return int(self.on_card)
        if self.phases:
            return max(phase.gpus for phase in self.phases)
        return max(2 if self.blocks == self.size.layers else 1, ceil((1.2 * self._weights + self._activations + CONTEXT) / self.room))

    @property
    def room(self) -> float:
        """Bytes of a card."""
        return USABLE * self.card_gb * 2**30

    @property
    def fits(self) -> bool:
        return self.gpu_memory_gb <= USABLE * self.card_gb

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

    # ---- memory

    @property
    def _weights(self) -> float:
        """Bytes of weights where the job computes, and of what is trained in their place."""
        known, stage = self.size, self.work.stage
        if self.streams:
            ahead = 2 * max(known.blocks) * BYTES[self.dtype]  # the block that computes, and what is read of it
            head = known.head if stage in ("check", "transfer") else 0
            return ahead + (head + min(known.vocabulary, 2 * NEW_TOKENS * self._pairs) * known.hidden_size) * BYTES[self.dtype]
        with_head = stage in ("check", "transfer") or self._anchor == "kl"
        if stage == "train" and self.work.is_full:
            held = known.below(self.blocks) + (known.head if with_head else 0)
            moved = full_training_bytes(held, self.dtype, self.spec.optimizer)
            # AdamW's step over all tensors at once, its default on a card, holds as much again as the weights
            return moved + (held * BYTES[self.dtype] if self.on_card and self.spec.optimizer == "adamw" else 0)
        held = known.bytes(self.dtype, self.quantization, self.blocks, with_head=with_head)
        if self.work.trained_whole:  # a trained run's weights beside the model's own, which come back
            held += known.bytes(self.dtype, "none")
        if self._anchor == "gradient-weighted":  # its matrix is made with the whole model, which goes before the training opens its own
            matrix = 12 * known.hidden_size**2
            held = max(held, known.bytes(self.section.dtype, self.quantization, with_head=True)) + matrix
        return held

    @property
    def _activations(self) -> float:
        """Bytes of hidden states, logits and what a backward pass needs, at least."""
        known, itemsize, stage = self.size, BYTES[self.dtype], self.work.stage
        if stage == "train":
            step = self._step.memory
            if self.spec.gradient_checkpointing:  # of a block what it was given, and all of one at a time
                step = step / self.blocks + self._step_tokens * self.blocks * known.hidden_size * itemsize
            if self._anchor == "kl":
                step += 5 * 4 * self._anchor_tokens * known.vocabulary
            return step
        if stage in ("check", "transfer"):
            texts = SHIPPED * LONGEST_SENTENCE / 2 * known.vocabulary * (itemsize + 8)
            tasks = self.experiment.config.transfer.batch_size * LONGEST_ITEM * known.vocabulary * (itemsize + 8)
            return 0 if self.streams else max(texts, tasks if stage == "transfer" and self.experiment.config.transfer.tasks else 0)
        tokens = min(self._pass, max(ROW, *self._fed))
        states = known.layers + 1 if stage == "scan" else 2
        held = tokens * (3 * known.widest * itemsize + 8 * known.hidden_size)
        if self.streams:
            return held + min(self.work.runs * max(self._states), STATES)
        return held + tokens * states * known.hidden_size * itemsize

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
    def _ways(self) -> int:
        """How many figures the list has at a hidden state and pooling."""
        return max((ways_of_feeding(self.experiment, name) for name in self._lists), default=1)

    @property
    def _states(self) -> list[float]:
        """Bytes of the hidden states of all words at one depth: of those by themselves, then in templates. Each is read by itself."""
        return [tokens * self.size.hidden_size * BYTES[self.dtype] for tokens in self._fed]

    @property
    def _vectors(self) -> float:
        """Bytes in main memory of pooled float32 vectors and what is computed from them, and of last states of running text."""
        config, known, stage = self.experiment.config, self.size, self.work.stage
        words, itemsize = 2 * self._pairs, BYTES[self.dtype]
        if stage == "scan":
            vectors = words * (known.layers + 1) * len(config.pooling.scan) * known.hidden_size * 4
            return (2.5 + 2 * self._read_in_templates) * vectors
        if stage == "evaluate":
            vectors = words * len(config.evaluation.hidden_states) * len(config.pooling.evaluate) * known.hidden_size * 4
            vectors *= 1 + self._read_in_templates
            return vectors * (1.5 + (self.work.runs if self.streams else 1))  # subjects of a streamed model ride through it together
        if stage == "across":
            judged = self._judged * sum(asked for asked, _ in self._columns)
            return words * known.hidden_size * 4 * (1.5 + (self.work.runs if self.streams else 1)) + judged * ACROSS_ROW
        if stage == "transfer":
            return 2 * self._measured_text * known.hidden_size * itemsize
        if self._anchor:
            return self._anchor_text * known.hidden_size * itemsize
        return 0.0

    @property
    def memory_mb(self) -> int:
        """Main memory to ask for, MB. With a card the weights only pass through it."""
        if self.work.is_taken:
            return IMPORTS_MB
        if self.phases:
            return max(phase.memory_mb for phase in self.phases)
        known, held = self.size, self._weights
        if not self.on_card:
            held += self._activations
        elif not self.streams:
            held = min(held, SHARD)
        if self.work.stage == "train" and self.work.is_full:  # a copy of the first weights for the next seed, and what is written
            held += known.below(self.blocks) * (BYTES[self.dtype] + BYTES[self.section.dtype])
        return int(IMPORTS_MB + (CUDA_MB if self.on_card and held > 2e9 else 0) + (1.3 * held + self._vectors) / 1e6)

    @property
    def gpu_memory_gb(self) -> float:
        """Memory that the job needs of each card, GB as cards are sold (2^30 bytes); 0 for a model on the CPU."""
        if not self.on_card:
            return 0.0
        if self.phases:
            return max(phase.gpu_memory_gb for phase in self.phases)
        return (CONTEXT + 1.05 * self._weights / self.gpus + self._activations) / 2**30

    # ---- time

    @property
    def machine(self) -> Machine:
        return Machine(self.on_card, self.experiment.config.jobs.threads, self.dtype, self.quantization)

    @cached_property
    def _pairs(self) -> int:
        """Pairs of the job's list, of the longest one for a job of no list; of all lists that it measures, those that compete."""
        if self.work.stage == "across":
            return sum(competing for _, competing in self._columns)
        return max((pairs(self.experiment, name) for name in self._lists), default=0)

    @property
    def _lists(self) -> list[str]:
        return [self.work.pair] if self.work.pair else list(self.experiment.config.pairs)

    @property
    def _read_in_templates(self) -> int:
        """Templates in which the words are read, averaged or not."""
        found = (template_spec(self.experiment.config, name) for name in self._lists)
        return max((len(made.numbers) for made in found if made), default=0)

    @cached_property
    def _columns(self) -> list[tuple[int, int]]:
        """Of each list of `evaluation.on` the pairs that are asked, and those that compete."""
        return [asked_across(self.experiment, pair) for pair in self.experiment.lists_measured]

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
    def loading(self) -> float:
        """Seconds to start, and to read the weights: those that lie there in 4 bits, or in 16."""
        if self.streams:
            return START
        with_head = self.work.stage in ("check", "transfer") or self._anchor == "kl"
        return START + self.size.bytes(self.section.dtype, self.quantization, self.blocks, with_head=with_head) / READING

    @property
    def seconds(self) -> float:
        """Seconds that the job is expected to take."""
        if self.work.is_taken:
            return START + self.work.runs
        if self.phases:
            return self._tune()
        return (
            self.loading
            + {
                "check": self._check,
                "scan": self._scan,
                "train": self._train,
                "evaluate": self._evaluate,
                "across": self._across,
                "transfer": self._transfer,
            }[self.work.stage]()
        )

    def _tune(self) -> float:
        """Trial after trial, whose seeds may share their passes; an arm's steps are those of its longest trial."""
        tune = self.experiment.arms[self.work.arm].tune
        assert tune is not None  # a job of trials
        longest = Cost(self.experiment, replace(self.work.trainings, runs=len(tune.seeds)), self.card_gb, self.given)
        share = sum(trial.epochs for trial in tune.trials) / max(tune.epochs)
        lists = self.experiment.arms[self.work.arm].lists(self.work.pair)
        return longest.loading + share * longest._train() + len(lists) * self.phases[1].seconds

    @property
    def _stored(self) -> float:
        """Bytes of the checkpoint."""
        return self.size.parameters * BYTES[self.section.dtype]

    def _check(self) -> float:
        """Look for what is no number while the files are read to open the model; in NF4 read them in 16 bits, round and write them."""
        known = self.size
        if self.streams:
            return self._stored / READING + known.parameters / SEARCHED
        if self.quantization != "nf4":
            return known.parameters / SEARCHED
        rounding = known.multiplied() / ROUNDING if not self.on_card else self._stored / TO_CARD
        written = known.bytes(self.section.dtype, "nf4", with_head=True)
        return (self._stored - written) / READING + rounding + written / WRITING

    def _words(self, subjects: int) -> float:
        """Push the words of a list through the model, for each of so many subjects."""
        known = self.size
        once = sum(self.machine.forward(known.multiplied(), known.layers, tokens, self._pass) for tokens in self._fed if tokens)
        if not self.streams:
            return subjects * once
        readings = sum(ceil(subjects * states / STATES) for states in self._states)
        return subjects * once + readings * sum(known.blocks) * BYTES[self.section.dtype] / READING

    def _scan(self) -> float:
        config, known = self.experiment.config, self.size
        figures = self._ways * (known.layers + 1) * len(config.pooling.scan) * figures_seconds(self._pairs, known.hidden_size)
        return self._words(1) + figures + self._maps()

    def _maps(self) -> float:
        """The free maps of all deals of the list, on the processor."""
        spec, known, deals = maps_spec(self.experiment.config), self.size, len(self.experiment.judged)
        if not spec.names:
            return 0.0
        fitted = trained_pairs(self.experiment, self.work.pair)
        states = candidate_states(known.layers, None, spec.states, work_of(fitted, known.hidden_size, deals))
        whole = len({*spec.states, known.layers}) + 1 + len(spec.names) / 2  # the best one, and the maps' own
        number = len(states) + (len(states) <= known.layers)
        twins = len(spec.twins) or 1
        return deals * maps_seconds(self._pairs, fitted, known.hidden_size, len(spec.names), number, min(whole, number), twins)

    def _evaluate(self) -> float:
        """Adapters and trained weights in turn; the model as it came is embedded once and judged for each seed and fold."""
        config, known, work = self.experiment.config, self.size, self.work
        folds = config.split.folds
        of_state = figures_seconds(self._pairs / (max(1, folds)), known.hidden_size)
        states = self._ways * len(config.evaluation.hidden_states) * len(config.pooling.evaluate)
        swapped = work.trained_whole * known.below() * BYTES[self.section.dtype] / READING
        return self._words(work.runs) + self._judged * (1 + states * of_state) + swapped

    @property
    def _judged(self) -> int:
        """Runs, and the model as it came once for each seed and fold."""
        work = self.work
        return work.runs - work.baselines + work.baselines * len(self.experiment.judged)

    def _across(self) -> float:
        """The forms of all lists once for each adapter, the figures of each list; how its forms are spelt, once."""
        known, work = self.size, self.work
        figures = sum(figures_seconds(competing, known.hidden_size) + OF_A_LIST for _, competing in self._columns)
        words = [
            one
            for name, (_, one) in zip(self.experiment.lists_measured, self._columns, strict=True)
            if not is_of_sentences(self.experiment, name)
        ]
        spelling = sum(min(SPELT, competing**2) * SPELLING for competing in words)
        swapped = work.trained_whole * known.below() * BYTES[self.section.dtype] / READING
        return self._words(work.runs) + self._judged * (1 + figures) + spelling + swapped

    def _transfer(self) -> float:
        """Of each subject: the tasks' answers, words translated by prompt, running text and the shipped sentences, through the whole model."""
        known, work, machine = self.size, self.work, self.machine
        values, requests = known.multiplied() + known.vocabulary * known.hidden_size, answers(self.experiment)
        a_pass = self.experiment.config.transfer.batch_size * ITEM_TOKENS
        prompts, batches = translation(self.experiment, work.pair)
        tokens, text = requests * ITEM_TOKENS + prompts, self._measured_text + 2 * SHIPPED * SENTENCE_TOKENS
        each = machine.forward(values, known.layers, tokens, a_pass) + machine.probabilities(tokens, known.vocabulary)
        each += machine.forward(values, known.layers, text, PASS) + 2 * machine.probabilities(text, known.vocabulary)
        batch = self.experiment.config.transfer.batch_size
        each += batches * SAID_TOKENS * machine.forward(values, known.layers, batch, batch)
        swapped = work.trained_whole * known.below() * BYTES[self.section.dtype] / READING
        return work.runs * (2 + each + requests * REQUEST) + swapped

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

    @property
    def together(self) -> int:
        """Runs that share their passes (tli.training.grouping)."""
        if self.work.is_full or not self.experiment.config.jobs.seeds_together or self.spec.gradient_checkpointing:
            return 1
        free = max(0.0, self.gpus * self.room - self._weights) if self.on_card else 4e9
        every = steps(self.experiment, self.work.arm, self.work.pair)
        return min(self.work.runs, self._step.seeds_at_a_time(every, "cuda" if self.on_card else "cpu", free))

    def _train(self) -> float:
        known, work, machine, spec = self.size, self.work, self.machine, self.spec
        every, values = steps(self.experiment, work.arm, work.pair), known.multiplied(self.blocks)
        head = known.vocabulary * known.hidden_size if self._anchor == "kl" else 0
        if work.is_full:
            held = known.below(self.blocks)
            moved = full_training_bytes(held, self.dtype, spec.optimizer)
            step = machine.full_step(values, self.blocks, self._step_tokens, moved)
            written = held * (BYTES[self.section.dtype] / WRITING + 2 * BYTES[self.dtype] / TO_CARD)
            return self._anchoring() + work.runs * (5 + every * step + written)
        number = self.together
        step = machine.step(values, self.blocks, number * self._step_tokens, self._modules)
        if head:  # of the anchor's tokens only: forward of both, backward of one
            step += 6 * head * number * self._anchor_tokens / (4 * values * number * self._step_tokens) * step
            step += 3 * machine.probabilities(number * self._anchor_tokens, known.vocabulary)
        return self._anchoring() + ceil(work.runs / number) * every * step + work.runs * 2

    def _anchoring(self) -> float:
        """What an anchor does before the first step: the text's states before training, and the gradients' matrix."""
        if not self._anchor:
            return 0.0
        known, machine, text = self.size, self.machine, self._anchor_text
        before = machine.forward(known.multiplied(self.blocks), self.blocks, text, PASS)
        if self._anchor != "gradient-weighted":
            return before
        tokens = min(MATRIX_SENTENCES * SENTENCE_TOKENS, text)
        values, opened = (
            known.multiplied() + known.vocabulary * known.hidden_size,
            known.bytes(self.section.dtype, self.quantization, with_head=True),
        )
        both = 2 * machine.forward(values, known.layers, tokens, 512) + machine.probabilities(tokens, known.vocabulary)
        outer = (2 * tokens + 4 * known.hidden_size) * known.hidden_size**2 / (CPU_DOUBLE * machine.threads)  # sum of g g', eigenvalues
        return before + opened / READING + both + outer
