"""model/lora: what we save, PEFT opens on the whole model with the same result; what we put on comes off to the bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
import with_peft
from safetensors.torch import load_file, save_file
from test_opening import IDS, captured
from tiny import LAYERS, edit_json, hidden_states, whole_model

from tli.errors import ModelError
from tli.model import lora
from tli.model.full_weights import replaced_weights
from tli.model.lora.folder import Card
from tli.model.opening import open_model

MODULES = {
    "llama": ("q_proj", "v_proj"),
    "qwen2": ("q_proj", "down_proj"),
    "gpt2": ("c_attn",),
    "neox": ("query_key_value", "dense_4h_to_h"),
    "bert": ("query", "value"),
    "xlmr": ("key",),
}
STATES = list(range(LAYERS + 1))


def shape(family: str, blocks: int) -> lora.LoraShape:
    return lora.LoraShape(rank=3, alpha=5.0, dropout=0.1, target_modules=MODULES[family], blocks=blocks)


def snapshot(opened) -> dict:
    return {name: p.detach().clone() for name, p in [*opened.base.named_parameters(), *opened.base.named_buffers()]}


def assert_same(opened, before: dict, modules: list[str]) -> None:
    after = snapshot(opened)
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert [name for name, _ in opened.base.named_modules()] == modules
    assert not any(p.requires_grad for p in opened.base.parameters())
    assert not any(m._forward_hooks for m in opened.base.modules())


@pytest.fixture(scope="module")
def saved(models, tmp_path_factory):
    """saved(family) -> folder of an adapter on 2 blocks, saved from a model of which only 2 blocks were opened."""
    folders = {}

    def make(family: str):
        if family not in folders:
            spec, folder = models(family), tmp_path_factory.mktemp(family) / "adapter"
            opened = open_model(spec, 2)
            tensors = with_peft.random_adapter(opened, shape(family, 2))
            lora.save(opened, folder, tensors, shape(family, 2), Card(spec.source, None, "A note."))
            with lora.applied(opened, lora.Adapter(tensors, 5.0 / 3)):
                folders[family] = (folder, captured(opened, [0, 1, 2]))
        return folders[family]

    return make


@pytest.mark.parametrize("family", MODULES)
def test_peft_opens_it_on_the_whole_model_with_the_same_states(models, saved, family):
    from peft import PeftModel
    from transformers import AutoModel

    spec, (folder, truncated) = models(family), saved(family)
    opened = open_model(spec)
    plain = captured(opened, STATES)
    with lora.applied(opened, lora.read(opened, folder)):
        ours = captured(opened, STATES)
    base = whole_model(spec) if opened.prefix else AutoModel.from_pretrained(spec.source, add_pooling_layer=False)
    theirs = hidden_states(PeftModel.from_pretrained(base, folder).eval(), IDS)
    for state in STATES:
        torch.testing.assert_close(ours[state], theirs[state], rtol=1e-6, atol=1e-6)
        if state:  # it is applied indeed
            assert float((ours[state] - plain[state]).abs().max()) > 1e-2
    for state, value in truncated.items():
        torch.testing.assert_close(value, ours[state], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_read_and_applied_leave_the_model_to_the_bit(models, saved, family):
    opened = open_model(models(family))
    before, modules, states = snapshot(opened), [name for name, _ in opened.base.named_modules()], captured(opened, STATES)
    for _ in range(2):
        adapter = lora.read(opened, saved(family)[0])
        assert len(adapter.tensors) == 2 * 2 * len(MODULES[family])
        with lora.applied(opened, adapter):
            captured(opened, STATES)
        assert_same(opened, before, modules)
    assert all(torch.equal(a, b) for a, b in zip(states.values(), captured(opened, STATES).values(), strict=True))


def test_a_fresh_adapter_changes_nothing_and_its_start_depends_on_the_seed_alone(models):
    opened = open_model(models("llama"), 2)
    plain, drawn = captured(opened, [0, 1, 2]), []
    for seed, noise in [(1, 0), (2, 5), (1, 9)]:
        torch.manual_seed(noise)
        tensors = lora.initial(opened, shape("llama", 2), seed)
        with lora.applied(opened, lora.Adapter(tensors, 5.0 / 3)):
            assert all(torch.equal(a, b) for a, b in zip(plain.values(), captured(opened, [0, 1, 2]).values(), strict=True))
        assert all(bool((p == 0).all()) == ("lora_B" in name) for name, p in tensors.items())
        drawn.append(tensors)
    a = next(name for name in drawn[0] if "lora_A" in name)
    assert torch.equal(drawn[0][a], drawn[2][a]) and not torch.equal(drawn[0][a], drawn[1][a])


def test_the_start_is_that_of_the_whole_model_with_adapters_on_all_blocks(models):
    every = lora.initial(open_model(models("llama")), shape("llama", LAYERS), 5)
    for name, tensor in lora.initial(open_model(models("llama"), 2), shape("llama", 2), 5).items():
        assert torch.equal(tensor, every[name])


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"quantization": "nf4", "dtype": "bfloat16"}], ids=["bfloat16", "nf4"])
def test_adapters_are_float32_whatever_the_model_is(models, options):
    opened = open_model(models("llama", **options), 2)
    tensors = lora.initial(opened, shape("llama", 2), 1)
    assert {p.dtype for p in tensors.values()} == {torch.float32}
    assert {p.dtype for p in lora.Stack(opened, [tensors], shape("llama", 2)).parameters.values()} == {torch.float32}


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_member_is_peft_to_the_bit_dropout_too(models, family, dtype):
    """The same values and the same draws from torch's generator: what PEFT trained is what we train."""
    opened = open_model(models(family, dtype=dtype), 2)
    tensors = with_peft.random_adapter(opened, shape(family, 2))
    stack = lora.Stack(opened, [tensors], shape(family, 2))
    stack.training = True
    with stack.applied():
        torch.manual_seed(5)
        ours = captured(opened, [1, 2])
    with_peft.attach(opened, shape(family, 2), 1)
    for name, parameter in with_peft.parameters(opened).items():
        parameter.data.copy_(tensors[name])
    for name, module in opened.base.named_modules():
        module.training = "lora_dropout" in name
    torch.manual_seed(5)
    theirs = captured(opened, [1, 2])
    assert all(torch.equal(ours[state], theirs[state]) for state in (1, 2))


# --- the folder -----------------------------------------------------------------------------------------------------


def test_no_local_path_is_written(models, saved):
    folder, _ = saved("llama")
    source = models("llama").source
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    for file in folder.iterdir():
        assert source.encode() not in file.read_bytes(), file.name
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None and "A note." in (folder / "README.md").read_text()
    assert config["layers_to_transform"] == [0, 1] and config["inference_mode"] and config["task_type"] == "CAUSAL_LM"


def test_a_hub_id_and_its_revision_are_written(models, tmp_path):
    opened = open_model(models("llama"), 2)
    tensors = with_peft.random_adapter(opened, shape("llama", 2))
    lora.save(opened, tmp_path / "a", tensors, shape("llama", 2), Card("owner/name", "c" * 40))
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/name", "c" * 40)
    assert "base_model: owner/name\n" in (tmp_path / "a" / "README.md").read_text()


def test_saved_tensors_are_float32_lora_and_nothing_else(saved):
    tensors = load_file(saved("llama")[0] / "adapter_model.safetensors")
    assert len(tensors) == 8 and {t.dtype for t in tensors.values()} == {torch.float32}
    assert all(name.startswith("base_model.model.model.layers.") and ".default" not in name for name in tensors)


# --- misfits --------------------------------------------------------------------------------------------------------


def spoilt(folder, tmp_path, change):
    copy = shutil.copytree(folder, tmp_path / "spoilt")
    tensors = load_file(copy / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, copy / "adapter_model.safetensors", {"format": "pt"})
    return copy


@pytest.mark.parametrize("kind", ["missing", "extra", "shape", "renamed"])
def test_a_file_that_does_not_fit_is_an_error_and_leaves_the_model(models, saved, tmp_path, kind):
    def change(tensors):
        name = min(tensors)
        if kind == "extra":
            tensors[name.replace("layers.0", "layers.3")] = tensors[name].clone()
        elif kind == "shape":
            tensors[name] = tensors[name][:, :-1].contiguous()
        else:
            value = tensors.pop(name)
            if kind == "renamed":
                tensors[name.removeprefix("base_model.model.")] = value

    opened = open_model(models("llama"))
    before, modules = snapshot(opened), [name for name, _ in opened.base.named_modules()]
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors: does not fit the model"):
        lora.read(opened, spoilt(saved("llama")[0], tmp_path, change))
    assert_same(opened, before, modules)


def test_an_adapter_for_more_blocks_than_are_open_is_an_error(models, saved):
    opened = open_model(models("llama"), 1)
    before, modules = snapshot(opened), [name for name, _ in opened.base.named_modules()]
    with pytest.raises(ModelError, match="does not fit"):
        lora.read(opened, saved("llama")[0])
    assert_same(opened, before, modules)


def test_a_rank_that_is_not_the_files_is_an_error(models, saved, tmp_path):
    copy = shutil.copytree(saved("llama")[0], tmp_path / "a")
    edit_json(copy / "adapter_config.json", r=4)
    with pytest.raises(ModelError, match="does not fit"):
        lora.read(open_model(models("llama")), copy)


@pytest.mark.parametrize("family", MODULES)
def test_a_module_that_no_block_has_is_named_with_those_there_are(models, family):
    opened = open_model(models(family), 1)
    with pytest.raises(ModelError, match=r"no block has a module 'proj'; this model's are .*" + MODULES[family][0]):
        lora.initial(opened, replace(shape(family, 1), target_modules=(MODULES[family][0], "proj")), 0)


# --- merging and whole weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16"}, {"quantization": "nf4"}], ids=["float32", "bfloat16", "nf4"])
@pytest.mark.parametrize("fails", [False, True])
def test_merged_gives_the_weights_back_to_the_bit(models, saved, options, fails):
    opened = open_model(models("llama", **options))
    plain, before = captured(opened, STATES), snapshot(opened)
    adapter = lora.read(opened, saved("llama")[0])
    with lora.applied(opened, adapter):
        beside = captured(opened, STATES)
    try:
        with lora.merged(opened, adapter):
            inside = captured(opened, STATES)
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    after = snapshot(opened)
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    for state, value in captured(opened, STATES).items():
        assert torch.equal(value, plain[state])
    change, error = float((beside[2] - plain[2]).abs().max()), float((inside[2] - beside[2]).abs().max())
    assert change > 0.1 and error < (1e-4 if not options else 0.75 * change)
    if options:
        assert error > 0  # merging rounds: that is why it is no default


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16"}, {"quantization": "nf4"}], ids=["float32", "bfloat16", "nf4"])
def test_merged_is_what_peft_merges_to_the_bit(models, saved, family, options):
    folder, _ = saved(family)
    opened = open_model(models(family, **options))
    with lora.merged(opened, lora.read(opened, folder)):
        ours = captured(opened, STATES)
    with_peft.load(opened, folder, shape(family, 2)).merge_adapter()
    theirs = captured(opened, STATES)
    assert all(torch.equal(ours[state], theirs[state]) for state in STATES)


def test_merged_float32_is_w_plus_scaled_ba(models, saved):
    opened = open_model(models("llama"))
    weight = opened.blocks[1].self_attn.q_proj.weight.detach().clone()
    tensors = load_file(saved("llama")[0] / "adapter_model.safetensors")
    stem = "base_model.model.model.layers.1.self_attn.q_proj.lora_"
    expected = weight + 5.0 / 3 * tensors[stem + "B.weight"] @ tensors[stem + "A.weight"]
    with lora.merged(opened, lora.read(opened, saved("llama")[0])):
        torch.testing.assert_close(opened.blocks[1].self_attn.q_proj.weight, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fails", [False, True])
def test_replaced_weights_are_worn_and_given_back(models, tmp_path, fails):
    settings = models("llama")
    whole = whole_model(settings)
    random = torch.Generator().manual_seed(0)
    changed = {}
    with torch.no_grad():
        for name, p in whole.named_parameters():
            if ".layers.0." in name or ".layers.1." in name or "embed" in name:
                p.add_(0.1 * torch.randn(p.shape, generator=random))
                changed[name] = p.clone()
    save_file(changed, tmp_path / "w.safetensors")
    opened = open_model(settings)
    before, plain = snapshot(opened), captured(opened, STATES)
    try:
        with replaced_weights(opened, tmp_path / "w.safetensors"):
            inside = captured(opened, STATES)
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    for state, expected in enumerate(hidden_states(whole, IDS)):
        torch.testing.assert_close(inside[state], expected, rtol=1e-6, atol=1e-6)
        assert not torch.equal(inside[state], plain[state])
    assert all(torch.equal(value, before[name]) for name, value in snapshot(opened).items())


@pytest.mark.parametrize("spoil", ["name", "shape"])
def test_weights_that_do_not_fit_are_an_error_and_change_nothing(models, tmp_path, spoil):
    opened = open_model(models("llama"))
    before = snapshot(opened)
    tensors = {"model.embed_tokens.weight": torch.zeros(300, 32), "model.norm.weight": torch.zeros(32)}
    tensors |= {"model.zzz": torch.zeros(2)} if spoil == "name" else {"model.norm.weight": torch.zeros(31)}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="does not fit the model"), replaced_weights(opened, tmp_path / "w.safetensors"):
        pass
    assert all(torch.equal(value, before[name]) for name, value in snapshot(opened).items())
