"""Language codes: which of them name one language."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1024)
def short(code: str) -> str:
    """The code that CLDR uses for an ISO 639 code: "sw" for swh, swa and sw."""
    from babel.core import get_global

    parts = code.replace("-", "_").split("_")
    parts[0] = get_global("language_aliases").get(parts[0].lower(), parts[0].lower())
    return "_".join(parts)


def same_language(one: str, other: str) -> bool:
    """Whether two ISO 639 codes (or locales) name one language."""
    return short(one).split("_")[0] == short(other).split("_")[0]


@lru_cache(maxsize=1024)
def english_name(code: str) -> str:
    """The English name that CLDR gives to a language: "Swahili" for swh; the code itself where it has none."""
    from babel import Locale

    return Locale("en").languages.get(short(code)) or code
