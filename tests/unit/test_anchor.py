"""Anchored training: the penalties by hand and by finite differences, the plain run at weight 0, stacked as alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from tiny import pairs_table
from torch.nn import functional
from trial import Trial

from tli.config import parse
from tli.config.arms import expand_arms
from tli.errors import CellError
from tli.model import lora
from tli.model.opening import below_head, open_model, open_whole
from tli.specs import AnchorSpec, Member, TrainSpec
from tli.training import anchor as anchors
from tli.training.anchor import METRICS, Anchor, Anchoring
from tli.training.batches import Anchored, Batches, losses
from tli.training.pairing import assignments
from tli.training.trainer import Trainer, no_progress

TRAIN = pairs_table().query("split == 'train'").reset_index(drop=True)
TEXT = tuple(f"{a} {b} {c}" for a, b, c in zip(TRAIN["source"], TRAIN["target"], reversed(TRAIN["source"]), strict=True))
QUICK = {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "learning_rate": 5e-3, "rank": 4}


@pytest.fixture
def matrix(models, tmp_path):
    """The file of M at hs[2]."""
    whole, tokenizer = open_whole(models("llama"))
    anchors.write_matrix(anchors.gradient_matrix(whole, below_head(whole, tokenizer), 2, TEXT), tmp_path)
    return tmp_path / anchors.MATRIX


def run(models, folder, metric, weight, matrix, seeds=(1,), together=False, **changes):
    spec = TrainSpec(**QUICK | changes, anchor=AnchorSpec(metric, weight, tokens_per_step=30) if metric else None)
    trainer = Trainer(models("llama"), spec, 2, 2, lambda member: TRAIN, Anchoring(TEXT, matrix))
    if together:
        assert trainer.trains_together
        trainer.prepare([Member(seed) for seed in seeds], no_progress)
    for seed in seeds:
        (folder / str(seed)).mkdir(parents=True)
        trainer.run(Member(seed), folder / str(seed), no_progress)
    file = "weights/model.safetensors" if spec.is_full else "adapter/adapter_model.safetensors"
    return {seed: (load_file(folder / str(seed) / file), pd.read_parquet(folder / str(seed) / "losses.parquet")) for seed in seeds}


def drift_of(models, tensors) -> float:
    """The mean drift at hs[2] of the anchors' text under an adapter, whose names are those of its file."""
    opened = open_model(models("llama"), 2)
    anchor = Anchor(opened, AnchorSpec("drift", 1.0), 2, Anchoring(TEXT))
    named = {name.removeprefix("base_model.model." + opened.prefix): t for name, t in tensors.items()}
    with lora.applied(opened, lora.Adapter(named, 8.0)):
        after = anchors.divergence.last_states(opened, [one.ids for one in anchor.sentences], 2)
    pairs = zip(anchor.before, after, strict=True)
    return float(np.mean(np.concatenate([((b - a).square().sum(-1) / b.square().sum(-1)).numpy() for b, a in pairs])))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_weight_zero_is_the_plain_run(models, tmp_path, metric, method, matrix):
    changes = {"dropout": 0.0, "method": method} | ({"rank": None, "alpha": None, "learning_rate": 1e-3} if method == "full" else {})
    plain = run(models, tmp_path / "plain", None, 0, None, **changes)[1]
    zero = run(models, tmp_path / "zero", metric, 0.0, matrix, **changes)[1]
    np.testing.assert_allclose(zero[1]["loss"], plain[1]["loss"], atol=1e-5)
    for name, tensor in plain[0].items():
        torch.testing.assert_close(zero[0][name], tensor, atol=2e-4, rtol=0)
    held = run(models, tmp_path / "held", metric, 100.0, matrix, **changes)[1]
    assert any(not torch.allclose(held[0][name], tensor, atol=1e-3) for name, tensor in plain[0].items())


def test_in_a_config_weight_zero_is_the_plain_run_itself():
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}}, "text": {"swh": "a", "eng": "b"}}
    sections["arms"] = {
        "tli": {},
        "held": {"like": "tli", "anchor": {"metric": "drift", "weight": [0, 0.5, 10]}, "target_modules": "all-linear"},
        "placebo": {"like": ["held"], "shuffle_translations": True},
    }
    arms = expand_arms(parse(sections))
    assert list(arms) == ["tli", *(f"{a}-weight-{w}" for a in ("held", "held-placebo") for w in ("0", "0.5", "10"))]
    assert replace(arms["held-weight-0"].training, target_modules=("q_proj", "v_proj")) == arms["tli"].training
    assert arms["held-weight-10"].training.anchor == AnchorSpec("drift", 10.0)
    assert arms["held-placebo-weight-0.5"].placebo_of == "held-weight-0.5"


@pytest.mark.parametrize("metric", METRICS)
def test_stacked_is_alone(models, tmp_path, metric, matrix):
    """With dropout, and running text of its own for each seed."""
    both = run(models, tmp_path / "both", metric, 3.0, matrix, (1, 2), together=True, dropout=0.2)
    for seed in (1, 2):
        alone = run(models, tmp_path / f"alone-{seed}", metric, 3.0, matrix, (seed,), dropout=0.2)[seed]
        np.testing.assert_allclose(both[seed][1]["loss"], alone[1]["loss"], rtol=1e-5)
        for name, tensor in alone[0].items():
            torch.testing.assert_close(both[seed][0][name], tensor, rtol=0, atol=1e-5)


def test_a_heavy_anchor_leaves_the_text_alone(models, tmp_path):
    trained = {w: run(models, tmp_path / str(w), "drift", w, None, dropout=0.0, epochs=20)[1][0] for w in (0.0, 10.0, 1e4)}
    free, held, fixed = (drift_of(models, tensors) for tensors in trained.values())
    assert fixed < 1e-2 * free and fixed < held < 0.5 * free


@pytest.mark.parametrize("metric", METRICS)
def test_gradients_are_those_of_finite_differences(tmp_path, metric):
    """In float64 (of GPT-2: a Llama takes its norms in float32), single and stacked: the whole loss of a batch with its anchor, along random directions of the adapter."""
    whole, tokenizer = open_whole(replace(tiny_models.spec(tiny_models.write("gpt2", tmp_path)), dtype="float64"))
    opened = below_head(whole, tokenizer)
    (tmp_path / "m").mkdir()
    anchors.write_matrix(anchors.gradient_matrix(whole, opened, 2, TEXT), tmp_path / "m")
    spec = TrainSpec(objective="infonce", anchor=AnchorSpec(metric, 2.0))
    anchor = Anchor(opened, spec.anchor, 2, Anchoring(TEXT, tmp_path / "m" / anchors.MATRIX), whole)
    shape = lora.LoraShape(2, 4.0, 0.0, ("c_attn", "c_fc"), 2)
    batches = Batches(opened, *assignments(TRAIN, False, 0), "no-bos")
    torch.manual_seed(1)
    start = {name: torch.randn(t.shape, dtype=torch.float64) * 0.1 for name, t in lora.initial(opened, shape, 0).items()}
    for seeds in (None, [1]):
        stack = lora.Stack(opened, [start], shape, seeds)

        def loss(stack=stack):
            with stack.applied():
                drawn = Anchored(anchor, [np.array([0, 3, 5])])
                return losses([batches], [np.arange(6)], 2, spec, stack.lay if stack.laid else None, drawn).sum()

        loss().backward()
        for name, parameter in stack.parameters.items():
            direction = torch.randn_like(parameter)
            slope = (parameter.grad * direction).sum().item()
            with torch.no_grad():
                parameter.add_(direction, alpha=1e-5)
                above = loss().item()
                parameter.sub_(direction, alpha=2e-5)
                below = loss().item()
                parameter.add_(direction, alpha=1e-5)
            assert slope == pytest.approx((above - below) / 2e-5, rel=1e-5, abs=1e-8), name


def test_the_matrix_predicts_kl_of_small_changes(models, matrix):
    """At single positions, each drawn by itself: KL measured at the output against d' M d / 2, within 20 %."""
    whole, tokenizer = open_whole(models("llama"))
    opened = below_head(whole, tokenizer)
    m = anchors.read_matrix(matrix, "cpu")
    assert torch.equal(m, m.T) and torch.linalg.eigvalsh(m)[0] > -1e-10
    torch.manual_seed(0)
    predicted = measured = 0.0
    with torch.no_grad():
        for one in anchors.tokenized(opened, TEXT):
            ids = torch.tensor([one.ids])
            before = torch.log_softmax(whole(ids).logits[0].double(), -1)
            for position in range(len(one.ids)):
                change = torch.randn(32) * 2e-3

                def bend(module, args, kwargs, change=change, position=position):
                    states = (args[0] if args else kwargs["hidden_states"]).clone()
                    states[0, position] += change
                    return ((states, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": states})

                hook = opened.blocks[2].register_forward_pre_hook(bend, with_kwargs=True)
                after = torch.log_softmax(whole(ids).logits[0].double(), -1)
                hook.remove()
                measured += functional.kl_div(after, before, log_target=True, reduction="sum").item()
                predicted += (change.double() @ m @ change.double()).item() / 2
    assert predicted == pytest.approx(measured, rel=0.2)


def test_draws_come_from_the_seed_and_go_on(models):
    anchor = Anchor(open_model(models("llama"), 2), AnchorSpec("drift", 1.0, tokens_per_step=30), 2, Anchoring(TEXT))
    first, again, other, later = anchor.draws(1), anchor.draws(1), anchor.draws(2), anchor.draws(1, 5)
    steps = [next(first) for _ in range(8)]
    assert all(np.array_equal(step, next(again)) for step in steps) and np.array_equal(next(later), steps[5])
    assert any(not np.array_equal(step, next(other)) for step in steps)
    assert all(anchor.lengths[step].sum() >= 30 > anchor.lengths[step[:-1]].sum() for step in steps)
    assert len(set(np.concatenate(steps)[: len(TEXT)])) == len(TEXT)


def test_without_a_sentence_it_says_so(models):
    with pytest.raises(CellError, match="no sentence to spare"):
        Anchor(open_model(models("llama"), 2), AnchorSpec("drift", 1.0), 2, Anchoring(()))


@pytest.mark.parametrize("metric", METRICS)
def test_the_stage(models, tmp_path, metric):
    """By config alone, on every linear module; only the third that is kept apart is read; another text is another unit."""
    for language in ("swh", "eng"):
        (tmp_path / f"{language}.txt").write_text("\n".join(f"{text} {language}" for text in TEXT), encoding="utf-8")
    arms = {"held": {"loss_layer": [2], "rank": [4], "target_modules": "all-linear", "anchor": {"metric": metric, "weight": 2}}}
    text = {language: str(tmp_path / f"{language}.txt") for language in ("swh", "eng")}
    trial = Trial(tmp_path / "results", models("llama"), arms=arms, text=text)
    trial.run("check")
    first = trial.train("held")[1]
    assert first["settings"]["anchor"]["metric"] == metric
    names = load_file(f"{trial.job('train', arm='held', layer='2', rank='4').folder(1)}/adapter/adapter_model.safetensors")
    assert len(names) == 2 * 2 * 7
    made = list((tmp_path / "results" / "store").glob("gradient-matrix/*"))
    assert len(made) == (metric == "gradient-weighted")
    (tmp_path / "eng.txt").write_text("\n".join(f"{text} other" for text in TEXT), encoding="utf-8")
    assert trial.train("held")[1]["unit"] != first["unit"]
