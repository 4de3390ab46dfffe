"""What a job costs: memory, time and disk from the model's size, its quantisation, the words and the seeds. No torch.

The figures are for asking a scheduler, so they are ample: asked is about three times what is expected. A job that is ended
for too little all the same is tried again with twice as much (the rules multiply by `attempt`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path

from tli.errors import ModelError
from tli.experiment import Experiment
from tli.experiment.job import EvaluateJob, Job, TrainJob, TransferJob
from tli.experiment.settings import lexicon_spec
from tli.model.files import check_folder, read_config

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4_BYTES = 0.6  # four bits, the scales of the blocks, and embeddings and norms that stay as they were
UNKNOWN_PARAMETERS = 8.1e9  # a model whose files are not here yet and whose config says nothing: the usual 8B
IMPORTS_MB = 1500  # Python with torch, transformers, peft and scikit-learn, and what Snakemake itself holds
CUDA_MB = 2000  # main memory that the GPU's libraries hold
TOKENS = 8  # of a word, with BOS and padding
ITEM_TOKENS = 64  # of one answer of a task
ITEMS = {"xcopa": 500, "copa": 500, "xnli": 5010}  # of a task's test split
CHOICES = {"xcopa": 2, "copa": 2, "xnli": 3}
# Floating-point operations a second that are reached, well below what the makers print: words are short.
GPU_RATE, GPU_RATE_LONG, CPU_RATE = 2e13, 5e13, 5e10
READING = 2e8  # bytes a second from a shared file system
START_SECONDS = 60  # two Snakemakes, the imports, the environment
CARD_MB = 80_000


@dataclass(frozen=True)
class Size:
    """A model's size: parameters, blocks, parameters of one block, width of a hidden state."""

    parameters: float
    layers: int
    block_parameters: float
    hidden_size: int

    def below(self, layers: int) -> float:
        """Parameters that are held when only the first blocks are opened."""
        return self.parameters - self.block_parameters * max(0, self.layers - layers)


def size(experiment: Experiment, model: str) -> Size:
    """From the model's files where they are on disk, else from `parameters` in the config, else the usual 8B."""
    section = experiment.config.models[model]
    return _size(section.source, section.parameters or UNKNOWN_PARAMETERS)


@cache
def _size(source: str, otherwise: float) -> Size:
    folder = Path(source)
    try:
        facts, settings = check_folder(folder), read_config(folder)
    except ModelError:
        return Size(otherwise, 32, otherwise * 0.87 / 32, 4096)
    width = settings.get("hidden_size") or settings.get("n_embd") or 4096
    return Size(facts["parameters"], facts["layers"], facts["block_parameters"], width)


def pairs(experiment: Experiment, pair: str) -> int:
    """Pairs of a lexicon, at most: its lines where the file is on disk, else the sizes asked for, else 1,500."""
    split = lexicon_spec(experiment.config, pair).split
    return sum(split.sizes.values()) if split.sizes else sum(map(_lines, experiment.lists(pair)))


@cache
def _lines(entry: str) -> int:
    try:
        with Path(entry).open("rb") as stream:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b"")) + 1
    except OSError:
        return 1500


def steps(experiment: Experiment, arm: str, pair: str) -> int:
    """Optimizer steps of one training run."""
    spec, split = experiment.arms[arm].training, lexicon_spec(experiment.config, pair).split
    trained = split.sizes.get("train", 0) if split.sizes else pairs(experiment, pair) * split.shares.get("train", 0)
    return spec.epochs * ceil(trained / spec.batch_size)


def depth(experiment: Experiment, model: str, layer: str) -> int:
    """Blocks that a loss at this layer needs, at most: `best` is known only after the scan."""
    layers = size(experiment, model).layers
    if layer == "best":
        return min(layers, experiment.config.scan.best_at_most or layers - 1)
    return layers if layer == "output" else min(int(layer), layers)


# ---- the formulas, on plain numbers


def weight_bytes(parameters: float, dtype: str, quantization: str) -> float:
    """Bytes of the weights as they are held."""
    return parameters * (NF4_BYTES if quantization == "nf4" else BYTES[dtype])


def full_training_bytes(parameters: float, dtype: str, optimizer: str) -> float:
    """Bytes of weights, gradients and AdamW's two moments, where the weights are trained themselves."""
    return parameters * (2 * BYTES[dtype] + (2 if optimizer == "adamw-8bit" else 2 * BYTES[dtype]))


def vectors_mb(words: int, states: int, hidden_size: int, poolings: int) -> float:
    """Pooled float32 vectors and what is computed from them, megabytes."""
    return 2.5 * words * states * hidden_size * poolings * 4 / 1e6


def work_seconds(
    parameters: float, tokens: float, *, training: bool, dtype: str, quantization: str, gpu: bool, threads: int, long: bool = False
) -> float:
    """Seconds to compute so many tokens: 2 operations a parameter and token forward, 6 with the gradient."""
    rate = (GPU_RATE_LONG if long else GPU_RATE) if gpu else CPU_RATE * threads
    slower = (2 if quantization == "nf4" else 1) * (2 if dtype == "float32" and gpu else 1)
    return (6 if training else 2) * parameters * tokens * slower / rate


def load_seconds(parameters: float, dtype: str, quantization: str) -> float:
    """Seconds to start and to read the weights, which lie there in 4 bits where the model is quantised."""
    return START_SECONDS + weight_bytes(parameters, dtype, quantization) / READING


def quantize_seconds(parameters: float, dtype: str) -> float:
    """Seconds of the check job to read the weights, to round them to NF4 and to write them."""
    return START_SECONDS + parameters * (BYTES[dtype] + NF4_BYTES) / READING + parameters / 1.5e8


def asked_minutes(expected_seconds: float) -> int:
    """Whole minutes to ask for: ten, and three times what is expected."""
    return 10 + ceil(3 * expected_seconds / 60)


# ---- the same for a job of the grid


@dataclass(frozen=True)
class Work:
    """What a model job does, as far as its cost depends on it."""

    stage: str
    model: str
    pair: str = ""
    layer: str = "output"
    arm: str = ""
    is_full: bool = False  # full fine-tuning, or what needs unquantised weights
    runs: int = 1  # seeds of a training job, adapters, baselines and maps inside of the later stages

    @staticmethod
    def of(job: Job) -> Work:
        """The work of a job of the stages check to transfer."""
        if isinstance(job, TrainJob):
            return Work("train", job.model, job.pair, job.layer, job.arm, job.spec.is_full, len(job.members))
        if isinstance(job, EvaluateJob | TransferJob):
            return Work(job.stage, job.model, job.pair, is_full=job.content.is_unquantised, runs=len(job.content))
        return Work(job.stage, job.model, getattr(job, "pair", ""))


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
    "statistics": Asked(0, 4000, 30),
    "report": Asked(0, 4000, 20),
}


def asked(job: Job) -> Asked:
    """What this job asks for."""
    if job.stage in OF_OTHERS:
        return OF_OTHERS[job.stage]
    work = Work.of(job)
    expected = seconds(job.experiment, work)
    return Asked(needs_gpu(job.experiment, work.model), memory_mb(job.experiment, work), asked_minutes(expected))


def needs_gpu(experiment: Experiment, model: str) -> int:
    """GPUs that a model job asks for: none on the CPU, one, or for `across_gpus` as many 80 GB cards as the weights fill."""
    section = experiment.config.models[model]
    if section.device == "cpu":
        return 0
    if not section.across_gpus:
        return 1
    held = weight_bytes(size(experiment, model).parameters, section.dtype, section.quantization)
    return max(2, ceil(1.2 * held / 1e6 / CARD_MB))


def memory_mb(experiment: Experiment, work: Work) -> int:
    """Main memory to ask for, MB. Training holds only the embeddings and the blocks below the loss layer.

    Full training keeps a copy of the first weights in main memory for the next seed, wherever it computes.
    """
    held, vectors = _held(experiment, work)
    gpu = needs_gpu(experiment, work.model)
    if work.stage == "train" and work.is_full:
        copied = weight_bytes(size(experiment, work.model).parameters, "float32", "none")
        held = 2 * copied if gpu else held + copied
    return int(IMPORTS_MB + (CUDA_MB if gpu and held > 2e9 else 0) + 1.3 * held / 1e6 + vectors)


def gpu_memory_mb(experiment: Experiment, work: Work) -> int:
    """Memory of the card that the job fills, MB; 0 for a model on the CPU."""
    if not needs_gpu(experiment, work.model):
        return 0
    held, vectors = _held(experiment, work)
    return int(1000 + 1.15 * held / 1e6 + vectors)


def _held(experiment: Experiment, work: Work) -> tuple[float, float]:
    """Bytes of the weights (and of what is trained), and megabytes of vectors."""
    config, known = experiment.config, size(experiment, work.model)
    section = config.models[work.model]
    words = 2 * max((pairs(experiment, name) for name in ([work.pair] if work.pair else config.pairs)), default=0)
    parameters = known.below(depth(experiment, work.model, work.layer)) if work.stage == "train" else known.parameters
    if work.stage == "train" and work.is_full:
        spec = experiment.arms[work.arm].training if work.arm else config.training
        held = full_training_bytes(parameters, spec.full_dtype, spec.optimizer)
    else:
        # NF4 weights cannot be trained in full: such a run is opened, and measured, unquantised.
        held = weight_bytes(parameters, section.dtype, "none" if work.is_full else section.quantization)
    states, poolings = {
        "scan": (known.layers + 1, len(config.pooling.scan)),
        "evaluate": (2, len(config.pooling.evaluate)),
    }.get(work.stage, (0, 0))
    return held, vectors_mb(words, states, known.hidden_size, poolings)


def seconds(experiment: Experiment, work: Work) -> float:
    """Seconds that a job is expected to take."""
    config, known = experiment.config, size(experiment, work.model)
    section = config.models[work.model]
    quantization = "none" if work.is_full else section.quantization
    how = {"dtype": section.dtype, "quantization": quantization, "gpu": section.device != "cpu", "threads": config.jobs.threads}
    loading = load_seconds(known.parameters, section.dtype, quantization)
    if work.stage == "check":
        return quantize_seconds(known.parameters, section.dtype) if quantization == "nf4" else loading
    if work.stage == "transfer":
        return loading + work.runs * (30 + work_seconds(known.parameters, _task_tokens(experiment), training=False, long=True, **how))
    tokens = 2 * pairs(experiment, work.pair) * TOKENS
    if work.stage == "scan":
        return loading + 30 + work_seconds(known.parameters, tokens, training=False, **how)
    if work.stage == "evaluate":
        return loading + work.runs * (10 + work_seconds(known.parameters, tokens, training=False, **how))
    needed = known.below(depth(experiment, work.model, work.layer))
    batch = 2 * experiment.arms[work.arm].training.batch_size * TOKENS
    # A step has a floor, however small the model: launching its kernels.
    step = max(0.05, work_seconds(needed, batch, training=True, **how))
    loading = load_seconds(needed, section.dtype, quantization)
    return loading + work.runs * (5 + steps(experiment, work.arm, work.pair) * step)


def _task_tokens(experiment: Experiment) -> int:
    """Tokens of all items and choices of the tasks."""
    kinds = [(task.split("_")[0], _items(experiment, task)) for task in experiment.config.transfer.tasks]
    return sum(items * CHOICES.get(kind, 4) * ITEM_TOKENS for kind, items in kinds)


def _items(experiment: Experiment, task: str) -> int:
    return min(ITEMS.get(task.split("_")[0], 1000), experiment.config.transfer.limit or 10**9)


def disk_mb(experiment: Experiment, work: Work, rank: str = "") -> float:
    """Disk of one run (training: one seed; evaluation, transfer: one adapter), MB, with the store's copy."""
    config, known = experiment.config, size(experiment, work.model)
    if work.stage == "train":
        spec = experiment.arms[work.arm].training
        if spec.is_full:
            return known.parameters * BYTES[config.models[work.model].dtype] / 1e6  # the store's name and the output's are one file
        blocks = depth(experiment, work.model, work.layer) if spec.adapted_blocks != "all" else known.layers
        return 2 * (0.1 + int(rank) * 2 * known.hidden_size * len(spec.target_modules) * blocks * 4 / 1e6)
    if work.stage == "evaluate":
        states = len(config.evaluation.hidden_states) * len(config.pooling.evaluate)
        return 2 * (0.05 + pairs(experiment, work.pair) * states * 60 / 1e6)
    if work.stage == "transfer":
        return 2 * (0.05 + sum(_items(experiment, task) for task in config.transfer.tasks) * 40 / 1e6)
    return 1.0


def quantized_gb(experiment: Experiment, model: str) -> float:
    """Disk of the NF4 weights that the check job writes for all others, GB; 0 for a model that is not quantised."""
    section = experiment.config.models[model]
    return weight_bytes(size(experiment, model).parameters, section.dtype, "nf4") / 1e9 if section.quantization == "nf4" else 0.0


def checkpoint_mb(experiment: Experiment, model: str, layer: str, arm: str) -> float:
    """Disk of a full training's checkpoint, MB: weights and moments, twice while a new one takes the old one's place."""
    if not experiment.config.jobs.checkpoint_minutes:
        return 0.0
    spec, parameters = experiment.arms[arm].training, size(experiment, model).below(depth(experiment, model, layer))
    held = full_training_bytes(parameters, spec.full_dtype, spec.optimizer)
    return 2 * (held - parameters * BYTES[spec.full_dtype]) / 1e6
