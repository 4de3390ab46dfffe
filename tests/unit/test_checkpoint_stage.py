"""The train stage and its checkpoints: none is left behind, and how often one is written is no part of a unit's key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from trial import ARMS, Trial

from tli.stages import cell
from tli.training.checkpoint import Checkpoint


class Killed(BaseException):
    """As SIGTERM comes: no Exception, and nothing catches it."""


@pytest.fixture
def trial(models, tmp_path) -> Trial:
    made = Trial(
        tmp_path, models("llama"), arms={"full-ft": ARMS["full-ft"] | {"epochs": 3, "dropout": 0.0}}, jobs={"checkpoint_minutes": 1e-9}
    )
    made.run("check")
    return made


def steps_taken(trial: Trial, monkeypatch, die_after: int | None = None) -> int:
    """Train the full run; it dies after so many steps. How many steps it took."""
    taken = []

    def counting(step, steps, loss):
        taken.append(step)
        if len(taken) == die_after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(cell, "progress", counting)
        if die_after:
            with pytest.raises(Killed):
                trial.train("full-ft", "output")
        else:
            trial.train("full-ft", "output")
    return len(taken)


def checkpoints(trial: Trial) -> list[Path]:
    return list(Path(trial.layout.checkpoints).glob("*"))


def test_a_finished_run_leaves_no_checkpoint(trial, monkeypatch):
    steps_taken(trial, monkeypatch, die_after=4)
    assert checkpoints(trial)
    steps_taken(trial, monkeypatch)
    assert not checkpoints(trial)


def test_killed_after_the_end_leaves_no_checkpoint_for_ever(trial, monkeypatch):
    def killed(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "remove", killed)
        with pytest.raises(Killed):
            trial.train("full-ft", "output")
    assert checkpoints(trial)
    assert steps_taken(trial, monkeypatch) == 0
    assert not checkpoints(trial)


def test_the_key_of_a_unit_does_not_hold_how_often_it_is_written(trial, monkeypatch):
    steps_taken(trial, monkeypatch)
    shutil.rmtree(trial.folder / "train")
    seldom = trial.changed(jobs={"checkpoint_minutes": 60})
    assert steps_taken(seldom, monkeypatch) == 0
    (folder,) = (Path(seldom.job("train", arm="full-ft", layer="output", rank="full").folder(seed)) for seed in (1,))
    assert (folder / "weights" / "model.safetensors").exists()
    assert json.loads((folder / "run.json").read_text())["stage_versions"] == "train 1"
