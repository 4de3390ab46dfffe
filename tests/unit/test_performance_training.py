"""The few blocks, one forward, no padding, seeds together: each gives the adapters of the plain way."""

import numpy as np
import pytest
import tiny_models

from tli.model import adapters, stacked
from tli.model.opening import open_model
from tli.training import loop, together

SOURCES, TARGETS = tiny_models.WORDS[:6], tiny_models.WORDS[6:]
LORA = dict(rank=4, alpha=8.0, dropout=0.0, target_modules=["q_proj", "v_proj"], blocks=2)


def settings(**changes):
    return dict(
        method="lora", epochs=2, batch_size=4, objective="triplet-hardest", margin=0.4, temperature=0.05, mask_false_negatives=True,
        optimizer="adamw", learning_rate=1e-3, weight_decay=0.01, warmup_steps=1, schedule="linear", max_gradient_norm=1.0,
        rank=4, alpha=8.0, dropout=0.0,
    ) | changes  # fmt: skip


def batches(opened, roll=0):
    return loop.Batches(opened, SOURCES, list(np.roll(TARGETS, roll)), np.eye(6, dtype=bool), "no-bos")


def together_on(opened, seeds, rolls=None, **changes):
    """Adapters of these seeds, trained together."""
    chosen = settings(**changes)
    lora = LORA | {key: chosen[key] for key in ("rank", "alpha", "dropout")}
    members = [stacked.initial(opened, seed=seed, **lora) for seed in seeds]
    each = [batches(opened, roll) for roll in rolls or [0] * len(seeds)]
    assert together.can_stack(opened, each, chosen)
    return together.train_together(each, 2, chosen, seeds, members)


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
    optimizer = torch.optim.AdamW(trainable, lr=chosen["learning_rate"], weight_decay=chosen["weight_decay"])
    steps = 2 * chosen["epochs"]
    schedule = get_linear_schedule_with_warmup(optimizer, chosen["warmup_steps"], steps)

    def embed(words):
        states = [model(torch.tensor([tokenizer(w)["input_ids"]]), output_hidden_states=True).hidden_states[2] for w in words]
        return torch.stack([state[0, 1:].mean(0) for state in states])

    order, losses = np.random.default_rng(seed), []
    for _ in range(chosen["epochs"]):
        shuffled = order.permutation(6)
        for rows in (shuffled[:4], shuffled[4:]):
            anchors, positives = embed([SOURCES[i] for i in rows]), embed([TARGETS[i] for i in rows])
            loss, _ = objective.triplet(anchors, positives, torch.eye(len(rows), dtype=torch.bool), chosen["margin"])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainable, chosen["max_gradient_norm"])
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
    named = {name: p.detach() for name, p in model.named_parameters() if ".lora_" in name}
    return {name.removeprefix("base_model.model.model."): p for name, p in named.items()}, losses


def test_first_blocks_packed_and_stacked_is_peft_on_the_whole_model(tmp_path):
    folder = tiny_models.write("llama", tmp_path / "m")
    (found,) = together_on(open_model(tiny_models.settings(folder), 2), [5])
    expected, losses = published_way(folder, 5, settings())
    np.testing.assert_allclose(found["losses"], losses, atol=1e-6)
    fresh = stacked.initial(open_model(tiny_models.settings(folder), 2), seed=5, **LORA)
    assert max(float((found["tensors"][n] - fresh[n]).abs().max()) for n in fresh) > 1e-3  # it moved
    for name, tensor in found["tensors"].items():
        # float32, four steps: the order of additions differs, and Adam divides by gradients that are small
        np.testing.assert_allclose(tensor, expected[name], atol=1e-5)
    above = [name for name in expected if ".layers.2." in f".{name}" or ".layers.3." in f".{name}"]
    assert len(above) == 8 and all(float(expected[name].abs().max()) == 0 for name in above if "lora_B" in name)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2", "gpt_neox"])
def test_together_is_each_alone_by_the_ordinary_training(family, tmp_path):
    """Three members of two seeds and a shuffled one, against PEFT adapters trained in turn."""
    target = {"gpt2": ["c_attn"], "gpt_neox": ["query_key_value"]}.get(family, LORA["target_modules"])
    lora = LORA | {"target_modules": target}
    opened = open_model(tiny_models.settings(tiny_models.write(family, tmp_path / "m")), 2)
    seeds, rolls = [1, 2, 1], [0, 0, 1]
    members = [stacked.initial(opened, seed=seed, **lora) for seed in seeds]
    found = together.train_together([batches(opened, roll) for roll in rolls], 2, settings(), seeds, members)
    for result, seed, roll in zip(found, seeds, rolls, strict=True):
        tuner = adapters.attach(opened, seed=seed, **lora)
        trainable = adapters.parameters(opened)
        for parameter in trainable.values():
            parameter.requires_grad_(True)
        alone = loop.train(batches(opened, roll), 2, settings(), seed, trainable)
        np.testing.assert_allclose(result["losses"], alone["losses"], atol=1e-6)
        assert result["learning_rates"] == alone["learning_rates"]
        for name, parameter in trainable.items():
            np.testing.assert_allclose(result["tensors"][name], parameter.detach(), atol=1e-5)
        adapters.detach(tuner)


def test_initial_tensors_are_pefts_to_the_bit(tmp_path):
    opened = open_model(tiny_models.settings(tiny_models.write("gpt2", tmp_path / "m")), 2)
    lora = LORA | {"target_modules": ["c_attn", "c_proj"]}
    own = stacked.initial(opened, seed=3, **lora)
    tuner = adapters.attach(opened, seed=3, **lora)
    theirs = adapters.parameters(opened)
    assert list(own) == list(theirs)
    for name, tensor in theirs.items():
        assert (own[name] == tensor).all() and own[name].shape == tensor.shape
    adapters.detach(tuner)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_place_in_the_stack_does_not_matter(dropout, tmp_path):
    opened = open_model(tiny_models.settings(tiny_models.write("llama", tmp_path / "m")), 2)
    alone = [together_on(opened, [seed], dropout=dropout)[0] for seed in (1, 2, 3)]
    stack = together_on(opened, [3, 1, 2], dropout=dropout)
    for one, other in zip([alone[2], alone[0], alone[1]], stack, strict=True):
        np.testing.assert_allclose(one["losses"], other["losses"], atol=1e-6)
        for name, tensor in one["tensors"].items():
            np.testing.assert_allclose(other["tensors"][name], tensor, atol=1e-5)
    again = together_on(opened, [1], dropout=dropout)[0]  # the same call gives the same bits
    assert all((again["tensors"][name] == tensor).all() for name, tensor in alone[0]["tensors"].items())


def test_dropout_drops_and_differs_by_seed(tmp_path):
    opened = open_model(tiny_models.settings(tiny_models.write("llama", tmp_path / "m")), 2)
    with_it, without = (together_on(opened, [1], dropout=d)[0] for d in (0.3, 0.0))
    assert with_it["losses"] != without["losses"]


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "llama"])
def test_packed_or_padded_trains_like_word_by_word(family, tmp_path):
    """Vectors and gradients of a batch of skewed lengths, for encoders (padded) and a decoder (packed)."""
    import torch

    opened = open_model(tiny_models.settings(tiny_models.write(family, tmp_path / "m")), 2)
    batch = batches(opened)
    lengths = [len(word.ids) for word in batch.words(np.arange(6))]
    assert max(lengths) > 3 * min(lengths)
    weight = next(opened.blocks[0].parameters()).requires_grad_(True)
    anchors, positives = batch.embed(2, np.arange(6))
    (anchors * positives).sum().backward()
    packed, weight.grad = weight.grad, None
    singly = [loop.pooled_states(opened, [word], 2, "no-bos") for word in batch.words(np.arange(6))]
    a, p = torch.cat(singly[:6]), torch.cat(singly[6:])
    (a * p).sum().backward()
    np.testing.assert_allclose(anchors.detach(), a.detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(positives.detach(), p.detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(packed, weight.grad, rtol=1e-4, atol=1e-4 * float(weight.grad.abs().max()))


def test_what_cannot_be_stacked_is_told_apart(tmp_path):
    opened = open_model(tiny_models.settings(tiny_models.write("llama", tmp_path / "m")), 2)
    short = loop.Batches(opened, SOURCES[:4], TARGETS[:4], np.eye(4, dtype=bool), "no-bos")
    assert not together.can_stack(opened, [batches(opened), short], settings())
    assert not together.can_stack(opened, [batches(opened)], settings(optimizer="adamw-8bit"))
    assert not together.can_stack(opened, [batches(opened)], settings(method="full"))
    encoder = open_model(tiny_models.settings(tiny_models.write("bert", tmp_path / "bert")), 2)
    assert not together.can_stack(encoder, [batches(encoder)], settings())
    noisy = open_model(tiny_models.settings(tiny_models.write("gpt2", tmp_path / "noisy", resid_pdrop=0.1)), 2)
    assert not together.can_stack(noisy, [batches(noisy)], settings())


def test_trained_adapter_is_saved_and_read_as_any_peft_folder(tmp_path):
    folder = tiny_models.write("llama", tmp_path / "m")
    opened = open_model(tiny_models.settings(folder), 2)
    (result,) = together_on(opened, [1])
    with stacked.worn(opened, result["tensors"], **LORA):
        adapters.save(opened, tmp_path / "adapter", **LORA, source=str(folder), revision=None, note="")
    back = stacked.read(open_model(tiny_models.settings(folder)), tmp_path / "adapter")
    assert back.scaling == 2.0 and list(back.tensors) == list(result["tensors"])
    assert all((back.tensors[name] == tensor).all() for name, tensor in result["tensors"].items())


def test_first_blocks_do_not_read_the_other_shards(tmp_path):
    """Shards that hold upper blocks alone may even be unreadable."""
    import json

    folder = tiny_models.write("llama", tmp_path / "m", shard="20KB", layers=6)
    places = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {file for name, file in places.items() if ".layers." not in name or int(name.split(".layers.")[1].split(".")[0]) < 2}
    spoiled = list(set(places.values()) - needed)
    assert len(spoiled) >= 2
    expected = loop.pooled_states(open_model(tiny_models.settings(folder), 2), batches(open_model(tiny_models.settings(folder), 2)).sources, 2, "no-bos")  # fmt: skip
    for file in spoiled:  # the header stays, the numbers become NaN
        path = folder / file
        data = bytearray(path.read_bytes())
        start = 8 + int.from_bytes(data[:8], "little")
        data[start:] = b"\xff" * (len(data) - start)
        path.write_bytes(data)
    opened = open_model(tiny_models.settings(folder), 2)
    found = loop.pooled_states(opened, batches(opened).sources, 2, "no-bos")
    assert (found == expected).all()
    assert sum(p.numel() for p in opened.blocks.parameters()) * 3 == sum(
        p.numel() for p in open_model(tiny_models.settings(folder)).blocks.parameters()
    )
