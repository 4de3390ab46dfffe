"""Which layouts a model may be given: families that ignore masks or positions are noticed, whatever hides it."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
import torch
from test_performance_packing import plainly

from tli.errors import ModelError
from tli.model import embedding, layouts, packing, plain_loop
from tli.model.embedding import embed
from tli.model.opening import open_model
from tli.model.pooling import tokenize

WORDS = tiny_models.WORDS


def saved(model, folder):
    """A model with its tokenizer, its norms and biases away from one and zero."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(str(folder))
    tiny_models.tokenizer(folder)
    return folder


def mpt(folder):
    """ALiBi that counts columns: a constant within a row of softmax, so words end to end are right, shared beginnings are not."""
    from transformers import MptConfig, MptForCausalLM

    torch.manual_seed(1)
    return saved(
        MptForCausalLM(MptConfig(vocab_size=64, d_model=32, n_layers=3, n_heads=4, max_seq_len=128, initializer_range=0.3)), folder
    )


def lfm2(folder, sink=1.0):
    """Short convolutions that see the neighbour past every mask; `sink` makes token 0 so much larger than all others."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(1)
    config = Lfm2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "conv", "full_attention", "conv"],
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = Lfm2ForCausalLM(config)
    model.get_input_embeddings().weight.data[1] *= sink
    return saved(model, folder)


@pytest.mark.parametrize("make", [mpt, lfm2])
def test_a_layout_is_used_only_where_it_is_exact(make, tmp_path):
    folder = make(tmp_path)
    opened = open_model(tiny_models.spec(folder))
    found = embed(opened, WORDS, list(range(opened.layers + 1)), ["no-bos"])
    assert opened.exact["share"] is False
    expected = plainly(folder, WORDS)
    for state in range(opened.layers + 1):
        np.testing.assert_allclose(found.vectors[state, "no-bos"], expected[:, state], rtol=1e-4, atol=1e-5)


def test_one_layout_may_be_exact_where_the_other_is_not(tmp_path):
    opened = open_model(tiny_models.spec(mpt(tmp_path)))
    words = tokenize(opened.tokenizer, WORDS)
    assert [layouts.is_exact(opened, layout, words) for layout in ("pack", "share")] == [True, False]


def test_a_sink_hides_no_leak(tmp_path):
    """In bfloat16, with a BOS a thousand times the words: divided by norms with BOS in them the leak would pass for rounding."""
    opened = open_model(tiny_models.spec(lfm2(tmp_path, sink=1000.0), dtype="bfloat16"))
    words = tokenize(opened.tokenizer, WORDS)
    assert not layouts.is_exact(opened, "share", words) and not layouts.is_exact(opened, "pack", words)
    probe = layouts.handful(words, 8)
    (rows,) = packing.share([word.ids for word in probe])
    laid = layouts.token_states(opened, [rows], [2])[0][2].flatten(0, 1)
    alone = [layouts.token_states(opened, [packing.equal_lengths([word.ids])[0]], [2])[0][2][0] for word in probe]
    with_bos = max(
        float((laid[place] - alone[member]).norm() / alone[member].norm()) for member, place in zip(rows.members, rows.places, strict=True)
    )
    assert with_bos < 0.05, "what was looked at before saw nothing"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", tiny_models.CAUSAL)
def test_exact_models_pass_with_room(family, dtype, tmp_path):
    opened = open_model(tiny_models.spec(tiny_models.write(family, tmp_path / "m"), dtype=dtype))
    words = tokenize(opened.tokenizer, WORDS)
    assert layouts.is_exact(opened, "share", words) and layouts.is_exact(opened, "pack", words)
    worst = plain_loop.compare_with_plain_loop(opened, WORDS, list(range(5)))
    assert worst < (1e-4 if dtype == "float32" else 0.05)


def test_the_choice_is_in_the_log(tmp_path, capsys):
    embed(open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m"))), WORDS, [2], ["no-bos"])
    assert "layout: `share` is exact for this model" in capsys.readouterr().err
    embed(open_model(tiny_models.spec(lfm2(tmp_path / "l"))), WORDS, [2], ["no-bos"])
    assert "layout: `share` is NOT exact, so not used" in capsys.readouterr().err


def test_one_word_decides_nothing(tmp_path):
    opened = open_model(tiny_models.spec(lfm2(tmp_path)))
    embed(opened, ["maji"], [2], ["no-bos"])
    assert opened.exact == {}
    embed(opened, WORDS, [2], ["no-bos"])
    assert opened.exact == {"share": False}


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), NameError("ours"), TypeError("unsupported operand")])
def test_errors_that_are_not_the_layouts_are_raised(error, tmp_path, monkeypatch):
    opened = open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m")))
    words, states, calls = tokenize(opened.tokenizer, WORDS), layouts.token_states, []

    def failing(*given):
        calls.append(given)
        if len(calls) == 2:  # the passes laid out; the first call was each word alone
            raise error
        return states(*given)

    monkeypatch.setattr(layouts, "token_states", failing)
    with pytest.raises(type(error)):
        layouts.is_exact(opened, "share", words)


def test_a_model_that_takes_no_such_mask_goes_by_equal_lengths(tmp_path, monkeypatch, capsys):
    opened = open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m")))
    forward = opened.base.forward

    def two_dimensions(*args, attention_mask=None, **given):
        if attention_mask is not None and attention_mask.ndim == 4:
            raise ValueError("attention_mask should be of shape (batch, tokens)")
        return forward(*args, attention_mask=attention_mask, **given)

    monkeypatch.setattr(opened.base, "forward", two_dimensions)
    assert not layouts.is_exact(opened, "share", tokenize(opened.tokenizer, WORDS))
    assert "does not take their mask or positions (attention_mask should be" in capsys.readouterr().err


@pytest.mark.parametrize("stream", ["never", "always"])
def test_a_scan_that_is_not_the_plain_loops_is_refused(stream, tmp_path, monkeypatch):
    """As if the guard had let a wrong layout through."""
    opened = open_model(tiny_models.spec(lfm2(tmp_path), stream=stream))
    assert plain_loop.compare_with_plain_loop(opened, WORDS, [0, 2, 4]) < 1e-4
    opened.exact["share"] = True
    with pytest.raises(ModelError, match=r"at hs\[\d\] a word of \d+ tokens is \d+% off"):
        plain_loop.compare_with_plain_loop(opened, WORDS, [0, 2, 4])


def test_the_plain_loop_is_transformers_own(tmp_path, monkeypatch):
    """A state taken at the wrong place shows, also where the layout is right."""
    opened = open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m")))
    states = layouts.token_states
    monkeypatch.setattr(
        plain_loop,
        "token_states",
        lambda o, passes, asked: [{s: by[s - 1] for s in asked} for by in states(o, passes, [s - 1 for s in asked])],
    )
    with pytest.raises(ModelError, match=r"at hs\[2\]"):
        plain_loop.compare_with_plain_loop(opened, WORDS, [2])


def test_a_handful_holds_the_longest_word_and_two_that_begin_alike():
    ids = [(1, 9), (1, 5, 6, 7, 8), (1, 5, 6, 7, 9), (1, 2, 3), (1, 4, 4, 4, 4, 4, 4), (1, 8)]
    words = [embedding.Tokens(i, 1, len(i)) for i in ids]
    chosen = {word.ids for word in layouts.handful(words, 4)}
    assert {(1, 4, 4, 4, 4, 4, 4), (1, 5, 6, 7, 8), (1, 5, 6, 7, 9)} <= chosen and len(chosen) == 4
    assert len(layouts.handful(words[:1], 4)) == 1
