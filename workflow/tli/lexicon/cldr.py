"""Terms of the Unicode CLDR through Babel: a start for any locale, without a file and without a network."""

from __future__ import annotations

import copy
from typing import Any

from tli.lexicon.forms import fail
from tli.lexicon.languages import short
from tli.lexicon.list_file import ListFile

# kind -> category of its pairs
KINDS = {
    "territories": "territory",
    "languages": "language",
    "scripts": "script",
    "months": "month",
    "days": "day",
    "day_periods": "time of day",
    "eras": "era",
    "currencies": "currency",
    "units": "unit",
    "cities": "city",
}


def _data(locale: str) -> Any:
    # A copy of its own: where a locale inherits an alias from the root, Babel writes the resolved names into data that
    # all locales share, so that the next locale asked would answer with this one's months (Babel 2.18).
    from babel import localedata

    return localedata.LocaleDataDict(copy.deepcopy(dict[Any, Any](localedata.load(locale))))


def terms(locale: str, kind: str) -> dict[str, str]:
    """CLDR key -> name in the language of `locale`; what is only inherited from the root (codes, M01) is left out.

    Raises LexiconError for a locale that Babel lacks.
    """
    from babel import localedata

    locale = short(locale)
    if not localedata.exists(locale):
        raise fail(f"CLDR has no locale {locale!r}", "name one with source_locale or target_locale", file="cldr")
    named, root = _named(_data(locale), kind), _named(_data("root"), kind)
    if kind == "cities" and locale.split("_")[0] == "en":  # English is the language of the keys
        zones = _data(locale)["time_zones"]
        named = {zone: zone.rsplit("/", 1)[-1].replace("_", " ") for zone in zones if not zone.startswith("Etc/")} | named
    return {name: text for name, text in named.items() if text and root.get(name) != text}


def _named(data: Any, kind: str) -> dict[str, str]:
    if kind in {"territories", "languages", "scripts"}:
        return {str(name): text for name, text in data[kind].items()}
    if kind == "currencies":
        return {str(name): text for name, text in data["currency_names"].items()}
    if kind == "eras":
        return {str(name): text for name, text in data["eras"].get("wide", {}).items()}
    if kind == "units":
        names = {}
        for name, widths in data["unit_display_names"].items():
            names[name] = next((widths[width] for width in ("long", "short") if widths.get(width)), "")
        return names
    if kind == "cities":
        return {str(zone): data["time_zones"][zone].get("city", "") for zone in data["time_zones"]}
    names = {}
    for context in ("format", "stand-alone"):
        if context in data[kind]:
            names |= {str(name): text for name, text in data[kind][context].get("wide", {}).items()}
    return names


def read_cldr(
    file: ListFile, *, source_locale: str | None = None, target_locale: str | None = None, kinds: str | list[str] | None = None
) -> list[dict]:
    """A row for each key that either locale names, kind by kind; a key that one of them lacks is a problem.

    kinds: some of KINDS, as a list or with commas between; all without it.
    """
    locales = {"source": source_locale or file.source_language, "target": target_locale or file.target_language}
    kinds = list(KINDS) if kinds is None else [kind.strip() for kind in kinds.split(",")] if isinstance(kinds, str) else list(kinds)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise fail(f"CLDR kind {unknown[0]!r} is not known", f"use some of {', '.join(KINDS)}", file="cldr")
    rows = []
    for kind in kinds:
        sides = {side: terms(locale, kind) for side, locale in locales.items()}
        names = sorted(set().union(*sides.values()), key=lambda name: name.zfill(8) if name.isdigit() else name)
        for place, name in enumerate(names, 1):
            row = {side: named.get(name, "") for side, named in sides.items()}
            lacking = [locales[side] for side in sides if not row[side]]
            problem = f"CLDR has no name for {name} in {lacking[0]}" if lacking else ""
            origin = f"cldr/{short(locales['source'])}-{short(locales['target'])}/{kind}"
            rows.append(row | {"category": KINDS[kind], "provenance": "CLDR", "file": origin, "line": place, "problem": problem})
    return rows
