"""What a model's tokenizer makes of words: how many tokens, whether the other form is cut otherwise, what it does not know.

fertility       own tokens / words, a form of several words counting as so many
unknown         forms with the token for what is not known, with letters that the tokenizer drops, or without any token; a
                character spelt in bytes is none of these
cut characters  forms in which a character's bytes lie in several tokens
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tli.errors import EmbedError
from tli.io import tables
from tli.model.framed import Framed, locate
from tli.model.pooling import WORD_FORMS, own_tokens
from tli.specs import WORD, TemplateSpec

MANY_UNKNOWN = 0.01  # share of a side's forms from which on a warning is given
TOO_MANY_UNKNOWN = 0.5  # and beyond which the list is refused: most of it would be one and the same token
SPACES = " \u2581\u0120"  # a space in the names of tokens: itself, SentencePiece's, that of tokenizers in bytes
FED = {"alone": "alone", "leading-space": "after a space"}
MOST_SHOWN = 3


@dataclass(frozen=True)
class TokenFacts:
    """Of some distinct forms, fed in one form; every count but `words` and `tokens` is one of forms."""

    forms: int
    words: int
    tokens: int
    one_token: int
    cut_otherwise: int | None  # than in the other form; None where that one is not to be had
    unknown: tuple[str, ...]
    cut_characters: int
    alike: int  # that become the same tokens as another form: the model cannot tell them apart

    @property
    def fertility(self) -> float:
        return self.tokens / max(1, self.words)


def token_facts(tokenizer: Any, forms: Iterable[str], word_form: str) -> TokenFacts:
    """What `tokenizer` makes of the distinct `forms`, fed as `word_form`. Raises EmbedError where it cannot be fed so."""
    return _both(tokenizer, forms, word_form)[word_form]


def _both(tokenizer: Any, forms: Iterable[str], used: str, both: bool = True) -> dict[str, TokenFacts]:
    """`token_facts` by word form: of the one that is `used`, then of the other, if it is to be had. Raises EmbedError as they do."""
    forms = list(dict.fromkeys(forms))
    own = {used: own_tokens(tokenizer, forms, used)}
    if both:
        (other,) = set(WORD_FORMS) - {used}
        with suppress(EmbedError):
            own[other] = own_tokens(tokenizer, forms, other)
    pieces, unknown_ids = Pieces(tokenizer), _unknown_ids(tokenizer)
    cuts = {form: [pieces.cuts(ids) for ids in lists] for form, lists in own.items()} if len(own) > 1 else {}
    otherwise = sum(one != other for one, other in zip(*cuts.values(), strict=True)) if cuts else None
    return {word_form: _facts(pieces, forms, lists, unknown_ids, otherwise) for word_form, lists in own.items()}


def _facts(pieces: Pieces, forms: list[str], own: list[list[int]], unknown_ids: set[int], otherwise: int | None) -> TokenFacts:
    read, same = _decoded(pieces.tokenizer, own), Counter(map(tuple, own))
    lost = (not unknown_ids.isdisjoint(ids) or _letters(text) < _letters(form) for form, ids, text in zip(forms, own, read, strict=True))
    return TokenFacts(
        forms=len(forms),
        words=sum(max(1, len(form.split())) for form in forms),
        tokens=sum(map(len, own)),
        one_token=sum(len(ids) == 1 for ids in own),
        cut_otherwise=otherwise,
        unknown=tuple(form for form, is_lost in zip(forms, lost, strict=True) if is_lost),
        cut_characters=sum(any(map(pieces.is_part, ids)) for ids in own),
        alike=sum(same[tuple(ids)] > 1 for ids in own),
    )


class Pieces:
    """A tokenizer's tokens as text, each looked up once."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._names: dict[int, str] = {}
        self._parts: dict[int, bool] = {}

    def cuts(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The pieces of a word, whether or not a space was put to the first of them: equal for two forms that are cut alike."""
        names = [self._name(one).lstrip(SPACES) for one in ids]
        return tuple(name for name in names if name)

    def is_part(self, token: int) -> bool:
        """Whether a token holds some bytes of a character and not all."""
        if token not in self._parts:
            text = self.tokenizer.decode([token])
            self._parts[token] = "\ufffd" in text or (not text and bool(self._name(token).strip(SPACES)))
        return self._parts[token]

    def _name(self, token: int) -> str:
        if token not in self._names:
            name = self.tokenizer.convert_ids_to_tokens(token)
            self._names[token] = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        return self._names[token]


def tokens_table(tokenizer: Any, pairs: pd.DataFrame, pair: str, used: str, both: bool = True) -> pd.DataFrame:
    """tables.TOKENS without the model's name: each side of a list in the form that is `used`, and with `both` in the other one.

    pairs: columns source, target. Raises EmbedError where the tokenizer cannot be fed words in the form that is used; the other is
    then left out.
    """
    rows = []
    for side, language in zip(("source", "target"), pair.split("-"), strict=True):
        for form, facts in _both(tokenizer, pairs[side].tolist(), used, both).items():
            values = {name: getattr(facts, name) for name in ("forms", "words", "tokens", "fertility", "one_token", "cut_otherwise")}
            values |= {"unknown": len(facts.unknown), "cut_characters": facts.cut_characters, "alike": facts.alike}
            names = {"pair": pair, "side": side, "language": language, "word_form": form, "used": form == used}
            rows.append(names | values | {"unknown_forms": "|".join(facts.unknown[:MOST_SHOWN])})
    return pd.DataFrame(rows, columns=[name for name in tables.TOKENS if name != "model"])


def assert_known(table: pd.DataFrame, model: str) -> None:
    """Raises EmbedError where the tokenizer does not know most of a side's forms. table: as `tokens_table` gives it."""
    for row in table[table["used"]].itertuples():
        if row.unknown > TOO_MANY_UNKNOWN * row.forms:
            raise EmbedError(
                f"{row.pair}: the tokenizer of models.{model} does not know {row.unknown:,} of {row.forms:,} {row.language} forms "
                f"({row.unknown / row.forms:.1%}: {_some(row.unknown_forms, row.unknown)}): they would be the same tokens, and equal vectors "
                "would be compared. Take a model whose tokenizer knows this script (one in bytes, or with byte fallback), write the list "
                "in a script that it knows, or leave this pair to other models in a config of its own"
            )


def token_lines(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(severity, text) of an audit: what the tokenizer makes of each side, a sentence each. table: as `tokens_table` gives it."""
    lines = []
    for row in table[table["used"]].itertuples():
        other = table[(table["side"] == row.side) & ~table["used"]]
        text = f"{row.language}: {row.fertility:.2f} tokens a word, fed {FED[row.word_form]}"
        for one in other.itertuples():
            text += f"; {one.fertility:.2f} {FED[one.word_form]}, where {one.cut_otherwise / max(1, one.forms):.0%} of the forms are cut otherwise"
        lines.append(("info", text))
        if row.unknown:
            share = row.unknown / row.forms
            text = (
                f"{row.language}: the tokenizer does not know {row.unknown:,} of {row.forms:,} forms ({share:.1%}): "
                f"{_some(row.unknown_forms, row.unknown)}; their vectors are of an unknown token, or lack the letters that it drops"
            )
            lines.append(("warning" if share > MANY_UNKNOWN else "info", text))
        if row.alike:
            share = row.alike / row.forms
            text = f"{row.language}: {row.alike:,} of {row.forms:,} forms become the same tokens as another: no model can tell them apart"
            lines.append(("warning" if share > MANY_UNKNOWN else "info", text))
        if row.cut_characters:
            text = f"{row.language}: in {row.cut_characters:,} of {row.forms:,} forms a character is cut between tokens"
            lines.append(("info", text))
    return lines


def template_lines(tokenizer: Any, pairs: pd.DataFrame, pair: str, templates: TemplateSpec) -> list[tuple[str, str]]:
    """(severity, text) of an audit: in each frame, how many forms share a token with it. Raises EmbedError as `framed.locate` does."""
    lines = []
    for side, language, texts in zip(("source", "target"), pair.split("-"), (templates.source, templates.target), strict=True):
        forms = list(dict.fromkeys(pairs[side]))
        for number in templates.numbers:
            template = texts[number - 1]
            if template == WORD:
                continue
            found = locate(tokenizer, [Framed(form, template) for form in forms])
            shared = [form for form, one in zip(forms, found, strict=True) if one.straddles]
            text = f"{language}, template {number} ({template}): {len(shared):,} of {len(forms):,} forms share a token with the frame"
            text += f" ({_some('|'.join(shared[:MOST_SHOWN]), len(shared))}); it is counted as the word's" if shared else ""
            lines.append(("warning" if len(shared) > MANY_UNKNOWN * len(forms) else "info", text))
    return lines


def _some(shown: str, count: int) -> str:
    forms = ", ".join(shown.split("|"))
    return forms + (", ..." if count > MOST_SHOWN else "")


def _decoded(tokenizer: Any, ids: list[list[int]]) -> list[str]:
    return tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) if ids else []


def _letters(text: str) -> int:
    """Letters and digits, accents apart: a tokenizer that strips these drops none."""
    return sum(map(str.isalnum, text if text.isascii() else unicodedata.normalize("NFKD", text)))


def _unknown_ids(tokenizer: Any) -> set[int]:
    """Ids that stand for what is not in the vocabulary: as the tokenizer names it, and as its model does where that is silent."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    ids = {tokenizer.unk_token_id}
    model = getattr(backend, "model", None)
    if name := getattr(model, "unk_token", None):
        ids.add(tokenizer.convert_tokens_to_ids(name))
    elif tokenizer.unk_token_id is None and type(model).__name__ == "Unigram":
        ids.add(json.loads(backend.to_str())["model"]["unk_id"])
    return ids - {None}
