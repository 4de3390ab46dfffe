"""Raw rows -> clean pairs, with a record of every change, every dropped row and every row merged into another."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tli.lexicon.changes import Changes
from tli.lexicon.formats import LEMMAS
from tli.lexicon.forms import alternatives, fail, key
from tli.lexicon.languages import same_language
from tli.lexicon.merging import merged, shown
from tli.lexicon.scripts import in_script, majority_script
from tli.lexicon.strings import (
    has_comma,
    homonyms,
    is_phrase,
    parts,
    single_spaces,
    without_brackets,
    without_control,
    without_edges,
    without_gloss_words,
    without_number,
    without_quotes,
)


@dataclass(frozen=True)
class Rules:
    """How `clean` works.

    source_script, target_script: ISO 15924 (Latn, Ethi, Arab, ...); None takes the column's majority, "" no check.
    source_language, target_language: ISO 639 codes, "" for those that `read` noted.
    separators: what parts several forms in one cell, in this order; a comma parts lists of synonyms only (strings.synonyms).
    identical: "drop" or "keep" rows whose sides are equal (names, loans).
    merge: rows of one source (and split) become one pair, its first translation the target, the others alternatives;
        False merges exact repetitions only.
    units: "sentences" are taken apart nowhere, and nothing is taken off but control marks and surplus spaces; they may be equal on both
        sides, of any length and in any script.
    strict: raise at the first row that would be dropped.
    """

    source_script: str | None = None
    target_script: str | None = None
    source_language: str = ""
    target_language: str = ""
    separators: str = "|;,/"
    identical: str = "drop"
    merge: bool = True
    max_characters: int = 200
    units: str = "words"
    strict: bool = False

    def __post_init__(self) -> None:
        if self.identical not in {"drop", "keep"}:
            raise fail(f"identical is {self.identical!r}", "use drop or keep")
        if self.units not in {"words", "sentences"}:
            raise fail(f"units is {self.units!r}", "use words or sentences")

    @property
    def of_sentences(self) -> bool:
        return self.units == "sentences"


def clean(raw: pd.DataFrame, rules: Rules | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean the rows of `read` and merge those of one source.

    Each cell: control and direction marks off, NFC, single spaces, bracketed hints off, commas at the
    edges off, several forms at `separators` apart, enumeration and homonym numbers off, enclosing quotes off, on an English side "to", "the", "a", "an" off. Then a row is
    dropped that has an empty side, no or mostly foreign letters, more than `max_characters`, or two equal sides.

    Args:
        raw: table of `read` (RAW, `problem`, lemma columns if any).
        rules: see Rules.

    Returns
    -------
        pairs: merging.CLEAN (+ lemmas), one row a pair in the order of the input; alternatives '|'-joined; cognate in [0, 1].
        changes: CHANGES; action is changed, dropped or merged. Each raw row is the base of a pair or has a record
        dropped or merged, or both where a cell named several sources.

    Raises
    ------
        LexiconError: only for unusable arguments, or if strict.
    """
    rules = rules or Rules()
    languages = {
        "source": rules.source_language or raw.attrs.get("source_language", ""),
        "target": rules.target_language or raw.attrs.get("target_language", ""),
    }
    raw = raw.reset_index(drop=True)
    problem = raw["problem"] if "problem" in raw.columns else pd.Series("", index=raw.index)
    changes = Changes(raw)
    useless = raw[problem != ""]
    changes.add(useless.index, "dropped", "pair", shown(useless), "", problem[useless.index])
    usable = raw[problem == ""]
    take = _sentences if rules.of_sentences else _side
    cells = {side: take(changes, usable, side, languages[side], rules.separators) for side in ("source", "target")}
    for name in ("category", "split", "provenance", *LEMMAS):
        if name in raw.columns:
            raw[name] = raw[name].fillna("").astype(str).map(lambda text: single_spaces(without_control(text)))

    # One row a (source form, translation): the sides joined over the raw row that they come from.
    long = cells["source"].merge(cells["target"], on="row", suffixes=("", "_target"))
    long = long.rename(columns={"form": "source", "form_target": "target", "place": "part"}).drop(columns="place_target")
    long = long.sort_values(["row", "part"], kind="stable", ignore_index=True)
    for name in ("source", "target"):
        long[f"{name}_key"] = _mapped(long[name], key)
    long["reason"] = _reasons(long, rules)
    _drop(changes, raw, long, usable.index)
    pairs = merged(changes, raw, long[long["reason"] == ""].reset_index(drop=True), rules.merge)
    record = changes.table()
    if rules.strict and (record["action"] == "dropped").any():
        first = record[record["action"] == "dropped"].iloc[0]
        raise fail(f"{first['reason']} ({first['before']})", "correct or remove it", file=first["file"], line=first["line"])
    return pairs, record


def _mapped(column: pd.Series, function: Callable[[str], Any]) -> pd.Series:
    """`function` of each cell, called once for each distinct text."""
    codes, distinct = pd.factorize(column.to_numpy(dtype=object))
    new = np.empty(max(1, len(distinct)), dtype=object)
    new[: len(distinct)] = [function(text) for text in distinct]
    return pd.Series(new[codes], index=column.index, dtype=object)


def _joined_parts(marks: str, text: str) -> str:
    return "\x1f".join(parts(text, marks))


def _side(changes: Changes, usable: pd.DataFrame, side: str, language: str, separators: str) -> pd.DataFrame:
    """One row a form: row (of raw), place (in its cell), form; empty cells give one row with an empty form."""
    steps = [
        ("control character or direction mark", without_control),
        ("Unicode NFC", lambda text: unicodedata.normalize("NFC", text)),
        ("white space", single_spaces),
        ("bracketed hint", without_brackets),
        ("comma, semicolon or bar at the edge", without_edges),
    ]
    fields = [side] + (["alternatives"] if side == "target" and "alternatives" in usable.columns else [])
    tables = []
    for field in fields:
        column = usable[field].astype(object)
        for reason, step in steps:
            column = _step(changes, column, column.index, field, reason, step)
        marks = separators if side == "source" or "|" in separators else separators + "|"  # "|" joins alternatives
        joined = _mapped(column, partial(_joined_parts, marks))
        commas = column.index[_mapped(column, has_comma).astype(bool)] if "," in marks else column.index[:0]
        phrases = commas[usable.loc[commas, "target" if side == "source" else "source"].map(is_phrase).astype(bool)]
        if len(phrases):
            others = marks.replace(",", "")
            joined[phrases] = _mapped(column[phrases], partial(_joined_parts, others))
        split = [text.split("\x1f") for text in joined.tolist()]
        counts = np.array([len(forms) for forms in split], dtype=np.int64)
        if field == side:
            reason = "several translations" if side == "target" else "several sources"
            apart = joined.str.replace("\x1f", "|")
            several = ((counts > 1) & (apart != column)).to_numpy()
            changes.add(column.index[several], "changed", field, column[several], apart[several], reason)
        forms = np.array([form for cell in split for form in cell], dtype=object)
        table = pd.DataFrame({"row": np.repeat(column.index.to_numpy(), counts), "form": forms})
        tables.append(table if field == side else table[table["form"] != ""])
    table = pd.concat(tables).sort_values("row", kind="stable", ignore_index=True)
    table["place"] = table.groupby("row").cumcount()
    form = table["form"].astype(object)
    later = [("enumeration or homonym number", without_number), ("quotes", without_quotes)]
    if language and same_language(language, "eng"):
        later.append(("gloss word", without_gloss_words))
    for reason, step in later:
        form = _step(changes, form, table["row"], side, reason, step)
    other = usable["target" if side == "source" else "source"].astype(str).str.strip()
    bases = homonyms(form.tolist(), other.reindex(table["row"]).tolist())
    table["form"] = _step(changes, form, table["row"], side, "enumeration or homonym number", lambda text: bases.get(text, text))
    return table


def _sentences(changes: Changes, usable: pd.DataFrame, side: str, language: str, separators: str) -> pd.DataFrame:
    """As `_side` where a cell holds one sentence, whatever its language: none is taken apart, so `separators` count for nothing."""
    steps = [
        ("control character or direction mark", without_control),
        ("Unicode NFC", lambda text: unicodedata.normalize("NFC", text)),
        ("white space", single_spaces),
        ("a bar, which parts alternatives", lambda text: text.replace("|", "\u00a6")),
    ]
    column = usable[side].astype(object)
    for reason, step in steps:
        column = _step(changes, column, column.index, side, reason, step)
    forms = [[form] for form in column.tolist()]
    if side == "target" and "alternatives" in usable.columns:
        further = [[single_spaces(part) for part in alternatives(cell)] for cell in usable["alternatives"].tolist()]
        forms = [[*first, *filter(None, more)] for first, more in zip(forms, further, strict=True)]
    table = pd.DataFrame({"row": column.index.to_numpy(), "form": forms}).explode("form", ignore_index=True)
    table["place"] = table.groupby("row").cumcount()
    return table


def _step(changes: Changes, column: pd.Series, rows: Any, field: str, reason: str, step: Callable[[str], str]) -> pd.Series:
    new = _mapped(column, step)
    changed = (new != column).to_numpy()
    changes.add(pd.Index(rows)[changed], "changed", field, column[changed], new[changed], reason)
    return new


def _in_script(script: str, form: str) -> bool:
    return in_script(form, script)


def _reasons(long: pd.DataFrame, rules: Rules) -> pd.Series:
    """Why each (source, translation) is left out, "" if it is not."""
    reason = pd.Series("", index=long.index, dtype=object)

    def mark(where: pd.Series, text: str) -> None:
        reason.loc[where & (reason == "")] = text

    for side in ("source", "target"):
        mark(long[side] == "", f"empty {side}")
    if rules.of_sentences:
        return reason
    for side in ("source", "target"):
        mark(long[side].str.len() > rules.max_characters, f"{side} longer than {rules.max_characters} characters")
    for side, script in (("source", rules.source_script), ("target", rules.target_script)):
        forms = long.loc[reason == "", side]
        script = majority_script(forms.unique().tolist()) if script is None else script
        if script:
            right = _mapped(forms, partial(_in_script, script)).reindex(long.index)
            mark(right.isin([False]), f"{side} is not written in {script}")
    if rules.identical == "drop":
        mark(long["source_key"] == long["target_key"], "source and target are the same")
    return reason


def _drop(changes: Changes, raw: pd.DataFrame, long: pd.DataFrame, usable: pd.Index) -> None:
    """Record what is left out: a dropped row, or a change where the row keeps another form."""
    out = long[long["reason"] != ""]
    alive = out["row"].isin(set(long.loc[long["reason"] == "", "row"]))
    part = out[alive]
    changes.add(part["row"], "changed", "pair", shown(part), "", part["reason"])
    gone = out[~alive].drop_duplicates("row")
    changes.add(gone["row"], "dropped", "pair", shown(raw.loc[gone["row"]]), "", gone["reason"])
    assert len(set(long["row"])) == len(usable), "a row was lost without a record"
