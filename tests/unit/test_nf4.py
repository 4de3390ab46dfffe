"""NF4 by one rule: opened, streamed and truncated models are rounded alike, what is not in 4 bits is counted, and told or refused."""

from __future__ import annotations

from dataclasses import replace

import families
import numpy as np
import pytest
import tiny_models
import torch

from tli.errors import ModelError
from tli.model import device, nf4, weights
from tli.model.checkpoint import load_config
from tli.model.embedding import embed
from tli.model.opening import open_model, open_whole

pytest.importorskip("bitsandbytes")
WORDS = tiny_models.WORDS


def written(family: str, folder):
    """A tiny model in bfloat16 of a family in which something is unusual."""
    from transformers import AutoConfig, AutoModelForCausalLM

    shared = families.SIZES | {"initializer_range": 0.2}
    old = families.GPT | {"rotary_dim": 8}
    changes = {"gptj": old, "gpt2": old, "mixtral": {"num_local_experts": 4}, "falcon": {"multi_query": True}}.get(family, {})
    if family == "falcon":
        shared.pop("head_dim")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shared | changes)).to(torch.bfloat16)
    model.save_pretrained(str(folder))
    tiny_models.tokenizer(folder)
    return tiny_models.spec(folder, dtype="bfloat16", quantization="nf4")


# OLMo ends with a block, and not with a norm that has weights; GPT-J computes a table of positions; GPT-2 keeps its weights turned.
@pytest.mark.parametrize("family", ["llama", "olmo", "gptj", "gpt2"])
def test_opened_truncated_and_streamed_are_rounded_alike(family, tmp_path):
    spec = written(family, tmp_path)
    found = {
        "opened": embed(open_model(spec), WORDS, [2, 4], ["no-bos"]).vectors,
        "streamed": embed(open_model(replace(spec, stream="always")), WORDS, [2, 4], ["no-bos"]).vectors,
        "truncated": embed(open_model(spec, 2), WORDS, [2], ["no-bos"]).vectors,
    }
    plain = embed(open_model(spec, quantized=False), WORDS, [2, 4], ["no-bos"]).vectors
    for way in ("streamed", "truncated"):
        for key, vectors in found[way].items():
            np.testing.assert_array_equal(vectors, found["opened"][key], err_msg=way)
    for key, vectors in plain.items():
        assert np.linalg.norm(vectors - found["opened"][key]) > 0.01 * np.linalg.norm(vectors), "it is rounded indeed"


@pytest.mark.parametrize("family", ["llama", "olmo", "gptj", "gpt2"])
def test_every_linear_module_of_the_blocks_and_none_outside(family, tmp_path):
    spec = written(family, tmp_path)
    for module, blocks in ((o := open_model(spec)).base, o.blocks), ((o := open_model(spec, 2)).base, o.blocks):
        inside = {id(m) for m in blocks.modules()}
        four = [m for m in module.modules() if type(m).__name__ == "Linear4bit"]
        assert four and all(id(m) in inside for m in four)
        assert not any(nf4.is_quantizable(m) for m in blocks.modules())
    whole, _ = open_whole(spec)
    assert type(whole.get_output_embeddings()).__name__ == "Linear"


@pytest.mark.parametrize(("family", "share", "kind"), [("falcon", "0%", "FalconLinear"), ("mixtral", "11%", "MixtralExperts")])
def test_a_model_that_is_hardly_in_4_bits_is_refused(family, share, kind, tmp_path):
    spec = written(family, tmp_path)
    for way in (lambda: open_model(spec), lambda: open_model(spec, 2), lambda: open_whole(spec)):
        with pytest.raises(ModelError, match=rf"only {share} of the weights of its blocks .*{kind}.*set quantization: none"):
            way()
    assert open_model(spec, quantized=False).layers == 4


def test_the_share_is_counted_and_told(tmp_path, capsys):
    opened = open_model(written("gptj", tmp_path))
    assert "NF4: 100.0% of the weights of the blocks" in capsys.readouterr().err
    empty = open_model(replace(written("mixtral", tmp_path / "m"), quantization="none"))
    covered = nf4.coverage(empty.base, empty.blocks)
    linear = [m for m in empty.blocks.modules() if type(m) is torch.nn.Linear]
    matrices = [p for p in empty.blocks.parameters() if p.ndim > 1]
    assert covered.share == sum(m.weight.numel() for m in linear) / sum(p.numel() for p in matrices)
    assert covered.weights + covered.others + covered.rest == sum(p.numel() for p in empty.base.parameters())
    assert opened.layers == 4


def test_the_bytes_are_those_that_are_held(tmp_path, monkeypatch):
    """Embeddings stay in 16 bits: of a small model with a large vocabulary they are most of it."""
    spec = tiny_models.spec(
        tiny_models.write("llama", tmp_path / "m", hidden=128, vocabulary=4000, dtype="bfloat16"), dtype="bfloat16", quantization="nf4"
    )
    opened = open_model(spec)
    held = sum(p.numel() * p.element_size() for p in opened.base.parameters())
    held += sum(m.weight.quant_state.absmax.numel() * 4 for m in opened.base.modules() if type(m).__name__ == "Linear4bit")
    plain = open_model(spec, quantized=False)
    estimate = nf4.coverage(plain.base, plain.blocks).bytes(2)
    assert held == pytest.approx(estimate, rel=0.01)
    for free, streams in ((1.21 * estimate, False), (1.19 * estimate, True)):
        monkeypatch.setattr(weights, "free_memory", lambda free=free: int(free))
        assert weights.must_stream(spec, load_config(spec), tmp_path / "m", True) is streams
    assert device.free_memory() > 0
