"""Which script the letters of a word are written in (ISO 15924)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# ISO 15924 codes for the first word of a Unicode character name, where the code is not simply its first four letters.
_SCRIPTS = {
    "LATIN": "Latn",
    "ETHIOPIC": "Ethi",
    "ARABIC": "Arab",
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "HEBREW": "Hebr",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "GUJARATI": "Gujr",
    "GURMUKHI": "Guru",
    "KANNADA": "Knda",
    "MALAYALAM": "Mlym",
    "ORIYA": "Orya",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "SINHALA": "Sinh",
    "THAI": "Thai",
    "LAO": "Laoo",
    "MYANMAR": "Mymr",
    "KHMER": "Khmr",
    "TIBETAN": "Tibt",
    "MONGOLIAN": "Mong",
    "GEORGIAN": "Geor",
    "ARMENIAN": "Armn",
    "HANGUL": "Hang",
    "HIRAGANA": "Hira",
    "KATAKANA": "Kana",
    "CJK": "Hani",
    "IDEOGRAPHIC": "Hani",
    "NKO": "Nkoo",
    "TIFINAGH": "Tfng",
    "VAI": "Vaii",
    "ADLAM": "Adlm",
    "SYRIAC": "Syrc",
    "THAANA": "Thaa",
    "CHEROKEE": "Cher",
    "COPTIC": "Copt",
    "FULLWIDTH": "Latn",
    "BAMUM": "Bamu",
    "OSMANYA": "Osma",
    "OL": "Olck",
    "MEETEI": "Mtei",
}
_COMPOUND = {"Jpan": {"Hani", "Hira", "Kana"}, "Kore": {"Hang", "Hani"}, "Hans": {"Hani"}, "Hant": {"Hani"}}


@lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str:
    """ISO 15924 code of a letter's script, "" for what is no letter or belongs to all scripts (marks, modifiers)."""
    if not character.isalpha() or unicodedata.category(character) == "Lm":
        return ""
    word = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return _SCRIPTS.get(word, word.capitalize()[:4])


def script_counts(form: str) -> dict[str, int]:
    """How many letters of each script `form` has."""
    if form.isascii():
        letters = sum(map(str.isalpha, form))
        return {"Latn": letters} if letters else {}
    counts: dict[str, int] = {}
    for character in form:
        script = script_of(character)
        if script:
            counts[script] = counts.get(script, 0) + 1
    return counts


def in_script(form: str, script: str) -> bool:
    """Whether `form` has letters and at least half of them are of `script`."""
    counts = script_counts(form)
    wanted = _COMPOUND.get(script, {script})
    return bool(counts) and 2 * sum(counts.get(name, 0) for name in wanted) >= sum(counts.values())


def majority_script(forms: list[str]) -> str:
    """The script of most letters of `forms`; "" where there are none. Hani, Hira and Kana together are Jpan."""
    counts: dict[str, int] = {}
    for form in forms:
        for script, number in script_counts(form).items():
            counts[script] = counts.get(script, 0) + number
    if not counts:
        return ""
    if counts.get("Hira", 0) + counts.get("Kana", 0) and max(counts, key=counts.__getitem__) in _COMPOUND["Jpan"]:
        return "Jpan"
    return max(sorted(counts), key=counts.__getitem__)
