"""What counts as the same word: keys and content words, and the error that every part of the room raises."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from tli.errors import LexiconError

SPLITS = ("train", "select", "heldout")


def fail(reason: str, mend: str, *, file: str = "", line: int = 0) -> LexiconError:
    """The error for `file`, `line`: "<file>, line <line>: <reason>; <mend>"."""
    where = f"{file}, line {line}: " if file and line else f"{file}: " if file else ""
    return LexiconError(f"{where}{reason}; {mend}")


# One sign for all that people type as an apostrophe (or a glottal stop written with one), and one for all hyphens. For keys only.
_APOSTROPHES = "`\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u055a\u05f3\u1fbd\u1fbf\u1fef\u1ffd\u1ffe\u2018\u2019\u201b\u2032\u2035\ua78b\ua78c\uff07\uff40"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_SAME = str.maketrans(dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_HYPHENS, "-"))
_SPACE = re.compile(r"\s+")


@lru_cache(maxsize=1 << 19)
def key(form: str) -> str:
    """The normalised whole form: two forms with one key are the same word (science: equal normalised forms).

    NFKC, case folded, apostrophes and hyphens of one kind, single spaces, no punctuation at the edges (unless there is
    nothing else). Diacritics count: "bàyyi" is not "bayyi".
    """
    text = form.translate(_SAME)  # before NFKC, which parts the acute accent into a space and a mark
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_SAME)
    text = _SPACE.sub(" ", text.casefold()).strip()
    if text.isalnum():
        return text
    start, end = 0, len(text)
    while start < end and not _inside(text[start]):
        start += 1
    while end > start and not _inside(text[end - 1]):
        end -= 1
    return text[start:end] or text


def _inside(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def alternatives(cell: str) -> list[str]:
    """The further translations in one '|'-joined cell."""
    return [part for part in cell.split("|") if part] if cell else []


def fold(form: str) -> str:
    """`form` without case and diacritics (NFKD, combining marks off): what the cognate similarity compares."""
    if form.isascii():
        return form.casefold()
    text = unicodedata.normalize("NFKD", form.casefold()).translate(_SAME)
    return "".join(character for character in text if not unicodedata.combining(character))


# Words that join nothing when components are made by content words. One list for all languages, on purpose: the two
# sides share one space of forms. A further language's words are given by the caller.
_FUNCTION_WORDS = """
a about above after all an and any are as at away back be been before being below between both but by can could did
do does down during each either else every for from had has have having he her here hers him his how i if in into is
it its me more most much must my no nor not of off on one one's oneself onto or other our out over own per shall she
should so some someone something somebody such than that the their them themselves then there these they this those
through to too towards under until up upon us very was we were what when where which while who whom whose why will
with within without would you your yours
bila cha cho hadi hilo hiyo huyo ile juu katika kama kuhusu kutoka kwa kwenye la lake lile lo mwa na ndani ni pa sana
si tu vya vile wa wake ya yake yeye yule za zake te moko mpe po eza mu ku nga era oba n' ne ak ci di bi gi ji ki li mi
si yi bu gu mbaa kan fi irra keessa kee wajjin hin akka itti ኣብ ናይ ካብ ምስ እቲ ኣይ
"""  # English; Swahili, Lingala, Luganda, Wolof, Oromo; Tigrinya
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def content_words(form_key: str, function_words: frozenset[str] = FUNCTION_WORDS) -> list[str]:
    """The words of a key that carry meaning: parts at spaces and hyphens, without function words and single letters."""
    words = [word.strip("'\".,;:!?()[]{}") for word in re.split(r"[\s/-]+", form_key)]
    return [word for word in words if word and word not in function_words and not (len(word) == 1 and word.isascii())]
