"""model/files: a model folder is judged by its headers alone; nothing is filled with random numbers, nothing unpickled."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny import HIDDEN, LAYERS, edit_json, whole_model

from tli.model import files
from tli.specs import ModelSpec

FAMILIES = ["llama", "qwen2", "gpt2", "neox", "bert", "xlmr"]


@pytest.fixture
def folder(models, tmp_path):
    """A fresh copy of a tiny Llama's folder, to be spoilt."""
    return Path(shutil.copytree(models("llama").source, tmp_path / "model"))


@pytest.fixture
def sharded(models, tmp_path):
    return Path(shutil.copytree(models("llama", shards=True).source, tmp_path / "model"))


def without(folder: Path, *names: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if name not in names}, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_folder_is_counted_right(models, family):
    settings = models(family)
    model = whole_model(settings)
    facts = files.check_folder(Path(settings.source))
    assert facts["layers"] == LAYERS and facts["hidden_size"] == HIDDEN
    blocks = [m for m in model.modules() if type(m).__name__ == "ModuleList" and len(m) == LAYERS][0]
    assert facts["block_parameters"] == sum(p.numel() for p in blocks[0].parameters())
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())  # tied ones are stored once and counted once


def test_shards_are_counted_as_one_model(models):
    one, many = (files.check_folder(Path(models("llama", shards=shards).source)) for shards in (False, True))
    assert {k: v for k, v in one.items() if k != "bytes"} == {k: v for k, v in many.items() if k != "bytes"}


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "model.norm.weight",
        "lm_head.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.3.input_layernorm.weight",
        "model.layers.2.mlp.down_proj.weight",
    ],
)
def test_each_removed_tensor_is_named(folder, name):
    without(folder, name)
    with pytest.raises(files.ModelError, match=name.replace(".", r"\.")) as error:
        files.check_folder(folder)
    assert "random" in str(error.value) and str(folder) in str(error.value)


def test_a_removed_block_is_named(folder):
    without(folder, *[name for name in load_file(folder / "model.safetensors") if ".layers.3." in name])
    with pytest.raises(files.ModelError, match="block 3 has no tensor at all"):
        files.check_folder(folder)


def test_a_tied_head_may_be_absent(models):
    facts = files.check_folder(Path(models("llama", tied=True).source))
    assert facts["tied"] and "lm_head.weight" not in files.read_tensors(Path(models("llama", tied=True).source))


@pytest.mark.parametrize("keep", [0, 4, 8, 200, -1, -1000])
def test_a_cut_off_file_is_named(folder, keep):
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:keep])
    with pytest.raises(files.ModelError, match=r"model\.safetensors.*copy the file again"):
        files.check_folder(folder)


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", b"PK\x03\x04" + b"\x00" * 40])
def test_a_file_that_is_none_is_named(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(files.ModelError, match="not a safetensors file"):
        files.check_folder(folder)


@pytest.mark.parametrize("header", [[], {"a": 3}, {"a": {"dtype": "F32"}}, "text"])
def test_a_header_of_another_form_is_refused(folder, header):
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(files.ModelError, match="not a safetensors file"):
        files.check_folder(folder)


def test_a_pickle_is_not_opened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytest.flag").touch()
    # a pickle that would leave a mark where it is loaded
    (folder / "pytorch_model.bin").write_bytes(b"cos\nremove\n(S'" + str(folder / "pytest.flag").encode() + b"'\ntR.")
    with pytest.raises(files.ModelError, match="pytorch_model.bin is a pickle, which is not opened: convert it to safetensors"):
        files.check_folder(folder)
    from tli.model.opening import open_model

    with pytest.raises(files.ModelError):
        open_model(ModelSpec(str(folder), device="cpu", dtype="float32"))
    assert (folder / "pytest.flag").exists()


def test_an_index_that_names_absent_tensors_is_refused(sharded):
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    index["weight_map"]["model.layers.9.extra"] = "model-00009-of-00009.safetensors"
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(files.ModelError, match=r"names 1 tensors that no file holds, model\.layers\.9\.extra first; copy model-00009"):
        files.read_tensors(sharded)


def test_a_shard_that_is_gone_is_named(sharded):
    gone = sorted(sharded.glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(files.ModelError, match=f"copy {gone.name} again"):
        files.check_folder(sharded)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"weight_map": 3}'])
def test_a_spoilt_index_is_refused(sharded, content):
    (sharded / "model.safetensors.index.json").write_text(content)
    with pytest.raises(files.ModelError, match="index.json"):
        files.check_folder(sharded)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"", b"null"])
def test_a_spoilt_config_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(files.ModelError, match=r"config\.json"):
        files.check_folder(folder)


def test_no_config_no_folder_no_layers(folder, tmp_path):
    with pytest.raises(files.ModelError, match="is not there"):
        files.check_folder(tmp_path / "nowhere")
    (folder / "config.json").write_text("{}")
    with pytest.raises(files.ModelError, match="num_hidden_layers"):
        files.check_folder(folder)


def test_the_text_part_of_a_config_with_several_counts():
    assert files.number_of_layers({"num_hidden_layers": 3}) == 3


def test_a_text_config_is_found_and_an_empty_one_does_no_harm(folder):
    edit_json(folder / "config.json", text_config={"num_hidden_layers": 2})
    assert files.read_config(folder)["num_hidden_layers"] == 2
    edit_json(folder / "config.json", text_config=None)
    assert files.read_config(folder)["num_hidden_layers"] == 4


def test_more_blocks_on_disk_than_the_config_says_are_no_error(folder):
    edit_json(folder / "config.json", num_hidden_layers=2)
    assert files.check_folder(folder)["layers"] == 2


def test_identity_changes_with_one_bit_of_anything_and_not_with_the_place(folder, tmp_path):
    first = files.identity(folder)
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    (moved / "README.md").write_text("hello")
    assert files.identity(moved) == first
    seen = {first}
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        content = bytearray((moved / name).read_bytes())
        content[-2] ^= 1
        (moved / name).write_bytes(content)
        seen.add(files.identity(moved))
    assert len(seen) == 4


def test_identity_of_a_large_file_sees_its_last_bytes_and_its_size(tmp_path):
    sizes = 65 << 20
    seen = set()
    for size, last in [(sizes, b"\0"), (sizes, b"\1"), (sizes + 1, b"\0")]:
        with (tmp_path / "model.safetensors").open("wb") as stream:
            stream.truncate(size - 1)  # sparse: takes no room
            stream.seek(size - 1)
            stream.write(last)
        seen.add(files.identity(tmp_path))
    assert len(seen) == 3
