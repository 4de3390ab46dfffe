"""cards: how much memory a card has by its name, whether torch can use it; which jobs do not fit, and what is said to mend it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_costs import BIG, made

from tli.cluster import cards
from tli.cluster.fitting import TIGHT, misfits
from tli.errors import ConfigError


@pytest.mark.parametrize(
    ("names", "gb"),
    [
        (["a100"], 40),
        (["a100_80gb"], 80),
        (["nvidia_a100-sxm4-80gb", "h100"], 80),
        (["a100_3g.20gb"], 20),
        (["a100-80"], 80),
        (["H200"], 141),
        (["l40s", "h100"], 48),
        (["v100", "mystery"], None),
        (["mystery"], None),
        ([], None),
    ],
)
def test_memory_by_the_name_of_a_type(names, gb):
    found = cards.of_names(names)
    assert (found and found.gb) == gb


def test_memory_that_the_profile_names():
    assert cards.of_resources({"gpu_memory_gb": 80}).gb == cards.of_resources({"gpu_memory_gb": "80"}).gb == 80
    assert cards.of_resources({"mem_mb": 2000}) is None and cards.of_resources(None) is None
    for wrong in ("large", -1, 0, "nan"):
        with pytest.raises(ConfigError, match="write the GB of one card"):
            cards.of_resources({"gpu_memory_gb": wrong})


def stand_in(folder: Path, text: str, monkeypatch) -> None:
    """An nvidia-smi that answers so."""
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_this_machine_is_asked_through_nvidia_smi(tmp_path, monkeypatch):
    stand_in(tmp_path / "a", "81920\n40960", monkeypatch)
    assert cards.of_this_machine().gb == 40
    head = "| NVIDIA-SMI 550.54.15              Driver Version: 550.54.15      CUDA Version: 12.4     |"
    stand_in(tmp_path / "b", head, monkeypatch)
    assert cards.driver() == ("550.54.15", "12.4")
    stand_in(tmp_path / "c", "No devices were found", monkeypatch)
    assert cards.driver() is None and cards.of_this_machine() is None


def test_torchs_build_is_what_torch_says():
    import torch

    build = cards.torch_build()
    assert build.version.split("+")[0] == torch.__version__.split("+")[0]
    assert (build.cuda or None, build.rocm or None) == (torch.version.cuda, torch.version.hip)


@pytest.mark.parametrize(
    ("cuda", "rocm", "driver", "fault"),
    [
        ("", "", None, "built for processors only"),
        ("", "6.4", None, ""),
        ("12.8", "", ("535.1", "12.2"), ""),  # within a major version any driver from its first on serves
        ("12.8", "", ("470.1", "11.4"), "knows CUDA 11.4 at most"),
        ("11.8", "", ("580.1", "13.0"), ""),
        ("13.0", "", None, ""),
    ],
)
def test_what_keeps_torch_from_the_cards(cuda, rocm, driver, fault):
    said = cards.disagreement(cards.Build("2.13.0", cuda, rocm), driver)
    assert fault in said and bool(said) == bool(fault)


SEVENTY = BIG | {"parameters": 70.6e9}
FULL = {"full": {"method": "full", "loss_layer": ["output"]}}


def only(experiment, card_gb: float):
    (found,) = misfits(experiment, card_gb)
    return found


def test_full_fine_tuning_of_an_8b_model_does_not_fit_and_what_fits_is_named():
    """In float32 weights, gradients and moments are 16 bytes a parameter, and 4 more in AdamW's step: 150 GB of 7.5 billion."""
    found = only(made(arms=FULL), 80)
    assert found.what == "train of full at output, m" and 135 < found.needed_gb < 155 and not found.is_tight
    assert found.mends[-1] == "a card of 180 GB"
    mended = made(arms={"full": FULL["full"] | {"optimizer": "adamw-8bit", "full_dtype": "bfloat16"}})
    assert "optimizer: adamw-8bit and full_dtype: bfloat16" in found.mend and misfits(mended, 80) == []


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("quantization: nf4", {"models": {"m": SEVENTY | {"quantization": "nf4"}}}),
        ("across_gpus: true", {"models": {"m": SEVENTY | {"across_gpus": True}}}),
        ("scan.best_at_most: 16", {"scan": {"best_at_most": 16}}),
    ],
)
def test_each_mend_that_is_named_mends(said, changes):
    base = {"models": {"m": SEVENTY}, "arms": {"tli": {}}}
    found = only(made(**base), 80)
    assert found.what == "train of tli at best, m" and said in found.mend
    assert misfits(made(**base | changes), 80) == []


def test_tasks_hold_the_whole_model_and_their_logits():
    (found,) = misfits(made(arms={"tli": {"loss_layer": [2]}}, transfer={"tasks": ["xnli_sw"], "batch_size": 400}), 40)
    assert found.what == "transfer, m" and "transfer.batch_size: 1" in found.mend


def test_what_nearly_fills_a_card_is_told_apart_from_what_does_not_fit():
    experiment = made(arms=FULL)
    needed = only(experiment, 80).needed_gb
    assert only(experiment, needed / 0.97).is_tight
    assert not only(experiment, needed / 1.01).is_tight
    assert misfits(experiment, needed / (TIGHT - 0.01)) == []


def test_models_on_processors_fit_any_card():
    assert misfits(made(models={"m": SEVENTY | {"device": "cpu"}}), 8) == []
