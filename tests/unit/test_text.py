"""Running text: cross-entropy against Transformers' own loss, KL against torch's, a third that is never measured."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from torch.nn import functional
from trial import Trial

from tli.config import parse
from tli.errors import ConfigError, ModelError
from tli.io import table_files, tables
from tli.io.sentences import read_sentences
from tli.model import divergence, lora, streaming
from tli.model.opening import below_head, open_whole, open_with_head
from tli.specs import TextSpec

SENTENCES = [(1, 5, 9, 4, 20, 7), (1, 8, 8), (1, 30, 12, 11, 6, 25, 13, 14, 9), (1, 7, 22), (1, 4, 4, 4, 4, 9)]


def changed(opened) -> lora.Adapter:
    """A random adapter on every linear module."""
    names = tuple({name.rsplit(".", 1)[-1] for name, m in opened.blocks[0].named_modules() if isinstance(m, torch.nn.Linear)}) or (
        "c_attn",
    )
    tensors = lora.initial(opened, lora.LoraShape(2, 4.0, 0.0, names, opened.layers), 3)
    return lora.Adapter({name: torch.randn_like(t) * 0.2 for name, t in tensors.items()}, 2.0)


@pytest.mark.parametrize("family", tiny_models.CAUSAL)
def test_figures_are_those_of_transformers_and_of_torch(tmp_path, family, monkeypatch):
    """In slices of five tokens, sentences of a length together; Transformers and torch take one sentence at a time, all logits at once."""
    monkeypatch.setattr(divergence, "VALUES", 5 * 64)
    torch.manual_seed(0)
    whole, tokenizer = open_whole(tiny_models.spec(tiny_models.write(family, tmp_path)))
    opened = below_head(whole, tokenizer)
    before = divergence.last_states(opened, SENTENCES)
    plain, nothing = divergence.compare(whole, opened, SENTENCES, before, before)
    assert np.abs(nothing).max() == 0
    adapter = changed(opened)
    given = [torch.tensor([ids]) for ids in SENTENCES]
    with torch.no_grad():
        p = [torch.log_softmax(whole(ids).logits[0, :-1], -1) for ids in given]
        expected = [whole(ids, labels=ids).loss.item() for ids in given]
        np.testing.assert_allclose(plain, expected, rtol=0, atol=1e-6 * max(expected))
        with lora.applied(opened, adapter):
            q = [torch.log_softmax(whole(ids).logits[0, :-1], -1) for ids in given]
            expected = [whole(ids, labels=ids).loss.item() for ids in given]
            after = divergence.last_states(opened, SENTENCES)
    entropy, kl = divergence.compare(whole, opened, SENTENCES, before, after)
    np.testing.assert_allclose(entropy, expected, rtol=0, atol=1e-6 * max(expected))
    theirs = [functional.kl_div(b, a, log_target=True, reduction="sum").item() / len(a) for a, b in zip(p, q, strict=True)]
    assert min(theirs) > 1e-4
    np.testing.assert_allclose(kl, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", tiny_models.CAUSAL)
def test_streamed_figures_are_those_of_the_whole_model(tmp_path, family, monkeypatch):
    """Block by block from many files, the base and two adapters; in one reading of the files, and in one for each where memory is short."""
    torch.manual_seed(0)
    folder = tiny_models.write(family, tmp_path, shard="20KB", tie_word_embeddings=family in ("gemma2", "qwen2"))
    whole, opened = open_with_head(tiny_models.spec(folder), streams=True)
    assert opened.stream is None
    short = changed(opened)  # the adapter of a training below hs[2]
    short = lora.Adapter({n: t for n, t in short.tensors.items() if re.search(r"\.(0|1)\.", n)}, short.scaling)
    adapters = [None, changed(opened), short]
    before, expected = divergence.last_states(opened, SENTENCES), []
    for adapter in adapters:
        with lora.applied(opened, adapter) if adapter else nullcontext():
            expected.append(divergence.compare(whole, opened, SENTENCES, before, divergence.last_states(opened, SENTENCES)))
    assert min(expected[1][1].min(), expected[2][1].min()) > 1e-4
    whole, opened = open_with_head(tiny_models.spec(folder, stream="always"), streams=True)
    for free in (1e9, 1):
        monkeypatch.setattr(streaming, "free_on", lambda device, free=free: free)
        found = divergence.compare_streamed(whole, opened, SENTENCES, adapters)
        assert all(p.is_meta for p in whole.parameters())
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_streamed_model_without_its_head_is_refused(tmp_path):
    folder = tiny_models.write("llama", tmp_path, headless=True)
    with pytest.raises(ModelError, match="lm_head.weight of the head is missing"):
        open_with_head(tiny_models.spec(folder, stream="always"), streams=True)


def test_a_streamed_model_in_4_bits_is_the_opened_one(tmp_path):
    pytest.importorskip("bitsandbytes")
    folder = tiny_models.write("llama", tmp_path, hidden=64, dtype="bfloat16")
    settings = tiny_models.spec(folder, dtype="bfloat16", quantization="nf4")

    def entropies(settings) -> np.ndarray:
        whole, opened = open_with_head(settings, streams=True)
        if opened.stream is not None:
            return divergence.compare_streamed(whole, opened, SENTENCES, [None])[0][0]
        states = divergence.last_states(opened, SENTENCES)
        return divergence.compare(whole, opened, SENTENCES, states, states)[0]

    opened, streamed = entropies(settings), entropies(replace(settings, stream="always"))
    plain = entropies(replace(settings, quantization="none"))
    off = np.abs(streamed - opened).max()
    assert off < 0.02 and off < 0.2 * np.abs(plain - opened).max()  # bfloat16: the products may be added in another order


def test_the_head_before_where_training_changed_it(tmp_path):
    whole, tokenizer = open_whole(tiny_models.spec(tiny_models.write("llama", tmp_path, tie_word_embeddings=True)))
    opened = below_head(whole, tokenizer)
    before, weight = divergence.last_states(opened, SENTENCES), whole.get_output_embeddings().weight.detach().clone()
    whole.get_output_embeddings().weight.data.mul_(1.5)
    now = whole.get_output_embeddings().weight
    _, kl = divergence.compare(whole, opened, SENTENCES, before, before, weight)
    assert whole.get_output_embeddings().weight is now
    states = [state[:-1] for state in before]
    p, q = ([torch.log_softmax(state @ w.T, -1) for state in states] for w in (weight, now))
    theirs = [functional.kl_div(b, a, log_target=True, reduction="sum").item() / len(a) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(kl, theirs, rtol=1e-4, atol=1e-6)


# --- files ----------------------------------------------------------------------------------------------------------


def test_sentences_of_files(tmp_path):
    plain, table = tmp_path / "a.txt", tmp_path / "a.tsv"
    plain.write_text("mtu\n\n kitabu kizuri \n", encoding="utf-8")
    table.write_text("swh\teng\nmtu\tperson\nkitabu\t\nmaji\twater\n", encoding="utf-8")
    assert [(s.line, s.text) for s in read_sentences(plain, TextSpec(""))] == [(1, "mtu"), (3, "kitabu kizuri")]
    assert [(s.line, s.text) for s in read_sentences(table, TextSpec("", "eng"))] == [(2, "person"), (4, "water")]
    assert [s.text for s in read_sentences(table, TextSpec("", 1))] == ["swh", "mtu", "kitabu", "maji"]
    with pytest.raises(ConfigError, match="no column 'lin'"):
        read_sentences(table, TextSpec("", "lin"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_sentences(tmp_path / "none.txt", TextSpec(""))


def test_a_third_is_kept_apart_by_the_sentence_alone(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"line {i}" for i in range(3000)), encoding="utf-8")
    (tmp_path / "b.txt").write_text("\n".join(f"line {i}" for i in reversed(range(3000))), encoding="utf-8")
    one, other = ({s.text for s in read_sentences(tmp_path / name, TextSpec("")) if s.is_anchor} for name in ("a.txt", "b.txt"))
    assert one == other and abs(len(one) - 1000) < 3 * np.sqrt(3000 * 2 / 9)


# --- the stage ------------------------------------------------------------------------------------------------------


def test_text_alone_makes_the_stage_run(models, tmp_path):
    """No tasks; the zero arm changes nothing, the trained one does; one load measures all and anchors are not among the rows."""
    (tmp_path / "swh.txt").write_text("\n".join(f"kitabu {i} kizuri" for i in range(60)), encoding="utf-8")
    arms = {"tli": {"loss_layer": [2], "rank": [4]}, "zero": {"like": "tli", "epochs": 0}}
    trial = Trial(tmp_path / "results", models("llama"), arms=arms, text={"swh": str(tmp_path / "swh.txt")})
    trial.run("check")
    for arm in arms:
        trial.train(arm)
    (part,) = trial.experiment.parts("transfer", "m", "swh-eng")
    job = trial.run("transfer", part=part)
    table = table_files.read(job.outputs["text"], tables.RUNNING_TEXT)
    measured = [s for s in read_sentences(tmp_path / "swh.txt", TextSpec("")) if not s.is_anchor]
    base = table[table["run"] == "baseline"]
    assert list(base[base["language"] == "swh"]["sentence"]) == [str(s.line) for s in measured]
    assert (base["language"] == "eng").sum() == 32  # the shipped ones stand in
    assert (base["kl"] == 0).all()
    same, other = table[table["arm"] == "zero"], table[table["arm"] == "tli"]
    pd.testing.assert_series_equal(same["cross_entropy"], base["cross_entropy"], check_index=False, atol=1e-6)
    assert same["kl"].abs().max() < 1e-6 and other["kl"].min() > 0
    assert job.inputs["texts"] == [str(tmp_path / "swh.txt")] and trial.experiment.has_transfer
    assert trial.job("statistics").inputs["text"] == [job.outputs["text"]]


def test_the_stage_streams(models, tmp_path, monkeypatch):
    """Running text and perplexity of a streamed model: the files are read once for all subjects, and figures are the whole model's."""
    (tmp_path / "swh.txt").write_text("\n".join(f"kitabu {i} kizuri" for i in range(60)), encoding="utf-8")
    sections = {"arms": {"tli": {"loss_layer": [2], "rank": [4]}}, "text": {"swh": str(tmp_path / "swh.txt")}, "seeds": [1, 2]}
    found, read = {}, []
    loaded = streaming.loaded
    for stream in ("never", "always"):
        trial = Trial(tmp_path / stream, replace(models("llama"), stream=stream), **sections)
        trial.run("check")
        trial.train("tli")
        (part,) = trial.experiment.parts("transfer", "m", "swh-eng")
        monkeypatch.setattr(streaming, "loaded", lambda opened, index: read.append(index) or loaded(opened, index))
        outputs = trial.run("transfer", part=part).outputs
        found[stream] = [table_files.read(outputs[name]) for name in ("text", "perplexity")]
        monkeypatch.setattr(streaming, "loaded", loaded)
    assert read[-4:] == [0, 1, 2, 3] and len(read) <= 5  # once more for block 0, to see what a block returns
    for streamed, whole in zip(found["always"], found["never"], strict=True):
        pd.testing.assert_frame_equal(streamed, whole, rtol=1e-5, atol=1e-6)
    assert found["never"][0]["run"].nunique() == 3


def test_shipped_sentences_are_read_once_for_both_probes(models, tmp_path, monkeypatch):
    """Without a text of its own, perplexity is that of the rows of the text, and the model is run once a subject."""
    trial = Trial(tmp_path / "results", models("llama"), arms={"tli": {"loss_layer": [2], "rank": [4]}}, text={"swh": str(tmp_path / "t")})
    (tmp_path / "t").write_text("\n".join(f"kitabu {i}" for i in range(9)), encoding="utf-8")
    trial.run("check")
    trial.train("tli")
    runs, last = [], divergence.last_states
    monkeypatch.setattr(divergence, "last_states", lambda *given: runs.append(len(given[1])) or last(*given))
    (part,) = trial.experiment.parts("transfer", "m", "swh-eng")
    outputs = trial.run("transfer", part=part).outputs
    text, values = (table_files.read(outputs[name]) for name in ("text", "perplexity"))
    assert len(set(runs)) == 1 and len(runs) == 2 and runs[0] <= 32 + 32 + 9
    text = text[text["language"] == "eng"].assign(summed=text["tokens"] * text["cross_entropy"])
    sums = text.groupby("run")[["summed", "tokens"]].sum()
    theirs = values[values["language"] == "eng"].set_index("run")["perplexity"]
    np.testing.assert_allclose(np.exp(sums["summed"] / sums["tokens"])[theirs.index], theirs, rtol=1e-9)


def test_an_address_needs_a_checksum():
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"a-b": {"lexicon": "x"}}, "arms": {"tli": {}}}
    with pytest.raises(ConfigError, match=r"sha256.*is missing"):
        parse(sections | {"text": {"a": "https://example.org/a.txt"}})
    assert parse(sections | {"text": {"a": {"file": "https://example.org/a.txt", "sha256": "0" * 64}}}).text["a"].sha256 == "0" * 64
