"""Train: the seeds of one cell (model, pair, arm, layer, rank) on one copy of the frozen weights, up to the loss layer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tli.experiment.folds import Splits
from tli.experiment.job import TrainJob
from tli.experiment.tuned import described, settled
from tli.io import store
from tli.io.records import read_json, write_json
from tli.log import say
from tli.model.device import device_name
from tli.specs import Member
from tli.stages.cell import Cell


def run(job: TrainJob) -> dict:
    """Train each seed of the cell that the store does not hold yet, and copy the units to the runs' folders.

    A folder gets adapter/ (or weights/), losses.parquet and run.json. A full training writes every
    `jobs.checkpoint_minutes` where it stands. Returns the facts for the provenance. Raises CellError, and EmbedError where the
    model's tokenizer does not know most of the list.
    """
    cell = Cell(job, settled(job.spec, job.tune, job.inputs), job.members, Splits.read_lists(job.lists, job.inputs))
    if job.tune:
        say(f"train: as the trials of {job.experiment.arms[job.arm].tuned_as} chose: {described(job.tune, cell.spec)}")
    trainer = cell.fill()
    for member in job.members:
        hand_over(cell, member, Path(job.folder(member.seed, member.fold)))
    lists = {"trained_on": list(job.lists)} if cell.spec.is_joint else {}
    return {"word_form": cell.model.word_form} | lists | ({"device": device_name(trainer.opened.device)} if trainer else {})


def hand_over(cell: Cell, member: Member, output: Path) -> None:
    """Copy the unit to the run's folder."""
    unit = cell.unit(member)
    assert unit is not None  # it was trained just now, or before
    for item in sorted(unit.iterdir()):
        if item.name == "weights":
            store.link(item, output / item.name)  # as large as the model: never twice on the disk
        elif item.name not in ("unit.json", "run.json", "pairs.json"):
            store.copy(item, output / item.name)
    record = read_json(unit / "run.json", "a unit of the store; delete its folder")
    record |= {name: getattr(cell.job, name) for name in ("model", "pair", "arm", "layer", "rank")} | asdict(member)
    if not cell.spec.is_full:  # another run, that asked for more or fewer unreached blocks, may have made the unit
        record["trainable_parameters"] = record["trainable_parameters"] // record["adapted_blocks"] * cell.adapted
        record["adapted_blocks"] = cell.adapted
    write_json(record, output / "run.json")
