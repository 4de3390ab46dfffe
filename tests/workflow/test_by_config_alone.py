"""Models and lists that the code has never seen, real ones among them: the config alone names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from experiments import run_by_command, write_config, write_lexicon

from tli.io import table_files, tables

pytestmark = [pytest.mark.workflow, pytest.mark.usefixtures("undrawn")]


def test_other_shapes_and_other_names_of_everything(experiment, tmp_path):
    """GPT-2's shape, whose target modules have names of their own."""
    tiny.save_model(tmp_path / "gpt2", "gpt2")
    tiny.save_tokenizer(tmp_path / "gpt2")
    config = experiment | {
        "results": str(tmp_path / "results"),
        "models": {"other": {"source": str(tmp_path / "gpt2"), "dtype": "float32", "device": "cpu"}},
        "pairs": {"ddd-fra": {"lexicon": str(write_lexicon(tmp_path / "ddd-fra.tsv", prefix="d"))}},
        "training": experiment["training"] | {"target_modules": ["c_attn"]},
    }
    run_by_command(write_config(config, tmp_path / "config.yaml"))
    runs = table_files.read(tmp_path / "results" / "statistics" / "runs.tsv", tables.RUNS)
    assert set(runs["model"]) == {"other"} and set(runs["pair"]) == {"ddd-fra"} and (runs["trainable_parameters"] > 0).all()
    assert (tmp_path / "results" / "report" / "index.html").exists()


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
        "seeds": 1,
        "training": {"epochs": 1, "learning_rate": 1.0e-3},
        "transfer": {"tasks": ["xcopa_sw"], "source": str(test_data / "data" / "xcopa"), "limit": 8, "translate": {}},
        "statistics": {"bootstrap": 200},
    }
    run_by_command(write_config(config, tmp_path / "config.yaml"))
    results = Path(config["results"])
    pairs = table_files.read(results / "lexicon" / "swh-eng" / "pairs.tsv", tables.PAIRS)
    assert pairs["split"].value_counts().to_dict() == {"train": 400, "select": 74, "heldout": 200}
    scan = table_files.read(results / "scan" / "stories" / "swh-eng" / "scan.tsv", tables.SCAN)
    assert sorted(scan["hidden_state"].unique()) == list(range(6))
    plain = plain_cosines(test_data / "models" / "stories260K", pairs[pairs["split"] == "heldout"])
    heldout = scan[(scan["split"] == "heldout") & (scan["pooling"] == "no-bos")].sort_values("hidden_state")
    assert set(heldout["pool"]) == {"whole-list", "untrained"}  # a pair's cosine is the same in both
    for _, pool in heldout.groupby("pool"):
        np.testing.assert_allclose(pool["cosine"], plain, atol=1e-5)  # float32 against float32: another order of the sums
    scored = table_files.read(next(results.glob("transfer/*/*/*/transfer.parquet")), tables.TRANSFER)
    assert scored.groupby("run").size().eq(8).all()
    asked = table_files.read(next(results.glob("transfer/*/*/*/translate.parquet")), tables.TRANSLATE)
    assert asked.groupby(["run", "direction", "shots"]).size().eq(8).all() and asked["run"].nunique() == scored["run"].nunique()
    of_words = pairs.set_index("pair_id").loc[asked["item"].unique()]
    assert set(of_words["split"]) == {"heldout"}
    said = table_files.read(results / "statistics" / "translation.tsv", tables.TRANSLATION)
    assert set(said["direction"]) == {"swh-eng", "eng-swh"} and "translation by prompt" in (results / "report" / "index.html").read_text()


@pytest.mark.parametrize("pair, file", [("swh-eng", "swa-eng"), pytest.param("lug-eng", "lug-eng", marks=pytest.mark.slow)])
def test_stories_with_news(test_data, tmp_path, capfd, pair, file):
    """Parallel news as running text, read by training and measured: cross-entropy of some sentences is that of Transformers."""
    whole = test_data / "data" / "lafand" / f"{file}.dev.tsv"
    if not whole.is_file():
        pytest.skip(f"{whole.name} is not here")
    news = tmp_path / "news.tsv"
    news.write_text("".join(whole.read_text(encoding="utf-8").splitlines(keepends=True)[:400]), encoding="utf-8")
    model, (language, _, english) = test_data / "models" / "stories260K", pair.partition("-")
    held = {"loss_layer": [3], "rank": [4], "target_modules": "all-linear", "anchor": {"metric": "gradient-weighted", "weight": 3}}
    config = {
        "results": str(tmp_path / "results"),
        "models": {"stories": {"source": str(model), "dtype": "float32", "device": "cpu"}},
        "pairs": {pair: {"lexicon": f"resources/lexicons/{pair}.tsv"}},
        "split": {"sizes": {"train": 100, "select": 74, "heldout": 100}},
        "arms": {"held": held},
        "seeds": 1,
        "training": {"epochs": 1, "learning_rate": 1.0e-3, "warmup_steps": 2},
        "text": {language: {"file": str(news), "column": 1}, english: {"file": str(news), "column": 2}},
        "statistics": {"bootstrap": 200},
    }
    run_by_command(write_config(config, tmp_path / "config.yaml"))
    assert "the matrix predicts" in capfd.readouterr().err
    text = table_files.read(next(tmp_path.glob("results/transfer/*/*/*/text.parquet")), tables.RUNNING_TEXT)
    lines = news.read_text(encoding="utf-8").splitlines()
    before = text[text["run"] == "baseline"]
    for column, name in enumerate((language, english)):
        rows = before[before["language"] == name]
        assert 0.6 * len(lines) < len(rows) < 0.73 * len(lines)
        sentences = [lines[int(line) - 1].split("\t")[column].strip() for line in rows["sentence"][::90]]
        np.testing.assert_allclose(rows["cross_entropy"][::90], plain_losses(model, sentences), rtol=1e-5)
    harm = table_files.read(tmp_path / "results" / "statistics" / "harm.tsv", tables.HARM)
    assert harm["decides"].all() and set(harm["language"]) == {language, english}
    assert (text[text["arm"] == "held"]["kl"] > 0).all()


def plain_losses(folder: Path, sentences: list[str]) -> list[float]:
    """Of each sentence after BOS, by Transformers itself."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)
    given = [torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(one, add_special_tokens=False)]]) for one in sentences]
    with torch.no_grad():
        return [model(ids, labels=ids).loss.item() for ids in given]


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
