"""What a job costs: memory, time and disk from the model's size, its quantisation, the words and the seeds. No torch.

The figures are for asking a scheduler, so they are ample: asked is about three times what is expected. A job that is ended
for too little all the same is tried again with twice as much (the rules multiply by `attempt`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path

from tli.config import Config
from tli.config.arms import expand_arms
from tli.errors import ModelError
from tli.experiment import grid
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


def size(config: Config, model: str) -> Size:
    """From the model's files where they are on disk, else from `parameters` in the config, else the usual 8B."""
    section = config.models[model]
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


def pairs(config: Config, pair: str) -> int:
    """Pairs of a lexicon, at most: its lines where the file is on disk, else the sizes asked for, else 1,500."""
    section = config.pairs[pair]
    split = section.split or config.split
    if split.sizes:
        return sum(split.sizes.values())
    entries = [section.lexicon] if isinstance(section.lexicon, str) else section.lexicon
    return sum(_lines(entry) for entry in entries)


@cache
def _lines(entry: str) -> int:
    try:
        with Path(entry).open("rb") as stream:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b"")) + 1
    except OSError:
        return 1500


def steps(config: Config, arm: str, pair: str) -> int:
    """Optimizer steps of one training run."""
    settings = expand_arms(config)[arm]
    split = config.pairs[pair].split or config.split
    trained = split.sizes.get("train", 0) if split.sizes else pairs(config, pair) * split.shares.get("train", 0)
    return settings["epochs"] * ceil(trained / settings["batch_size"])


def depth(config: Config, model: str, layer: str) -> int:
    """Blocks that a loss at this layer needs, at most: `best` is known only after the scan."""
    layers = size(config, model).layers
    if layer == "best":
        return min(layers, config.scan.best_at_most or layers - 1)
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


def needs_gpu(config: Config, model: str) -> int:
    """GPUs that a model job asks for: none on the CPU, one, or for `across_gpus` as many 80 GB cards as the weights fill."""
    section = config.models[model]
    if section.device == "cpu":
        return 0
    if not section.across_gpus:
        return 1
    held = weight_bytes(size(config, model).parameters, section.dtype, section.quantization)
    return max(2, ceil(1.2 * held / 1e6 / CARD_MB))


def memory_mb(config: Config, stage: str, model: str, *, pair: str = "", layer: str = "output", arm: str = "", method: str = "lora") -> int:
    """Main memory to ask for, MB. Training holds only the embeddings and the blocks below the loss layer.

    Full training keeps a copy of the first weights in main memory for the next seed, wherever it computes.
    """
    held, vectors = _held(config, stage, model, pair, layer, arm, method)
    gpu = needs_gpu(config, model)
    copied = 0.0
    if stage == "train" and method == "full":
        copied = weight_bytes(size(config, model).parameters, "float32", "none")
        held = 2 * copied if gpu else held + copied
    return int(IMPORTS_MB + (CUDA_MB if gpu and held > 2e9 else 0) + 1.3 * held / 1e6 + vectors)


def gpu_memory_mb(
    config: Config, stage: str, model: str, *, pair: str = "", layer: str = "output", arm: str = "", method: str = "lora"
) -> int:
    """Memory of the card that the job fills, MB; 0 for a model on the CPU."""
    if not needs_gpu(config, model):
        return 0
    held, vectors = _held(config, stage, model, pair, layer, arm, method)
    return int(1000 + 1.15 * held / 1e6 + vectors)


def _held(config: Config, stage: str, model: str, pair: str, layer: str, arm: str, method: str) -> tuple[float, float]:
    section, known = config.models[model], size(config, model)
    words = 2 * max((pairs(config, name) for name in ([pair] if pair else config.pairs)), default=0)
    parameters = known.below(depth(config, model, layer)) if stage == "train" else known.parameters
    if stage == "train" and method == "full":
        chosen = expand_arms(config)[arm] if arm else config.training.model_dump()
        held = full_training_bytes(parameters, chosen["full_dtype"], chosen["optimizer"])
    else:
        # NF4 weights cannot be trained in full: such a run is opened, and measured, unquantised.
        held = weight_bytes(parameters, section.dtype, section.quantization if method == "lora" else "none")
    states, poolings = {"scan": (known.layers + 1, len(config.pooling.scan)), "evaluate": (2, len(config.pooling.evaluate))}.get(
        stage, (0, 0)
    )
    return held, vectors_mb(words, states, known.hidden_size, poolings)


def seconds(
    config: Config, stage: str, model: str, *, pair: str = "", runs: int = 1, layer: str = "output", arm: str = "", method: str = "lora"
) -> float:
    """Seconds that a job is expected to take. runs: seeds of a training job, adapters and baselines of the later stages."""
    section, known = config.models[model], size(config, model)
    quantization = section.quantization if method == "lora" else "none"
    how = {"dtype": section.dtype, "quantization": quantization, "gpu": section.device != "cpu", "threads": config.jobs.threads}
    loading = load_seconds(known.parameters, section.dtype, quantization)
    if stage == "check":
        return quantize_seconds(known.parameters, section.dtype) if quantization == "nf4" else loading
    tokens = 2 * pairs(config, pair) * TOKENS
    if stage == "scan":
        return loading + 30 + work_seconds(known.parameters, tokens, training=False, **how)
    if stage == "train":
        needed = known.below(depth(config, model, layer))
        batch = 2 * expand_arms(config)[arm]["batch_size"] * TOKENS
        loading = load_seconds(needed, section.dtype, quantization)
        # A step has a floor, however small the model: launching its kernels.
        step = max(0.05, work_seconds(needed, batch, training=True, **how))
        return loading + runs * (5 + steps(config, arm, pair) * step)
    if stage == "evaluate":
        return loading + runs * (10 + work_seconds(known.parameters, tokens, training=False, **how))
    tokens = 0
    for task in config.transfer.tasks:
        kind = task.split("_")[0]
        items = min(ITEMS.get(kind, 1000), config.transfer.limit or 10**9)
        tokens += items * CHOICES.get(kind, 4) * ITEM_TOKENS
    return loading + runs * (30 + work_seconds(known.parameters, tokens, training=False, long=True, **how))


def minutes(config: Config, stage: str, model: str, **job) -> int:
    """Time to ask for, minutes; the arguments are those of `seconds`."""
    return asked_minutes(seconds(config, stage, model, **job))


def method_of(part: dict) -> str:
    """`full` for a part of the evaluation or the transfer that needs the unquantised weights (see jobs.parts)."""
    unquantised = any(name != grid.BASELINE for name in part["baselines"]) or any(run["method"] == "full" for run in part["runs"])
    return "full" if unquantised else "lora"


def disk_mb(config: Config, stage: str, model: str, *, pair: str = "", layer: str = "output", arm: str = "", rank: str = "") -> float:
    """Disk of one run (training: one seed; evaluation, transfer: one adapter), MB, with the store's copy."""
    known, section = size(config, model), config.models[model]
    if stage == "train":
        settings = expand_arms(config)[arm]
        if settings["method"] == "full":
            return known.parameters * BYTES[section.dtype] / 1e6  # the store's name and the output's are one file
        blocks = depth(config, model, layer) if settings["adapted_blocks"] != "all" else known.layers
        modules = len(settings["target_modules"])
        return 2 * (0.1 + int(rank) * 2 * known.hidden_size * modules * blocks * 4 / 1e6)
    if stage == "evaluate":
        states = len(config.evaluation.hidden_states) * len(config.pooling.evaluate)
        return 2 * (0.05 + pairs(config, pair) * states * 60 / 1e6)
    if stage == "transfer":
        return 2 * (
            0.05
            + sum(min(ITEMS.get(task.split("_")[0], 1000), config.transfer.limit or 10**9) for task in config.transfer.tasks) * 40 / 1e6
        )
    return 1.0


def quantized_gb(config: Config, model: str) -> float:
    """Disk of the NF4 weights that the check job writes for all others, GB; 0 for a model that is not quantised."""
    section = config.models[model]
    return weight_bytes(size(config, model).parameters, section.dtype, "nf4") / 1e9 if section.quantization == "nf4" else 0.0


def checkpoint_mb(config: Config, model: str, layer: str, arm: str) -> float:
    """Disk of a full training's checkpoint, MB: weights and moments, twice while a new one takes the old one's place."""
    if not config.jobs.checkpoint_minutes:
        return 0.0
    chosen = expand_arms(config)[arm]
    held = full_training_bytes(size(config, model).below(depth(config, model, layer)), chosen["full_dtype"], chosen["optimizer"])
    gradients = size(config, model).below(depth(config, model, layer)) * BYTES[chosen["full_dtype"]]
    return 2 * (held - gradients) / 1e6


def of_part(config: Config, stage: str, model: str, pair: str, part: dict) -> dict[str, int]:
    """Memory (MB) and time (minutes) of one part of the evaluation or the transfer (see jobs.parts)."""
    method, runs = method_of(part), len(part["runs"]) + len(part["baselines"])
    return {
        "memory_mb": memory_mb(config, stage, model, pair=pair, method=method),
        "minutes": minutes(config, stage, model, pair=pair, runs=runs, method=method),
    }
