"""Reader of CLDF word lists (Forkel et al. 2018) through pycldf: two languages of one list, joined by concept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tli.lexicon.forms import fail
from tli.lexicon.languages import same_language
from tli.lexicon.list_file import ListFile


def read_cldf(
    file: ListFile, *, source_id: str | list[str] | None = None, target_id: str | list[str] | None = None, gloss: bool = False
) -> list[dict]:
    """A row for each form of the source language and form of the target language with the same concept.

    Languages are found by ISO639P3code or ID (all varieties with the code), or named by `source_id` and `target_id`.
    With `gloss` the concept's own name (most lists: English) stands for the target. A form whose concept has no form in
    the other language is a problem. `line` is the form's row in the form table, counted from its header.
    """
    data = _open(file.path)
    codes = _languages(data)
    ids = {"source": _language_ids(codes, file.source_language, source_id, "source", file.path)}
    if not gloss:
        ids["target"] = _language_ids(codes, file.target_language, target_id, "target", file.path)
        both = set(ids["source"]) & set(ids["target"])
        if both:
            raise fail(f"the language {min(both)!r} is asked for on both sides", "check the codes", file=file.path)
    concepts = _concepts(data)
    forms: dict[str, dict[str, list[tuple[str, int]]]] = {"source": {}, "target": {}}
    side_of = {language: side for side, languages in ids.items() for language in languages}
    try:
        rows = list(data.iter_rows("FormTable", "languageReference", "parameterReference", "form"))
    except Exception as error:  # csvw raises many kinds for a broken table
        raise fail(f"its form table cannot be read ({error})", "run `cldf validate` on it", file=file.path) from error
    place = Path(file.path)
    origin = str((place.parent if place.is_file() else place) / str(data["FormTable"].url))
    empty = []
    for line, row in enumerate(rows, 2):
        side = side_of.get(row["languageReference"])
        if side is None:
            continue
        if not (row["form"] or "").strip():
            empty.append({"line": line, "problem": f"empty form in {row['languageReference']}", "file": origin})
            continue
        named = row["parameterReference"]
        if not named:
            empty.append({side: row["form"], "line": line, "problem": "names no concept", "file": origin})
            continue
        for concept in named if isinstance(named, list) else [named]:
            forms[side].setdefault(concept, []).append((row["form"], line))
    if gloss:
        forms["target"] = {concept: [(concepts.get(concept, ("", ""))[0], 0)] for concept in forms["source"]}
    return _joined(forms, concepts, origin, file.languages) + empty


def _joined(
    forms: dict[str, dict[str, list[tuple[str, int]]]], concepts: dict[str, tuple[str, str]], file: str, languages: tuple[str, str]
) -> list[dict]:
    rows = []
    for concept in [*forms["source"], *(name for name in forms["target"] if name not in forms["source"])]:
        named = {side: forms[side].get(concept, []) for side in forms}
        category = concepts.get(concept, ("", ""))[1]
        common = {"category": category, "file": file}
        for side, other, language in (("source", "target", languages[1]), ("target", "source", languages[0])):
            if not named[other]:
                rows += [
                    {side: form, other: "", "line": line, "problem": f"the concept {concept!r} has no form in {language}"} | common
                    for form, line in named[side]
                ]
        for form, line in named["source"]:
            rows += [{"source": form, "target": target, "line": line} | common for target, _ in named["target"]]
    return rows


def _open(path: str) -> Any:
    from pycldf import Dataset

    place = Path(path)
    if place.is_dir():
        described = sorted(place.glob("*-metadata.json")) + sorted(place.glob("*metadata.json"))
        if not described and not (place / "forms.csv").exists():
            raise fail("holds no CLDF metadata and no forms.csv", "give the folder of a CLDF word list", file=path)
        place = described[0] if described else place / "forms.csv"
    try:
        data = Dataset.from_metadata(place) if place.suffix == ".json" else Dataset.from_data(place)
        for column in data["FormTable"].tableSchema.columns:
            column.required = False  # an empty cell is dropped on the record, and no error of the reader
    except KeyError as error:
        raise fail("has no FormTable", "give a CLDF word list (module Wordlist)", file=path) from error
    except Exception as error:
        raise fail(f"cannot be opened as CLDF ({error})", "run `cldf validate` on it", file=path) from error
    return data


def _languages(data: Any) -> dict[str, set[str]]:
    """Language id -> its codes."""
    codes: dict[str, set[str]] = {}
    if data.get("LanguageTable"):
        for row in data.iter_rows("LanguageTable", "id", "iso639P3code"):
            codes[row["id"]] = {row["id"], row.get("iso639P3code") or row["id"]}
    for row in data.iter_rows("FormTable", "languageReference"):
        codes.setdefault(row["languageReference"], {row["languageReference"]})
    return codes


def _language_ids(codes: dict[str, set[str]], language: str, told: str | list[str] | None, side: str, path: str) -> list[str]:
    """The ids of one side: those that were told, or all with the language's code."""
    if told is not None:
        told = [told] if isinstance(told, str) else list(told)
        ids = [name for name in told if name in codes]
    else:
        ids = [name for name, names in codes.items() if any(same_language(language, one) for one in names)]
    if not ids:
        raise fail(
            f"has no language {told or language!r} (it has {', '.join(sorted(codes)[:12])})",
            f"name one with {side}_id" + (", or take the English glosses with gloss: true" if side == "target" else ""),
            file=path,
        )
    return ids


def _concepts(data: Any) -> dict[str, tuple[str, str]]:
    """Concept id -> (gloss, semantic field)."""
    if not data.get("ParameterTable"):
        return {}
    concepts = {}
    for row in data.iter_rows("ParameterTable", "id", "name"):
        field = row.get("Semantic_Field") or row.get("SemanticField") or row.get("Category") or ""
        concepts[row["id"]] = (row.get("name") or row.get("Concepticon_Gloss") or row["id"], str(field))
    return concepts
