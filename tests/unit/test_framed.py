"""A word's own tokens in a frame: against a plain loop over characters, in tokenizers of many kinds."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tokenizers_of_many_kinds as kinds
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import WORDS, hidden_states, whole_model

from tli.errors import EmbedError
from tli.model.embedding import embed
from tli.model.framed import Framed, framed, locate
from tli.model.layouts import is_exact
from tli.model.opening import open_model
from tli.model.pooling import Tokens, tokenize, tokens_of, weights

FRAMES = ["Neno {word} lina maana", "{word} moto", "maji {word}", "({word})", "maji \u201c{word}\u201d, moto"]


@cache
def made(kind: str):
    return kinds.make(kind)


def by_characters(tokenizer, template: str, word: str) -> list[int]:
    """The plain loop: the places of the tokens that stand for a character of the word; a space alone before it is none of them."""
    text = template.replace("{word}", word)
    start = template.index("{word}")
    read = tokenizer(text, return_offsets_mapping=True)
    own = []
    for character in range(start, start + len(word)):
        for place, (first, last) in enumerate(read["offset_mapping"]):
            if first <= character < last and place not in own:
                own.append(place)
    own.sort()
    while len(own) > 1 and not tokenizer.decode([read["input_ids"][own[0]]]).strip():
        own.pop(0)
    return own


@pytest.mark.parametrize("kind", kinds.KINDS)
@pytest.mark.parametrize("template", FRAMES)
def test_own_tokens_are_those_of_the_plain_loop(kind, template):
    tokenizer = made(kind)
    if kind == "gemma-lossy" and template != "{word} moto" and template != "maji {word}":
        with pytest.raises(EmbedError, match="the tokenizer drops '.*' of the template"):
            locate(tokenizer, [Framed("maji", template)])
        return
    words = [*WORDS, "habari za asubuhi", "\u00e1m", "Moto"]
    if kind == "gemma-lossy":
        words = WORDS
    for word, tokens in zip(words, locate(tokenizer, [Framed(word, template) for word in words]), strict=True):
        text = template.replace("{word}", word)
        assert list(tokens.ids) == tokenizer(text)["input_ids"], "what is fed is what the tokenizer makes of the text"
        own = by_characters(tokenizer, template, word)
        assert list(range(tokens.first, tokens.last)) == own
        added = [i for i, one in enumerate(tokenizer(text, return_special_tokens_mask=True)["special_tokens_mask"]) if one]
        assert sorted([*tokens.frame, *own, *added]) == list(range(len(tokens.ids)))


@settings(max_examples=60, deadline=None)
@given(
    word=st.text("abcdefg \u00e1\u00f1\u1230\u120b\u6c34'", min_size=1, max_size=9).map(str.strip).filter(len),
    template=st.sampled_from(FRAMES),
    kind=st.sampled_from([kind for kind in kinds.KINDS if kind != "gemma-lossy"]),
)
def test_any_word_is_read_back_from_its_own_tokens(word, template, kind):
    """A property that looks at no offset: with the frame's tokens taken off, the word's letters are what is left, where all are known."""
    tokenizer = made(kind)
    (tokens,) = locate(tokenizer, [Framed(word, template)])
    read = tokenizer.decode(tokens.ids[tokens.first : tokens.last], clean_up_tokenization_spaces=False)
    if tokens.straddles:
        assert word.split()[0] in read or "<unk>" in read or "\ufffd" in read
    elif not {"<unk>"} & set(tokenizer.convert_ids_to_tokens(tokens.ids[tokens.first : tokens.last])):
        folded = word.replace("\u00e1", "a").replace("\u00f1", "n") if kind == "wordpiece" else word
        assert "".join(read.split()) == "".join(folded.split())


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_between_spaces_a_word_has_the_tokens_of_a_word_after_a_space(kind):
    """Closed form from another way of finding them: what is left when the frame's beginning is taken off (word_form: leading-space)."""
    tokenizer = made(kind)
    spaced = tokenize(tokenizer, WORDS, "leading-space")
    for word, one, other in zip(WORDS, locate(tokenizer, [Framed(word, "maji {word}") for word in WORDS]), spaced, strict=True):
        assert one.ids[one.first : one.last] == other.ids[other.first : other.last], word
        assert not one.straddles


def test_spans_that_leave_the_space_out_find_the_same_tokens():
    """As GPT-2 and Llama 3 are published: their spans of a token with a space begin after it."""
    from tokenizers import processors

    trimmed, plain = kinds.make("bytes"), made("bytes")
    trimmed.backend_tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=True), plain.backend_tokenizer.post_processor]
    )
    words = [Framed(word, template) for template in FRAMES for word in WORDS]
    spans = [tokenizer("maji afya", return_offsets_mapping=True)["offset_mapping"] for tokenizer in (trimmed, plain)]
    assert spans[0] != spans[1]
    assert locate(trimmed, words) == locate(plain, words)


@pytest.mark.parametrize("name", ["stories260K", "stories656K"])
@pytest.mark.parametrize("template", FRAMES)
def test_in_real_tokenizers_too(test_data, name, template):
    """SentencePiece as it was published, with dummy prefix and byte fallback."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(test_data / "models" / name)
    if name == "stories656K" and template.startswith(("(", "maji \u201c")):
        with pytest.raises(EmbedError, match="the tokenizer drops '.' of the template"):
            locate(tokenizer, [Framed("maji", template)])
        return
    for word, tokens in zip(WORDS, locate(tokenizer, [Framed(word, template) for word in WORDS]), strict=True):
        assert list(range(tokens.first, tokens.last)) == by_characters(tokenizer, template, word)
        read = tokenizer.decode(tokens.ids[tokens.first : tokens.last])
        assert tokens.straddles or read.strip() == word


def test_where_letters_of_the_word_are_dropped_the_frame_is_not_taken_for_the_word(test_data):
    """This tokenizer has no token for a bracket, none for what is unknown, and reads a text as one piece: all later spans are too low."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(test_data / "models" / "stories656K")
    for template in ("maji {word} moto", "maji {word}", "{word} moto"):
        for word in ("((ki(tabu", "kitabu((", "(kitabu"):
            (without,), (spoilt,) = (locate(tokenizer, [Framed(one, template)]) for one in ("kitabu", word))
            assert spoilt.ids == without.ids and (spoilt.first, spoilt.last) == (without.first, without.last)


def test_a_token_that_holds_letters_of_both_is_the_words_and_is_counted():
    """A byte-level tokenizer that merged the hyphen with letters before and after it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {one: i for i, one in enumerate(["x", "-", "m", "a", "-m", "a-"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("-", "m"), ("a", "-")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    (tokens,) = locate(fast, [Framed("ma", "x-{word}-x")])
    assert fast.convert_ids_to_tokens(tokens.ids) == ["x", "-m", "a-", "x"]
    assert (tokens.first, tokens.last, tokens.frame, tokens.straddles) == (1, 3, (0, 3), True)
    (clear,) = locate(fast, [Framed("ma", "-{word}x")])  # -m straddles, a does not
    assert clear.straddles and fast.convert_ids_to_tokens(clear.ids[clear.first : clear.last]) == ["-m", "a"]


def test_who_tells_no_characters_is_refused_with_the_mend():
    class Slow:
        is_fast = False

    with pytest.raises(EmbedError, match=r"Slow does not tell which characters.*tokenizer\.json.*or take pooling\.templates out"):
        locate(Slow(), [Framed("maji", "neno {word}")])
    with pytest.raises(EmbedError, match="'\u6c34' has no token of its own in the template"):
        locate(made("gemma-lossy"), [Framed("\u6c34", "maji {word}")])


def test_the_word_alone_is_todays_path(models):
    assert framed(WORDS, "{word}") == WORDS
    opened = open_model(models("llama"))
    assert tokens_of(opened, framed(WORDS, "{word}")) == tokenize(opened.tokenizer, WORDS)
    mixed = tokens_of(opened, ["maji", Framed("maji", "moto {word}"), "mti"])
    assert [mixed[0], mixed[2]] == tokenize(opened.tokenizer, ["maji", "mti"]) and mixed[1].frame


def test_no_pooling_takes_a_token_of_the_frame():
    """By hand: BOS, two of the frame, two of the word, one of the frame, EOS."""
    tokens = Tokens((1, 10, 11, 20, 21, 12, 2), 3, 5, (1, 2, 5))
    expected = {
        "no-bos": [0, 0, 0, 0.5, 0.5, 0, 0],
        "with-bos": [0.25, 0, 0, 0.25, 0.25, 0, 0.25],
        "last-token": [0, 0, 0, 0, 1, 0, 0],
        "weighted-mean": [0, 0, 0, 1 / 3, 2 / 3, 0, 0],
    }
    for pooling, row in expected.items():
        np.testing.assert_allclose(weights([tokens], pooling, 7)[0], row, rtol=1e-6)


# --- vectors --------------------------------------------------------------------------------------------------------


def plain_vector(model, tokenizer, template: str, word: str, state: int) -> np.ndarray:
    """One framed word by itself through Transformers, the mean of the tokens of the plain loop."""
    ids = tokenizer(template.replace("{word}", word))["input_ids"]
    return hidden_states(model, ids)[state][by_characters(tokenizer, template, word)].mean(dim=0).numpy()


@pytest.mark.parametrize("family", ["llama", "gpt2", "neox", "bert", "xlmr"])
@pytest.mark.parametrize("stream", ["never", "always"])
def test_packed_with_shared_beginnings_as_one_by_one(models, family, stream):
    if stream == "always" and family not in ("llama", "gpt2"):
        pytest.skip("one streamed decoder of each kind of product will do")
    spec = models(family, stream=stream)
    opened = open_model(spec)
    model = whole_model(models(family))
    words: list = [Framed(word, template) for template in ("moto {word} ndege", "{word} maji") for word in WORDS]
    embedded = embed(opened, [*words, *WORDS], [1, 3, 4], ["no-bos"])
    for state in (1, 3, 4):
        ours = embedded.vectors[state, "no-bos"]
        for word, vector in zip(words, ours[: len(words)], strict=True):
            np.testing.assert_allclose(vector, plain_vector(model, opened.tokenizer, word.template, word.word, state), atol=2e-5, rtol=1e-4)


def test_a_causal_model_reads_the_frames_beginning_once(models):
    """The tokens that are computed: fewer than half of those that a pass without sharing has."""
    from tli.model.embedding import passes

    opened = open_model(models("llama"))
    tokens = tokens_of(opened, [Framed(word, "habari za asubuhi na mchana {word}") for word in WORDS])
    assert is_exact(opened, "share", tokens)
    laid = sum(int((rows.mask.sum(axis=-1) > 1).sum()) for rows in passes(opened, tokens))  # a place that sees more than itself
    assert laid < 0.5 * sum(len(one.ids) for one in tokens)
