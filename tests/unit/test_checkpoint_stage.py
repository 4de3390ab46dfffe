"""The train stage and its checkpoints: none is left behind, and how often one is written is no part of a unit's key."""

from __future__ import annotations

import shutil

import torch
from safetensors.torch import load_file
from test_stages import Experiment

from tli.experiment import grid
from tli.stages import train
from tli.training.checkpoint import Checkpoint


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


def test_a_finished_run_leaves_no_checkpoint(models, tmp_path, monkeypatch):
    made = experiment(tmp_path / "a", models("llama"))
    run(made, monkeypatch, die_after=4)
    assert list((made.folder / "store/checkpoints").iterdir())
    run(made, monkeypatch)
    assert not list((made.folder / "store/checkpoints").iterdir())


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


def test_the_key_of_a_unit_does_not_hold_how_often_it_is_written(models, tmp_path, monkeypatch):
    made = experiment(tmp_path / "a", models("llama"))
    run(made, monkeypatch)
    shutil.rmtree(made.folder / "train")
    steps, _, here = run(made, monkeypatch, minutes=60)
    assert steps == 0 and (here / "weights/model.safetensors").exists()
    assert train.STAGE_VERSIONS["train"] == 1
