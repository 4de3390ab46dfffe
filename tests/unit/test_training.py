"""training and trainer: the same adapters as a full-depth PEFT training in a plain loop, and what must not go wrong silently."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiny import LAYERS, pairs_table, whole_model
from torch.nn import functional
from transformers import AutoTokenizer, get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from tli.errors import TrainingError
from tli.model import lora
from tli.model.opening import open_model
from tli.specs import Member, SelectSpec, TrainSpec
from tli.training import batches as batching
from tli.training import loop
from tli.training.batches import Batches
from tli.training.pairing import assignments
from tli.training.trainer import Trainer, no_progress

TRAIN = pairs_table().query("split == 'train'").reset_index(drop=True)
QUICK = {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "learning_rate": 5e-3, "dropout": 0.0}


def settings_of(**changes) -> TrainSpec:
    """How a quick training is done."""
    full = {"rank": None, "alpha": None} if changes.get("method") == "full" else {}
    return TrainSpec(**QUICK | full | changes)


def train_with_trainer(model_settings, settings, layer, folder, seeds=(1,), adapted=None, trained=TRAIN):
    trainer = Trainer(model_settings, settings, layer, adapted or layer, lambda member: trained)
    made = {}
    for seed in seeds:
        (folder / str(seed)).mkdir(parents=True)
        record = trainer.run(Member(seed), folder / str(seed), no_progress)
        file = folder / str(seed) / ("weights/model.safetensors" if settings.is_full else "adapter/adapter_model.safetensors")
        made[seed] = record | {"tensors": load_file(file), "losses": pd.read_parquet(folder / str(seed) / "losses.parquet")}
    return made


def accepted_by_hand(sources, targets, alternatives) -> np.ndarray:
    right = np.zeros((len(sources), len(targets)), bool)
    for i, j in itertools.product(range(len(sources)), range(len(targets))):
        for k in range(len(sources)):
            if sources[k] == sources[i] and targets[j] in {targets[k], *alternatives[k]}:
                right[i, j] = True
    return right


def plain_loop(model_settings, settings, layer: int, seed: int, accepted: np.ndarray, dtype=torch.float32):
    """TLI as anyone would write it: PEFT on all blocks of the whole ForCausalLM, one word at a time, no code of ours.

    Returns (PEFT model, losses, learning rates).
    """
    from peft import LoraConfig, get_peft_model

    tokenizer = AutoTokenizer.from_pretrained(model_settings.source)
    base = whole_model(model_settings)
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules=list(settings.target_modules),
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, lora)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(TRAIN) // settings.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, steps)
    order, losses, rates = np.random.default_rng(seed), [], []

    def vector(word):
        ids = tokenizer(word, return_tensors="pt")["input_ids"]
        return model(input_ids=ids, output_hidden_states=True).hidden_states[layer][0, 1:].float().mean(0)

    for _ in range(settings.epochs):
        shuffled = order.permutation(len(TRAIN))
        for first in range(0, len(TRAIN), settings.batch_size):
            rows = shuffled[first : first + settings.batch_size]
            anchors = [vector(TRAIN["source"][i]) for i in rows]
            positives = [vector(TRAIN["target"][i]) for i in rows]
            terms = []
            for a, i in enumerate(rows):
                right = functional.cosine_similarity(anchors[a], positives[a], dim=0)
                wrong = [functional.cosine_similarity(anchors[a], positives[b], dim=0) for b, j in enumerate(rows) if not accepted[i, j]]
                terms.append(torch.relu(settings.margin + max(wrong) - right) if wrong else right * 0)
            loss = sum(terms) / len(terms)
            optimizer.zero_grad()
            loss.backward()
            rates.append(schedule.get_last_lr()[0])
            losses.append(float(loss.detach()))
            optimizer.step()
            schedule.step()
    return model, losses, rates


MODULES = {"llama": ("q_proj", "v_proj"), "qwen2": ("q_proj", "v_proj"), "neox": ("query_key_value",)}


@pytest.mark.parametrize(
    ("family", "layer", "masked"), [("llama", 2, True), ("llama", 3, False), ("llama", LAYERS, True), ("neox", 2, True)]
)
def test_adapters_are_those_of_a_full_depth_peft_training(models, tmp_path, family, layer, masked):
    model_settings = models(family)
    settings = settings_of(target_modules=MODULES[family], mask_false_negatives=masked, rank=4, learning_rate=1e-3)
    alternatives = [set(filter(None, text.split("|"))) for text in TRAIN["alternatives"]]
    accepted = (
        accepted_by_hand(TRAIN["source"].tolist(), TRAIN["target"].tolist(), alternatives) if masked else np.eye(len(TRAIN), dtype=bool)
    )
    model, losses, rates = plain_loop(model_settings, settings, layer, 1, accepted)
    made = train_with_trainer(model_settings, settings, layer, tmp_path)[1]
    np.testing.assert_allclose(made["losses"]["loss"], losses, atol=1e-5)
    np.testing.assert_allclose(made["losses"]["learning_rate"], rates, rtol=1e-12)
    theirs = {name.replace(".default", ""): p.detach() for name, p in model.named_parameters() if ".lora_" in name}
    reached = {name for name in theirs if any(f".layers.{k}." in name for k in range(layer))}
    assert set(made["tensors"]) == reached
    moved = 0.0
    for name in reached:
        torch.testing.assert_close(made["tensors"][name], theirs[name], rtol=0, atol=1e-5)
        moved = max(moved, float(theirs[name].abs().max()) if "lora_B" in name else 0.0)
    assert moved > 2e-3  # it has been a training
    for name in set(theirs) - reached:  # never reached: B is still zero
        assert "lora_B" not in name or not theirs[name].any()


# --- gradient reach -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("layer", range(1, LAYERS + 1))
def test_exactly_the_blocks_below_the_loss_get_a_gradient(models, family, layer):
    opened = open_model(models(family))
    modules = ("q_proj", "v_proj") if family == "llama" else ("c_attn",)
    stack = stacked(opened, lora.LoraShape(2, 4.0, 0.0, modules, LAYERS))
    batches = Batches(opened, *assignments(TRAIN, False, 0), "no-bos")
    settings = settings_of(margin=2.0)  # so that no term of the loss is cut off
    with stack.applied():
        reached = loop.measure_reach(stack, [batches], loop.Task(settings, layer))
    inside = {id(m) for block in opened.blocks[:layer] for m in block.modules()}
    below = {name: p for name, p in stack.parameters.items() if id(opened.base.get_submodule(name.split(".lora_")[0])) in inside}
    assert len(below) == len(stack.parameters) * layer // LAYERS
    every = sum(p.numel() for p in stack.parameters.values())
    assert reached == sum(p.numel() for p in below.values()) < every or layer == LAYERS
    assert all(p.grad is None for p in stack.parameters.values())  # measured, and left no trace
    with stack.applied():
        batching.losses([batches], [np.arange(6)], layer, settings).sum().backward()
    assert {name for name, p in stack.parameters.items() if p.grad is not None} == set(below)
    assert all(p.grad.abs().max() > 0 for name, p in below.items() if "lora_B" in name)


def stacked(opened, shape, seeds=None) -> lora.Stack:
    """A fresh adapter, ready to be trained: alone, or as one of a stack."""
    return lora.Stack(opened, [lora.initial(opened, shape, 0)], shape, seeds)


def test_what_is_never_reached_stays_under_weight_decay(models):
    opened = open_model(models("llama"))
    stack = stacked(opened, lora.LoraShape(2, 4.0, 0.0, ("q_proj",), LAYERS))
    before = {name: p.detach().clone() for name, p in stack.parameters.items()}
    batches = Batches(opened, *assignments(TRAIN, False, 0), "no-bos")
    loop.train(stack, [batches], [1], loop.Task(settings_of(weight_decay=0.5), 2))
    for name, p in stack.parameters.items():
        assert torch.equal(before[name], p) == (".layers.2." in "." + name or ".layers.3." in "." + name)


def test_counts_of_the_record(models, tmp_path):
    made = train_with_trainer(models("llama"), settings_of(rank=4, epochs=1), 2, tmp_path, adapted=LAYERS)[1]
    per_block = 4 * (32 + 32) + 4 * (32 + 16)  # q_proj 32 -> 32, v_proj 32 -> 16 (grouped heads)
    assert (made["trainable_parameters"], made["reached_parameters"]) == (LAYERS * per_block, 2 * per_block)
    assert (made["adapted_blocks"], made["loss_layer"], made["train_pairs"], made["steps"]) == (LAYERS, 2, len(TRAIN), 3)
    assert made["first_loss"] == made["losses"]["loss"].iloc[0] and made["last_loss"] == pytest.approx(made["losses"]["loss"].mean())


# --- schedule, steps, seeds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("linear", get_linear_schedule_with_warmup),
        ("cosine", get_cosine_schedule_with_warmup),
        ("constant", lambda o, w, s: get_constant_schedule_with_warmup(o, w)),
    ],
)
@pytest.mark.parametrize(("steps", "warmup"), [(20, 5), (20, 0), (7, 6), (5, 50), (1, 0), (1, 1)])
def test_schedule_is_transformers(name, theirs, steps, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = theirs(optimizer, warmup, steps)
    for step in range(steps):
        assert 0.1 * loop.schedule_factor(step, steps, warmup, name) == pytest.approx(schedule.get_last_lr()[0], rel=1e-12, abs=1e-15)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(("pairs", "batch", "epochs"), [(12, 5, 2), (10, 5, 3), (2, 8, 1), (12, 12, 0)])
def test_steps_are_those_that_are_made(models, pairs, batch, epochs):
    settings = settings_of(batch_size=batch, epochs=epochs)
    opened = open_model(models("llama"), 1)
    stack = stacked(opened, lora.LoraShape(1, 2.0, 0.0, ("q_proj",), 1))
    seen = []
    batches = Batches(opened, *assignments(TRAIN[:pairs], False, 0), "no-bos")
    (outcome,) = loop.train(stack, [batches], [1], loop.Task(settings, 1), lambda step, loss: seen.append(step))
    assert seen == list(range(1, settings.steps(pairs) + 1)) and len(outcome.losses) == len(seen)


def test_seeds_do_not_depend_on_their_order_or_company(models, tmp_path):
    settings = settings_of(dropout=0.2)
    runs = [
        train_with_trainer(models("llama"), settings, 2, tmp_path / name, seeds)
        for name, seeds in [("a", (1, 2)), ("b", (2, 1)), ("c", (2,))]
    ]
    for seed in (1, 2):
        for other in (runs[1], runs[2]):
            if seed in other:
                pd.testing.assert_frame_equal(runs[0][seed]["losses"], other[seed]["losses"])
                assert all(torch.equal(t, other[seed]["tensors"][name]) for name, t in runs[0][seed]["tensors"].items())
    assert not np.array_equal(runs[0][1]["losses"]["loss"], runs[0][2]["losses"]["loss"])


def test_full_training_starts_from_the_same_weights_for_each_seed(models, tmp_path):
    settings = settings_of(method="full", learning_rate=1e-3, epochs=1)
    both = train_with_trainer(models("llama"), settings, 2, tmp_path / "a", (1, 2))
    alone = train_with_trainer(models("llama"), settings, 2, tmp_path / "b", (2,))
    whole = dict(whole_model(models("llama")).named_parameters())
    assert set(both[2]["tensors"]) <= set(whole) and "model.layers.1.mlp.up_proj.weight" in both[2]["tensors"]
    for name, tensor in both[2]["tensors"].items():
        assert torch.equal(tensor, alone[2]["tensors"][name])
        reached = "model.norm" not in name
        assert torch.equal(tensor, whole[name]) != reached, name
    assert both[2]["reached_parameters"] == sum(t.numel() for name, t in both[2]["tensors"].items() if "model.norm" not in name)


def test_training_in_4_bits_moves_the_adapters(models, tmp_path):
    made = train_with_trainer(models("llama", quantization="nf4"), settings_of(epochs=1), 2, tmp_path)[1]
    assert all(tensor.any() for name, tensor in made["tensors"].items() if "lora_B" in name)


def test_training_lowers_the_loss_on_its_own_pairs(models, tmp_path):
    made = train_with_trainer(models("llama"), settings_of(epochs=25, learning_rate=1e-2, batch_size=12), LAYERS, tmp_path)[1]
    assert made["last_loss"] < 0.5 * made["first_loss"]


def test_epochs_zero_gives_the_start(models, tmp_path):
    made = train_with_trainer(models("llama"), settings_of(epochs=0), 2, tmp_path)[1]
    assert made["steps"] == 0 and made["first_loss"] is None and len(made["losses"]) == 0
    assert not any(t.any() for name, t in made["tensors"].items() if "lora_B" in name)


# --- what must not go on silently -----------------------------------------------------------------------------------


@pytest.fixture(params=["alone", "stacked"])
def ready(request, models):
    """A model with adapters, ready to train: (batches, what is trained)."""
    opened = open_model(models("llama"), 2)
    shape = lora.LoraShape(2, 4.0, 0.0, ("q_proj", "v_proj"), 2)
    return Batches(opened, *assignments(TRAIN, False, 0), "no-bos"), stacked(opened, shape, [1] if request.param == "stacked" else None)


def trained(ready, settings, progress=lambda step, loss: None):
    batches, stack = ready
    return loop.train(stack, [batches], [1], loop.Task(settings, 2), progress)[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_its_step(ready, value):
    batches, stack = ready

    def spoil(step, loss):
        if step == 3:
            next(p for name, p in stack.parameters.items() if "lora_B" in name).data.fill_(value)

    with pytest.raises(TrainingError, match=r"the loss is nan at step 4; lower learning_rate"):
        trained(ready, settings_of(), spoil)
    assert not batches.opened.base.training


def test_a_training_that_moves_nothing_is_an_error(ready):
    for p in ready[1].parameters.values():
        p.requires_grad_(False)
    with pytest.raises(TrainingError, match="moved no weight"):
        trained(ready, settings_of())


def test_a_loss_of_zero_that_moves_nothing_is_no_error(ready):
    batches, stack = ready
    batches.accepted = np.ones_like(batches.accepted)  # no negative is left in any batch
    before = {name: p.detach().clone() for name, p in stack.parameters.items()}
    outcome = trained(ready, settings_of(weight_decay=0.0))
    assert len(outcome.losses) == 6 and set(outcome.losses) == {0.0}
    assert all(torch.equal(before[name], p) for name, p in stack.parameters.items())


def test_the_gradient_is_clipped_to_its_norm(ready):
    _, stack = ready
    norms = []

    def note(step, loss):
        gradients = [p.grad.flatten() for p in stack.parameters.values() if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.cat(gradients))))

    trained(ready, settings_of(margin=2.0), note)
    free = list(norms)
    norms.clear()
    trained(ready, settings_of(margin=2.0, max_gradient_norm=1e-3), note)
    assert min(free) > 1e-3 and max(norms) <= 1e-3 * (1 + 1e-4)


def test_padding_and_company_change_no_vector(ready):
    batches, _ = ready
    with torch.no_grad():
        together = batches.embed(2, np.arange(len(TRAIN)))
        for i in range(len(TRAIN)):
            for side, alone in zip(together, batches.embed(2, np.array([i])), strict=True):
                torch.testing.assert_close(side[i], alone[0], rtol=1e-5, atol=1e-5)


# --- assignments ----------------------------------------------------------------------------------------------------


def table(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source", "target", "alternatives"])


def test_right_translations_are_those_of_the_plain_loop():
    rows = [
        ("ndege", "bird", ""),
        ("ndege", "aeroplane", ""),
        ("nyumba", "house", "home|dwelling"),
        ("makao", "home", ""),
        ("makao", "bird", ""),
        ("x", "x", ""),
    ]
    sources, targets, right = assignments(table(rows), False, 0)
    assert sources == [r[0] for r in rows] and targets == [r[1] for r in rows]
    np.testing.assert_array_equal(right, accepted_by_hand(sources, targets, [set(filter(None, r[2].split("|"))) for r in rows]))
    assert right[0, 1] and right[2, 3] and not right[3, 2] and right[0, 4]


@pytest.mark.parametrize("seed", range(8))
def test_a_placebo_gives_no_source_any_translation_of_its_own(seed):
    more = table([("makao", "house", "home"), ("makazi", "home", ""), ("makazi", "house", ""), ("habari", "book", "")])
    rows = pd.concat([TRAIN[["source", "target", "alternatives"]], more], ignore_index=True)
    sources, targets, right = assignments(rows, True, seed)
    assert sources == rows["source"].tolist() and sorted(targets) == sorted(rows["target"])
    alternatives = [set(filter(None, text.split("|"))) for text in rows["alternatives"]]
    own = {(s, form) for s, t, others in zip(rows["source"], rows["target"], alternatives, strict=True) for form in {t, *others}}
    assert not own & set(zip(sources, targets, strict=True))
    by_hand = accepted_by_hand(sources, targets, [set()] * len(sources))  # masked by what is ASSIGNED
    np.testing.assert_array_equal(right, by_hand)
    assert not np.array_equal(by_hand, accepted_by_hand(sources, rows["target"].tolist(), alternatives))
    assert assignments(rows, True, seed)[1] == targets and assignments(rows, True, seed + 100)[1] != targets


def test_a_placebo_has_the_start_and_the_order_of_its_arm(models, tmp_path):
    seen = {}
    for shuffled in (False, True):
        trainer = Trainer(models("llama"), settings_of(shuffle_translations=shuffled), 2, 2, lambda member: TRAIN)
        started, orders = [], []
        words, train = Batches.words, loop.train

        def spy(self, rows, orders=orders, words=words):
            orders.append(rows.tolist())
            return words(self, rows)

        def spy_on_start(stack, *rest, started=started, train=train):
            started.append(stack.tensors(0))
            return train(stack, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Batches, "words", spy)
            patch.setattr(loop, "train", spy_on_start)
            (tmp_path / str(shuffled)).mkdir()
            trainer.run(Member(3), tmp_path / str(shuffled), no_progress)
        seen[shuffled] = (started[0], orders)
    assert seen[True][1] == seen[False][1] and len(seen[True][1]) == 6
    assert all(torch.equal(p, seen[True][0][name]) for name, p in seen[False][0].items())


def test_false_negatives_are_masked_and_counted_where_the_protocol_says_so(models):
    opened = open_model(models("llama"), 2)
    pairs = table([("ndege", "bird", ""), ("ndege", "aeroplane", "")])
    batches = Batches(opened, *assignments(pairs, False, 0), "no-bos")
    masked, counted = (
        batching.losses([batches], [np.arange(2)], 2, settings_of(margin=3.0, mask_false_negatives=mask)) for mask in (True, False)
    )
    with torch.no_grad():
        anchors, positives = batches.embed(2, np.arange(2))
    cosines = [[float(functional.cosine_similarity(a, p, dim=0)) for p in positives] for a in anchors]
    assert float(masked) == 0.0  # no wrong translation is in the batch
    assert float(counted) == pytest.approx(np.mean([3 + cosines[i][1 - i] - cosines[i][i] for i in range(2)]), abs=1e-5)


# --- choice of pairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["random", "lowest-margin", "diverse", "uncertainty"])
def test_a_budget_is_kept_and_said(models, tmp_path, strategy):
    settings = settings_of(select=SelectSpec(strategy, 6, 2), epochs=1)
    made = train_with_trainer(models("llama"), settings, 2, tmp_path)[1]
    chosen = json.loads((tmp_path / "1" / "pairs.json").read_text())
    assert made["train_pairs"] == 6 == len(set(chosen)) and set(chosen) <= set(TRAIN["pair_id"])
