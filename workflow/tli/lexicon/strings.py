"""What cleaning does to one text: marks, brackets, numbers, quotes and gloss words off, several forms in one cell apart."""

from __future__ import annotations

import re

# Zero-width and direction marks that carry no letter; the joiners U+200C and U+200D do, and stay.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufffe\uffff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|（[^（）]*）|【[^【】]*】")
_BRACKET = re.compile(r"[()\[\]{}（）【】]")
_NUMBERED = re.compile(r"^\(?\d{1,2}[.)]\s+(?=\D)")
_SUPERSCRIPT = re.compile(r"(?<=[^\W\d_])\s*[¹²³⁰⁴-⁹₀-₉]+$")
_NUMBER_AT_END = re.compile(r"^(.*[^\W\d_])(\d+)$", re.DOTALL)
_QUOTED = re.compile(r"""^(["“”«»„].*["“”«»“]|‘.*’)$""", re.DOTALL)
_WORDS_WITH_SLASH = re.compile(r"^[^\W\d_]{2,}(?:/[^\W\d_]{2,})+$")
_ARTICLE = re.compile(r"^(the|an?)\s+(\S+)$", re.IGNORECASE)
_INFINITIVE = re.compile(r"^to\s+(?!(?:me|you|him|her|it|us|them|the|a|an|this|that|where|which|whom|and)\b)(.+)$", re.I)
_KEEP_ARTICLE = {"lot", "few", "little", "bit", "while", "same", "most", "more", "one", "other"}


def without_control(text: str) -> str:
    return text if text.isascii() and text.isprintable() else _CONTROL.sub("", _INVISIBLE.sub("", text))


def single_spaces(text: str) -> str:
    return " ".join(text.split())


def without_brackets(text: str) -> str:
    if not _BRACKET.search(text):
        return text
    before = None
    while before != text:
        before, text = text, _BRACKETS.sub("", text)
    text = re.sub(r"\s[(\[{（【].*$", "", text)  # a hint that is not closed
    return re.sub(r"\s+([,;.!?])", r"\1", single_spaces(_BRACKET.sub(" ", text)))


def without_number(text: str) -> str:
    return _SUPERSCRIPT.sub("", _NUMBERED.sub("", text))


def without_quotes(text: str) -> str:
    return text[1:-1].strip() if len(text) > 2 and _QUOTED.match(text) else text


def without_gloss_words(text: str) -> str:
    article = _ARTICLE.match(text)
    if article and article.group(2).casefold() not in _KEEP_ARTICLE:
        return article.group(2)
    verb = _INFINITIVE.match(text)
    return verb.group(1) if verb and len(verb.group(1).split()) <= 4 else text


def parts(text: str, separators: str) -> list[str]:
    """The translations in one cell. A slash parts words only where it stands free or joins whole words and nothing else."""
    if not text:
        return []
    forms = [text]
    for separator in separators:
        if separator not in text:
            continue
        if separator == "/":
            forms = [part for text in forms for part in re.split(r"\s+/\s+", text)]
            forms = [part for text in forms for part in (text.split("/") if _WORDS_WITH_SLASH.match(text.strip()) else [text])]
        else:
            forms = [part for text in forms for part in text.split(separator)]
    return [part for part in map(str.strip, forms) if part]


def homonyms(forms: list[str], others: list) -> dict[str, str]:
    """Forms that end in a homonym number -> the form without it.

    A number is one where a word stands with 1, 2, ... or bare and with 2, ..., and with no other; and where the row's
    other side does not end in the same digit ("s1", "t1" are names, not homonyms).
    """
    numbers: dict[str, set[str]] = {}
    bases: dict[str, str] = {}
    for form, other in zip(forms, others):
        match = _NUMBER_AT_END.match(form)
        base = match.group(1) if match else form
        numbers.setdefault(base.casefold(), set()).add(match.group(2) if match else "1")
        if match and not (isinstance(other, str) and other.endswith(match.group(2))):
            bases[form] = base
    expected = {base: {str(number) for number in range(1, len(seen) + 1)} for base, seen in numbers.items()}
    several = {base for base, seen in numbers.items() if 1 < len(seen) < 10 and seen == expected[base]}
    return {form: base for form, base in bases.items() if base.casefold() in several}
