"""Trained tensors written for others: the same bytes, cut into files as Transformers cuts them, without a tensor in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from accelerate import load_checkpoint_in_model
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from tli.errors import ModelError
from tli.publishing.weights import INDEX, write_trained


def tiny() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, tie_word_embeddings=True, **sizes))


@pytest.mark.parametrize("largest", [1, 4_000, 20_000, 10**9])
def test_files_are_cut_as_save_pretrained_cuts_them_and_hold_the_same_tensors(tmp_path, largest):
    model = tiny()
    model.save_pretrained(tmp_path / "theirs", max_shard_size=largest)
    (tmp_path / "whole").mkdir()
    # In one file, as a training leaves it. safetensors orders a file's tensors by itself, Transformers by the model: sizes may be cut elsewhere.
    save_file(
        {name: one.contiguous() for name, one in model.state_dict().items() if name != "lm_head.weight"},
        tmp_path / "whole" / "a.safetensors",
    )
    write_trained(tmp_path / "whole", tmp_path / "ours", largest)
    theirs, ours = (
        {name: one for file in sorted(folder.glob("*.safetensors")) for name, one in load_file(file).items()}
        for folder in (tmp_path / "theirs", tmp_path / "ours")
    )
    assert set(ours) == set(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (tmp_path / "ours" / INDEX).exists() == (tmp_path / "theirs" / INDEX).exists()
    if (tmp_path / "ours" / INDEX).exists():
        mine, other = (json.loads((tmp_path / who / INDEX).read_text()) for who in ("ours", "theirs"))
        assert mine["metadata"]["total_size"] == other["metadata"]["total_size"] and set(mine["weight_map"]) == set(other["weight_map"])
        assert set(mine["weight_map"].values()) == {file.name for file in (tmp_path / "ours").glob("*.safetensors")}
    for file in (tmp_path / "ours").glob("*.safetensors"):
        tensors = load_file(file)
        assert len(tensors) == 1 or sum(one.nbytes for one in tensors.values()) <= largest


def test_several_files_of_some_tensors_are_put_on_a_base_and_tied_heads_follow(tmp_path):
    model, base = tiny(), tiny()
    trained = {name: one.detach() + 1 for name, one in model.named_parameters() if "layers.0" in name or "embed" in name}
    (tmp_path / "run").mkdir()
    save_file(trained, tmp_path / "run" / "model.safetensors")
    write_trained(tmp_path / "run", tmp_path / "shared", 3_000)
    assert len(list((tmp_path / "shared").glob("*.safetensors"))) > 1
    load_checkpoint_in_model(base, str(tmp_path / "shared"))
    for name, one in base.named_parameters():
        assert torch.equal(one, trained.get(name, dict(model.named_parameters())[name])), name
    assert torch.equal(base.lm_head.weight, base.model.embed_tokens.weight)


@given(
    sizes=st.lists(
        st.tuples(st.sampled_from(["float32", "bfloat16", "float16", "int64", "bool"]), st.lists(st.integers(0, 5), max_size=3)),
        min_size=1,
        max_size=6,
    ),
    largest=st.integers(1, 400),
)
def test_any_tensors_come_back_as_they_were(tmp_path_factory, sizes, largest):
    folder = tmp_path_factory.mktemp("tensors")
    given = {f"t/{number}.ü": torch.randint(0, 2, shape).to(getattr(torch, dtype)) for number, (dtype, shape) in enumerate(sizes)}
    save_file(given, folder / "a.safetensors")
    write_trained(folder, folder / "out", largest)
    back = {name: one for file in (folder / "out").glob("*.safetensors") for name, one in load_file(file).items()}
    assert set(back) == set(given)
    for name, one in given.items():
        assert back[name].dtype == one.dtype and back[name].shape == one.shape and torch.equal(back[name], one)


def test_memory_stays_far_below_the_weights(tmp_path):
    import tracemalloc

    save_file({f"w{number}": torch.ones(2**23) for number in range(4)}, tmp_path / "a.safetensors")  # 128 MiB
    tracemalloc.start()
    write_trained(tmp_path, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20


def test_weights_that_are_cut_off_are_told(tmp_path):
    save_file({"w": torch.ones(100)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    Path(tmp_path / "a.safetensors").write_bytes(whole[:-8])
    with pytest.raises(ModelError, match="is cut off"):
        write_trained(tmp_path, tmp_path / "out")
