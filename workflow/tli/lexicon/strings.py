"""What cleaning does to one text: marks, brackets, numbers, quotes and gloss words off, several forms in one cell apart."""

from __future__ import annotations

import re

MOST_WORDS = 4  # of a synonym in a list
MOST_WORDS_OF_A_HEAD = 2  # of what a list of synonyms translates

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
_COMMA = re.compile("[,،፣、，]")
_DIGITS = re.compile(r"\d.\d$")
_EDGES = re.compile(r"^[\s,،፣、，;|]+|[\s,،፣、，;|]+$")
_SENTENCE = re.compile(r"[!?…。؟]$|[^\W\d_]{3,}\.$|[,،፣、，]\s*(?:and|or|but|nor)\s", re.IGNORECASE)
_ARTICLE = re.compile(r"^(the|an?)\s+(\S+)$", re.IGNORECASE)
_INFINITIVE = re.compile(r"^to\s+(?!(?:me|you|him|her|it|us|them|the|a|an|this|that|where|which|whom|and)\b)(.+)$", re.IGNORECASE)
_KEEP_ARTICLE = {"lot", "few", "little", "bit", "while", "same", "most", "more", "one", "other"}


def without_control(text: str) -> str:
    """Without control and invisible characters."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub("", _INVISIBLE.sub("", text))


def single_spaces(text: str) -> str:
    """Runs of white space become one space; none at the ends."""
    return " ".join(text.split())


def without_brackets(text: str) -> str:
    """Without what stands in brackets.

    >>> without_brackets("bank (of a river)")
    'bank'
    """
    if not _BRACKET.search(text):
        return text
    before = None
    while before != text:
        before, text = text, _BRACKETS.sub("", text)
    text = re.sub(r"\s[(\[{（【].*$", "", text)  # a hint that is not closed
    return re.sub(r"\s+([,;.!?])", r"\1", single_spaces(_BRACKET.sub(" ", text)))


def without_number(text: str) -> str:
    """Without a number or superscript that counts homonyms."""
    return _SUPERSCRIPT.sub("", _NUMBERED.sub("", text))


def without_quotes(text: str) -> str:
    """Without quotes around the whole."""
    return text[1:-1].strip() if len(text) > 2 and _QUOTED.match(text) else text


def without_gloss_words(text: str) -> str:
    """Without the words that a gloss puts before an English noun or verb.

    >>> without_gloss_words("to eat"), without_gloss_words("the moon"), without_gloss_words("a lot")
    ('eat', 'moon', 'a lot')
    """
    article = _ARTICLE.match(text)
    if article and article.group(2).casefold() not in _KEEP_ARTICLE:
        return article.group(2)
    verb = _INFINITIVE.match(text)
    return verb.group(1) if verb and len(verb.group(1).split()) <= 4 else text


def without_edges(text: str) -> str:
    """Without commas, semicolons and bars at its two ends.

    >>> without_edges(", water;")
    'water'
    """
    return _EDGES.sub("", text)


def has_comma(text: str) -> bool:
    """Whether a comma stands between words."""
    return _COMMA.search(text) is not None


def is_phrase(text: str) -> bool:
    """Whether a translation of `text` with commas is a phrase like itself and no list of synonyms: it has commas or many words."""
    return has_comma(text) or any(len(form.split()) > MOST_WORDS_OF_A_HEAD for form in re.split(r"[|;/]", without_brackets(text)))


def synonyms(text: str) -> list[str]:
    """The parts of a list of synonyms, at its commas; a text that is no such list stays one.

    A comma parts nothing inside brackets or quotes or between digits, in a sentence (an end mark, or a comma before a word
    such as "and"), and where a part has more than MOST_WORDS words; the last may have more after two others ("these, those,
    the ones that are meant").

    >>> synonyms("big, large"), synonyms("1,5")
    (['big', 'large'], ['1,5'])
    """
    pieces, depth, quoted, start = [], 0, False, 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
        elif character == '"':
            quoted = not quoted
        elif _COMMA.match(character) and not depth and not quoted and not _DIGITS.match(text[max(0, place - 1) : place + 2]):
            pieces.append(text[start:place])
            start = place + 1
    pieces = [piece.strip() for piece in [*pieces, text[start:]]]
    lengths = [len(without_brackets(piece).split()) for piece in pieces if piece]
    if _SENTENCE.search(text) or max(lengths[:-1] if len(lengths) > 2 else lengths, default=0) > MOST_WORDS:
        return [text]
    return [piece for piece in pieces if piece]


def parts(text: str, separators: str) -> list[str]:
    """The translations in one cell.

    A comma parts a list of synonyms and nothing else; a slash only where it stands free or joins whole words and nothing else.
    """
    if not text:
        return []
    forms = [text]
    for separator in separators:
        if separator == ",":
            forms = [part for text in forms for part in (synonyms(text) if has_comma(text) else [text])]
        elif separator not in text:
            continue
        elif separator == "/":
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
