"""What a run, a model and a checkpoint take on the disk. No torch."""

from __future__ import annotations

from tli.cluster.machines import full_training_bytes
from tli.cluster.sizes import BYTES, size
from tli.cluster.work import SENTENCE_TOKENS, Work, asked_across, depth, items, pairs, text_tokens, ways_of_feeding
from tli.experiment import Experiment


def disk_mb(experiment: Experiment, work: Work, rank: str = "") -> float:
    """Disk of one run (training: one seed; evaluation, transfer: one adapter), MB, with the store's copy."""
    config, known = experiment.config, size(experiment, work.model)
    if work.stage == "train":
        spec = experiment.arms[work.arm].training
        if spec.is_full:  # the store's name and the output's are one file
            return known.below(depth(experiment, work.model, work.layer)) * BYTES[config.models[work.model].dtype] / 1e6
        blocks = depth(experiment, work.model, work.layer) if spec.adapted_blocks != "all" else known.layers
        return 2 * (0.1 + known.adapter(spec.target_modules, blocks, int(rank)) * 4 / 1e6)
    if work.stage == "evaluate":
        states = len(config.evaluation.hidden_states) * len(config.pooling.evaluate)
        return 2 * (0.05 + pairs(experiment, work.pair) * states * ways_of_feeding(experiment, work.pair) * 60 / 1e6)
    if work.stage == "across":
        return 2 * sum(0.02 + asked_across(experiment, pair)[0] * 65 / 1e6 for pair in experiment.lists_measured)
    if work.stage == "transfer":
        sentences = text_tokens(experiment, work.pair.split("-"), 2 / 3) / SENTENCE_TOKENS
        translate = config.transfer.translate
        words = 2 * pairs(experiment, work.pair) * len(translate.shots) if translate else 0
        return 2 * (0.05 + ((sum(items(experiment, task) for task in config.transfer.tasks) + words) * 40 + sentences * 30) / 1e6)
    return 1.0


def quantized_gb(experiment: Experiment, model: str) -> float:
    """Disk of the NF4 weights that the check job writes for all others, GB; 0 for a model that is not quantised."""
    section = experiment.config.models[model]
    return size(experiment, model).bytes(section.dtype, "nf4", with_head=True) / 1e9 if section.quantization == "nf4" else 0.0


def checkpoint_mb(experiment: Experiment, model: str, layer: str, arm: str) -> float:
    """Disk of a full training's checkpoint, MB: weights and moments, twice while a new one takes the old one's place."""
    if not experiment.config.jobs.checkpoint_minutes:
        return 0.0
    spec, parameters = experiment.arms[arm].training, size(experiment, model).below(depth(experiment, model, layer))
    held = full_training_bytes(parameters, spec.full_dtype, spec.optimizer)
    return 2 * (held - parameters * BYTES[spec.full_dtype]) / 1e6
