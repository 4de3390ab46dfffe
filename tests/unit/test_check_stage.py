"""The check stage and the written NF4 weights: it reads the model's own files, and tells weights that are no numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_models
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from test_quantized import places, states
from trial import Trial

from tli.errors import ModelError
from tli.model import quantized
from tli.model.opening import open_model
from tli.stages import check


def test_the_check_reads_the_models_own_files_and_writes_anew(tmp_path, monkeypatch):
    """A file that was mended where its digest takes no sample has the old digest; what lies in the store is then another model's."""
    folder = tiny_models.write("llama", tmp_path / "model", dtype="bfloat16", hidden=64)
    settings = tiny_models.spec(folder, dtype="bfloat16", quantization="nf4", store=str(tmp_path / "store"), demo=True)
    monkeypatch.setattr(quantized, "identity", lambda folder: "the same")
    trial = Trial(tmp_path, settings, arms={"tli": {"loss_layer": [2]}})
    trial.run("check")
    tiny_models.write("llama", folder, dtype="bfloat16", hidden=64, seed=1)
    trial.run("check")
    assert torch.equal(states(open_model(settings)), states(open_model(replace(settings, store=""))))


def test_weights_that_are_no_numbers_are_told_before_they_are_rounded(tmp_path):
    folder = tiny_models.write("llama", tmp_path / "model", dtype="bfloat16", hidden=64)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.q_proj.weight"][63, 5] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    settings = tiny_models.spec(folder, dtype="bfloat16", quantization="nf4", store=str(tmp_path / "store"), demo=True)
    with pytest.raises(ModelError, match=r"layers\.1\.self_attn\.q_proj\.weight holds NaN"):
        Trial(tmp_path, settings).run("check")
    assert check.not_numbers(folder, values=100) == "model.layers.1.self_attn.q_proj.weight", "in pieces too"
    assert places(settings) == []


@given(
    st.sampled_from(["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]),
    st.integers(1, 300),
    st.sampled_from([None, float("nan"), float("inf"), -float("inf")]),
    st.integers(0, 299),
)
def test_one_number_that_is_none_is_found_wherever_it_stands(dtype, count, bad, at):
    import torch

    values = torch.linspace(-3, 3, count, dtype=torch.float64)
    if bad is not None:
        values[at % count] = bad
    values = values.to(getattr(torch, dtype))
    assert check._is_finite(values) == bool(values.double().isfinite().all())
