"""A small experiment that Snakemake really runs: a tiny random model, in float32 and in 4 bits, and a short lexicon."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from experiments import snakemake, write_config, write_lexicon


@pytest.fixture(scope="session")
def experiment(tmp_path_factory) -> dict:
    """A config (as a dict) for a tiny experiment in a folder of its own, with its model and lexicon."""
    folder = tmp_path_factory.mktemp("experiment")
    model = folder / "model"
    tiny.save_model(model, "llama")
    tiny.save_tokenizer(model)
    lexicon = write_lexicon(folder / "aaa-eng.tsv")
    return {
        "results": str(folder / "results"),
        "models": {
            "tiny": {"source": str(model), "dtype": "float32", "device": "cpu"},
            "tiny-nf4": {"source": str(model), "dtype": "float32", "quantization": "nf4", "device": "cpu"},
        },
        "pairs": {"aaa-eng": {"lexicon": str(lexicon)}},
        "arms": {"tli": {"loss_layer": ["best", 2], "rank": [4]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
        "seeds": 2,
        "training": {"epochs": 2, "learning_rate": 1.0e-3, "warmup_steps": 2},
        "statistics": {"bootstrap": 200},
        "scan": {"bootstrap": 100},
    }


@pytest.fixture(scope="session")
def finished(experiment, tmp_path_factory) -> tuple[dict, Path, str]:
    """The tiny experiment, run to its report: (config, config file, what Snakemake said)."""
    path = write_config(experiment, tmp_path_factory.mktemp("config") / "config.yaml")
    ran = snakemake("--profile", "profiles/local", "--configfile", path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    return experiment, path, ran.stdout
