"""What holds for every option of training, for one that is added tomorrow too: it can be asked for, and it changes what is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from trial import Trial

from tli.config.keys.training import Arm, Training
from tli.specs import TrainSpec

TESTS = Path(__file__).parents[1]
FROM_ELSEWHERE = {"layer": "loss_layer", "pooling": "pooling.train"}  # a field of TrainSpec: the key of the config that fills it
# option: (a value other than the default, what has to be set beside it for the option to matter). One that is added gets its line.
CHANGED: dict[str, tuple[object, dict]] = {
    "objective": ("infonce", {}),
    "margin": (0.9, {}),
    "temperature": (0.5, {"objective": "infonce"}),
    "learning_rate": (1e-3, {}),
    "weight_decay": (0.9, {}),
    "epochs": (3, {}),
    "batch_size": (4, {}),
    "warmup_steps": (1, {}),
    "schedule": ("constant", {}),
    "max_gradient_norm": (1e-6, {}),
    "alpha": (1, {}),
    "dropout": (0.5, {}),
    "target_modules": ("all-linear", {}),
    "adapted_blocks": (1, {}),
    "select": ({"strategy": "random", "budget": 6}, {}),
    "rank": ([2], {}),
    "positives": ("own-word", {}),
}
# Options that this trial does not show: why, and the file of the tests that do.
ELSEWHERE = {
    "mask_false_negatives": ("the trial's batches have none", "unit/test_training.py"),
    "optimizer": ("8 bits need a GPU", "gpu/test_on_a_gpu.py"),
    "full_dtype": ("full fine-tuning writes weights, no adapter", "unit/test_trainer.py"),
    "method": ("full fine-tuning writes weights, no adapter", "unit/test_training.py"),
    "gradient_checkpointing": ("it saves memory, the result stays", "unit/test_trainer.py"),
    "allow_unreached": ("it permits what is an error otherwise", "unit/test_config.py"),
    "shuffle_translations": ("a placebo is like another arm", "unit/test_training.py"),
    "anchor": ("it needs running text", "unit/test_anchor.py"),
    "templates": ("it needs templates", "unit/test_templates_training.py"),
    "train_on": ("it needs several lists", "unit/test_joint.py"),
    "mix": ("it needs several lists", "unit/test_joint.py"),
    "negatives": ("it needs several lists", "unit/test_joint.py"),
}


def trained(folder: Path, model, **arm: object) -> dict:
    """The adapter's tensors after the trial's training with these keys in its arm."""
    keys = {"loss_layer": [2], "rank": [4]} | arm
    trial = Trial(folder, model, arms={"tli": keys}).pretend_checked_and_scanned()
    job = trial.run("train", arm="tli", layer="2", rank=str(keys["rank"][0]))
    return load_file(Path(job.folder(job.seeds[0], 0)) / "adapter" / "adapter_model.safetensors")


def test_every_option_is_tried_here_or_elsewhere():
    fields = {field.name for field in dataclasses.fields(TrainSpec)} - set(FROM_ELSEWHERE)
    assert fields == set(CHANGED) | set(ELSEWHERE), "a field of TrainSpec gets a line in CHANGED: what it changes is tried below"
    assert not set(CHANGED) & set(ELSEWHERE)
    for option, (_, file) in ELSEWHERE.items():
        assert option in (TESTS / file).read_text(encoding="utf-8"), f"{option} is not tried in {file}"


def test_keys_of_the_config_and_fields_of_the_spec_are_the_same():
    fields = {FROM_ELSEWHERE.get(field.name, field.name) for field in dataclasses.fields(TrainSpec)} - {"pooling.train"}
    unasked = fields - set(Arm.model_fields)
    assert not unasked, f"{', '.join(sorted(unasked))}: no key of config/keys/ fills it, so nobody can ask for it"
    unread = set(Training.model_fields) - fields - {"tune"}  # of the arm's trials, not of one training
    assert not unread, f"{', '.join(sorted(unread))}: specs.TrainSpec has no such field, so no training can read it"


@pytest.fixture(scope="module")
def plain(models, tmp_path_factory) -> dict:
    return trained(tmp_path_factory.mktemp("plain"), models("llama"))


@pytest.mark.parametrize("option", CHANGED)
def test_an_option_changes_what_is_trained(option, plain, models, tmp_path):
    value, beside = CHANGED[option]
    before = trained(tmp_path / "before", models("llama"), **beside) if beside else plain
    after = trained(tmp_path / "after", models("llama"), **beside, **{option: value})
    alike = before.keys() == after.keys() and all(
        before[name].shape == after[name].shape and (before[name] == after[name]).all() for name in before
    )
    assert not alike, f"{option}: {value!r} trains the same adapter as the default: it is used nowhere"
