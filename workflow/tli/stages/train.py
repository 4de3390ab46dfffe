"""Train: the seeds of one cell (model, pair, arm, layer, rank) on one copy of the frozen weights, up to the loss layer."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from functools import cache, cached_property
from pathlib import Path

import pandas as pd

from tli.errors import CellError
from tli.experiment.folds import Splits
from tli.experiment.job import TrainJob
from tli.experiment.layer import adapted_blocks, resolve_layer
from tli.io import store
from tli.io.records import CheckRecord, read_check, read_json, write_json
from tli.io.sentences import read_sentences
from tli.log import say, warn
from tli.model.device import device_name, peak_memory_mib
from tli.model.opening import below_head, open_whole
from tli.specs import STAGE_VERSIONS, Member, ModelSpec, TrainSpec, plain
from tli.training.anchor import MATRIX, Anchoring, gradient_matrix, prediction, write_matrix
from tli.training.loop import steps_of
from tli.training.trainer import Trainer

MATRIX_SENTENCES = 400  # that the gradients' matrix is made from
OFF = 0.2  # by how much the matrix may misjudge KL


def run(job: TrainJob) -> dict:
    """Train each seed of the cell that the store does not hold yet, and copy the units to the runs' folders.

    A folder gets adapter/ (or weights/), losses.parquet and run.json. A full training writes every
    `jobs.checkpoint_minutes` where it stands. Returns the facts for the provenance. Raises CellError.
    """
    cell = _Cell(job)
    lacking = [member for member in job.members if cell.unit(member) is None]
    facts = {}
    if lacking:
        trainer = cell.trainer()
        facts["device"] = device_name(trainer.opened.device)
        if job.experiment.config.jobs.seeds_together and trainer.trains_together:
            trainer.prepare(lacking, _progress)
    for number, member in enumerate(job.members, 1):
        place = f"{member} ({number} of {len(job.members)})"
        checkpoint = cell.checkpoint(member)
        if cell.unit(member) is None:
            say(f"train: {place}, loss at hs[{cell.loss_layer}], {len(cell.trained(member))} pairs")
            cell.train(trainer, member, checkpoint)
        else:
            say(f"train: {place} is finished already; taken from the store")
        if checkpoint:
            checkpoint.remove()
        cell.hand_over(member)
    return facts


class _Cell:
    """What the runs of a job share: the model's check and the loss layer; and for each of them its train split and its key."""

    def __init__(self, job: TrainJob):
        self.job, self.spec, self.model = job, job.spec, job.model_spec
        self.check = read_check(job.inputs["check"])
        self.loss_layer = resolve_layer(job.layer, self.check.layers, job.inputs.get("choice"))
        self.adapted = adapted_blocks(self.spec, self.loss_layer, self.check.layers, job.arm)
        self.splits = Splits.read(job.inputs)
        fewest = min(len(self.trained(member)) for member in job.members)
        if fewest < 2:
            raise CellError(f"{job.pair}: the train split has {fewest} pairs; at least 2 are needed")
        steps = steps_of(fewest, self.spec)
        if 0 < steps <= self.spec.warmup_steps:
            warn(
                f"arms.{job.arm}, {job.pair}: {steps} steps, {self.spec.warmup_steps} of warm-up: the learning rate never reaches its "
                "peak; set training.warmup_steps lower, or more epochs"
            )

    @cache  # noqa: B019 (it lives as long as the job)
    def trained(self, member: Member) -> pd.DataFrame:
        """The train split of a run."""
        pairs = self.splits.of(member.seed, member.fold)
        return pairs[pairs["split"] == "train"].reset_index(drop=True)

    def key(self, member: Member) -> dict:
        key = unit_key(self.check, self.model, self.trained(member), self.spec, self.loss_layer, self.adapted, member.seed)
        if self.spec.anchor is None:
            return key
        if self.spec.anchor.metric == "kl" and self.spec.is_full:
            key |= {"above_the_loss": "frozen"}  # it was not always
        return key | {"anchors": store.digest(list(self.anchors))}

    @cached_property
    def anchors(self) -> tuple[str, ...]:
        """The sentences that are kept apart for training, of all languages of the arm's anchor."""
        texts = self.job.texts.values()
        return tuple(dict.fromkeys(one.text for spec, path in texts for one in read_sentences(path, spec) if one.is_anchor))

    def anchoring(self) -> Anchoring | None:
        """What the anchor needs; the gradients' matrix is made once for a model, hidden state and text."""
        if self.spec.anchor is None:
            return None
        if self.spec.anchor.metric != "gradient-weighted":
            return Anchoring(self.anchors)
        model = replace(self.model, quantization="none", dtype=self.spec.full_dtype) if self.spec.is_full else self.model
        chosen = self.anchors[:MATRIX_SENTENCES]
        key = {"version": 1, "identity": self.check.identity, "dtype": model.dtype, "quantization": model.quantization}
        key |= {"hidden_state": self.loss_layer, "sentences": store.digest(list(chosen))}

        def build(folder: Path) -> None:
            say(f"train: the gradients' matrix at hs[{self.loss_layer}] from {len(chosen)} sentences")
            whole, tokenizer = open_whole(model)
            opened = below_head(whole, tokenizer)
            matrix = gradient_matrix(whole, opened, self.loss_layer, chosen, progress=_passes)
            write_matrix(matrix, folder)
            if self.loss_layer < opened.layers:
                _hold_against_kl(prediction(whole, opened, self.loss_layer, chosen, matrix))

        return Anchoring(self.anchors, store.get(Path(self.job.layout.store), "gradient-matrix", key, build)[0] / MATRIX)

    def unit(self, member: Member) -> Path | None:
        """The finished unit of a run, None where it is to be trained."""
        unit = store.find(Path(self.job.layout.store), "train", self.key(member))
        if unit is not None and self.spec.is_full and not (unit / "weights").exists():
            shutil.rmtree(unit)  # its weights were taken by the evaluation; they are wanted again
            return None
        return unit

    def trainer(self) -> Trainer:
        return Trainer(self.model, self.spec, self.loss_layer, self.adapted, self.trained, self.anchoring())

    def checkpoint(self, member: Member):
        """Where a full training of this run writes how far it is; None for adapters."""
        if not self.spec.is_full:
            return None
        from tli.training.checkpoint import Checkpoint

        key = self.key(member)
        folder = Path(self.job.layout.checkpoints) / store.digest(key)
        return Checkpoint(folder, self.job.experiment.config.jobs.checkpoint_minutes, key)

    def train(self, trainer: Trainer, member: Member, checkpoint) -> None:
        if checkpoint and checkpoint.folder.exists():
            say("train: an earlier try got some way and left a checkpoint")
        key = self.key(member)
        with store.make(Path(self.job.layout.store), "train", key) as folder:
            record = trainer.run(member, folder, _progress, checkpoint) | {
                "unit": store.digest(key),
                "peak_memory_mib": _peak(trainer.opened.device),
                "device": device_name(trainer.opened.device),
                "settings": plain(self.spec),
                "stage_versions": f"train {STAGE_VERSIONS['train']}",
            }
            (folder / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")

    def hand_over(self, member: Member) -> None:
        """Copy the unit to the run's folder."""
        unit, output = self.unit(member), Path(self.job.folder(member.seed, member.fold))
        for item in sorted(unit.iterdir()):
            if item.name == "weights":
                store.link(item, output / item.name)  # as large as the model: never twice on the disk
            elif item.name not in ("unit.json", "run.json", "pairs.json"):
                store.copy(item, output / item.name)
        record = read_json(unit / "run.json", "a unit of the store; delete its folder")
        record |= {name: getattr(self.job, name) for name in ("model", "pair", "arm", "layer", "rank")} | asdict(member)
        if not self.spec.is_full:  # another run, that asked for more or fewer unreached blocks, may have made the unit
            record["trainable_parameters"] = record["trainable_parameters"] // record["adapted_blocks"] * self.adapted
            record["adapted_blocks"] = self.adapted
        write_json(record, output / "run.json")


def unit_key(
    check: CheckRecord, model: ModelSpec, trained: pd.DataFrame, spec: TrainSpec, loss_layer: int, adapted: int, seed: int
) -> dict:
    """All that a trained seed depends on. Two cells with the same key are the same run by construction."""
    ignored = {"layer", "adapted_blocks", "allow_unreached"}
    return {
        "version": STAGE_VERSIONS["train"],
        "identity": check.identity,
        "dtype": model.dtype,
        "quantization": "none" if spec.is_full else model.quantization,
        "settings": {name: value for name, value in plain(spec).items() if name not in ignored},
        "loss_layer": loss_layer,
        "adapted": min(adapted, loss_layer),  # blocks above are never reached: the run is the same without them
        "pairs": store.digest_table(trained[["pair_id", "source", "target", "alternatives"]]),
        "seed": seed,
    }


def _passes(done: int, of: int) -> None:
    if done % max(1, of // 5) == 0:
        say(f"  pass {done} of {of}")


def _hold_against_kl(ratio: float) -> None:
    """Say how well the gradients' matrix predicts KL at the output for small changes of single positions."""
    text = f"small changes of single positions: the matrix predicts {ratio:.2f} of the KL that is measured at the output"
    if not 1 / (1 + OFF) <= ratio <= 1 + OFF:
        warn(f"train: {text}, more than {OFF:.0%} off; give more running text, or take the metric drift or kl")
    else:
        say(f"train: {text}")


class _Progress:
    """A line for every fifth of a training, with the mean loss since the line before: a batch of one pair has none."""

    def __init__(self):
        self.losses: list[float] = []

    def __call__(self, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self.losses = []
        self.losses.append(loss)
        if step % max(1, steps // 5) == 0 or step == steps:
            say(f"  step {step} of {steps}, mean loss {sum(self.losses) / len(self.losses):.4f}")
            self.losses = []


_progress = _Progress()


def _peak(device) -> int:
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device) / 2**20)
    return peak_memory_mib()
