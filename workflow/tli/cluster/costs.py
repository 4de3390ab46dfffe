"""What a job costs: how long it takes, beside the memory of `footprint`, and what a scheduler is asked for.

docs/costs.md derives the figures. Expected seconds are what a machine of `machines.Machine` takes; a scheduler is asked for ten
minutes and three times as much. A job that is ended for too little all the same is tried again with twice as much (the rules
multiply by `attempt`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from tli.cluster.cards import ASSUMED_GB
from tli.cluster.extent import PASS
from tli.cluster.footprint import STATES, Footprint
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
from tli.cluster.sizes import BYTES
from tli.cluster.work import (
    ITEM_TOKENS,
    MATRIX_SENTENCES,
    SAID_TOKENS,
    SENTENCE_TOKENS,
    SHIPPED,
    Work,
    answers,
    is_of_sentences,
    steps,
    trained_pairs,
    translation,
)
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.experiment.settings import maps_spec
from tli.probes.maps import candidate_states, work_of

OF_A_LIST = 0.02  # seconds that a list's figures take beside what grows with it
SPELT, SPELLING = 4_000_000, 1e-6  # comparisons of two forms' spelling: at most, and seconds
REQUEST = 5e-4  # seconds that the harness takes for an answer beside the model: cutting it up, putting it in order


@dataclass(frozen=True)
class Request:
    """What a job asks a scheduler for at its first try."""

    gpu: int
    memory_mb: int
    minutes: int


OF_OTHERS = {  # what the stages without a model ask for
    "fetch": Request(0, 1000, 60),
    "lexicon": Request(0, 2000, 10),
    "folds": Request(0, 2000, 10),
    "lists": Request(0, 2000, 10),
    "statistics": Request(0, 4000, 30),
    "report": Request(0, 4000, 20),
}


def request(job: Job, card_gb: float = ASSUMED_GB) -> Request:
    """What this job asks for. card_gb: memory of a card, which says how many `across_gpus` takes, and whether a model is streamed."""
    if job.stage in OF_OTHERS:
        return OF_OTHERS[job.stage]
    cost = Cost(job.experiment, Work.of(job), card_gb)
    return Request(cost.gpus, cost.memory_mb, asked_minutes(cost.seconds))


def uses_gpu(experiment: Experiment) -> bool:
    """Whether any model asks for a card."""
    return any(section.device != "cpu" for section in experiment.config.models.values())


@dataclass(frozen=True, eq=False)
class Cost(Footprint):
    """The cost of a work of an experiment, on cards of so many GB: its memory, and how long it takes."""

    @property
    def machine(self) -> Machine:
        return Machine(self.on_card, self.experiment.config.jobs.threads, self.dtype, self.quantization)

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

    @property
    def loading(self) -> float:
        """Seconds to start, and to read the weights: those that lie there in 4 bits, or in 16."""
        if self.streams:
            return START
        with_head = self.work.stage in ("check", "transfer") or self._anchor == "kl"
        return START + self.size.bytes(self.section.dtype, self.quantization, self.blocks, with_head=with_head) / READING

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
        """Adapters and trained weights in turn; the base model is embedded once and judged for each seed and fold."""
        config, known, work = self.experiment.config, self.size, self.work
        folds = config.split.folds
        of_state = figures_seconds(self._pairs / (max(1, folds)), known.hidden_size)
        states = self._ways * len(config.evaluation.hidden_states) * len(config.pooling.evaluate)
        swapped = work.trained_whole * known.below() * BYTES[self.section.dtype] / READING
        return self._words(work.runs) + self._judged * (1 + states * of_state) + swapped

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
