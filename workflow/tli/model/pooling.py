"""A word's tokens, and how their vectors become one: which tokens are its own, and with which weights they count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tli.errors import EmbedError
from tli.model import packing
from tli.model.framed import Fed, Framed, locate
from tli.model.opened import Opened

POOLINGS = ("no-bos", "with-bos", "last-token", "weighted-mean")
WORD_FORMS = ("alone", "leading-space")
SHOWN = 80  # letters of a form in a message
CARRIERS = ("a", "1", ".")  # what stands before the space; the first that keeps its own tokens beside the word


@dataclass(frozen=True)
class Tokens:
    """One word's token ids, and which of them are the word's own (not BOS, EOS, [CLS] and the like, nor a space before it)."""

    ids: tuple[int, ...]
    first: int
    last: int  # the word's own tokens are ids[first:last]
    frame: tuple[int, ...] = ()  # places of the tokens of a text around it (tli.model.framed), which are in no pooling


def tokenize(tokenizer: Any, words: list[str], form: str = "alone") -> list[Tokens]:
    """Token ids of each word as the tokenizer makes them, with the place of the word's own tokens.

    What the tokenizer adds is found by comparing with and without special tokens; nothing is assumed of it. form: one of
    WORD_FORMS; with "leading-space" the word has the tokens that it has in text after another word, whoever puts the space.
    Where the space is then a token of its own, it stays in the input and out of the word's own tokens, as BOS does.
    Raises EmbedError for a word without any token of its own.
    """
    with_special = tokenizer(words, add_special_tokens=True)["input_ids"]
    without = tokenizer(words, add_special_tokens=False)["input_ids"]
    inside = without if form == "alone" else after_space(tokenizer, words)
    spaces = [0] * len(words) if form == "alone" else _spaces(tokenizer, inside)
    result = []
    for word, ids, plain, fed, space in zip(words, with_special, without, inside, spaces, strict=True):
        if not plain or not fed:
            raise EmbedError(f"the word {word!r} becomes no token at all; take it out of the lexicon")
        first = next((i for i in range(len(ids) - len(plain) + 1) if ids[i : i + len(plain)] == plain), None)
        if first is None:
            raise EmbedError(f"the word {word!r} is cut into other tokens with BOS than without; its own tokens are not clear")
        result.append(Tokens((*ids[:first], *fed, *ids[first + len(plain) :]), first + space, first + len(fed)))
    return result


def own_tokens(tokenizer: Any, words: list[str], form: str) -> list[list[int]]:
    """The ids of each word's own tokens, as in `tokenize`; [] for a word without any."""
    if not words:
        return []
    if form == "alone":
        return tokenizer(words, add_special_tokens=False)["input_ids"]
    inside = after_space(tokenizer, words)
    return [ids[space:] for ids, space in zip(inside, _spaces(tokenizer, inside), strict=True)]


def after_space(tokenizer: Any, words: list[str]) -> list[list[int]]:
    """The ids of each word in a text in which another word and a space go before it, without that other word's.

    A tokenizer that puts the space itself (SentencePiece's prefix) or knows none (WordPiece) so gives what it gives alone, and no
    second space. Raises EmbedError where the word melts together with what goes before.
    """
    result: list[list[int] | None] = [None] * len(words)
    for carrier in CARRIERS:
        left = [i for i, ids in enumerate(result) if ids is None]
        if not left:
            break
        texts = [carrier + ("" if words[i][:1].isspace() else " ") + words[i] for i in left]
        (before,), whole = (tokenizer(one, add_special_tokens=False)["input_ids"] for one in ([carrier], texts))
        for i, ids in zip(left, whole, strict=True):
            if ids[: len(before)] == before:
                result[i] = ids[len(before) :]
    for melted in (word for word, ids in zip(words, result, strict=True) if ids is None):
        raise EmbedError(f"the word {melted!r} shares a token with what goes before it in a text; set word_form: alone for this model")
    return [ids for ids in result if ids is not None]


def _spaces(tokenizer: Any, words: list[list[int]]) -> list[int]:
    """1 for each word whose first token is the space alone, and not all there is; else 0."""
    first = {ids[0] for ids in words if len(ids) > 1}
    blank = {token for token in first if not tokenizer.decode([token]).strip()}
    return [int(len(ids) > 1 and ids[0] in blank) for ids in words]


def tokens_of(opened: Opened, words: Sequence[Fed], form: str = "") -> list[Tokens]:
    """Tokens of the words by the model's tokenizer, whose ids must all have an embedding and stand at a position that the model knows.

    Raises EmbedError: nothing is cut off, since a sentence without its end is another sentence.

    form: of those that stand by themselves, as in `tokenize`; by default the one in which the model is fed words.
    """
    alone = [word for word in words if not isinstance(word, Framed)]
    inside = locate(opened.tokenizer, [word for word in words if isinstance(word, Framed)])
    if not inside:
        tokens = tokenize(opened.tokenizer, alone, form or opened.word_form)
    else:
        by_themselves = iter(tokenize(opened.tokenizer, alone, form or opened.word_form) if alone else [])
        in_frames = (Tokens(one.ids, one.first, one.last, one.frame) for one in inside)
        tokens = [next(in_frames if isinstance(word, Framed) else by_themselves) for word in words]
    rows, longest = opened.base.get_input_embeddings().weight.shape[0], longest_input(opened)
    too_long = [
        (len(token.ids), word.text if isinstance(word, Framed) else word)
        for word, token in zip(words, tokens, strict=True)
        if len(token.ids) > longest
    ]
    if too_long:
        count, text = max(too_long)
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        raise EmbedError(
            f"{len(too_long)} of {len(words)} forms have more tokens than the {longest} that the model takes, {count} the longest "
            f"({shown!r}); take them out of the list, or shorten them"
        )
    for word, token in zip(words, tokens, strict=True):
        if max(token.ids) >= rows:
            raise EmbedError(
                f"the word {word!r} has the token id {max(token.ids)} and the model embeds ids below {rows}: the tokenizer is another "
                "model's, or tokens were added to it and not to the model; copy the tokenizer's files from the model's own page"
            )
    return tokens


def longest_input(opened: Opened) -> int:
    """Tokens that the model takes at once, with what the tokenizer adds: the less of what its config and its tokenizer say."""
    limits = getattr(opened.base.config, "max_position_embeddings", None), getattr(opened.tokenizer, "model_max_length", None)
    return min((one for one in limits if one), default=2**62)


def weights(tokens: list[Tokens], pooling: str, width: int) -> np.ndarray:
    """Weights [words, width] of each token in the pooled vector; a row adds up to 1.

    "weighted-mean" weighs the word's i-th token by i (Muennighoff 2022, arXiv 2202.08904).
    """
    result = np.zeros((len(tokens), width), np.float32)
    for row, word in zip(result, tokens, strict=True):
        if pooling == "with-bos":
            row[: len(word.ids)] = 1
            row[list(word.frame)] = 0
        elif pooling == "no-bos":
            row[word.first : word.last] = 1
        elif pooling == "last-token":
            row[word.last - 1] = 1
        elif pooling == "weighted-mean":
            row[word.first : word.last] = np.arange(1, word.last - word.first + 1)
        else:
            raise ValueError(f"pooling {pooling!r} is none of {', '.join(POOLINGS)}")
    return result / result.sum(axis=1, keepdims=True)


def mix(rows: packing.Rows, token_weights: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pooling as a product: float32 [rows, most words of a row, width], and the slot of each word among its first two axes."""
    count, width = rows.ids.shape
    row_of = np.array([place[0] // width for place in rows.places])
    in_row = np.bincount(row_of, minlength=count)
    order = np.argsort(row_of, kind="stable")
    rank = np.empty(len(row_of), dtype=np.int64)
    rank[order] = np.arange(len(row_of)) - np.repeat(np.cumsum(in_row) - in_row, in_row)
    matrix = np.zeros((count, in_row.max(), width), np.float32)
    lengths = [len(place) for place in rows.places]
    matrix[np.repeat(row_of, lengths), np.repeat(rank, lengths), np.concatenate(rows.places) % width] = np.concatenate(token_weights)
    return matrix, row_of * in_row.max() + rank
