"""NF4 weights written once and opened again are those that rounding the model anew gives, in every family and to the bit."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from safetensors import SafetensorError

from tli.errors import ModelError
from tli.io import store
from tli.model import lora, opening, quantized
from tli.model.opening import open_model, open_whole
from tli.specs import TrainSpec
from tli.training import loop
from tli.training.batches import Batches


@pytest.fixture(params=["llama", "gemma3", "gpt2", "gpt_neox", "tied"])
def written(request, tmp_path):
    """(settings with the written weights, settings without) of a model whose check job is through."""
    family, changes = ("llama", {"tie_word_embeddings": True}) if request.param == "tied" else (request.param, {})
    folder = tiny_models.write(family, tmp_path / "model", dtype="bfloat16", hidden=64, **changes)
    plain = tiny_models.spec(folder, dtype="bfloat16", quantization="nf4")
    keeping = replace(plain, store=str(tmp_path / "store"))
    quantized.write(keeping, folder, open_whole(plain)[0])
    return keeping, plain


def places(settings) -> list[Path]:
    return sorted(Path(settings.store).glob("nf4/*/model"))


def states(opened) -> torch.Tensor:
    with torch.inference_mode():
        return opened.base(torch.tensor([[1, 5, 9, 12, 7]])).last_hidden_state


def count_of_4_bit(module) -> int:
    return sum(type(m).__name__ == "Linear4bit" for m in module.modules())


@pytest.mark.parametrize("blocks", [None, 2])
def test_reopened_is_what_rounding_gives(written, blocks, monkeypatch):
    keeping, plain = written
    made = open_model(plain, blocks)
    given = []
    load = opening._load
    monkeypatch.setattr(
        opening, "_load", lambda auto, settings, *rest, **more: given.append(settings) or load(auto, settings, *rest, **more)
    )
    again = open_model(keeping, blocks)
    assert [Path(settings.source) for settings in given] == places(keeping), "read from the written weights"
    assert count_of_4_bit(made.base) == count_of_4_bit(again.base) > 0
    assert torch.equal(states(made), states(again))
    assert (again.layers, again.prefix, len(again.blocks)) == (made.layers, made.prefix, len(made.blocks))
    assert again.tokenizer("maji")["input_ids"] == made.tokenizer("maji")["input_ids"]


def test_the_head_too(written):
    keeping, plain = written
    ids = torch.tensor([[1, 5, 9, 12, 7]])
    with torch.inference_mode():
        made, again = (open_whole(settings)[0](ids).logits for settings in (plain, keeping))
    assert torch.equal(made, again)


def test_only_for_nf4_of_this_very_model(written, tmp_path):
    keeping, _ = written
    folder = Path(keeping.source)
    assert quantized.reopened(keeping, folder).source != str(folder)
    for other in (
        replace(keeping, quantization="none"),
        replace(keeping, dtype="float32"),
        replace(keeping, store=str(tmp_path / "elsewhere")),
    ):
        assert quantized.reopened(other, folder) == other
    assert count_of_4_bit(open_model(keeping, 1, quantized=False).base) == 0
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert quantized.reopened(keeping, folder) == keeping, "another model by one bit"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left on device")])
def test_a_full_disk_costs_speed_and_not_the_run(tmp_path, monkeypatch, capsys, error):
    folder = tiny_models.write("llama", tmp_path / "model", dtype="bfloat16", hidden=64)
    settings = tiny_models.spec(folder, dtype="bfloat16", quantization="nf4", store=str(tmp_path / "store"))
    whole_model = open_whole(settings)[0]

    def full(*_, **__):
        raise error

    monkeypatch.setattr(whole_model, "save_pretrained", full)
    quantized.write(settings, folder, whole_model)
    assert "every job rounds the model anew" in capsys.readouterr().err
    assert places(settings) == [] and list((tmp_path / "store" / "nf4").iterdir()) == []
    assert quantized.reopened(settings, folder) == settings


def test_damaged_written_weights_are_named(written):
    keeping, _ = written
    (folder,) = places(keeping)
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"store/nf4/.*copy or make this folder again"):
        open_model(keeping)


def test_adapters_learn_on_it_as_on_the_other(written):
    results = []
    for spec in written:
        opened = open_model(spec, 2)
        target = "c_attn" if opened.prefix == "transformer." else "query_key_value" if opened.prefix == "gpt_neox." else "q_proj"
        shape = lora.LoraShape(4, 8.0, 0.0, (target,), 2)
        batches = Batches(opened, tiny_models.WORDS[:6], tiny_models.WORDS[6:], np.eye(6, dtype=bool), "no-bos")
        chosen = TrainSpec(
            epochs=3,
            batch_size=3,
            margin=2.0,
            mask_false_negatives=False,
            learning_rate=1e-3,
            weight_decay=0.0,
            warmup_steps=0,
            dropout=0.0,
        )
        stack = lora.Stack(opened, [lora.initial(opened, shape, 1)], shape, [1])
        loop.train(stack, [batches], [1], loop.Task(chosen, 2))
        results.append(stack.tensors(0))
    assert all(torch.equal(tensor, results[1][name]) for name, tensor in results[0].items())
    assert any(tensor.any() for name, tensor in results[0].items() if "lora_B" in name)


def test_a_streamed_model_is_read_from_its_own_files(written):
    """Streaming rounds each block as it comes; the written weights have another form."""
    keeping, _ = written
    opened = open_model(replace(keeping, stream="always"))
    assert str(opened.stream.folder) == keeping.source and opened.stream.nf4


def test_the_store_sweeps_and_finds_it_like_any_unit(written):
    keeping, _ = written
    (unit,) = Path(keeping.store).glob("nf4/*")
    assert store.find(Path(keeping.store), "nf4", quantized.key(keeping, Path(keeping.source))) == unit
    assert store.sweep(Path(keeping.store), idle=0) == 0 and unit.is_dir()
