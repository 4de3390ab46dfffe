"""A full training that was killed goes on from its checkpoint, and ends where it would have without the pause."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest
import tiny_models
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from test_stages import Experiment

from tli.experiment import grid
from tli.io import store
from tli.stages import train
from tli.training.checkpoint import Checkpoint
from tli.training.trainer import Trainer


class Killed(BaseException):
    """As SIGTERM comes: no Exception, and nothing catches it."""


def experiment(folder, settings, target="q_proj", **training):
    folder.mkdir()
    made = Experiment(folder, settings)
    made.check(layers_asked=[2], target_modules=[target])
    made.settings = train_settings(made, **training)
    return made


def train_settings(made, **changes):
    return grid.training_settings(made.config, "full-ft", "output", "full") | {"epochs": 3, "dropout": 0.0} | changes


def run(made, monkeypatch, die_after=None, minutes=1e-9):
    """Train one full run; dies after so many steps. How many steps it took, and the run's folder."""
    taken = []

    def counting(step, steps, loss):
        taken.append(step)
        if len(taken) == die_after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train, "_progress", counting)
        try:
            record = made.train("full-ft", "output", settings=made.settings, checkpoint_minutes=minutes)[1]
        except Killed:
            record = None
    return len(taken), record, made.folder / "train/m/swh-eng" / "full-ft/layer-output/rank-full/seed-1"


def same(one, other) -> bool:
    first, second = load_file(one / "weights/model.safetensors"), load_file(other / "weights/model.safetensors")
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adamw-8bit"}, {"schedule": "cosine", "weight_decay": 0.1}],
    ids=["adamw", "adamw-8bit", "cosine"],
)
def test_a_killed_training_goes_on_where_it_stood(tmp_path, monkeypatch, changes):
    # wide enough for 8-bit AdamW: it keeps tensors below 4,096 values in 32 bits
    settings = tiny_models.settings(tiny_models.write("llama", tmp_path / "model", hidden=128), demo=True)
    whole = experiment(tmp_path / "whole", settings, **changes)
    steps, expected, there = run(whole, monkeypatch)
    broken = experiment(tmp_path / "broken", settings, **changes)
    first, nothing, _ = run(broken, monkeypatch, die_after=4)
    assert nothing is None and first == 4 and list((broken.folder / "store/checkpoints").iterdir())
    second, record, here = run(broken, monkeypatch)
    assert second == steps - 4, "the steps that were written are not taken again"
    assert same(there, here), "bit for bit the run without a pause"
    assert (there / "losses.parquet").read_bytes() == (here / "losses.parquet").read_bytes()
    assert record["last_loss"] == expected["last_loss"] and record["steps"] == steps
    assert not list((broken.folder / "store/checkpoints").iterdir()), "a finished run leaves no checkpoint"


def test_dropout_goes_on_with_the_same_draws(models, tmp_path, monkeypatch):
    """GPT-2 has dropout of its own: its random numbers are part of where the run stands."""
    results = []
    for name, die_after in (("whole", None), ("broken", 3)):
        made = experiment(tmp_path / name, models("gpt2"), "c_attn")
        if die_after:
            run(made, monkeypatch, die_after)
            torch.manual_seed(12345)
        results.append(run(made, monkeypatch)[2])
    assert same(*results)


def test_a_checkpoint_of_another_run_or_half_of_one_counts_as_none(models, tmp_path, monkeypatch):
    made = experiment(tmp_path / "a", models("llama"))
    run(made, monkeypatch, die_after=4)
    (folder,) = (made.folder / "store/checkpoints").iterdir()
    state = json.loads((folder / "state.json").read_text())
    parameter = torch.nn.Parameter(torch.zeros(3))
    assert Checkpoint(folder, 1, {"another": "run"}).load({"w": parameter}, torch.optim.AdamW([parameter])) is None
    assert Checkpoint(folder, 1, state["key"]).load({"w": parameter}, torch.optim.AdamW([parameter])) is None
    assert not parameter.any()
    file = folder / "2.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    steps, record, _ = run(made, monkeypatch)
    assert steps == record["steps"], "begun anew"


def test_files_of_two_moments_count_as_none(models, tmp_path, monkeypatch):
    """Another copy of the job may be writing: what is read must be of one step."""
    made = experiment(tmp_path / "a", models("llama"))
    run(made, monkeypatch, die_after=2)
    (folder,) = (made.folder / "store/checkpoints").iterdir()
    old = (folder / "3.safetensors").read_bytes()
    run(made, monkeypatch, die_after=2)
    (folder / "3.safetensors").write_bytes(old)
    steps, record, _ = run(made, monkeypatch)
    assert steps == record["steps"], "begun anew"


def test_another_choice_of_pairs_is_another_run(models, tmp_path, monkeypatch):
    """A choice that needs the model is made anew at each try; on another GPU it may come out otherwise."""
    made = experiment(tmp_path / "a", models("llama"), select={"strategy": "random", "budget": 6, "rounds": 1})
    run(made, monkeypatch, die_after=3)
    chosen = Trainer._choose
    monkeypatch.setattr(Trainer, "_choose", lambda self, seed: (chosen(self, seed) + 1) % len(self.trained))
    steps, record, _ = run(made, monkeypatch)
    assert steps == record["steps"], "begun anew"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left on device")])
def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(models, tmp_path, monkeypatch, capsys, error):
    made = experiment(tmp_path / "a", models("llama"))

    def full(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "_write", full)
        steps, record, here = run(made, monkeypatch)
    assert steps == record["steps"] and (here / "weights/model.safetensors").exists()
    assert "the checkpoint cannot be written" in capsys.readouterr().err


def test_killed_after_the_end_leaves_no_checkpoint_for_ever(models, tmp_path, monkeypatch):
    made = experiment(tmp_path / "a", models("llama"))

    def killed(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "remove", killed)
        assert run(made, monkeypatch)[1] is None
    assert list((made.folder / "store/checkpoints").iterdir())
    assert run(made, monkeypatch)[0] == 0
    assert not list((made.folder / "store/checkpoints").iterdir())


def test_forgotten_checkpoints_are_swept_after_a_month(tmp_path):
    forgotten, young = tmp_path / "checkpoints" / "a", tmp_path / "checkpoints" / "b"
    for folder, days in ((forgotten, 31), (young, 29)):
        folder.mkdir(parents=True)
        (folder / "state.json").write_text("{}")
        for path in (folder / "state.json", folder):
            os.utime(path, (time.time() - days * 86_400,) * 2)
    assert store.sweep(tmp_path) == 1 and young.exists() and not forgotten.exists()


def test_no_checkpoint_where_none_is_asked_for(models, tmp_path, monkeypatch):
    made = experiment(tmp_path / "a", models("llama"))
    run(made, monkeypatch, die_after=4, minutes=0)
    assert not (made.folder / "store/checkpoints").exists()
    run(made, monkeypatch, die_after=4, minutes=60)
    assert not (made.folder / "store/checkpoints").exists(), "not yet due"


def test_the_key_of_a_unit_does_not_hold_how_often_it_is_written(models, tmp_path, monkeypatch):
    made = experiment(tmp_path / "a", models("llama"))
    run(made, monkeypatch)
    shutil.rmtree(made.folder / "train")
    steps, _, here = run(made, monkeypatch, minutes=60)
    assert steps == 0 and (here / "weights/model.safetensors").exists()
    assert train.STAGE_VERSIONS["train"] == 1
