"""Without padding = one word at a time at full depth, for every family."""

import numpy as np
import pytest
import tiny_models

from tli.model import packing
from tli.model.embedding import embed
from tli.model.opening import open_model


def plainly(folder, words, no_bos_from=1):
    """All hidden states of each word by itself, mean-pooled: [words, states, hidden]. The way that needs no thought."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(str(folder)).eval(), AutoTokenizer.from_pretrained(str(folder))
    vectors = []
    for word in words:
        with torch.no_grad():
            states = model(input_ids=torch.tensor([tokenizer(word)["input_ids"]]), output_hidden_states=True).hidden_states
        vectors.append(np.stack([state[0, no_bos_from:].mean(0).numpy() for state in states]))
    return np.stack(vectors)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_every_family_embeds_as_word_by_word(family, tmp_path):
    folder = tiny_models.write(family, tmp_path / family)
    expected = plainly(folder, tiny_models.WORDS)
    opened = open_model(tiny_models.spec(folder))
    found = embed(opened, tiny_models.WORDS, list(range(5)), ["no-bos"])
    assert opened.exact == ({"share": True} if family in tiny_models.CAUSAL else {})
    for state in range(5):
        # float32, other shapes of the same products: rounding alone
        np.testing.assert_allclose(found.vectors[state, "no-bos"], expected[:, state], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_first_blocks_alone_give_the_same_unnormed_states(family, tmp_path):
    folder = tiny_models.write(family, tmp_path / family)
    expected = plainly(folder, tiny_models.WORDS)
    opened = open_model(tiny_models.spec(folder), 2)
    assert len(opened.blocks) == 2
    found = embed(opened, tiny_models.WORDS, [0, 1, 2], ["no-bos"])
    for state in range(3):
        np.testing.assert_allclose(found.vectors[state, "no-bos"], expected[:, state], rtol=1e-5, atol=1e-5)


def test_alibi_is_noticed_and_goes_by_equal_lengths(tmp_path):
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=32, n_layer=3, n_head=4, initializer_range=0.15, bos_token_id=1))
    model.save_pretrained(str(tmp_path))
    tiny_models.tokenizer(tmp_path)
    opened = open_model(tiny_models.spec(tmp_path))
    found = embed(opened, tiny_models.WORDS, [1, 3], ["no-bos"])
    assert opened.exact == {"share": False}
    expected = plainly(tmp_path, tiny_models.WORDS)
    np.testing.assert_allclose(found.vectors[3, "no-bos"], expected[:, 3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("words", [["a"], ["maji"], ["x" * 150, "maji", "x" * 149 + "y"], ["maji"] * 3 + ["a"]])
@pytest.mark.parametrize("bos", [True, False])
def test_odd_word_lists(words, bos, tmp_path):
    """One word; one longer than a row, twice with the same beginning; repeats; with a BOS in the vocabulary and without."""
    folder = tiny_models.write("llama", tmp_path / "m", bos=bos, max_position_embeddings=256)
    found = embed(open_model(tiny_models.spec(folder)), words, [0, 4], ["no-bos", "with-bos"])
    for state in (0, 4):
        expected = plainly(folder, words, no_bos_from=int(bos))[:, state]
        np.testing.assert_allclose(found.vectors[state, "no-bos"], expected, rtol=1e-5, atol=1e-5)
        expected = plainly(folder, words, no_bos_from=0)[:, state]
        np.testing.assert_allclose(found.vectors[state, "with-bos"], expected, rtol=1e-5, atol=1e-5)


def test_odd_head_count_and_tied_embeddings(tmp_path):
    folder = tiny_models.write(
        "llama", tmp_path / "m", hidden=36, num_attention_heads=3, num_key_value_heads=1, head_dim=12, tie_word_embeddings=True
    )
    expected = plainly(folder, tiny_models.WORDS)
    found = embed(open_model(tiny_models.spec(folder)), tiny_models.WORDS, [2, 4], ["no-bos"])
    np.testing.assert_allclose(found.vectors[4, "no-bos"], expected[:, 4], rtol=1e-5, atol=1e-5)


def test_sink_ratio_is_over_words_not_over_shared_places(tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = tiny_models.write("llama", tmp_path / "m")
    model, tokenizer = AutoModel.from_pretrained(str(folder)).eval(), AutoTokenizer.from_pretrained(str(folder))
    first, others = [], []
    for word in tiny_models.WORDS:
        with torch.no_grad():
            norms = model(torch.tensor([tokenizer(word)["input_ids"]]), output_hidden_states=True).hidden_states[2][0].norm(dim=-1)
        first.append(float(norms[0]))
        others += norms[1:].tolist()
    found = embed(open_model(tiny_models.spec(folder)), tiny_models.WORDS, [2], ["no-bos"])
    assert found.sink_ratio[2] == pytest.approx(np.median(first) / np.median(others), rel=1e-5)


def test_shared_beginnings_are_laid_once():
    words = [(1, 5, 6), (1, 5, 7), (1, 8), (1, 5)]
    (rows,) = packing.share(words)
    assert rows.ids.size == 5  # 1, 5, 6, 7, 8
    for member, place in zip(rows.members, rows.places, strict=True):
        assert tuple(rows.ids.ravel()[place]) == words[member]
        assert rows.positions.ravel()[place].tolist() == list(range(len(words[member])))
        seen = rows.mask[0][place[-1]]  # the last token sees its own word, nothing else
        assert sorted(np.flatnonzero(seen)) == sorted(place)


def test_packed_rows_hold_each_word_apart():
    words = [tuple(range(10, 10 + n)) for n in (3, 5, 2, 7, 4)]
    rows = packing.pack(words, width=8)
    width = rows.ids.shape[1]
    assert rows.ids.size < 24  # 21 tokens
    for word, place in zip(words, rows.places, strict=True):
        assert tuple(rows.ids.ravel()[place]) == word
        row, columns = place[0] // width, place % width
        assert (place // width == row).all()  # no word is cut
        for depth, column in enumerate(columns):
            assert np.flatnonzero(rows.mask[row, column]).tolist() == columns[: depth + 1].tolist()


@pytest.mark.parametrize("longest", [3, 20, 150])
def test_little_of_a_packed_pass_is_padding(longest):
    words = [tuple(range(1 + i % 7)) for i in range(160)] + [tuple(range(longest))]
    rows = packing.pack(words)
    tokens = sum(map(len, words))
    assert tokens <= rows.ids.size < 1.25 * tokens
    assert sorted(np.concatenate(rows.places)) == sorted(set(np.concatenate(rows.places)))
