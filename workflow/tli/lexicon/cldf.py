"""Reader of CLDF word lists (Forkel et al. 2018) through pycldf: two languages of one list, joined by concept."""

from __future__ import annotations

from pathlib import Path

from tli.lexicon.cldr import same_language
from tli.lexicon.forms import fail


def read_cldf(path, *, columns, source_language, target_language, source_id=None, target_id=None, gloss: bool = False) -> list[dict]:
    """A row for each form of the source language and form of the target language with the same concept.

    Languages are found by ISO639P3code or ID (all varieties with the code), or named by `source_id` and `target_id`.
    With `gloss` the concept's own name (most lists: English) stands for the target. A form whose concept has no form in
    the other language is a problem. `line` is the form's row in the form table, counted from its header.
    """
    data = _open(path)
    languages = _languages(data)
    chosen = {"source": _find(languages, source_language, source_id, "source", path)}
    if not gloss:
        chosen["target"] = _find(languages, target_language, target_id, "target", path)
        both = set(chosen["source"]) & set(chosen["target"])
        if both:
            raise fail(f"the language {sorted(both)[0]!r} is asked for on both sides", "check the codes", file=path)
    concepts = _concepts(data)
    forms: dict[str, dict[str, list[tuple[str, int]]]] = {"source": {}, "target": {}}
    side_of = {language: side for side, ids in chosen.items() for language in ids}
    try:
        rows = list(data.iter_rows("FormTable", "languageReference", "parameterReference", "form"))
    except Exception as error:  # csvw raises many kinds for a broken table
        raise fail(f"its form table cannot be read ({error})", "run `cldf validate` on it", file=path) from error
    table = data["FormTable"]
    for line, row in enumerate(rows, 2):
        side = side_of.get(row["languageReference"])
        if side is None:
            continue
        named = row["parameterReference"]
        for concept in named if isinstance(named, list) else [named]:
            forms[side].setdefault(concept, []).append((row["form"] or "", line))
    if gloss:
        forms["target"] = {concept: [(concepts.get(concept, ("", ""))[0], 0)] for concept in forms["source"]}
    file = str((Path(path).parent if Path(path).is_file() else Path(path)) / str(table.url))
    return _joined(forms, concepts, file, (source_language, target_language))


def _joined(forms, concepts, file, languages) -> list[dict]:
    rows = []
    for concept in [*forms["source"], *(name for name in forms["target"] if name not in forms["source"])]:
        found = {side: forms[side].get(concept, []) for side in forms}
        category = concepts.get(concept, ("", ""))[1]
        common = {"category": category, "file": file}
        for side, other, language in (("source", "target", languages[1]), ("target", "source", languages[0])):
            if not found[other]:
                rows += [
                    {side: form, other: "", "line": line, "problem": f"the concept {concept!r} has no form in {language}"} | common
                    for form, line in found[side]
                ]
        for form, line in found["source"]:
            rows += [{"source": form, "target": target, "line": line} | common for target, _ in found["target"]]
    return rows


def _open(path):
    from pycldf import Dataset

    place = Path(path)
    if place.is_dir():
        found = sorted(place.glob("*-metadata.json")) + sorted(place.glob("*metadata.json"))
        if not found and not (place / "forms.csv").exists():
            raise fail("holds no CLDF metadata and no forms.csv", "give the folder of a CLDF word list", file=path)
        place = found[0] if found else place / "forms.csv"
    try:
        data = Dataset.from_metadata(place) if place.suffix == ".json" else Dataset.from_data(place)
        data["FormTable"]
    except KeyError as error:
        raise fail("has no FormTable", "give a CLDF word list (module Wordlist)", file=path) from error
    except Exception as error:
        raise fail(f"cannot be opened as CLDF ({error})", "run `cldf validate` on it", file=path) from error
    return data


def _languages(data) -> dict[str, set[str]]:
    """Language id -> its codes."""
    found: dict[str, set[str]] = {}
    if data.get("LanguageTable"):
        for row in data.iter_rows("LanguageTable", "id", "iso639P3code"):
            found[row["id"]] = {row["id"], row.get("iso639P3code") or row["id"]}
    for row in data.iter_rows("FormTable", "languageReference"):
        found.setdefault(row["languageReference"], {row["languageReference"]})
    return found


def _find(languages, code, told, side, path) -> list[str]:
    if told is not None:
        told = [told] if isinstance(told, str) else list(told)
        found = [name for name in told if name in languages]
    else:
        found = [name for name, codes in languages.items() if any(same_language(code, one) for one in codes)]
    if not found:
        raise fail(
            f"has no language {told or code!r} (it has {', '.join(sorted(languages)[:12])})",
            f"name one with {side}_id" + (", or take the English glosses with gloss: true" if side == "target" else ""),
            file=path,
        )  # fmt: skip
    return found


def _concepts(data) -> dict[str, tuple[str, str]]:
    """Concept id -> (gloss, semantic field)."""
    if not data.get("ParameterTable"):
        return {}
    found = {}
    for row in data.iter_rows("ParameterTable", "id", "name"):
        field = row.get("Semantic_Field") or row.get("SemanticField") or row.get("Category") or ""
        found[row["id"]] = (row.get("name") or row.get("Concepticon_Gloss") or row["id"], str(field))
    return found
