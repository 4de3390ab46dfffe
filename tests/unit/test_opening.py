"""model/opening and states: every hidden state of every opening is Transformers' own, or there is an error."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import HIDDEN, LAYERS, edit_json, hidden_states, whole_model

from tli.errors import ModelError
from tli.model import opening
from tli.model.checkpoint import is_causal, load_config
from tli.model.device import resolve_device
from tli.model.opening import open_model, open_whole
from tli.model.states import capture
from tli.specs import plain

IDS = [1, 70, 120, 280, 33]
FAMILIES = ["llama", "qwen2", "gpt2", "neox", "bert", "xlmr"]


def captured(opened, indices: list[int], ids=IDS) -> dict:
    with torch.no_grad(), capture(opened, indices) as states:
        opened.base(input_ids=torch.tensor([ids]))
        return {index: state[0].float() for index, state in states.items()}


def assert_equal_states(opened, settings, indices, tolerance=1e-6):
    expected = hidden_states(whole_model(settings), IDS)
    found = captured(opened, indices)
    assert set(found) == set(indices)
    for index in indices:
        assert found[index].shape == (len(IDS), HIDDEN)
        torch.testing.assert_close(found[index], expected[index].float(), rtol=tolerance, atol=tolerance)
    spread = [float((a.float() - b.float()).abs().max()) for a, b in zip(expected, expected[1:], strict=False)]
    assert min(spread) > 0.05  # neighbouring states differ, so that a wrong index would show


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bos", [True, False], ids=["bos", "no-bos"])
def test_every_state_of_the_whole_model(models, family, bos):
    settings = models(family, bos=bos)
    opened = open_model(settings)
    assert (opened.layers, len(opened.blocks), opened.hidden_size) == (LAYERS, LAYERS, HIDDEN)
    assert_equal_states(opened, settings, list(range(LAYERS + 1)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("blocks", range(LAYERS + 1))
def test_truncated_opening_equals_the_whole_at_every_state_it_has(models, family, blocks):
    settings = models(family)
    opened = open_model(settings, blocks)
    assert (opened.layers, len(opened.blocks)) == (LAYERS, max(blocks, 1))  # hs[0] needs no block; one is held
    assert_equal_states(opened, settings, list(range(blocks + 1)))


@pytest.mark.parametrize(
    "options", [{"tied": True}, {"shards": True}, {"heads": 1}, {"heads": 2}, {"tied": True, "shards": True, "bos": False}], ids=str
)
@pytest.mark.parametrize("blocks", [2, None])
def test_tied_sharded_and_few_heads(models, options, blocks):
    settings = models("llama", **options)
    assert_equal_states(open_model(settings, blocks), settings, [0, 1, 2] if blocks else list(range(LAYERS + 1)))


def test_odd_head_count(tmp_path, models):
    import transformers
    from tiny import save_tokenizer

    torch.manual_seed(1)
    sizes = dict(vocab_size=300, hidden_size=36, num_attention_heads=3, num_key_value_heads=1, intermediate_size=20, num_hidden_layers=3)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, initializer_range=0.2)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    settings = replace(models("llama"), source=str(tmp_path))
    expected = hidden_states(whole_model(settings), IDS)
    for blocks in (1, 2, 3, None):
        last = 3 if blocks is None else blocks
        for index, state in captured(open_model(settings, blocks), list(range(last + 1))).items():
            torch.testing.assert_close(state, expected[index], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_bfloat16_keeps_the_weights_and_the_frequencies(models, family):
    settings = models(family, dtype="bfloat16")
    for blocks in (2, None):
        opened = open_model(settings, blocks)
        assert {p.dtype for p in opened.base.parameters()} == {torch.bfloat16}
        assert all(b.dtype == torch.float32 for name, b in opened.base.named_buffers() if "inv_freq" in name)
        assert_equal_states(opened, settings, [0, 1, 2], tolerance=0)  # the same operations in the same order


def test_the_norm_of_a_truncated_model_is_not_applied(models):
    """The trap: a truncated model's last_hidden_state is normed, which hs[k] of the whole model is not."""
    settings = models("llama")
    opened = open_model(settings, 2)
    with torch.no_grad():
        normed = opened.base(input_ids=torch.tensor([IDS])).last_hidden_state[0]
    assert float((normed - captured(opened, [2])[2]).abs().max()) > 0.05


@pytest.mark.parametrize("blocks", [1, 2, 4, None])
def test_nf4_on_the_cpu_equals_transformers_own_nf4(models, blocks):
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings = models("llama", quantization="nf4")
    quantized = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    whole = AutoModelForCausalLM.from_pretrained(settings.source, dtype=torch.float32, quantization_config=quantized)
    for module in whole.modules():  # outputs are off on CPUs with AVX512-BF16 otherwise
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
    opened = open_model(settings, blocks)
    kinds = {type(m).__name__ for m in opened.blocks.modules()}
    assert "Linear4bit" in kinds and "Linear" not in kinds
    indices = list(range((LAYERS if blocks is None else blocks) + 1))
    expected, found = hidden_states(whole.eval(), IDS), captured(opened, indices)
    again = captured(opened, indices)  # the first eval forward must not have repacked anything
    unquantised = hidden_states(whole_model(replace(settings, quantization="none")), IDS)
    for index in indices:
        torch.testing.assert_close(found[index], expected[index], rtol=1e-6, atol=1e-6)
        assert torch.equal(found[index], again[index])
        if index:
            assert float((found[index] - unquantised[index]).abs().max()) > 1e-3  # it is quantised indeed


def test_unquantised_opening_of_a_model_asked_for_in_4_bits(models):
    opened = open_model(models("llama", quantization="nf4"), 2, quantized=False)
    assert "Linear4bit" not in {type(m).__name__ for m in opened.base.modules()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_prefix_is_how_the_whole_models_tensors_begin(models, family):
    settings = models(family)
    opened = open_model(settings)
    causal = family not in ("bert", "xlmr")
    assert is_causal(load_config(settings)) == causal and bool(opened.prefix) == causal
    if causal:
        whole = dict(whole_model(settings).named_parameters())
        for name, parameter in opened.base.named_parameters():
            assert torch.equal(whole[opened.prefix + name], parameter)


def test_opened_is_frozen_in_eval_mode_and_without_head(models):
    opened = open_model(models("gpt2"))
    assert not opened.base.training and not any(p.requires_grad for p in opened.base.parameters())
    assert not hasattr(opened.base, "lm_head")


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("llama", "model.layers.1.mlp.up_proj.weight"),
        ("llama", "model.embed_tokens.weight"),
        ("llama", "model.norm.weight"),
        ("gpt2", "transformer.h.1.attn.c_attn.bias"),
        ("neox", "gpt_neox.layers.0.mlp.dense_4h_to_h.weight"),
        ("bert", "bert.encoder.layer.1.output.dense.weight"),
    ],
)
@pytest.mark.parametrize("blocks", [2, None])
def test_a_missing_tensor_is_an_error_and_never_random(models, tmp_path, family, name, blocks):
    folder = Path(shutil.copytree(models(family).source, tmp_path / "m"))
    tensors = load_file(folder / "model.safetensors")
    assert tensors.pop(name) is not None
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 tensors are missing.*random"):
        open_model(replace(models(family), source=str(folder)), blocks)


def test_a_missing_head_matters_only_where_the_head_is_used(models, tmp_path):
    folder = Path(shutil.copytree(models("llama").source, tmp_path / "m"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    settings = replace(models("llama"), source=str(folder))
    assert open_model(settings).layers == LAYERS
    with pytest.raises(ModelError, match=r"lm_head\.weight"):
        open_whole(settings)


def test_a_tensor_of_another_shape_is_an_error(models, tmp_path):
    folder = Path(shutil.copytree(models("llama").source, tmp_path / "m"))
    edit_json(folder / "config.json", intermediate_size=48)
    with pytest.raises((ModelError, RuntimeError), match="mlp|size|shape"):
        open_model(replace(models("llama"), source=str(folder)))


@pytest.mark.parametrize("blocks", [-1, LAYERS + 1])
def test_more_blocks_than_there_are(models, blocks):
    with pytest.raises(ModelError, match=rf"has {LAYERS} blocks, hs\[0\] to hs\[{LAYERS}\]; hs\[{blocks}\] is asked for"):
        open_model(models("llama"), blocks)


def test_a_state_above_the_opened_blocks_is_an_error_and_leaves_no_hook(models):
    opened = open_model(models("llama"), 2)
    with pytest.raises(ModelError, match=r"hs\[3\] is asked for; 2 blocks are open, of 4"), capture(opened, [0, 1, 3]):
        pass
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in [opened.base, *opened.blocks])


@pytest.fixture
def no_card(monkeypatch):
    """A machine whose torch sees no GPU, in a job that was given none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for key in ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(key, raising=False)
    return monkeypatch


def test_no_gpu_is_said(no_card):
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(ModelError, match="no GPU is visible"):
        resolve_device("cuda")


@pytest.mark.parametrize("key", ["SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES"])
def test_a_card_that_was_given_and_is_not_seen_is_an_error(no_card, key):
    no_card.setenv(key, "0")
    for name in ("auto", "cuda"):
        with pytest.raises(ModelError, match=rf"was given a GPU \({key}=0\) and torch sees none: .*set device: cpu"):
            resolve_device(name)
    assert resolve_device("cpu").type == "cpu"
    for nothing in ("", "-1", "NoDevFiles"):
        no_card.setenv(key, nothing)
        assert resolve_device("auto").type == "cpu"


def test_why_no_card_is_seen_is_told(no_card):
    no_card.setenv("SLURM_JOB_GPUS", "2,3")
    no_card.setattr(torch.version, "cuda", None)
    with pytest.raises(ModelError, match="built for processors only"):
        resolve_device("auto")

    def too_old():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nMore text")

    no_card.setattr(torch.version, "cuda", "13.0")
    no_card.setattr(torch.cuda, "init", too_old)
    with pytest.raises(ModelError, match=r"driver on your system is too old \(found version 11040\) \(torch .*, CUDA 13\.0\)"):
        resolve_device("auto")


def test_real_model_of_odd_head_count(test_data, models):
    settings = replace(models("llama"), source=str(test_data / "models" / "stories260K"))
    expected = hidden_states(whole_model(settings), [1, 5, 9, 20])
    layers = len(expected) - 1
    for blocks in (2, None):
        indices = range((layers if blocks is None else blocks) + 1)
        for index, state in captured(open_model(settings, blocks), list(indices), [1, 5, 9, 20]).items():
            torch.testing.assert_close(state, expected[index], rtol=1e-5, atol=1e-5)


REMOTE = """
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel
class OwnConfig(LlamaConfig):
    model_type = "own-llama"
class OwnModel(LlamaModel):
    config_class = OwnConfig
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""
OPEN_REMOTE = """
import json, sys
from tli.model.opening import open_model, open_whole
from tli.specs import ModelSpec
settings = ModelSpec(**json.loads(sys.argv[1]))
opened = open_model(settings, 2)
print(json.dumps([type(opened.base).__name__, opened.layers, len(opened.blocks), opened.prefix, type(open_whole(settings)[0]).__name__]))
"""


@pytest.mark.parametrize("allowed", [True, False])
def test_code_that_comes_with_a_model_runs_only_where_the_user_allows_it(models, tmp_path, allowed):
    folder = tmp_path / "model"
    shutil.copytree(models("llama").source, folder)
    (folder / "own.py").write_text(REMOTE)
    auto = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    record = json.loads((folder / "config.json").read_text()) | {
        "model_type": "own-llama",
        "architectures": ["OwnForCausalLM"],
        "auto_map": auto,
    }
    (folder / "config.json").write_text(json.dumps(record))
    settings = replace(models("llama"), source=str(folder), trust_remote_code=allowed)
    place = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": str(Path(opening.__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", OPEN_REMOTE, json.dumps(plain(settings))], env=os.environ | place, capture_output=True, text=True
    )
    if allowed:
        assert ran.returncode == 0, ran.stderr[-2000:]
        assert json.loads(ran.stdout.splitlines()[-1]) == ["OwnModel", LAYERS, 2, "model.", "OwnForCausalLM"]
    else:
        assert ran.returncode != 0 and "trust_remote_code" in ran.stderr and not (tmp_path / "modules").exists()
