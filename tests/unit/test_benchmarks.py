"""benchmarks/: what they call is there, and is what the product does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import eight_billion


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The benchmark's model, narrow and shallow."""
    narrow = dict(hidden_size=64, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, vocab_size=2048)
    monkeypatch.setattr(eight_billion, "SHAPE", eight_billion.SHAPE | narrow)
    eight_billion.write(tmp_path / "llama-3-8b-shape", 3)
    return tmp_path / "llama-3-8b-shape"


def test_every_stage_of_the_8b_benchmark_runs_and_training_is_packed(small, monkeypatch):
    from tli.model import packing
    from tli.training import batches

    padded, packed = [], []
    pad, pack = packing.pad, packing.pack
    monkeypatch.setattr(batches.packing, "pad", lambda *given: padded.append(1) or pad(*given))
    monkeypatch.setattr(batches.packing, "pack", lambda *given: packed.append(1) or pack(*given))
    measured = {name: eight_billion.stage(name, small, 1) for name in ("scan", "training", "evaluation")}
    assert measured["training"]["steps"] == eight_billion.STEPS
    assert len(packed) >= eight_billion.STEPS and len(padded) < 5  # some to try whether packing is exact
    assert measured["evaluation"]["tokens"] == 2 * measured["scan"]["tokens"]  # the base model, and the adapter


def test_bare_reading_is_of_the_files_that_a_stage_reads(small):
    names = {name: [file.name for file in eight_billion.files_of(small, name, 3)] for name in ("scan", "training")}
    assert len(names["scan"]) == 3 and len(names["training"]) == 3  # the blocks; the embeddings and two blocks
    assert names["training"][1:] == names["scan"][:2]
    files = eight_billion.files_of(small, "scan", 3)
    eight_billion.put_out(files)
    assert eight_billion.bare_reading(files) > 0
