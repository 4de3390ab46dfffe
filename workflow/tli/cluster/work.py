"""What a job has to do, counted: pairs, steps, text, answers of tasks, and which of it falls to one job. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path

from tli.cluster.sizes import size
from tli.experiment import Experiment
from tli.experiment.job import AcrossJob, EvaluateJob, Job, TrainJob, TransferJob, TuneJob
from tli.experiment.settings import lexicon_spec, template_spec
from tli.lexicon.formats import FORMATS, units_of
from tli.probes.task_items import HUB, find_file
from tli.specs import WORD

TOKENS, NEW_TOKENS = 5, 3  # of a word, with BOS; where BOS and equal beginnings are computed once
SENTENCES, SENTENCE_TOKENS, BYTES_A_TOKEN = 1000, 30, 3  # of running text that is not here; of a sentence; of UTF-8 a token
SHIPPED = 32  # sentences a language
LONGEST_SENTENCE, MATRIX_SENTENCES = 128, 400  # tokens of a sentence of an anchor; sentences for the gradients' matrix
SHOT_TOKENS, SAID_TOKENS = 24, 40  # of a word and its translation in a prompt; that are generated of a word, one after the other
ITEM_TOKENS, LONGEST_ITEM = 64, 160  # of one answer of a task
ITEMS = {"xcopa": 500, "copa": 100, "xnli": 2490, "afrixnli": 600}  # of the split that the harness scores
CHOICES = {"xcopa": 2, "copa": 2, "xnli": 3, "afrixnli": 3}


@dataclass(frozen=True)
class Work:
    """What a model job does, as far as its cost depends on it."""

    stage: str
    model: str
    pair: str = ""
    layer: str = "output"
    arm: str = ""
    is_full: bool = False  # full fine-tuning, or what needs unquantised weights
    runs: int = 1  # seeds and folds of a training job, those of all trials of a tuning job, adapters and baselines of the later stages
    rank: str = ""
    baselines: int = 0  # of `runs`, base models
    trained_whole: int = 0  # of `runs`, those whose weights take the place of the model's
    is_taken: bool = False  # a training job that takes the runs of a joint training from its first pair's

    @staticmethod
    def of(job: Job) -> Work:
        """The work of a job of the stages check to transfer."""
        if isinstance(job, TrainJob):
            names = job.model, job.pair, job.layer, job.arm
            return Work("train", *names, job.spec.is_full, len(job.members), job.rank, is_taken=job.takes)
        if isinstance(job, TuneJob):
            runs = len(job.tuning.trials) * len(job.tuning.seeds)
            return Work("tune", job.model, job.pair, job.layer, job.arm, job.spec.is_full, runs, job.rank)
        if isinstance(job, EvaluateJob | TransferJob | AcrossJob):
            part = job.content
            whole = sum(run.is_full for run in part.runs)
            return Work(
                job.stage,
                job.model,
                "" if isinstance(job, AcrossJob) else job.pair,
                is_full=part.is_unquantised,
                runs=len(part),
                baselines=len(part.baselines),
                trained_whole=whole,
            )
        return Work(job.stage, getattr(job, "model", ""), getattr(job, "pair", ""))

    @property
    def trainings(self) -> Work:
        """Of a tuning job: what it trains."""
        return replace(self, stage="train")

    @property
    def measurements(self) -> Work:
        """Of a tuning job: what it measures, on the whole model."""
        whole = self.runs if self.is_full else 0
        return Work("evaluate", self.model, self.pair, is_full=self.is_full, runs=self.runs, trained_whole=whole)


def works(experiment: Experiment) -> dict[str, list[Work]]:
    """Every model job of the grid, by stage in the order of the run."""
    config, folds = experiment.config, experiment.config.split.folds
    training = [
        Work(
            "train",
            cell.model,
            cell.pair,
            cell.layer,
            cell.arm,
            cell.is_full,
            len(chunk) * folds,
            cell.rank,
            is_taken=cell.pair != experiment.arms[cell.arm].lists(cell.pair)[0],
        )
        for cell in experiment.cells
        for chunk in experiment.seed_chunks
    ]
    found = {
        "check": [Work("check", model) for model in config.models],
        "scan": [Work("scan", *key) for key in experiment.model_pairs],
        **({"tune": tuning} if (tuning := _tuning(experiment)) else {}),
        "train": training,
        "evaluate": _measured(experiment, "evaluate"),
    }
    places = [(model, part) for model in config.models for part in experiment.across_parts(model)]
    if places:
        found["across"] = [Work.of(Job.of(experiment, "across", model=model, part=part)) for model, part in places]
    return found | ({"transfer": _measured(experiment, "transfer")} if experiment.has_transfer else {})


def _tuning(experiment: Experiment) -> list[Work]:
    names = ("model", "pair", "arm", "layer", "rank")
    return [Work.of(Job.of(experiment, "tune", **{name: getattr(cell, name) for name in names})) for cell in experiment.tuned_cells]


def _measured(experiment: Experiment, stage: str) -> list[Work]:
    places = [(*key, part) for key in experiment.model_pairs for part in experiment.parts(stage, *key)]
    return [Work.of(Job.of(experiment, stage, model=model, pair=pair, part=part)) for model, pair, part in places]


def pairs(experiment: Experiment, pair: str) -> int:
    """Pairs of a lexicon, at most: its lines where the file is on disk, else the sizes asked for, else 1,500."""
    spec = lexicon_spec(experiment.config, pair)
    split = spec.split
    return sum(split.sizes.values()) if split.sizes else sum(map(_lines, experiment.lists(pair))) // FORMATS[spec.format].files


def is_of_sentences(experiment: Experiment, pair: str) -> bool:
    """Whether a row of a list is a sentence, not a word."""
    return bool(pair) and units_of(lexicon_spec(experiment.config, pair)) == "sentences"


def form_tokens(experiment: Experiment, pair: str) -> int:
    """Tokens of a form of a list, about."""
    return SENTENCE_TOKENS if is_of_sentences(experiment, pair) else NEW_TOKENS


def fed_tokens(experiment: Experiment, pair: str) -> tuple[float, float]:
    """Tokens of a list that is fed once: every pair by itself, and in all of its templates, whose frames are read with each word."""
    made, every = template_spec(experiment.config, pair), pairs(experiment, pair)
    frames = [(made.source[number - 1], made.target[number - 1]) for number in made.numbers] if made else []
    one = form_tokens(experiment, pair)
    return 2 * one * every, every * sum(2 * one + sum(map(frame_tokens, sides)) for sides in frames)


def frame_tokens(template: str) -> float:
    """Tokens of a template beside the word's."""
    return len(template.replace(WORD, "").encode()) / BYTES_A_TOKEN


def ways_of_feeding(experiment: Experiment, pair: str) -> int:
    """How many figures a list has at a hidden state and pooling: by itself, and in each template or averaged over them."""
    made = template_spec(experiment.config, pair)
    return 1 + (len(made.names) if made else 0)


@cache
def _lines(entry: str) -> int:
    try:
        with Path(entry).open("rb") as stream:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b"")) + 1
    except OSError:
        return 1500


def trained_pairs(experiment: Experiment, pair: str) -> int:
    """Pairs that a run may learn from. With folds the words outside the select split are dealt, and a fold is left out."""
    split, every = lexicon_spec(experiment.config, pair).split, pairs(experiment, pair)
    of: Mapping[str, float] = split.sizes or {name: share * every for name, share in split.shares.items()}
    if split.folds > 1:
        return ceil((every - of.get("select", 0)) * (1 - 1 / split.folds))
    return ceil(of.get("train", 0))


def asked_across(experiment: Experiment, pair: str) -> tuple[int, int]:
    """Pairs of a list that adapters of any pair are asked, and those whose forms compete: what no run of the list learns from."""
    split, every = lexicon_spec(experiment.config, pair).split, pairs(experiment, pair)
    if pair not in experiment.trained_pairs:
        return every, every
    of: Mapping[str, float] = split.sizes or {name: share * every for name, share in split.shares.items()}
    heldout = (every - of.get("select", 0)) / split.folds if split.folds > 1 else of.get("heldout", 0)
    return ceil(heldout), ceil(heldout + of.get("select", 0))


def steps(experiment: Experiment, arm: str, pair: str) -> int:
    """Optimizer steps of one run, with the trainings by which `uncertainty` chooses its pairs."""
    spec = experiment.arms[arm].training
    trained = [trained_pairs(experiment, one) for one in experiment.arms[arm].lists(pair)]
    once = spec.steps(*(min(spec.select.budget, pairs) if spec.select else pairs for pairs in trained))
    rounds = spec.select.rounds if spec.select and spec.select.strategy == "uncertainty" else 1
    return ceil(once * (rounds + 1) / 2)


def text_tokens(experiment: Experiment, languages: list[str], share: float) -> float:
    """Tokens of running text in these languages: a share of what the files hold."""
    return share * sum(_file_tokens(path) for _, path in experiment.texts(languages).values())


@cache
def _file_tokens(path: str) -> float:
    try:
        return Path(path).stat().st_size / BYTES_A_TOKEN
    except OSError:
        return SENTENCES * SENTENCE_TOKENS


def answers(experiment: Experiment) -> int:
    """Items times choices of the tasks: what the harness asks the model of each subject."""
    return sum(items(experiment, task) * CHOICES.get(task.split("_")[0], 4) for task in experiment.config.transfer.tasks)


def items(experiment: Experiment, task: str) -> int:
    """Items of a task that are scored."""
    transfer = experiment.config.transfer
    found = ITEMS.get(task.split("_")[0], 1000)
    if transfer.source != HUB and Path(transfer.source).is_dir() and (file := find_file(task, transfer.source)):
        found = _lines(str(file))
    return min(found, transfer.limit or 10**9)


def translation(experiment: Experiment, pair: str) -> tuple[float, int]:
    """Tokens of all prompts and choices of the words that are translated by prompt, and batches of words that are generated."""
    asked, split = experiment.config.transfer.translate, lexicon_spec(experiment.config, pair).split
    if asked is None:
        return 0.0, 0
    every, sizes = pairs(experiment, pair), split.sizes or {}
    heldout = every / split.folds if split.folds > 1 else sizes.get("heldout", every * split.shares.get("heldout", 0))
    words = 2 * min(ceil(heldout), experiment.config.transfer.limit or 10**9)
    prompts = sum(SHOT_TOKENS * (shots + 1) for shots in asked.shots)
    return words * prompts * (asked.choices + 1), len(asked.shots) * ceil(words / experiment.config.transfer.batch_size)


def depth(experiment: Experiment, model: str, layer: str) -> int:
    """Blocks that a loss at this layer needs, at most: `best` is known only after the scan."""
    layers = size(experiment, model).layers
    if layer == "best":
        return min(layers, experiment.config.scan.best_at_most or layers - 1)
    return layers if layer == "output" else min(int(layer), layers)
