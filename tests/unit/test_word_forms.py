"""How a model is fed a word: alone or as after a space; tokenizers of many kinds, and scan, training and evaluation fed alike."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tokenizers_of_many_kinds as kinds
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_keys import CHECK
from tiny import VOCABULARY, WORDS, hidden_states, pairs_table, save_model, whole_model
from trial import Trial

from tli.errors import EmbedError
from tli.io import store, table_files, tables
from tli.model.embedding import embed
from tli.model.opening import open_model
from tli.model.pooling import tokenize
from tli.specs import AnchorSpec, Member, ModelSpec, TrainSpec, plain
from tli.stages.cell import unit_key
from tli.training import objective
from tli.training.anchor import Anchoring, tokenized
from tli.training.trainer import Trainer

SPACED = "leading-space"


@cache
def made(kind: str):
    return kinds.make(kind)


def plain_ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def in_text(tokenizer, word: str) -> list[int]:
    """A word's tokens after "maji ", by what is left when those of "maji" are taken off."""
    before, whole = plain_ids(tokenizer, "maji"), plain_ids(tokenizer, "maji " + word)
    assert whole[: len(before)] == before
    return whole[len(before) :]


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_word_after_a_space_has_the_tokens_that_it_has_in_text(kind):
    """And what the tokenizer adds around it is what it adds around any text."""
    tokenizer = made(kind)
    for word, tokens in zip(WORDS, tokenize(tokenizer, WORDS, SPACED), strict=True):
        assert list(tokens.ids) == [tokenizer.bos_token_id, *in_text(tokenizer, word), tokenizer.eos_token_id]
        assert tokens.last == len(tokens.ids) - 1


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_who_puts_the_space_makes_the_difference(kind):
    """Closed form: tokenizers that put it, or know none, feed what they feed alone; the others the word with a space before it."""
    tokenizer = made(kind)
    alike = kind in kinds.PUTS_SPACE + kinds.HAS_NO_SPACE
    spaced, alone = tokenize(tokenizer, WORDS, SPACED), tokenize(tokenizer, WORDS)
    assert alone == tokenize(tokenizer, WORDS, "alone")
    for word, one, other in zip(WORDS, spaced, alone, strict=True):
        assert list(one.ids[1:-1]) == plain_ids(tokenizer, word if alike else " " + word)
        assert (one.ids == other.ids) == alike


@settings(max_examples=40, deadline=None)
@given(word=st.text("abcdefg áñሰላ水' ", min_size=1, max_size=9).map(str.strip).filter(len), kind=st.sampled_from(kinds.KINDS))
def test_any_word_has_the_tokens_that_it_has_in_text(word, kind):
    tokenizer = made(kind)
    try:
        (tokens,) = tokenize(tokenizer, [word], SPACED)
    except EmbedError:  # nothing of it is known: there is no token
        assert kind == "gemma-lossy" and not plain_ids(tokenizer, word)
        return
    assert list(tokens.ids[1:-1]) == in_text(tokenizer, word)
    own = tokenizer.decode(tokens.ids[tokens.first : tokens.last]).strip()
    left_out = tokenizer.decode(tokens.ids[1 : tokens.first])
    assert not left_out.strip() and tokens.first <= 2, "nothing but the space is left out"
    assert own or kind == "gemma-lossy"


@pytest.mark.parametrize("kind", ["bytes", "bytes-prefix", "unigram", "unigram-bare", "llama", "gemma", "letters"])
def test_a_space_that_is_a_token_of_its_own_is_fed_and_not_pooled(kind):
    """A character that was never merged with a space stands alone, whichever tokenizer it is (an unknown letter will do)."""
    tokenizer = made(kind)
    word = "\u6c34"
    (tokens,) = tokenize(tokenizer, [word], SPACED)
    assert tokens.first == 2 and tokenizer.decode([tokens.ids[1]]).strip() == ""
    (alone,) = tokenize(tokenizer, [word])
    assert alone.first == 1, "alone, what the tokenizer makes of a word is the word's, as in the paper"
    assert alone.ids[alone.first :] == tokens.ids[alone.first if kind in kinds.PUTS_SPACE else tokens.first :]


def test_a_word_that_begins_with_a_space_gets_no_second():
    for kind in ("bytes", "gemma", "letters"):
        assert tokenize(made(kind), [" maji"], SPACED) == tokenize(made(kind), ["maji"], SPACED)


def test_words_that_melt_into_what_goes_before_are_refused():
    def tokenizer(words, add_special_tokens):
        return {"input_ids": [[len(word)] for word in words]}

    with pytest.raises(EmbedError, match=r"'maji' shares a token with what goes before it.*word_form: alone"):
        tokenize(tokenizer, ["maji"], SPACED)
    with pytest.raises(EmbedError, match="no token at all"):
        tokenize(made("bytes"), ["maji", ""], SPACED)


@pytest.mark.parametrize("name", ["stories260K", "stories656K"])
def test_real_tokenizers_that_put_the_space_feed_the_same(test_data, name):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(test_data / "models" / name)
    spaced, alone = tokenize(tokenizer, WORDS, SPACED), tokenize(tokenizer, WORDS)
    assert [one.ids for one in spaced] == [one.ids for one in alone]
    for one, other in zip(spaced, alone, strict=True):
        assert one.first - other.first == (
            tokenizer.convert_ids_to_tokens(other.ids[other.first]) == "\u2581" and other.last - other.first > 1
        )


# --- scan, training, evaluation --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spaced(tmp_path_factory) -> ModelSpec:
    """A tiny Llama whose tokenizer reads bytes and puts no space, fed words as after one."""
    folder = tmp_path_factory.mktemp("spaced") / "model"
    save_model(folder, "llama")
    kinds.make("bytes", VOCABULARY).save_pretrained(folder)
    return ModelSpec(str(folder), dtype="float32", device="cpu", word_form=SPACED)


def plain_vectors(spec: ModelSpec, words: list[str], state: int) -> np.ndarray:
    """Each word by itself through Transformers, with a space before it: the mean of its own tokens at a hidden state.

    A space that is a token of its own (the byte 32, which this tokenizer writes as \u0120) is read and not among them.
    """
    from transformers import AutoTokenizer

    tokenizer, model, rows = AutoTokenizer.from_pretrained(spec.source), whole_model(spec), []
    for word in words:
        own = plain_ids(tokenizer, " " + word)
        first = 2 if tokenizer.convert_ids_to_tokens(own[0]) == "\u0120" else 1
        states = hidden_states(model.model, [tokenizer.bos_token_id, *own, tokenizer.eos_token_id])[state]
        rows.append(states[first : 1 + len(own)].mean(0))
    return torch.stack(rows).numpy()


def test_vectors_are_those_of_words_with_a_space(spaced):
    found = embed(open_model(spaced), WORDS, [2, 4], ["no-bos"]).vectors
    for state in (2, 4):
        np.testing.assert_allclose(found[state, "no-bos"], plain_vectors(spaced, WORDS, state), rtol=1e-4, atol=1e-5)
    alone = embed(open_model(replace(spaced, word_form="alone")), WORDS, [4], ["no-bos"]).vectors[4, "no-bos"]
    assert np.abs(alone - found[4, "no-bos"]).max() > 0.1


def cosines(spec: ModelSpec, state: int) -> np.ndarray:
    pairs = pairs_table()
    one, other = (plain_vectors(spec, pairs[side].tolist(), state) for side in ("source", "target"))
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.fixture(scope="module")
def done(spaced, tmp_path_factory) -> Trial:
    training = {"epochs": 1, "batch_size": 12, "warmup_steps": 0, "learning_rate": 5e-3, "dropout": 0}
    trial = Trial(tmp_path_factory.mktemp("trial"), spaced, arms={"tli": {"loss_layer": [2], "rank": [4]}}, training=training)
    for kind in ("check", "scan"):
        trial.run(kind)
    trial.train()
    trial.evaluate()
    return trial


def test_scan_training_and_evaluation_are_fed_alike(done):
    """Each is held against the words with a space through Transformers: mean cosines, cosines of pairs, the loss of the first step."""
    pairs = pairs_table()
    scan = table_files.read(done.layout.scan("m", "swh-eng")["scan"])
    measured = done.measured("similarities")
    base = measured[(measured["run"] == "baseline") & (measured["pooling"] == "no-bos") & (measured["pool"] == "whole-list")]
    for state in (2, 4):
        expected = cosines(done.model, state)
        heldout = scan.query("split == 'heldout' and hidden_state == @state and pooling == 'no-bos' and pool == 'whole-list'")
        assert heldout["cosine"].item() == pytest.approx(expected[pairs["split"] == "heldout"].mean(), abs=1e-5)
    output = base[base["hidden_state"] == 4].set_index("pair_id")["cosine"]
    np.testing.assert_allclose(output[pairs["pair_id"]], cosines(done.model, 4), atol=1e-5)
    trained = pairs[pairs["split"] == "train"]
    vectors = [torch.from_numpy(plain_vectors(done.model, trained[side].tolist(), 2)) for side in ("source", "target")]
    right = np.eye(len(trained), dtype=bool) | (trained["source"].to_numpy()[:, None] == trained["source"].to_numpy()[None])
    loss = objective.loss("triplet-hardest", *vectors, torch.from_numpy(right), margin=0.4, temperature=0.05)[0]
    record = json.loads((Path(done.job("train", arm="tli", layer="2", rank="4").folder(1)) / "run.json").read_text())
    assert record["first_loss"] == pytest.approx(float(loss), abs=1e-5)


def test_the_form_is_told_where_results_are(done):
    record = json.loads(Path(done.layout.check("m")).read_text())
    assert record["word_form"] == SPACED and set(record["tokens"]["swh"]) == {"alone", SPACED}
    folder = Path(done.job("train", arm="tli", layer="2", rank="4").folder(1))
    assert json.loads((folder / "run.json").read_text())["word_form"] == SPACED
    assert "fed as after a space" in (folder / "adapter" / "README.md").read_text()
    written = table_files.read(done.layout.scan("m", "swh-eng")["tokens"], tables.TOKENS)
    assert set(written.loc[written["used"], "word_form"]) == {SPACED} and len(written) == 4
    audit = table_files.read(done.layout.scan("m", "swh-eng")["audit"])["text"]
    assert audit.str.contains(r"^swh: \d\.\d\d tokens a word, fed after a space; \d\.\d\d alone, where \d+% of the forms").any()


def test_each_way_of_training_feeds_words_so_and_sentences_as_they_are(spaced):
    pairs = pairs_table()
    lora = TrainSpec(rank=4, alpha=8.0, layer="2")
    ways = {
        "lora": lora,
        "kl": replace(lora, anchor=AnchorSpec("kl", 1.0)),
        "full": replace(lora, method="full", rank=None, alpha=None),
    }
    for name, way in ways.items():
        trainer = Trainer(spaced, way, 2, 2, lambda member: pairs, Anchoring(("maji moto", "mti")))
        (batches,) = trainer._batches(np.arange(3), Member(1)).parts
        assert batches.words(np.arange(3))[:3] == tokenize(trainer.opened.tokenizer, pairs["source"].tolist()[:3], SPACED), name
        assert tokenized(trainer.opened, ["maji moto"]) == tokenize(trainer.opened.tokenizer, ["maji moto"]), name


# --- what is finished is found ---------------------------------------------------------------------------------------


def test_units_of_the_paper_s_form_stay_found_and_the_other_form_has_its_own(spaced):
    alone = replace(spaced, word_form="alone")
    assert "word_form" not in plain(alone) and plain(spaced)["word_form"] == SPACED
    keys = [unit_key(CHECK, model, pairs_table(), TrainSpec(), 2, 2, 1) for model in (alone, spaced)]
    assert "word_form" not in keys[0] and store.digest(keys[0]) != store.digest(keys[1])


def test_the_other_form_measures_anew_and_the_first_is_found_again(done, monkeypatch):
    """The two forms of one model in one results folder do not take each other's units."""
    from tli.probes.words import WordsProbe

    asked, measure = [], WordsProbe.measure
    monkeypatch.setattr(
        WordsProbe, "measure", lambda self, loaded, subject, *rest: asked.append(subject.run) or measure(self, loaded, subject, *rest)
    )
    spaced_rows = done.measured("similarities")
    done.evaluate()
    assert asked == []
    other = Trial(done.folder, replace(done.model, word_form="alone"), **{k: v for k, v in done.sections.items() if k != "models"})
    other.train()
    other.evaluate()
    assert len(asked) == 2, "the baseline and the adapter"
    assert not np.allclose(other.measured("similarities")["cosine"], spaced_rows["cosine"], atol=1e-3)
    done.train()
    done.evaluate()
    assert len(asked) == 2
    np.testing.assert_array_equal(done.measured("similarities")["cosine"], spaced_rows["cosine"])


def test_a_streamed_model_is_fed_so_too(spaced):
    streamed, held = (
        embed(open_model(replace(spaced, stream=way)), WORDS, [4], ["no-bos"]).vectors[4, "no-bos"] for way in ("always", "never")
    )
    np.testing.assert_allclose(streamed, held, atol=1e-5)
