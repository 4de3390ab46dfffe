"""Running text: cross-entropy against Transformers' own loss, KL against torch's, a third that is never measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from torch.nn import functional
from trial import Trial

from tli.config import parse
from tli.errors import ConfigError
from tli.io import tables
from tli.io.sentences import read_sentences
from tli.model import divergence, lora
from tli.model.opening import below_head, open_whole
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
    table = tables.read(job.outputs["text"], tables.RUNNING_TEXT)
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


def test_an_address_needs_a_checksum():
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"a-b": {"lexicon": "x"}}, "arms": {"tli": {}}}
    with pytest.raises(ConfigError, match="sha256 is missing"):
        parse(sections | {"text": {"a": "https://example.org/a.txt"}})
    assert parse(sections | {"text": {"a": {"file": "https://example.org/a.txt", "sha256": "0" * 64}}}).text["a"].sha256 == "0" * 64
