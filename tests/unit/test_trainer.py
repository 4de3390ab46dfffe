"""The trainer of a cell: chosen pairs, gradient checkpointing, full training that leaves the model as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from tli.specs import Member, ModelSpec, SelectSpec, TrainSpec
from tli.training.trainer import Trainer, no_progress

TRAINED = tiny.pairs_table().query("split == 'train'").reset_index(drop=True)


def settings(**changes) -> TrainSpec:
    shape = {"rank": None, "alpha": None} if changes.get("method") == "full" else {"rank": 4, "alpha": 8.0}
    return TrainSpec(**shape | {"epochs": 2, "learning_rate": 1e-2, "warmup_steps": 0, "batch_size": 4} | changes)


def trained(folder, model: ModelSpec, seed: int = 1, **changes) -> dict:
    trainer = Trainer(model, settings(**changes), 2, 2, lambda member: TRAINED)
    folder.mkdir(parents=True)
    return trainer.run(Member(seed), folder, no_progress)


@pytest.mark.parametrize("strategy", ["random", "lowest-margin", "diverse", "uncertainty"])
def test_budget_is_kept_and_named(strategy, models, tmp_path):
    select = SelectSpec(strategy, 6, 2)
    record = trained(tmp_path / "a", models("llama"), select=select)
    chosen = json.loads((tmp_path / "a" / "pairs.json").read_text())
    assert record["train_pairs"] == len(set(chosen)) == 6 and set(chosen) <= set(TRAINED["pair_id"])
    trained(tmp_path / "b", models("llama"), select=select)
    assert json.loads((tmp_path / "b" / "pairs.json").read_text()) == chosen  # the same seed chooses the same pairs


def test_lowest_margin_takes_what_the_model_separates_worst(models, tmp_path):
    trainer = Trainer(models("llama"), settings(select=SelectSpec("lowest-margin", 3, 1)), 2, 2, lambda member: TRAINED)
    margins, _ = trainer._score(Member(1), np.array([], dtype=int))
    trainer.run(Member(1), tmp_path, no_progress)
    chosen = TRAINED["pair_id"].isin(json.loads((tmp_path / "pairs.json").read_text())).to_numpy()
    assert margins[chosen].max() <= margins[~chosen].min()


def test_uncertainty_scores_again_after_training(models):
    """The second round sees a model that was trained on the first round's pairs."""
    trainer = Trainer(models("llama"), settings(select=SelectSpec("uncertainty", 6, 2)), 2, 2, lambda member: TRAINED)
    before, _ = trainer._score(Member(1), np.array([], dtype=int))
    after, _ = trainer._score(Member(1), np.arange(6))
    again, _ = trainer._score(Member(1), np.array([], dtype=int))
    assert not np.allclose(before, after, atol=1e-3)
    np.testing.assert_array_equal(before, again)  # and is then as it was


@pytest.mark.parametrize("method", ["lora", "full"])
def test_checkpointing_changes_memory_and_nothing_else(method, models, tmp_path):
    found = {}
    for on in (False, True):
        trained(tmp_path / str(on), models("llama"), gradient_checkpointing=on, method=method, dropout=0.0, learning_rate=1e-3)
        place = "adapter/adapter_model.safetensors" if method == "lora" else "weights/model.safetensors"
        found[on] = load_file(tmp_path / str(on) / place)
    for name, tensor in found[False].items():
        torch.testing.assert_close(found[True][name], tensor, atol=1e-6, rtol=0)


def test_full_training_leaves_the_model_as_it_was(models, tmp_path):
    trainer = Trainer(models("llama"), settings(method="full", learning_rate=1e-3), 2, 2, lambda member: TRAINED)
    before = {name: p.clone() for name, p in trainer.opened.base.named_parameters()}
    trainer.run(Member(1), tmp_path, no_progress)
    assert all(torch.equal(before[name], p) for name, p in trainer.opened.base.named_parameters())
    stored = load_file(tmp_path / "weights" / "model.safetensors")
    assert any(not torch.equal(stored["model." + name], value) for name, value in before.items())


def test_a_run_that_diverges_is_recorded_as_failed_and_can_be_measured(models, tmp_path):
    """A learning rate that no float32 survives; the adapter is then left as it was initialised."""
    record = trained(tmp_path / "a", models("llama"), learning_rate=1e30)
    assert record["last_loss"] is None and "the loss is nan at step" in record["failed"] and 0 < record["steps"] < 6
    tensors = load_file(tmp_path / "a" / "adapter" / "adapter_model.safetensors")
    assert all(torch.isfinite(t).all() and not t.any() for name, t in tensors.items() if "lora_B" in name)


def test_a_placebo_learns_from_the_same_words_as_its_arm(models, tmp_path):
    select = SelectSpec("uncertainty", 6, 3)
    chosen = []
    for shuffled in (False, True):
        trained(tmp_path / str(shuffled), models("llama"), select=select, shuffle_translations=shuffled)
        chosen.append(json.loads((tmp_path / str(shuffled) / "pairs.json").read_text()))
    assert chosen[0] == chosen[1]


def test_full_training_in_bfloat16_models_moves_nearly_every_weight(models, tmp_path):
    """Held in bfloat16, small updates would vanish in the rounding."""
    moved = {}
    for dtype in ("float32", "bfloat16"):
        trainer = Trainer(
            models("llama", dtype="bfloat16"), settings(method="full", learning_rate=1e-5, full_dtype=dtype), 2, 2, lambda member: TRAINED
        )
        before = {name: p.float().clone() for name, p in trainer.opened.base.named_parameters() if "layers.0" in name}
        with trainer._trained_on(np.arange(len(TRAINED)), Member(1)) as weights:
            changed = [(weights.parameters[name].float() != value).float().mean() for name, value in before.items()]
        moved[dtype] = float(torch.stack(changed).mean())
    assert moved["float32"] > 0.9 > 0.5 > moved["bfloat16"]
