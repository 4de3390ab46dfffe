"""Anchored training: the penalties by hand and by finite differences, the plain run at weight 0, stacked as alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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


def effect_of(whole, opened, tensors, metric) -> float:
    """What an adapter does to the anchors' text: the mean drift or KL a token."""
    ids = [one.ids for one in anchors.tokenized(opened, TEXT)]
    state = 2 if metric == "drift" else opened.layers
    before = anchors.divergence.last_states(opened, ids, state)
    named = {name.removeprefix("base_model.model." + opened.prefix): t for name, t in tensors.items()}
    with lora.applied(opened, lora.Adapter(named, 8.0)):
        after = anchors.divergence.last_states(opened, ids, state)
    if metric == "drift":
        pairs = zip(before, after, strict=True)
        return float(torch.cat([(b - a).float().square().sum(-1) / b.float().square().sum(-1) for b, a in pairs]).mean())
    return float(anchors.divergence.compare(whole, opened, ids, before, after)[1].mean())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_weight_zero_is_the_plain_run(models, tmp_path, metric, method, matrix):
    changes = {"dropout": 0.0, "method": method} | ({"rank": None, "alpha": None, "learning_rate": 1e-3} if method == "full" else {})
    plain = run(models, tmp_path / "plain", None, 0, None, **changes)[1]
    zero = run(models, tmp_path / "zero", metric, 0.0, matrix, **changes)[1]
    np.testing.assert_allclose(zero[1]["loss"], plain[1]["loss"], atol=1e-5)
    for name, tensor in zero[0].items():  # with kl in full: what the plain run trains
        torch.testing.assert_close(tensor, plain[0][name], atol=2e-4, rtol=0)
    held = run(models, tmp_path / "held", metric, 100.0, matrix, **changes)[1]
    assert any(not torch.allclose(tensor, plain[0][name], atol=1e-3) for name, tensor in held[0].items())


def test_kl_trains_no_block_above_the_loss_in_full(models, tmp_path, matrix):
    """What the plain full training trains and no more: the blocks above stay the model's own."""
    full = {"method": "full", "rank": None, "alpha": None, "learning_rate": 1e-3}
    plain = run(models, tmp_path / "plain", None, 0, None, **full)[1][0]
    held = run(models, tmp_path / "held", "kl", 3.0, matrix, **full)[1][0]
    assert set(held) == {name for name in plain if name != "model.norm.weight"}  # it lies beyond the loss and was opened with it
    assert all(not torch.equal(held[name], plain[name]) for name in held)


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


@pytest.mark.parametrize("metric", METRICS)
def test_the_penalty_is_the_same_packed_padded_and_alone(models, matrix, metric):
    """With an adapter on; drift and kl against a plain loop over tokens."""
    whole, tokenizer = open_whole(models("llama"))
    opened = below_head(whole, tokenizer)
    anchor = Anchor(opened, AnchorSpec(metric, 2.0), 2, Anchoring(TEXT, matrix), whole)
    torch.manual_seed(0)
    shape = lora.LoraShape(2, 4.0, 0.0, ("q_proj", "down_proj"), 2)
    tensors = {name: torch.randn_like(t) * 0.3 for name, t in lora.initial(opened, shape, 0).items()}
    drawn, batches = np.array([0, 3, 5]), Batches(opened, *assignments(TRAIN, False, 0), "no-bos")
    spec, ids = TrainSpec(anchor=anchor.spec), [anchor.sentences[i].ids for i in drawn]

    def penalty() -> float:
        with torch.no_grad():
            rows = [np.arange(4)]
            both = losses([batches], rows, 2, spec, None, Anchored(anchor, [drawn]))
            return (both - losses([batches], rows, 2, spec)).item()

    with lora.applied(opened, lora.Adapter(tensors, 2.0)):
        packed = penalty()
        assert batches.packed and anchor.packed
        batches.packed = False
        padded = penalty()
        after = anchors.divergence.last_states(opened, ids, anchor.state)
        with torch.no_grad():
            q = [torch.log_softmax(whole(torch.tensor([one])).logits[0], -1) for one in ids]
    with torch.no_grad():
        p = [torch.log_softmax(whole(torch.tensor([one])).logits[0], -1) for one in ids]
    before, m = anchors.divergence.last_states(opened, ids, anchor.state), anchors.read_matrix(matrix, "cpu")
    each = []
    for a, b, log_p, log_q in zip(before, after, p, q, strict=True):
        for t in range(len(a)):
            d = (b[t] - a[t]).double()
            each.append(
                {
                    "drift": lambda d=d, h=a[t]: d @ d / (h.double() @ h.double()),
                    "gradient-weighted": lambda d=d: d @ m @ d / 2,
                    "kl": lambda x=log_p[t], y=log_q[t]: (x.exp() * (x - y)).sum(),
                }[metric]().item()
            )
    alone = 2.0 * float(np.mean(each))
    assert alone > 1e-3 and packed == pytest.approx(alone, rel=1e-4) and padded == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_in_4_bits_the_anchor_holds(tmp_path, metric):
    """The frozen weights are in NF4, and so is the model that the anchor knows: a heavy anchor keeps the adapter off the text."""
    pytest.importorskip("bitsandbytes")
    folder = tiny_models.write("llama", tmp_path / "m", hidden=64, dtype="bfloat16")
    settings = tiny_models.spec(folder, dtype="bfloat16", quantization="nf4")
    whole, tokenizer = open_whole(settings)
    opened = below_head(whole, tokenizer)
    assert any(type(module).__name__ == "Linear4bit" for module in opened.blocks[0].modules())
    anchors.write_matrix(anchors.gradient_matrix(whole, opened, 2, TEXT), tmp_path)
    effect = {}
    for weight in (0.0, 1e3):
        spec = TrainSpec(**QUICK | {"dropout": 0.0, "epochs": 10}, anchor=AnchorSpec(metric, weight, tokens_per_step=30))
        trainer = Trainer(settings, spec, 2, 2, lambda member: TRAIN, Anchoring(TEXT, tmp_path / anchors.MATRIX))
        (tmp_path / str(weight)).mkdir()
        trainer.run(Member(1), tmp_path / str(weight), no_progress)
        effect[weight] = effect_of(whole, opened, load_file(tmp_path / str(weight) / "adapter" / "adapter_model.safetensors"), metric)
    assert effect[1e3] < 0.1 * effect[0.0]


@pytest.mark.parametrize("metric", METRICS)
def test_a_heavy_anchor_leaves_the_text_alone(models, tmp_path, metric, matrix):
    whole, tokenizer = open_whole(models("llama"))
    opened = below_head(whole, tokenizer)
    weights = (0.0, 10.0, 1e4)
    trained = {w: run(models, tmp_path / str(w), metric, w, matrix, dropout=0.0, epochs=20)[1][0] for w in weights}
    free, held, fixed = (effect_of(whole, opened, tensors, metric) for tensors in trained.values())
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


def test_a_prediction_is_one_where_the_matrix_is_right_and_no_other(models, matrix):
    """What the stage says of its own matrix; of twice the matrix it says twice as much."""
    whole, tokenizer = open_whole(models("llama"))
    opened, m = below_head(whole, tokenizer), anchors.read_matrix(matrix, "cpu")
    ratio = anchors.prediction(whole, opened, 2, TEXT, m)
    assert ratio == pytest.approx(1, abs=0.2) and not opened.blocks[2]._forward_pre_hooks
    assert anchors.prediction(whole, opened, 2, TEXT, 2 * m) == pytest.approx(2 * ratio)


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


def test_weight_zero_is_the_plain_run_byte_for_byte(models, tmp_path):
    """Through the stage: each trained by itself, since the second is not taken from the first one's store."""
    (tmp_path / "t.txt").write_text("\n".join(TEXT), encoding="utf-8")
    arms = {"tli": {"loss_layer": [2], "rank": [4]}, "held": {"like": "tli", "anchor": {"metric": "drift", "weight": [0, 2]}}}
    files, units = {}, {}
    for arm in ("tli", "held-weight-0", "held-weight-2"):
        trial = Trial(tmp_path / arm, models("llama"), arms=arms, text=dict.fromkeys(("swh", "eng"), str(tmp_path / "t.txt")))
        trial.run("check")
        units[arm] = trial.train(arm)[1]["unit"]
        folder = trial.job("train", arm=arm, layer="2", rank="4").folder(1)
        files[arm] = [(Path(folder) / name).read_bytes() for name in ("adapter/adapter_model.safetensors", "losses.parquet")]
    assert files["tli"] == files["held-weight-0"] and units["tli"] == units["held-weight-0"]
    assert files["tli"][0] != files["held-weight-2"][0]


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
