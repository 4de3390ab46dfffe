"""A word inside a neutral frame ("The word {word} means"): its own tokens, found by the characters that each token stands for.

A token is the word's where its characters and the word's overlap. One that straddles the word's edge, with letters of both (a
quotation mark that melted with the word), is therefore the word's; `InFrame.straddles` tells. A space alone before the word is read and
not the word's, as in `word_form: leading-space`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tli.errors import EmbedError
from tli.specs import WORD


class Framed(NamedTuple):
    """A word, and the template in which it is fed: a text that holds WORD once."""

    word: str
    template: str

    @property
    def text(self) -> str:
        """What the model reads."""
        return self.template.replace(WORD, self.word)

    @property
    def span(self) -> tuple[int, int]:
        """The word's first character in the text, and the one after its last."""
        first = self.template.index(WORD)
        return first, first + len(self.word)


Fed = str | Framed  # a word as a model reads it: by itself, or in a frame


def in_frames(words: Sequence[str], templates: Sequence[str]) -> list[Fed]:
    """Each word as it is fed in the template of its own: by itself in "{word}"."""
    return [word if template == WORD else Framed(word, template) for word, template in zip(words, templates, strict=True)]


class InFrame(NamedTuple):
    """The tokens of a framed word. What belongs to the word is ids[first:last]."""

    ids: tuple[int, ...]
    first: int
    last: int
    frame: tuple[int, ...]  # the places of the frame's tokens; the rest is the word's, or was added by the tokenizer
    straddles: bool  # a token holds letters of the word and of the frame


def framed(words: Sequence[str], template: str) -> list[Fed]:
    """The words as they are fed in one template."""
    return in_frames(words, [template] * len(words))


def locate(tokenizer: Any, words: Sequence[Framed]) -> list[InFrame]:
    """The tokens of each word in its frame, with the place of its own ones.

    Raises EmbedError for a tokenizer that does not tell which characters a token stands for, one that drops characters of the frame (then
    it counts characters wrongly), and a word without any token of its own.
    """
    if not words:
        return []
    if not getattr(tokenizer, "is_fast", False):
        raise EmbedError(
            f"{type(tokenizer).__name__} does not tell which characters a token stands for, so a word is not found in a template; put the "
            "tokenizer.json of the fast tokenizer beside the model (AutoTokenizer...save_pretrained writes it), or take pooling.templates out"
        )
    for template in dict.fromkeys(word.template for word in words):
        _assert_whole(tokenizer, template)
    texts = [word.text for word in words]
    read = tokenizer(texts, add_special_tokens=True, return_offsets_mapping=True, return_special_tokens_mask=True)
    blank: dict[int, bool] = {}
    found = []
    for word, text, ids, spans, added in zip(
        words, texts, read["input_ids"], read["offset_mapping"], read["special_tokens_mask"], strict=True
    ):
        start, end = word.span
        end -= _dropped(tokenizer, text, zip(ids, spans, added, strict=True), blank)
        own = [i for i, (a, b) in enumerate(spans) if a < end and b > start and b > a and not added[i]]
        if not own:
            raise EmbedError(
                f"the word {word.word!r} has no token of its own in the template {word.template!r}: the tokenizer drops it, or does not "
                "tell which characters its tokens stand for; take the word out of the lexicon, or pooling.templates out of the config"
            )
        first, last = own[0], own[-1] + 1
        while first < last - 1 and _is_blank(tokenizer, ids[first], blank):
            first += 1
        frame = tuple(i for i in range(len(ids)) if not first <= i < last and not added[i])
        beyond = "".join(text[min(a, start) : start] + text[word.span[1] : max(b, word.span[1])] for a, b in spans[first:last])
        found.append(InFrame(tuple(ids), first, last, frame, bool(beyond.strip())))
    return found


def _assert_whole(tokenizer: Any, template: str) -> None:
    """Every character of the frame must be some token's: where letters are dropped, those after them are counted wrongly."""
    blank: dict[int, bool] = {}
    for part in template.split(WORD):
        if not part.strip():
            continue
        read = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
        told = zip(read["input_ids"], read["offset_mapping"], strict=True)
        seen = {place for token, (a, b) in told if not _is_blank(tokenizer, token, blank) for place in range(a, b)}
        lost = [letter for place, letter in enumerate(part) if place not in seen and not letter.isspace()]
        if lost:
            raise EmbedError(
                f"the tokenizer drops {''.join(lost)!r} of the template {template!r}, so it is not clear which tokens are the word's; "
                "write the template with characters that it knows"
            )


def _dropped(tokenizer: Any, text: str, tokens: Iterable[tuple[int, tuple[int, int], int]], blank: dict[int, bool]) -> int:
    """How many letters of the word were dropped, as far as all tokens after it tell places that are too low by so many.

    The frame is whole, so the last of its tokens would else end where the text does. tokens: id, span, and whether the tokenizer added it.
    """
    ends = [b for token, (_, b), added in tokens if not added and not _is_blank(tokenizer, token, blank)]
    return max(0, len(text.rstrip()) - max(ends)) if ends else 0


def _is_blank(tokenizer: Any, token: int, known: dict[int, bool]) -> bool:
    if token not in known:
        known[token] = not tokenizer.decode([token]).strip()
    return known[token]
