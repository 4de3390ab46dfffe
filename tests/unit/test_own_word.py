"""The neutral control: a word pulled to itself under other dropout, its translations no negatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from tli.config import parse
from tli.config.arms import expand_arms
from tli.errors import ConfigError
from tli.experiment.grid import expand
from tli.model import lora
from tli.model.opening import open_model
from tli.specs import Member, TrainSpec
from tli.training import loop, objective
from tli.training.batches import Batches
from tli.training.pairing import own_words
from tli.training.trainer import Trainer, no_progress

TRAINED = tiny.pairs_table().query("split == 'train'").reset_index(drop=True)
SPEC = TrainSpec(
    positives="own-word",
    rank=4,
    alpha=8.0,
    dropout=0.2,
    epochs=2,
    learning_rate=1e-2,
    warmup_steps=0,
    batch_size=5,
    mask_false_negatives=False,
)


def masked_by_hand(rows) -> np.ndarray:
    forms = [*rows["source"], *rows["target"]]
    pairs = set(zip(rows["source"], rows["target"], strict=True))
    pairs |= {(row.source, other) for row in rows.itertuples() for other in row.alternatives.split("|")}
    return np.array([[a == b or (a, b) in pairs or (b, a) in pairs for b in forms] for a in forms])


def test_a_word_is_right_for_itself_and_for_its_translations():
    words = own_words(TRAINED)
    np.testing.assert_array_equal(words.right, masked_by_hand(TRAINED))
    n = len(TRAINED)
    first, second = np.flatnonzero(TRAINED["source"] == "ndege")  # bird, aeroplane: one word in two rows
    assert words.right[first, second] and words.right[first, n + second] and words.right[n + second, first]
    assert not words.right[n + first, n + second]  # bird is no aeroplane


def of(opened) -> Batches:
    words = own_words(TRAINED)
    return Batches(opened, words.sources, words.targets, words.right, "no-bos")


def test_the_loss_is_that_of_each_word_against_its_own_second_view(models):
    """By hand: both languages are anchors, the positives are the same forward pass's second copies, translations are masked."""
    opened, rows = open_model(models("llama"), 2), np.array([0, 8, 9, 3])
    shape = lora.LoraShape(4, 8.0, 0.2, ("q_proj", "v_proj"), 2)
    start = {
        name: tensor + 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
        for name, tensor in lora.initial(opened, shape, 1).items()
    }
    batch = of(opened)
    stack = lora.Stack(opened, [start], shape)
    stack.training = True
    with stack.applied(), torch.no_grad():
        torch.manual_seed(3)
        anchors, positives = batch.embed(2, rows)
        torch.manual_seed(3)
        ours = loop.losses([batch], [rows], 2, SPEC)[0]
    assert anchors.shape == positives.shape == (8, tiny.HIDDEN)
    assert not torch.allclose(anchors, positives, atol=1e-4)  # other dropout
    right = masked_by_hand(TRAINED.iloc[rows])
    unit = [side / side.norm(dim=1, keepdim=True) for side in (anchors.double(), positives.double())]
    cosines = (unit[0] @ unit[1].T).numpy()
    hardest = np.where(right, -np.inf, cosines).max(axis=1)
    assert float(ours) == pytest.approx(np.maximum(0, 0.4 + hardest - np.diag(cosines)).mean(), abs=1e-6)
    stack.training = False
    with stack.applied(), torch.no_grad():
        anchors, positives = batch.embed(2, rows)
    torch.testing.assert_close(anchors, positives, atol=1e-5, rtol=0)  # without dropout the two are one


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_alone_and_together_give_the_same_adapters(models, tmp_path, family):
    spec = replace(SPEC, target_modules=("query", "value") if family == "bert" else ("q_proj", "v_proj"))
    members, made = [Member(seed) for seed in (1, 2, 3)], {}
    for together in (False, True):
        trainer = Trainer(models(family), spec, 2, 2, lambda member: TRAINED)
        if together and trainer.trains_together:
            trainer.prepare(members, no_progress)
        for member in members:
            folder = tmp_path / str(together) / str(member.seed)
            folder.mkdir(parents=True)
            record = trainer.run(member, folder, no_progress)
            assert record["train_pairs"] == 12 and record["steps"] == 6 and record["reached_parameters"] == record["trainable_parameters"]
            made[together, member.seed] = load_file(folder / "adapter" / "adapter_model.safetensors")
    for seed in (1, 2, 3):
        for name, tensor in made[False, seed].items():
            torch.testing.assert_close(made[True, seed][name], tensor, atol=1e-5, rtol=0)
    assert any(not torch.equal(made[False, 1][name], tensor) for name, tensor in made[False, 2].items())


def test_no_pair_is_pushed_apart_by_the_loss(models):
    """The gradient with regard to a translation's second view is zero where it is no negative of any other word."""
    anchors, positives = (torch.randn(4, 8, generator=torch.Generator().manual_seed(seed)).requires_grad_() for seed in (1, 2))
    right = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]], dtype=torch.bool)  # two pairs
    _, per_row = objective.loss("triplet-all", anchors, positives, right, margin=5.0)
    per_row[0].backward()
    assert positives.grad[2].abs().max() == 0 and positives.grad[1].abs().max() > 0


def config(**arm):
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}}, "seeds": [1]}
    return parse(sections | {"arms": {"tli": {}, "own-word": {"like": "tli", "positives": "own-word"} | arm}})


def test_it_is_a_control_in_no_family_and_changes_no_other_arm():
    arms = expand_arms(config())
    assert arms["own-word"].is_control and not arms["tli"].is_control and not arms["own-word"].is_placebo
    assert {run.arm: run.control for run in expand(config())} == {"tli": False, "own-word": True}


@pytest.mark.parametrize(
    ("arm", "reason"), [({"dropout": 0}, "needs a dropout above 0"), ({"shuffle_translations": True}, "there is none to shuffle")]
)
def test_what_it_cannot_be(arm, reason):
    with pytest.raises(ConfigError, match=f"arms.own-word.positives: own-word .*{reason}"):
        expand_arms(config(**arm))
