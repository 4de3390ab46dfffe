"""The few blocks, one forward, no padding, seeds together: each gives the adapters of the plain way."""

import dataclasses

import numpy as np
import pytest
import tiny_models
import with_peft

from tli.model import lora
from tli.model.lora.folder import Card
from tli.model.opening import open_model
from tli.specs import TrainSpec
from tli.training import loop
from tli.training.batches import Batches, pooled_states

SOURCES, TARGETS = tiny_models.WORDS[:6], tiny_models.WORDS[6:]
LORA = lora.LoraShape(rank=4, alpha=8.0, dropout=0.0, target_modules=("q_proj", "v_proj"), blocks=2)
SPEC = TrainSpec(
    epochs=2, batch_size=4, learning_rate=1e-3, warmup_steps=1, max_gradient_norm=1.0, rank=4, alpha=8.0, dropout=0.0, temperature=0.05
)


def batches(opened, roll=0):
    return Batches(opened, SOURCES, list(np.roll(TARGETS, roll)), np.eye(6, dtype=bool), "no-bos")


def together_on(opened, seeds, rolls=None, shape=LORA, spec=SPEC):
    """Adapters of these seeds, trained together: (outcome, tensors) of each."""
    each = [batches(opened, roll) for roll in rolls or [0] * len(seeds)]
    assert loop.can_stack(opened, each, spec)
    stack = lora.Stack(opened, [lora.initial(opened, shape, seed) for seed in seeds], shape, seeds)
    outcomes = loop.train(stack, each, seeds, loop.Task(spec, 2))
    return [(outcome, stack.tensors(number)) for number, outcome in enumerate(outcomes)]


class WithPeft:
    """PEFT's adapters as the loop trains them, one run in place."""

    members, laid, training = 1, False, False

    def __init__(self, opened, shape, seed):
        self.opened, self.tuner = opened, with_peft.attach(opened, shape, seed)
        self.parameters = with_peft.parameters(opened)
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)

    def applied(self):
        import contextlib

        return contextlib.nullcontext()

    def clip(self, largest):
        import torch

        torch.nn.utils.clip_grad_norm_(self.parameters.values(), largest)

    def reached(self):
        return sum(p.numel() for p in self.parameters.values() if p.grad is not None)


def published_way(folder, seed, chosen):
    """PEFT on all four blocks of the whole model with its head, word by word, two forwards a step, torch's own schedule."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, get_linear_schedule_with_warmup

    from tli.training import objective

    model, tokenizer = AutoModelForCausalLM.from_pretrained(str(folder)), AutoTokenizer.from_pretrained(str(folder))
    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=chosen.learning_rate, weight_decay=chosen.weight_decay)
    steps = 2 * chosen.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, chosen.warmup_steps, steps)

    def embed(words):
        states = [model(torch.tensor([tokenizer(w)["input_ids"]]), output_hidden_states=True).hidden_states[2] for w in words]
        return torch.stack([state[0, 1:].mean(0) for state in states])

    order, losses = np.random.default_rng(seed), []
    for _ in range(chosen.epochs):
        shuffled = order.permutation(6)
        for rows in (shuffled[:4], shuffled[4:]):
            anchors, positives = embed([SOURCES[i] for i in rows]), embed([TARGETS[i] for i in rows])
            loss, _ = objective.triplet(anchors, positives, torch.eye(len(rows), dtype=torch.bool), chosen.margin)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainable, chosen.max_gradient_norm)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
    named = {name: p.detach() for name, p in model.named_parameters() if ".lora_" in name}
    return {name.removeprefix("base_model.model.model."): p for name, p in named.items()}, losses


def test_first_blocks_packed_and_stacked_is_peft_on_the_whole_model(tmp_path):
    folder = tiny_models.write("llama", tmp_path / "m")
    ((outcome, tensors),) = together_on(open_model(tiny_models.spec(folder), 2), [5])
    theirs, losses = published_way(folder, 5, SPEC)
    expected = {name.replace(".default.", "."): p for name, p in theirs.items()}
    np.testing.assert_allclose(outcome.losses, losses, atol=1e-6)
    fresh = lora.initial(open_model(tiny_models.spec(folder), 2), LORA, 5)
    assert max(float((tensors[n] - fresh[n]).abs().max()) for n in fresh) > 1e-3  # it moved
    for name, tensor in tensors.items():
        # float32, four steps: the order of additions differs, and Adam divides by gradients that are small
        np.testing.assert_allclose(tensor, expected[name], atol=1e-5)
    above = [name for name in expected if ".layers.2." in f".{name}" or ".layers.3." in f".{name}"]
    assert len(above) == 8 and all(float(expected[name].abs().max()) == 0 for name in above if "lora_B" in name)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2", "gpt_neox"])
def test_together_is_each_alone_by_the_ordinary_training(family, tmp_path):
    """Three members of two seeds and a shuffled one, against PEFT adapters trained in turn."""
    target = {"gpt2": ("c_attn",), "gpt_neox": ("query_key_value",)}.get(family, LORA.target_modules)
    shape = dataclasses.replace(LORA, target_modules=target)
    opened = open_model(tiny_models.spec(tiny_models.write(family, tmp_path / "m")), 2)
    seeds, rolls = [1, 2, 1], [0, 0, 1]
    for (outcome, tensors), seed, roll in zip(together_on(opened, seeds, rolls, shape), seeds, rolls, strict=True):
        peft = WithPeft(opened, shape, seed)
        (alone,) = loop.train(peft, [batches(opened, roll)], [seed], loop.Task(SPEC, 2))
        np.testing.assert_allclose(outcome.losses, alone.losses, atol=1e-6)
        assert outcome.learning_rates == alone.learning_rates and outcome.reached == alone.reached
        for name, parameter in peft.parameters.items():
            np.testing.assert_allclose(tensors[name], parameter.detach(), atol=1e-5)
        peft.tuner.unload()


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2"])
def test_what_cannot_be_stacked_is_pefts_training_to_the_bit(family, tmp_path):
    """Dropout of the adapters and of the model, padding, a clipped gradient: the draws and the sums are PEFT's."""
    target = {"gpt2": ("c_attn",), "bert": ("query", "value")}.get(family, LORA.target_modules)
    shape = dataclasses.replace(LORA, target_modules=target, dropout=0.2)
    noise = {"resid_pdrop": 0.1, "attn_pdrop": 0.1} if family == "gpt2" else {"hidden_dropout_prob": 0.1} if family == "bert" else {}
    folder = tiny_models.write(family, tmp_path / "m", **noise)
    results = []
    for way in ("ours", "peft"):
        opened = open_model(tiny_models.spec(folder), 2)
        trained = WithPeft(opened, shape, 3) if way == "peft" else lora.Stack(opened, [lora.initial(opened, shape, 3)], shape)
        (outcome,) = loop.train(trained, [batches(opened)], [3], loop.Task(SPEC, 2))
        results.append((outcome.losses, {name: p.detach().flatten() for name, p in trained.parameters.items()}))
    assert results[0][0] == results[1][0] and list(results[0][1]) == list(results[1][1])
    assert all((tensor == results[1][1][name]).all() for name, tensor in results[0][1].items())


def test_initial_tensors_are_pefts_to_the_bit(tmp_path):
    opened = open_model(tiny_models.spec(tiny_models.write("gpt2", tmp_path / "m")), 2)
    shape = dataclasses.replace(LORA, target_modules=("c_attn", "c_proj"))
    ours = lora.initial(opened, shape, 3)
    tuner = with_peft.attach(opened, shape, 3)
    theirs = with_peft.parameters(opened)
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert (ours[name] == tensor).all() and ours[name].shape == tensor.shape
    tuner.unload()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_place_in_the_stack_does_not_matter(dropout, tmp_path):
    opened = open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m")), 2)
    shape = dataclasses.replace(LORA, dropout=dropout)
    alone = [together_on(opened, [seed], shape=shape)[0] for seed in (1, 2, 3)]
    stack = together_on(opened, [3, 1, 2], shape=shape)
    for (one, tensors), (other, theirs) in zip([alone[2], alone[0], alone[1]], stack, strict=True):
        np.testing.assert_allclose(one.losses, other.losses, atol=1e-6)
        for name, tensor in tensors.items():
            np.testing.assert_allclose(theirs[name], tensor, atol=1e-5)
    again = together_on(opened, [1], shape=shape)[0][1]  # the same call gives the same bits
    assert all((again[name] == tensor).all() for name, tensor in alone[0][1].items())


def test_dropout_drops_and_differs_by_seed(tmp_path):
    opened = open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m")), 2)
    with_it, without = (together_on(opened, [1], shape=dataclasses.replace(LORA, dropout=d))[0][0] for d in (0.3, 0.0))
    assert with_it.losses != without.losses


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "llama"])
def test_packed_or_padded_trains_like_word_by_word(family, tmp_path):
    """Vectors and gradients of a batch of skewed lengths, for encoders (padded) and a decoder (packed)."""
    import torch

    opened = open_model(tiny_models.spec(tiny_models.write(family, tmp_path / "m")), 2)
    batch = batches(opened)
    lengths = [len(word.ids) for word in batch.words(np.arange(6))]
    assert max(lengths) > 3 * min(lengths)
    weight = next(opened.blocks[0].parameters()).requires_grad_(True)
    anchors, positives = batch.embed(2, np.arange(6))
    (anchors * positives).sum().backward()
    packed, weight.grad = weight.grad, None
    singly = [pooled_states(opened, [word], 2, "no-bos") for word in batch.words(np.arange(6))]
    a, p = torch.cat(singly[:6]), torch.cat(singly[6:])
    (a * p).sum().backward()
    np.testing.assert_allclose(anchors.detach(), a.detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(positives.detach(), p.detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(packed, weight.grad, rtol=1e-4, atol=1e-4 * float(weight.grad.abs().max()))


def test_what_cannot_be_stacked_is_told_apart(tmp_path):
    opened = open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m")), 2)
    short = Batches(opened, SOURCES[:4], TARGETS[:4], np.eye(4, dtype=bool), "no-bos")
    assert not loop.can_stack(opened, [batches(opened), short], SPEC)
    assert not loop.can_stack(opened, [batches(opened)], dataclasses.replace(SPEC, optimizer="adamw-8bit"))
    assert not loop.can_stack(opened, [batches(opened)], dataclasses.replace(SPEC, method="full"))
    encoder = open_model(tiny_models.spec(tiny_models.write("bert", tmp_path / "bert")), 2)
    assert not loop.can_stack(encoder, [batches(encoder)], SPEC)
    noisy = open_model(tiny_models.spec(tiny_models.write("gpt2", tmp_path / "noisy", resid_pdrop=0.1)), 2)
    assert not loop.can_stack(noisy, [batches(noisy)], SPEC)


def test_trained_adapter_is_saved_and_read_as_any_peft_folder(tmp_path):
    folder = tiny_models.write("llama", tmp_path / "m")
    opened = open_model(tiny_models.spec(folder), 2)
    ((_, tensors),) = together_on(opened, [1])
    lora.save(opened, tmp_path / "adapter", tensors, LORA, Card(str(folder)))
    back = lora.read(open_model(tiny_models.spec(folder)), tmp_path / "adapter")
    assert back.scaling == 2.0 and list(back.tensors) == list(tensors)
    assert all((back.tensors[name] == tensor).all() for name, tensor in tensors.items())


def test_first_blocks_do_not_read_the_other_shards(tmp_path):
    """Shards that hold upper blocks alone may even be unreadable."""
    import json

    folder = tiny_models.write("llama", tmp_path / "m", shard="20KB", layers=6)
    places = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {file for name, file in places.items() if ".layers." not in name or int(name.split(".layers.")[1].split(".")[0]) < 2}
    spoiled = list(set(places.values()) - needed)
    assert len(spoiled) >= 2
    opened = open_model(tiny_models.spec(folder), 2)
    expected = pooled_states(opened, batches(opened).words(np.arange(6))[:6], 2, "no-bos")
    for file in spoiled:  # the header stays, the numbers become NaN
        path = folder / file
        data = bytearray(path.read_bytes())
        start = 8 + int.from_bytes(data[:8], "little")
        data[start:] = b"\xff" * (len(data) - start)
        path.write_bytes(data)
    opened = open_model(tiny_models.spec(folder), 2)
    found = pooled_states(opened, batches(opened).words(np.arange(6))[:6], 2, "no-bos")
    assert (found == expected).all()
    assert sum(p.numel() for p in opened.blocks.parameters()) * 3 == sum(
        p.numel() for p in open_model(tiny_models.spec(folder)).blocks.parameters()
    )
