"""Checkpoints whose weights are stored in 8 or 4 bits by their author: right, or refused with what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from tiny import edit_json

from tli.errors import ModelError
from tli.model.embedding import embed
from tli.model.opening import open_model, open_whole

BLOCK = 16


@pytest.fixture
def folder(tmp_path):
    return tiny_models.write("llama", tmp_path / "model", dtype="bfloat16")


def in_fp8(folder, scales: bool = True):
    """The blocks' matrices in float8 with a scale for every 16 x 16 values, as DeepSeek-V3 stores them."""
    tensors = load_file(folder / "model.safetensors")
    for name, weight in list(tensors.items()):
        if weight.ndim == 2 and ".layers." in name:
            rows, columns = (side // BLOCK for side in weight.shape)
            tiles = weight.float().reshape(rows, BLOCK, columns, BLOCK)
            scale = tiles.abs().amax(dim=(1, 3)) / 448
            tensors[name] = (tiles / scale[:, None, :, None]).reshape(weight.shape).to(torch.float8_e4m3fn)
            if scales:
                tensors[f"{name}_scale_inv"] = scale
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_fp8_with_its_scales_is_the_model_or_refused(folder):
    expected = embed(open_model(tiny_models.spec(folder)), tiny_models.WORDS, [4], ["no-bos"]).vectors[4, "no-bos"]
    in_fp8(folder)
    edit_json(folder / "config.json", quantization_config={"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]})
    found = embed(open_model(tiny_models.spec(folder, dtype="bfloat16")), tiny_models.WORDS, [4], ["no-bos"]).vectors[4, "no-bos"]
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.98  # float8 has three bits after the first
    with pytest.raises(ModelError, match="stored in fp8, which cannot be streamed.*stream: never"):
        open_model(tiny_models.spec(folder, stream="always"))


@pytest.mark.parametrize("stream", ["never", "always"])
def test_8_bit_numbers_that_nothing_explains_are_refused(folder, stream):
    in_fp8(folder, scales=False)
    with pytest.raises(ModelError, match=r"28 tensors are stored in 8 bits .*F8_E4M3.*no quantization_config"):
        open_model(tiny_models.spec(folder, stream=stream))


FORMS = {
    "gptq": {"bits": 4, "group_size": 128},
    "awq": {"bits": 4, "group_size": 128, "zero_point": True},
    "compressed-tensors": {"format": "pack-quantized", "config_groups": {}},
    "nobody-knows": {},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_cannot_be_opened_here_say_what_to_do(folder, form):
    edit_json(folder / "config.json", quantization_config={"quant_method": form, **FORMS[form]})
    for way in (open_model, open_whole):
        with pytest.raises(ModelError, match=rf"stored in {form}, .*[tT]ake the checkpoint in 16 bits"):
            way(tiny_models.spec(folder))


@pytest.mark.parametrize("bits", [4, 8])
def test_what_bitsandbytes_stored_is_not_streamed_raw(folder, bits):
    edit_json(folder / "config.json", quantization_config={"quant_method": "bitsandbytes", f"load_in_{bits}bit": True})
    with pytest.raises(ModelError, match=re.escape(f"stored in bitsandbytes {bits} bit, which cannot be streamed")):
        open_model(tiny_models.spec(folder, stream="always"))
