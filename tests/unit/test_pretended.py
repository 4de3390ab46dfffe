"""Everything that touches a model, on a pretended accelerator (pretended.py): the processor's results, no mix of devices, few waits.

`cards=2` spreads the blocks with accelerate's hooks, as `across_gpus` does.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tiny
import tiny_models
import torch
from pretended import Pretended, card, pretended
from safetensors.torch import load_file
from trial import Trial

from tli.model import divergence, lora
from tli.model.embedding import embed, embed_all
from tli.model.lora.folder import Card
from tli.model.opening import below_head, open_model, open_whole
from tli.model.streaming import Wanted
from tli.specs import AnchorSpec, Member, SelectSpec, TrainSpec
from tli.training.anchor import MATRIX, Anchoring, gradient_matrix, write_matrix
from tli.training.trainer import Trainer

TRAINED = tiny.pairs_table().query("split == 'train'").reset_index(drop=True)
TEXT = tuple(f"{a} {b} {c}" for a, b, c in zip(TRAINED["source"], TRAINED["target"], reversed(TRAINED["source"]), strict=True))
ONE_CARD = pytest.param(1, marks=pytest.mark.slow)  # what holds on two cards holds on one; the quick half asks two
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # the same products on the same processor


# --- what it refuses and what it counts ---------------------------------------------------------------------------------


def test_it_refuses_what_a_card_refuses(monkeypatch):
    with pretended(monkeypatch):
        here, one, two = torch.ones(3), torch.ones(3, device=card(0)), torch.ones(3, device=card(1))
        for other in (here, two):
            with pytest.raises(RuntimeError, match="same device"):
                one + other
        with pytest.raises(RuntimeError, match="same device"):
            torch.nn.functional.linear(one, torch.ones(2, 3))
        with pytest.raises(RuntimeError, match="same device"):
            one.bernoulli_(generator=torch.Generator("cpu"))
        with pytest.raises(RuntimeError, match="were set to"):
            one.data = here
        with pytest.raises(RuntimeError, match="not supported"):
            one.numpy()
        assert (one + 1.0 + torch.tensor(1.0)).cpu().tolist() == [3, 3, 3]  # a number may come from anywhere
        assert isinstance(one.bernoulli_(generator=torch.Generator(card(0)).manual_seed(1)), Pretended)
        assert (two.to(card(0)) + one).device == card(0)


@pytest.mark.parametrize(
    ("do", "waits"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: bool((x > 0).all()), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: torch.equal(x, x), 1),
        (lambda x: torch.ones(3).to(x.device), 1),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), 1),
        (lambda x: torch.ones(3).to(x.device, non_blocking=True), 0),
        (lambda x: x[torch.tensor([0, 1])], 1),
        (lambda x: x[torch.zeros(2, dtype=torch.long, device=x.device)], 0),
        (lambda x: torch.softmax(x * 2 + 1, 0).clamp(min=0.1).double(), 0),
        (lambda x: x.to(card(1)), 0),
    ],
)
def test_it_counts_what_is_waited_for(do, waits, monkeypatch):
    with pretended(monkeypatch) as accelerator:
        x = torch.ones(3, device=card(0))
        with accelerator.counted() as found:
            do(x)
        assert found.total() == waits


def test_gradients_and_changes_in_place_are_the_processors(monkeypatch):
    a, b = torch.randn(4, 3), torch.randn(5, 3)

    def worked(a, b):
        a = torch.nn.Parameter(a.clone())
        out = (b @ a.mT).sigmoid().clone()
        out[:, 0].mul_(2.0)
        (out.sum() + out.view(-1)[:3].square().sum()).backward()
        torch.optim.AdamW([a], lr=0.1).step()
        return a.detach(), a.grad

    expected = worked(a, b)
    with pretended(monkeypatch):
        for one, other in zip(expected, worked(a.to(card(0)), b.to(card(0))), strict=True):
            torch.testing.assert_close(one, other.cpu())


# --- measuring ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cards", [ONE_CARD, 2])
def test_a_scan(cards, models, monkeypatch):
    states, poolings = list(range(tiny.LAYERS + 1)), ["no-bos", "with-bos"]
    expected = embed(open_model(models("llama")), tiny.WORDS, states, poolings)
    with pretended(monkeypatch, cards) as accelerator:
        opened = open_model(models("llama"))
        assert len(opened.cards) == cards and opened.device == card(0)
        embed(opened, tiny.WORDS, states, poolings)  # the layout is tried once
        with accelerator.counted() as waits:
            found = embed(opened, tiny.WORDS, states, poolings)
    for key, vectors in expected.vectors.items():
        np.testing.assert_allclose(found.vectors[key], vectors, **CLOSE)
    # Of the one pass: at each hidden state the vectors of each pooling are read, and the norms.
    assert dict(waits) == {"model/embedding.py:add": len(states) * (len(poolings) + 1)}


def random_adapter(opened, seed=1, blocks=tiny.LAYERS):
    tensors = lora.initial(opened, lora.LoraShape(4, 8.0, 0.0, ("q_proj", "v_proj", "down_proj"), blocks), seed)
    torch.manual_seed(seed)
    return lora.Adapter({name: (torch.randn(t.shape) * 0.2).to(t.device) for name, t in tensors.items()}, 2.0)


@pytest.mark.parametrize("cards", [ONE_CARD, 2])
@pytest.mark.parametrize("way", [lora.applied, lora.merged])
def test_an_adapter(way, cards, models, monkeypatch, tmp_path):
    def measured():
        opened = open_model(models("llama"))
        adapter = random_adapter(opened)
        lora.save(opened, tmp_path, adapter.tensors, lora.LoraShape(4, 8.0, 0.0, ("q_proj", "v_proj", "down_proj"), 4), Card("x"))
        with way(opened, lora.read(opened, tmp_path)):
            one = embed(opened, tiny.WORDS, [1, 3, 4], ["no-bos"])
        return one, embed(opened, tiny.WORDS, [1, 3, 4], ["no-bos"])

    expected = measured()
    with pretended(monkeypatch, cards):
        found = measured()
    for one, other in zip(expected, found, strict=True):
        for key, vectors in one.vectors.items():
            np.testing.assert_allclose(other.vectors[key], vectors, **CLOSE)
    assert np.abs(expected[0].vectors[4, "no-bos"] - expected[1].vectors[4, "no-bos"]).max() > 0.1


@pytest.mark.parametrize(
    ("quantization", "merge"),
    [
        pytest.param("none", False, marks=pytest.mark.slow),
        pytest.param("none", True, marks=pytest.mark.slow),
        ("nf4", False),
        ("nf4", True),
    ],
)
def test_a_streamed_model_with_adapters(quantization, merge, monkeypatch, tmp_path):
    folder = tiny_models.write("llama", tmp_path, hidden=64)
    spec = tiny_models.spec(folder, stream="always", quantization=quantization)

    def measured():
        opened = open_model(spec)
        adapter = random_adapter(opened, blocks=3)
        return embed_all(opened, tiny_models.WORDS, [Wanted([0, 2, 4]), Wanted([2, 4], adapter, merge)], ["no-bos"])

    expected = measured()
    with pretended(monkeypatch):
        found = measured()
    for one, other in zip(expected, found, strict=True):
        for key, vectors in one.vectors.items():
            np.testing.assert_allclose(other.vectors[key], vectors, **CLOSE)


@pytest.mark.parametrize("cards", [ONE_CARD, 2])
def test_running_text(cards, models, monkeypatch):
    def measured():
        whole, tokenizer = open_whole(models("llama"))
        opened = below_head(whole, tokenizer)
        ids = [tuple(one) for one in tokenizer(list(TEXT))["input_ids"]]
        before = divergence.last_states(opened, ids)
        with lora.applied(opened, random_adapter(opened)):
            after = divergence.last_states(opened, ids)
        weight = whole.get_output_embeddings().weight.detach().to("cpu", copy=True)
        assert all(state.device.type == "cpu" for state in before)
        return divergence.compare(whole, opened, ids, before, after, weight)

    expected = measured()
    with pretended(monkeypatch, cards):
        found = measured()
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4)


# --- training -----------------------------------------------------------------------------------------------------------


def trained(models, folder, accelerator=None, seeds=(1,), anchor=None, matrix=None, layer=4, **changes):
    """Adapters or weights of each seed by name, and of each step but the first the waits and the uploads."""
    shape = {"rank": None, "alpha": None} if changes.get("method") == "full" else {"rank": 4, "alpha": 8.0}
    usual = {"epochs": 2, "batch_size": 5, "learning_rate": 5e-3, "warmup_steps": 1, "max_gradient_norm": 1.0, "dropout": 0.0}
    spec = TrainSpec(**shape | usual | changes, anchor=AnchorSpec(anchor, 0.5, tokens_per_step=30) if anchor else None)
    trainer = Trainer(models("llama"), spec, layer, layer, lambda member: TRAINED, Anchoring(TEXT, matrix))
    steps, made = [], {}

    def progress(*_):
        steps.append((accelerator.waits.copy(), accelerator.uploads) if accelerator else None)

    if len(seeds) > 1:
        assert trainer.trains_together
        trainer.prepare([Member(seed) for seed in seeds], progress)
    for seed in seeds:
        (folder / str(seed)).mkdir(parents=True)
        record = trainer.run(Member(seed), folder / str(seed), progress)
        assert not record["failed"]
        file = "weights/model.safetensors" if spec.is_full else "adapter/adapter_model.safetensors"
        made[seed] = load_file(folder / str(seed) / file), pd.read_parquet(folder / str(seed) / "losses.parquet")
    return made, [(b[0] - a[0], b[1] - a[1]) for a, b in zip(steps, steps[1:], strict=False) if accelerator]


def assert_alike(expected, found, loose=1e-5):
    for seed, (tensors, losses) in expected.items():
        np.testing.assert_allclose(found[seed][1]["loss"], losses["loss"], rtol=1e-4, atol=1e-5)
        assert tensors.keys() == found[seed][0].keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(found[seed][0][name], tensor, rtol=0, atol=loose)
    some = next(iter(expected.values()))[1]["loss"]
    assert some.iloc[-1] != some.iloc[0]


@pytest.mark.parametrize("cards", [ONE_CARD, 2])
@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_training(seeds, cards, models, monkeypatch, tmp_path):
    """A step waits once: for its loss. What it uploads does not grow with the seeds."""
    expected, _ = trained(models, tmp_path / "here", seeds=seeds)
    with pretended(monkeypatch, cards) as accelerator:
        found, steps = trained(models, tmp_path / "there", accelerator, seeds=seeds)
    assert_alike(expected, found)
    assert {tuple(waits.items()) for waits, _ in steps} == {(("training/loop.py:train", 1),)}
    # ids, positions, mask; which token is whose and back, on each card; the accepted translations; pooling and where its words are
    assert {uploads for _, uploads in steps} == {6 + 2 * cards}


@pytest.mark.parametrize("cards", [ONE_CARD, 2])
@pytest.mark.parametrize("metric", ["drift", "gradient-weighted", "kl"])
def test_anchored_training(metric, cards, models, monkeypatch, tmp_path):
    whole, tokenizer = open_whole(models("llama"))
    write_matrix(gradient_matrix(whole, below_head(whole, tokenizer), 2, TEXT), tmp_path)
    given = {"anchor": metric, "matrix": tmp_path / MATRIX, "layer": 2, "seeds": (1, 2)}
    expected, _ = trained(models, tmp_path / "here", **given)
    with pretended(monkeypatch, cards) as accelerator:
        found, steps = trained(models, tmp_path / "there", accelerator, **given)
    assert_alike(expected, found, 1e-4)
    assert {tuple(waits.items()) for waits, _ in steps} == {(("training/loop.py:train", 1),)}


def test_the_gradients_matrix(models, monkeypatch):
    """On two cards the labels are drawn elsewhere than on one: the matrix is the processor's where the draws are."""

    def made():
        whole, tokenizer = open_whole(models("llama"))
        return gradient_matrix(whole, below_head(whole, tokenizer), 2, TEXT)

    expected = made()
    for cards in (1, 2):
        with pretended(monkeypatch, cards):
            torch.testing.assert_close(made(), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("cards", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "full", "learning_rate": 1e-4},
        {"dropout": 0.1, "seeds": (1, 2)},
        {"gradient_checkpointing": True},
        {"objective": "infonce"},
        {"objective": "triplet-all", "mask_false_negatives": False},
        {"positives": "own-word"},
        {"target_modules": ("all-linear",), "seeds": (1, 2)},
        {"select": SelectSpec("uncertainty", 6, 2)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_other_trainings(changes, cards, models, monkeypatch, tmp_path):
    expected, _ = trained(models, tmp_path / "here", **changes)
    with pretended(monkeypatch, cards) as accelerator:
        found, steps = trained(models, tmp_path / "there", accelerator, **changes)
    if cards == 1 or not changes.get("dropout"):  # of several cards each draws with generators of its own
        assert_alike(expected, found, 1e-4)
    if "select" not in changes:  # which trains twice, and measures between
        assert {waits.total() for waits, _ in steps} == {1}


# --- the stages ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("cards", [1, 2])
def test_every_stage(cards, models, monkeypatch, tmp_path):
    """check, scan, training (adapters, all weights), evaluation and transfer, through their jobs: the processor's tables."""
    demo = pytest.importorskip("test_transfer").DEMO

    def done(folder):
        # Without dropout, which each of two cards draws for itself.
        training = {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "learning_rate": 5e-3, "dropout": 0.0}
        transfer = {"tasks": ["xcopa_sw"], "source": str(demo), "limit": 4, "batch_size": 4}
        sections = {"transfer": transfer, "maps": ["centring"], "training": training}
        trial = Trial(folder, models("llama"), **sections)
        trial.run("check")
        trial.run("scan")
        for arm, layer in (("tli", "best"), ("tli", "2"), ("deep", "2"), ("tli-placebo", "2"), ("zero", "2"), ("full-ft", "output")):
            trial.train(arm, layer)
        trial.evaluate()
        parts = trial.experiment.parts("transfer", "m", "swh-eng")
        transferred = [pd.read_parquet(trial.run("transfer", part=part).outputs["transfer"]) for part in parts]
        return {
            "scan": pd.read_csv(trial.layout.scan("m", "swh-eng")["scan"], sep="\t"),
            "metrics": pd.concat([trial.measured("metrics", part) for part in trial.experiment.parts("evaluate", "m", "swh-eng")]),
            "transfer": pd.concat(transferred),
        }

    expected = done(tmp_path / "here")
    with pretended(monkeypatch, cards):
        found = done(tmp_path / "there")
    for name, table in expected.items():
        numbers = [column for column in table.select_dtypes("number") if column not in ("seed", "fold")]
        assert len(table) == len(found[name]) > 3
        for column in numbers:
            np.testing.assert_allclose(found[name][column], table[column], rtol=1e-3, atol=1e-3, err_msg=f"{name}: {column}")


@pytest.mark.slow
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_every_family(family, monkeypatch, tmp_path):
    """Scan and a training step of each family, opened and streamed."""
    folder = tiny_models.write(family, tmp_path)
    states = [0, 2, 4]
    expected = embed(open_model(tiny_models.spec(folder)), tiny_models.WORDS, states, ["no-bos"])
    with pretended(monkeypatch):
        for stream in ("never", "always"):
            found = embed(open_model(tiny_models.spec(folder, stream=stream)), tiny_models.WORDS, states, ["no-bos"])
            for key, vectors in expected.vectors.items():
                np.testing.assert_allclose(found.vectors[key], vectors, **CLOSE)


def test_a_full_card_is_halved_there_too(models, monkeypatch):
    """The pass is cut while its tensors lie on the card."""
    words = [f"{a} {b}" for a in tiny.WORDS[:8] for b in tiny.WORDS[8:28]]
    expected = embed(open_model(models("llama")), words, [2, 4], ["no-bos"])
    with pretended(monkeypatch):
        opened = open_model(models("llama"))
        forward, failed = opened.base.forward, []

        def guarded(*args, **kwargs):
            if kwargs["input_ids"].numel() > 128:
                failed.append(kwargs["input_ids"].numel())
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(*args, **kwargs)

        embed(opened, tiny.WORDS, [2], ["no-bos"])
        monkeypatch.setattr(opened.base, "forward", guarded)
        found = embed(opened, words, [2, 4], ["no-bos"])
    assert failed and opened.room().at_once <= 256
    for key, vectors in expected.vectors.items():
        np.testing.assert_allclose(found.vectors[key], vectors, **CLOSE)


def test_of_two_cards_all_are_taken_only_where_one_does_not_hold_what_is_opened(tmp_path, monkeypatch):
    """The rule on the shape of an 8B, whose tensors are never made: hs[2] needs one card, the whole does not fit it in float32."""
    from accelerate import init_empty_weights
    from transformers import AutoModel, LlamaConfig

    from tli.model import opening
    from tli.model.checkpoint import truncated
    from tli.model.nf4 import coverage
    from tli.model.opened import find_blocks

    config = LlamaConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8
    )

    def mapped(blocks, free, in_4_bits=False, times=1.5):
        with init_empty_weights():
            base = AutoModel.from_config(truncated(config, blocks))
        monkeypatch.setattr(opening, "free_on", lambda device: free)
        return opening._device_map(coverage(base, find_blocks(base, blocks)), in_4_bits, 2, times)

    assert mapped(2, 8e9) == mapped(32, 80e9) == mapped(32, 12e9, in_4_bits=True) == {"": 0}
    assert mapped(32, 16e9) == mapped(2, 2.5e9) == mapped(32, 40e9, times=5.0) == "auto"
