"""A full training that was killed goes on from its checkpoint, and ends where it would have without the pause."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tiny import pairs_table

from tli.io import store
from tli.specs import Member, ModelSpec, SelectSpec, TrainSpec
from tli.training.checkpoint import Checkpoint
from tli.training.trainer import Trainer

TRAIN = pairs_table().query("split == 'train'").reset_index(drop=True)
FULL = {"method": "full", "rank": None, "alpha": None, "epochs": 3, "dropout": 0.0, "warmup_steps": 2, "batch_size": 4}


class Killed(BaseException):
    """As SIGTERM comes: no Exception, and nothing catches it."""


@dataclass
class Experiment:
    """One full training, and where its checkpoint lies."""

    folder: Path
    model: ModelSpec
    spec: TrainSpec
    tries: int = 0

    @property
    def place(self) -> Path:
        return self.folder / "checkpoint"


def experiment(folder, model, **training) -> Experiment:
    folder.mkdir()
    return Experiment(folder, model, TrainSpec(**FULL | training))


def run(made: Experiment, die_after=None, minutes=1e-9):
    """Train one full run; dies after so many steps. How many steps it took, its record, and its folder."""
    taken = []

    def counting(step, steps, loss):
        taken.append(step)
        if len(taken) == die_after:
            raise Killed

    made.tries += 1
    output = made.folder / f"try-{made.tries}"
    output.mkdir()
    try:
        record = Trainer(made.model, made.spec, 4, 4, lambda member: TRAIN).run(
            Member(1), output, counting, Checkpoint(made.place, minutes, {"seed": 1})
        )
    except Killed:
        record = None
    return len(taken), record, output


def same(one, other) -> bool:
    first, second = load_file(one / "weights/model.safetensors"), load_file(other / "weights/model.safetensors")
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adamw-8bit"}, {"schedule": "cosine", "weight_decay": 0.1}],
    ids=["adamw", "adamw-8bit", "cosine"],
)
def test_a_killed_training_goes_on_where_it_stood(tmp_path, changes):
    # wide enough for 8-bit AdamW: it keeps tensors below 4,096 values in 32 bits
    model = tiny_models.spec(tiny_models.write("llama", tmp_path / "model", hidden=128))
    whole = experiment(tmp_path / "whole", model, **changes)
    steps, expected, there = run(whole)
    broken = experiment(tmp_path / "broken", model, **changes)
    first, nothing, _ = run(broken, die_after=4)
    assert nothing is None and first == 4 and list(broken.place.iterdir())
    second, record, here = run(broken)
    assert second == steps - 4, "the steps that were written are not taken again"
    assert same(there, here), "bit for bit the run without a pause"
    assert (there / "losses.parquet").read_bytes() == (here / "losses.parquet").read_bytes()
    assert record["last_loss"] == expected["last_loss"] and record["steps"] == steps


def test_dropout_goes_on_with_the_same_draws(models, tmp_path):
    """GPT-2 has dropout of its own: its random numbers are part of where the run stands."""
    results = []
    for name, die_after in (("whole", None), ("broken", 3)):
        made = experiment(tmp_path / name, models("gpt2"))
        if die_after:
            run(made, die_after)
            torch.manual_seed(12345)
        results.append(run(made)[2])
    assert same(*results)


def test_a_checkpoint_of_another_run_or_half_of_one_counts_as_none(models, tmp_path):
    made = experiment(tmp_path / "a", models("llama"))
    run(made, die_after=4)
    folder = made.place
    state = json.loads((folder / "state.json").read_text())
    parameter = torch.nn.Parameter(torch.zeros(3))
    assert Checkpoint(folder, 1, {"another": "run"}).load({"w": parameter}, torch.optim.AdamW([parameter])) is None
    assert Checkpoint(folder, 1, state["key"]).load({"w": parameter}, torch.optim.AdamW([parameter])) is None
    assert not parameter.any()
    file = folder / "2.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    steps, record, _ = run(made)
    assert steps == record["steps"], "begun anew"


def test_files_of_two_moments_count_as_none(models, tmp_path):
    """Another copy of the job may be writing: what is read must be of one step."""
    made = experiment(tmp_path / "a", models("llama"))
    run(made, die_after=2)
    folder = made.place
    old = (folder / "3.safetensors").read_bytes()
    run(made, die_after=2)
    (folder / "3.safetensors").write_bytes(old)
    steps, record, _ = run(made)
    assert steps == record["steps"], "begun anew"


def test_another_choice_of_pairs_is_another_run(models, tmp_path, monkeypatch):
    """A choice that needs the model is made anew at each try; on another GPU it may come out otherwise."""
    made = experiment(tmp_path / "a", models("llama"), select=SelectSpec("random", 6, 1))
    run(made, die_after=3)
    chosen = Trainer._choose
    monkeypatch.setattr(Trainer, "_choose", lambda self, member: (chosen(self, member) + 1) % len(self.trained(member)))
    steps, record, _ = run(made)
    assert steps == record["steps"], "begun anew"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left on device")])
def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(models, tmp_path, monkeypatch, capsys, error):
    made = experiment(tmp_path / "a", models("llama"))

    def full(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "_write", full)
        steps, record, here = run(made)
    assert steps == record["steps"] and (here / "weights/model.safetensors").exists()
    assert "the checkpoint cannot be written" in capsys.readouterr().err


def test_forgotten_checkpoints_are_swept_after_a_month(tmp_path):
    forgotten, young = tmp_path / "checkpoints" / "a", tmp_path / "checkpoints" / "b"
    for folder, days in ((forgotten, 31), (young, 29)):
        folder.mkdir(parents=True)
        (folder / "state.json").write_text("{}")
        for path in (folder / "state.json", folder):
            os.utime(path, (time.time() - days * 86_400,) * 2)
    assert store.sweep(tmp_path) == 1 and young.exists() and not forgotten.exists()


def test_no_checkpoint_where_none_is_asked_for(models, tmp_path):
    made = experiment(tmp_path / "a", models("llama"))
    run(made, die_after=4, minutes=0)
    assert not made.place.exists()
    run(made, die_after=4, minutes=60)
    assert not made.place.exists(), "not yet due"
