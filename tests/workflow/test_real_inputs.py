"""Real weights and a real dictionary, through the config alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from experiments import snakemake, write_config

from tli.io import tables

pytestmark = pytest.mark.workflow


def test_stories_with_freedict(test_data, tmp_path):
    dictionary = test_data / "data" / "freedict"
    config = {
        "results": str(tmp_path / "results"),
        "models": {"stories": {"source": str(test_data / "models" / "stories260K"), "dtype": "float32", "device": "cpu"}},
        "pairs": {
            "swh-eng": {"lexicon": [str(dictionary / "swh-eng.tei"), str(dictionary / "eng-swh.tei")], "format": "freedict-tei"},
        },
        "split": {"sizes": {"train": 400, "select": 74, "heldout": 200}},
        "arms": {"tli": {"loss_layer": ["best"], "rank": [4]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
        "seeds": 2,
        "training": {"epochs": 1, "learning_rate": 1.0e-3},
        "transfer": {"tasks": ["xcopa_sw"], "source": str(test_data / "data" / "xcopa"), "limit": 20, "translate": {}},
        "statistics": {"bootstrap": 200},
    }
    ran = snakemake("--profile", "profiles/local", "--configfile", write_config(config, tmp_path / "config.yaml"))
    assert ran.returncode == 0, ran.stdout[-4000:]
    results = Path(config["results"])
    pairs = tables.read(results / "lexicon" / "swh-eng" / "pairs.tsv", tables.PAIRS)
    assert pairs["split"].value_counts().to_dict() == {"train": 400, "select": 74, "heldout": 200}
    scan = tables.read(results / "scan" / "stories" / "swh-eng" / "scan.tsv", tables.SCAN)
    assert sorted(scan["hidden_state"].unique()) == list(range(6))
    plain = plain_cosines(test_data / "models" / "stories260K", pairs[pairs["split"] == "heldout"])
    heldout = scan[(scan["split"] == "heldout") & (scan["pooling"] == "no-bos")].sort_values("hidden_state")
    assert set(heldout["pool"]) == {"whole-list", "untrained"}  # a pair's cosine is the same in both
    for _, pool in heldout.groupby("pool"):
        np.testing.assert_allclose(pool["cosine"], plain, atol=1e-5)  # float32 against float32: another order of the sums
    scored = tables.read(next(results.glob("transfer/*/*/*/transfer.parquet")), tables.TRANSFER)
    assert scored.groupby("run").size().eq(20).all()
    asked = tables.read(next(results.glob("transfer/*/*/*/translate.parquet")), tables.TRANSLATE)
    assert asked.groupby(["run", "direction", "shots"]).size().eq(20).all() and asked["run"].nunique() == scored["run"].nunique()
    of_words = pairs.set_index("pair_id").loc[asked["item"].unique()]
    assert set(of_words["split"]) == {"heldout"}
    said = tables.read(results / "statistics" / "translation.tsv", tables.TRANSLATION)
    assert set(said["direction"]) == {"swh-eng", "eng-swh"} and "translation by prompt" in (results / "report" / "index.html").read_text()


def plain_cosines(folder: Path, pairs) -> np.ndarray:
    """Mean cosine per hidden state, one word at a time through Transformers, BOS (the first token) left out of the mean."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def vectors(word: str) -> np.ndarray:
        with torch.no_grad():
            states = model(**tokenizer(word, return_tensors="pt"), output_hidden_states=True).hidden_states
        pooled = torch.stack([state[0, 1:].mean(dim=0) for state in states])
        return torch.nn.functional.normalize(pooled, dim=1).numpy()

    cosines = [(vectors(s) * vectors(t)).sum(axis=1) for s, t in zip(pairs["source"], pairs["target"], strict=True)]
    return np.mean(cosines, axis=0)
