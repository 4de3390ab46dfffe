"""embed and the scan's figures: one word at a time through Transformers gives the same; sinks show and are told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import LAYERS, WORDS, hidden_states, pairs_table, whole_model
from transformers import AutoTokenizer

from tli.errors import EmbedError
from tli.model import embedding as embed
from tli.model.opening import open_model
from tli.model.pooling import POOLINGS, Tokens, tokenize
from tli.model.pooling import weights as pooling_weights
from tli.probes import words as measure
from tli.stages.scan import warn_of_sinks

STATES = list(range(LAYERS + 1))


def pooled(state: torch.Tensor, own: list[int], pooling: str) -> np.ndarray:
    """One word's vector, token by token, in float64."""
    total, weights = np.zeros(state.shape[1]), 0.0
    for position in range(len(state)):
        inside = position in own
        weight = {
            "with-bos": 1.0,
            "no-bos": float(inside),
            "last-token": float(position == own[-1]),
            "weighted-mean": float(own.index(position) + 1) if inside else 0.0,
        }[pooling]
        total, weights = total + weight * state[position].double().numpy(), weights + weight
    return total / weights


def by_hand(settings: dict, words: list[str], before: int, after: int) -> dict:
    """(state, pooling) -> [words, hidden], one word at a time through Transformers."""
    model, tokenizer = whole_model(settings), AutoTokenizer.from_pretrained(settings.source)
    found = {(h, p): [] for h in STATES for p in POOLINGS}
    for word in words:
        ids = tokenizer(word)["input_ids"]
        own = list(range(before, len(ids) - after))
        for h, state in enumerate(hidden_states(model, ids)):
            for pooling in POOLINGS:
                found[h, pooling].append(pooled(state, own, pooling))
    return {key: np.array(rows) for key, rows in found.items()}


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(
    ("family", "bos", "before", "after"),
    [
        ("llama", True, 1, 0),
        ("llama", False, 0, 0),
        ("gpt2", True, 1, 0),
        ("bert", True, 1, 1),
        ("xlmr", False, 0, 1),
    ],
)
def test_cosine_at_every_state_is_that_of_one_word_at_a_time(models, family, bos, before, after):
    settings = models(family, bos=bos)
    pairs = pairs_table()
    sources, targets = pairs["source"].tolist(), pairs["target"].tolist()
    found = embed.embed(open_model(settings), sources + targets, STATES, list(POOLINGS), tokens_per_batch=16)
    expected = by_hand(settings, sources + targets, before, after)
    n = len(pairs)
    assert set(found.vectors) == set(expected)
    for key, vectors in found.vectors.items():
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected[key], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(cosine(vectors[:n], vectors[n:]), cosine(expected[key][:n], expected[key][n:]), atol=1e-5)


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"quantization": "nf4"}], ids=["bfloat16", "nf4"])
def test_half_and_four_bits_do_not_depend_on_the_company_in_a_batch(models, options):
    opened = open_model(models("llama", **options))
    alone = embed.embed(opened, WORDS, STATES, ["no-bos"], tokens_per_batch=1).vectors
    together = embed.embed(opened, WORDS, STATES, ["no-bos"]).vectors
    for key in alone:
        one, other = alone[key], together[key]
        assert (1 - cosine(one.astype(float), other.astype(float))).max() < (1e-3 if "dtype" in options else 1e-6)


def test_pooling_is_float32_also_where_the_model_is_not(models):
    settings = models("llama", dtype="bfloat16")
    found = embed.embed(open_model(settings), WORDS[:6], [2], ["no-bos"]).vectors[2, "no-bos"]
    model, tokenizer = whole_model(settings), AutoTokenizer.from_pretrained(settings.source)
    for word, vector in zip(WORDS[:6], found, strict=True):
        state = hidden_states(model, tokenizer(word)["input_ids"])[2].float()
        np.testing.assert_allclose(vector, state[1:].mean(0).numpy(), rtol=2e-2, atol=2e-2)
        assert (vector != torch.from_numpy(vector).bfloat16().float().numpy()).any() or len(state) == 2


def test_repeated_words_come_back_in_order(models):
    opened = open_model(models("llama"))
    words = ["maji", "kitabu", "maji", "habari za asubuhi", "kitabu", "maji"]
    done = []
    found = embed.embed(opened, words, [2], ["no-bos"], progress=done.append)
    vectors = found.vectors[2, "no-bos"]
    single = {word: embed.embed(opened, [word], [2], ["no-bos"]).vectors[2, "no-bos"][0] for word in set(words)}
    np.testing.assert_allclose(vectors, [single[word] for word in words], rtol=1e-5, atol=1e-5)
    assert np.array_equal(vectors[0], vectors[2]) and np.array_equal(vectors[0], vectors[5])
    assert done[-1] == 3 and done == sorted(done)  # each distinct word once


def test_the_batch_size_and_the_order_of_words_do_not_matter(models):
    opened = open_model(models("llama"))
    one = embed.embed(opened, WORDS, STATES, ["no-bos", "with-bos"], tokens_per_batch=1)
    other = embed.embed(opened, WORDS[::-1], STATES, ["no-bos", "with-bos"])
    for key, vectors in one.vectors.items():
        np.testing.assert_allclose(vectors, other.vectors[key][::-1], rtol=1e-4, atol=1e-5)
    assert one.token_counts.tolist() == other.token_counts[::-1].tolist()


# --- tokens and BOS -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "bos", "before", "after"),
    [("llama", True, [1], []), ("llama", False, [], []), ("bert", True, [1], [2]), ("bert", False, [], [2])],
)
def test_what_the_tokenizer_adds_is_found(models, family, bos, before, after):
    tokenizer = AutoTokenizer.from_pretrained(models(family, bos=bos).source)
    counts = set()
    for word, found in zip(WORDS, tokenize(tokenizer, WORDS), strict=True):
        assert list(found.ids) == tokenizer(word)["input_ids"]
        assert list(found.ids[: found.first]) == before and list(found.ids[found.last :]) == after
        assert tokenizer.decode(found.ids[found.first : found.last]).strip() == word
        counts.add(found.last - found.first)
    assert 1 in counts and max(counts) > 3  # words of one token are among them


def test_a_word_that_becomes_no_token_is_named(models):
    tokenizer = AutoTokenizer.from_pretrained(models("llama").source)
    with pytest.raises(EmbedError, match="''"):
        tokenize(tokenizer, ["maji", ""])


def test_a_tokenizer_that_cuts_otherwise_with_bos_is_refused():
    def tokenizer(words, add_special_tokens):
        return {"input_ids": [[1, 9] if add_special_tokens else [5, 6] for _ in words]}

    with pytest.raises(EmbedError, match="cut into other tokens"):
        tokenize(tokenizer, ["maji"])


def test_one_token_word_is_its_own_mean(models):
    opened = open_model(models("llama"))
    tokens = tokenize(opened.tokenizer, WORDS)
    single = [word for word, t in zip(WORDS, tokens, strict=True) if t.last - t.first == 1]
    found = embed.embed(opened, single, STATES, list(POOLINGS)).vectors
    for h in STATES:
        for pooling in ("last-token", "weighted-mean"):
            np.testing.assert_array_equal(found[h, pooling], found[h, "no-bos"])


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(0, 2)), min_size=1, max_size=5), st.integers(0, 4))
def test_weights_are_the_plain_ones(shapes, extra):
    tokens = [Tokens(tuple(range(b + n + a)), b, b + n) for b, n, a in shapes]
    width = max(len(t.ids) for t in tokens) + extra
    for pooling in POOLINGS:
        rows = pooling_weights(tokens, pooling, width)
        assert rows.shape == (len(tokens), width)
        for row, token in zip(rows, tokens, strict=True):
            own = list(range(token.first, token.last))
            expected = [pooled(torch.eye(len(token.ids)), own, pooling)[i] if i < len(token.ids) else 0 for i in range(width)]
            np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="'mean' is none of no-bos"):
        pooling_weights([Tokens((1, 2), 1, 2)], "mean", 2)


# --- sinks ----------------------------------------------------------------------------------------------------------

SINK = 2.6  # times 5.66 squared, silu of the BOS token's normed 1 times its gate: about 400 times a word's norm


@pytest.fixture(scope="module")
def sunk(models, tmp_path_factory):
    """A tiny Llama with a sink: block 1 adds a large constant to one dimension of the first token's state, and no other's.

    The words' tokens lie in dimensions 2 and up; BOS alone has a 1 in dimension 0, which block 1's MLP turns into a
    constant in dimension 1. The blocks above are small, so that the sink decays slowly, and the last norm ends it.
    """
    settings = models("llama")
    folder = Path(shutil.copytree(settings.source, tmp_path_factory.mktemp("sunk") / "m"))
    tensors = load_file(folder / "model.safetensors")
    random = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if name.endswith("norm.weight"):
            tensor.fill_(1.0)
        elif ".layers." in name:
            tensor.copy_(0.05 * torch.randn(tensor.shape, generator=random))
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                tensor[:2] = 0
            else:
                tensor[:, :2] = 0  # nothing reads the two dimensions
    embeddings = tensors["model.embed_tokens.weight"]
    embeddings.copy_(torch.randn(embeddings.shape, generator=random))
    embeddings[:, :2] = 0
    embeddings[1] = 0
    embeddings[1, 0] = 1.0
    mlp = "model.layers.1.mlp."
    tensors[mlp + "gate_proj.weight"][0] = 0
    tensors[mlp + "up_proj.weight"][0] = 0
    tensors[mlp + "gate_proj.weight"][0, 0] = tensors[mlp + "up_proj.weight"][0, 0] = 5.0
    tensors[mlp + "down_proj.weight"][:, 0] = 0
    tensors[mlp + "down_proj.weight"][1, 0] = SINK
    for name in ("model.layers.2.mlp.", "model.layers.3.mlp."):  # the words grow, the sink stays: a slow decay
        tensors[name + "down_proj.weight"][2:] *= 250
    tensors["model.norm.weight"][1] = 0.01  # the rogue dimension is damped at the end, as trained models do
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return replace(settings, source=str(folder))


@pytest.fixture(scope="module")
def sunk_figures(sunk):
    opened = open_model(sunk)
    figures = measure.measure(opened, measure.Listed.of(pairs_table()), STATES, ["no-bos", "with-bos"]).figures
    return figures[figures["split"] == "train"].set_index(["pooling", "hidden_state"])


def test_the_sink_is_hundreds_of_times_the_words(sunk, sunk_figures):
    model, tokenizer = whole_model(sunk), AutoTokenizer.from_pretrained(sunk.source)
    first, others = {h: [] for h in STATES}, {h: [] for h in STATES}
    words = list(dict.fromkeys([*pairs_table()["source"], *pairs_table()["target"], "physician", "home", "month", "arm"]))
    for word in words:
        for h, state in enumerate(hidden_states(model, tokenizer(word)["input_ids"])):
            norms = state.norm(dim=-1).tolist()
            first[h].append(norms[0])
            others[h] += norms[1:]
    for h in STATES:
        assert sunk_figures.loc[("no-bos", h), "sink_ratio"] == pytest.approx(np.median(first[h]) / np.median(others[h]), rel=1e-4)
    ratio = sunk_figures.loc["no-bos"]["sink_ratio"]
    assert 200 < ratio[2] < 1000 and ratio[1] < 10 and ratio[4] < 10


def test_the_papers_curve_appears_with_bos_and_not_without(sunk_figures):
    """About 1 at hs[2], slow decay, collapse after the final norm; and it is the same for words that are no translations."""
    for figure in ("cosine", "mismatched"):
        curve = sunk_figures.loc["with-bos"][figure]
        assert curve[2] > 0.999 and curve[1] < 0.9
        assert curve[2] > curve[3] > 0.9  # slow decay
        assert curve[4] < curve[3] - 0.2  # collapses
    assert sunk_figures.loc["with-bos"]["gap"].loc[2] < 1e-3
    assert sunk_figures.loc["no-bos"]["mismatched"].loc[2] < 0.5


def test_the_scan_warns_of_the_sink_in_one_line(sunk_figures, capsys):
    figures = sunk_figures.reset_index()
    warn_of_sinks(figures)
    line = capsys.readouterr().err.strip()
    ratio = figures["sink_ratio"].max()
    assert line.startswith("WARNING: attention sink") and "\n" not in line
    assert f"token 0 has {ratio:.0f} times" in line and "at hs[2]" in line
    worst = sunk_figures.loc[("with-bos", 2), "mismatched"]
    assert f"any two words score {worst:.4f} there" in line


def test_no_warning_without_a_sink_or_without_bos(models, capsys):
    for bos in (True, False):
        figures = measure.measure(open_model(models("llama", bos=bos)), measure.Listed.of(pairs_table()), STATES, ["no-bos"]).figures
        capsys.readouterr()  # the progress bars of loading
        warn_of_sinks(figures)
        assert figures["sink_ratio"].max() < 10
    warn_of_sinks(figures.assign(sink_ratio=np.nan))
    assert capsys.readouterr().err == ""
