"""Raw rows -> clean pairs, with a record of every change, every dropped row and every row merged into another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import numpy as np
import pandas as pd

from tli.lexicon.cldr import same_language
from tli.lexicon.formats import LEMMAS
from tli.lexicon.forms import fail, in_script, key, majority_script
from tli.lexicon.similarity import edit_similarity

CHANGES = ["action", "file", "line", "field", "before", "after", "reason"]
CLEAN = ["source", "target", "alternatives", "category", "split", "cognate", "provenance", "file", "line"]

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


def _without_control(text: str) -> str:
    return text if text.isascii() and text.isprintable() else _CONTROL.sub("", _INVISIBLE.sub("", text))


def _single_spaces(text: str) -> str:
    return " ".join(text.split())


def _without_brackets(text: str) -> str:
    if not _BRACKET.search(text):
        return text
    before = None
    while before != text:
        before, text = text, _BRACKETS.sub("", text)
    text = re.sub(r"\s[(\[{（【].*$", "", text)  # a hint that is not closed
    return re.sub(r"\s+([,;.!?])", r"\1", _single_spaces(_BRACKET.sub(" ", text)))


def _without_number(text: str) -> str:
    return _SUPERSCRIPT.sub("", _NUMBERED.sub("", text))


def _without_quotes(text: str) -> str:
    return text[1:-1].strip() if len(text) > 2 and _QUOTED.match(text) else text


def _without_gloss_words(text: str) -> str:
    article = _ARTICLE.match(text)
    if article and article.group(2).casefold() not in _KEEP_ARTICLE:
        return article.group(2)
    verb = _INFINITIVE.match(text)
    return verb.group(1) if verb and len(verb.group(1).split()) <= 4 else text


def _parts(text: str, separators: str) -> list[str]:
    """The translations in one cell. A slash parts words only where it stands free or joins whole words and nothing else."""
    if not text:
        return []
    found = [text]
    for separator in separators:
        if separator not in text:
            continue
        if separator == "/":
            found = [part for text in found for part in re.split(r"\s+/\s+", text)]
            found = [part for text in found for part in (text.split("/") if _WORDS_WITH_SLASH.match(text.strip()) else [text])]
        else:
            found = [part for text in found for part in text.split(separator)]
    return [part for part in map(str.strip, found) if part]


def clean(
    raw: pd.DataFrame,
    *,
    source_script: str | None = None,
    target_script: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    separators: str = "|;/",
    identical: str = "drop",
    merge: bool = True,
    max_characters: int = 200,
    strict: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean the rows of `read` and merge those of one source.

    Each cell: control and direction marks off, NFC, single spaces, bracketed hints off, several forms at `separators`
    apart, enumeration and homonym numbers off, enclosing quotes off, on an English side "to", "the", "a", "an" off. Then a row is
    dropped that has an empty side, no or mostly foreign letters, more than `max_characters`, or two equal sides.

    Args:
        raw: table of `read` (RAW, `problem`, lemma columns if any).
        source_script, target_script: ISO 15924 (Latn, Ethi, Arab, ...); None takes the column's majority, "" no check.
        source_language, target_language: ISO 639 codes, by default those that `read` noted.
        identical: "drop" or "keep" rows whose sides are equal (names, loans).
        merge: rows of one source (and split) become one pair, its first translation the target, the others
            alternatives; False merges exact repetitions only.
        strict: raise at the first row that would be dropped.

    Returns:
        pairs: CLEAN (+ lemmas), one row a pair in the order of the input; alternatives '|'-joined; cognate in [0, 1].
        changes: CHANGES; action is changed, dropped or merged. Each raw row is the base of a pair or has a record
        dropped or merged, or both where a cell named several sources.

    Raises:
        LexiconError: only for unusable arguments, or if strict.
    """
    if identical not in {"drop", "keep"}:
        raise fail(f"identical is {identical!r}", "use drop or keep")
    languages = {
        "source": source_language or raw.attrs.get("source_language", ""),
        "target": target_language or raw.attrs.get("target_language", ""),
    }
    raw = raw.reset_index(drop=True)
    problem = raw["problem"] if "problem" in raw.columns else pd.Series("", index=raw.index)
    records: list[pd.DataFrame] = []
    useless = raw[problem != ""]
    _record(records, raw, useless.index, "dropped", "pair", _pair(useless), "", problem[useless.index])
    usable = raw[problem == ""]
    cells = {side: _side(records, raw, usable, side, languages[side], separators) for side in ("source", "target")}
    for name in ("category", "split", "provenance", *LEMMAS):
        if name in raw.columns:
            raw[name] = raw[name].fillna("").astype(str).map(lambda text: _single_spaces(_without_control(text)))

    # One row a (source form, translation): the sides joined over the raw row that they come from.
    long = cells["source"].merge(cells["target"], on="row", suffixes=("", "_target"))
    long = long.rename(columns={"form": "source", "form_target": "target", "place": "part"}).drop(columns="place_target")
    long = long.sort_values(["row", "part"], kind="stable", ignore_index=True)
    for name in ("source", "target"):
        long[f"{name}_key"] = _mapped(long[name], key)
    long["reason"] = _reasons(long, (source_script, target_script), identical, max_characters)
    _drop(records, raw, long, usable.index)
    pairs = _merge(records, raw, long[long["reason"] == ""].reset_index(drop=True), merge)
    changes = pd.concat([table for table in records if len(table)] or [pd.DataFrame(columns=["row", *CHANGES])])
    changes = changes.sort_values("row", kind="stable")[CHANGES].reset_index(drop=True)
    if strict and (changes["action"] == "dropped").any():
        first = changes[changes["action"] == "dropped"].iloc[0]
        raise fail(f"{first['reason']} ({first['before']})", "mend or remove it", file=first["file"], line=first["line"])
    return pairs, changes


def _mapped(column: pd.Series, function: Callable[[str], str]) -> pd.Series:
    """`function` of each cell, called once for each distinct text."""
    codes, distinct = pd.factorize(column.to_numpy(dtype=object))
    new = np.empty(max(1, len(distinct)), dtype=object)
    new[: len(distinct)] = [function(text) for text in distinct]
    return pd.Series(new[codes], index=column.index, dtype=object)


def _pair(table: pd.DataFrame) -> pd.Series:
    return table["source"] + " = " + table["target"]


def _record(records, raw, rows, action, field, before, after, reason) -> None:
    """Add a record for each of `rows` (index of raw); `before`, `after`, `reason`: a text for all, or one for each."""
    rows = pd.Index(rows)
    if not len(rows):
        return

    def cells(value):
        return value if isinstance(value, str) else np.asarray(value, dtype=object)

    records.append(
        pd.DataFrame(
            {
                "row": rows, "action": action, "file": raw["file"].to_numpy()[rows], "line": raw["line"].to_numpy()[rows],
                "field": field, "before": cells(before), "after": cells(after), "reason": cells(reason),
            }
        )
    )  # fmt: skip


def _side(records, raw, usable, side, language, separators) -> pd.DataFrame:
    """One row a form: row (of raw), place (in its cell), form; empty cells give one row with an empty form."""
    steps = [
        ("control character or direction mark", _without_control),
        ("Unicode NFC", lambda text: unicodedata.normalize("NFC", text)),
        ("white space", _single_spaces),
        ("bracketed hint", _without_brackets),
    ]
    fields = [side] + (["alternatives"] if side == "target" and "alternatives" in usable.columns else [])
    tables = []
    for field in fields:
        column = usable[field].astype(object)
        for reason, step in steps:
            column = _step(records, raw, column, column.index, field, reason, step)
        marks = separators if side == "source" or "|" in separators else separators + "|"  # "|" joins alternatives
        parts = _mapped(column, lambda text, marks=marks: "\x1f".join(_parts(text, marks)))
        split = [text.split("\x1f") for text in parts.tolist()]
        counts = np.array([len(found) for found in split], dtype=np.int64)
        if field == side:
            reason = "several translations" if side == "target" else "several sources"
            shown = parts.str.replace("\x1f", "|")
            several = ((counts > 1) & (shown != column)).to_numpy()
            _record(records, raw, column.index[several], "changed", field, column[several], shown[several], reason)
        forms = np.array([form for found in split for form in found], dtype=object)
        table = pd.DataFrame({"row": np.repeat(column.index.to_numpy(), counts), "form": forms})
        tables.append(table if field == side else table[table["form"] != ""])
    table = pd.concat(tables).sort_values("row", kind="stable", ignore_index=True)
    table["place"] = table.groupby("row").cumcount()
    form = table["form"].astype(object)
    later = [("enumeration or homonym number", _without_number), ("quotes", _without_quotes)]
    if language and same_language(language, "eng"):
        later.append(("gloss word", _without_gloss_words))
    for reason, step in later:
        form = _step(records, raw, form, table["row"], side, reason, step)
    other = usable["target" if side == "source" else "source"].astype(str).str.strip()
    homonyms = _homonyms(form, other.reindex(table["row"]).to_numpy(dtype=object))
    strip = homonyms.get  # form -> form without its number
    table["form"] = _step(records, raw, form, table["row"], side, "enumeration or homonym number", lambda text: strip(text, text))
    return table


def _homonyms(forms: pd.Series, others: np.ndarray) -> dict[str, str]:
    """Forms that end in a homonym number -> the form without it.

    A number is one where a word stands with 1, 2, ... or bare and with 2, ..., and with no other; and where the row's
    other side does not end in the same digit ("s1", "t1" are names, not homonyms).
    """
    numbers: dict[str, set[str]] = {}
    found: dict[str, str] = {}
    for form, other in zip(forms.tolist(), others):
        match = _NUMBER_AT_END.match(form)
        base = match.group(1) if match else form
        numbers.setdefault(base.casefold(), set()).add(match.group(2) if match else "1")
        if match and not (isinstance(other, str) and other.endswith(match.group(2))):
            found[form] = base
    expected = {base: {str(number) for number in range(1, len(seen) + 1)} for base, seen in numbers.items()}
    several = {base for base, seen in numbers.items() if 1 < len(seen) < 10 and seen == expected[base]}
    return {form: base for form, base in found.items() if base.casefold() in several}


def _step(records, raw, column, rows, field, reason, step) -> pd.Series:
    new = _mapped(column, step)
    changed = (new != column).to_numpy()
    _record(records, raw, pd.Index(rows)[changed], "changed", field, column[changed], new[changed], reason)
    return new


def _reasons(long, scripts, identical, max_characters) -> pd.Series:
    """Why each (source, translation) is left out, "" if it is not."""
    reason = pd.Series("", index=long.index, dtype=object)

    def mark(where, text):
        reason.loc[where & (reason == "")] = text

    for side in ("source", "target"):
        mark(long[side] == "", f"empty {side}")
        mark(long[side].str.len() > max_characters, f"{side} longer than {max_characters} characters")
    for side, script in zip(("source", "target"), scripts):
        forms = long.loc[reason == "", side]
        script = majority_script(forms.unique().tolist()) if script is None else script
        if script:
            wrong = _mapped(forms, lambda form, s=script: "" if in_script(form, s) else "x")
            mark((wrong.reindex(long.index) == "x"), f"{side} is not written in {script}")
    if identical == "drop":
        mark(long["source_key"] == long["target_key"], "source and target are the same")
    return reason


def _drop(records, raw, long, usable) -> None:
    """Record what is left out: a dropped row, or a change where the row keeps another form."""
    out = long[long["reason"] != ""]
    alive = out["row"].isin(set(long.loc[long["reason"] == "", "row"]))
    kept = out[alive]
    _record(records, raw, kept["row"], "changed", "pair", _pair(kept), "", kept["reason"])
    gone = out[~alive].drop_duplicates("row")
    _record(records, raw, gone["row"], "dropped", "pair", _pair(raw.loc[gone["row"]]), "", gone["reason"])
    assert len(set(long["row"])) == len(usable), "a row was lost without a record"


def _merge(records, raw, long, merge) -> pd.DataFrame:
    """Group the translations of one source; the first of a group names the pair."""
    for name in [n for n in ("category", "split", "provenance", "file", "line", *LEMMAS) if n in raw.columns]:
        long[name] = raw[name].to_numpy()[long["row"]]
    # A row without a split joins the first row of its source that has one.
    given = long[long["split"] != ""].drop_duplicates("source_key").set_index("source_key")["split"].to_dict()
    empty = long["split"] == ""
    long.loc[empty, "split"] = [given.get(name, "") for name in long.loc[empty, "source_key"].tolist()]
    by = ["source_key", "split"] if merge else ["row", "part"]
    long["group"] = long.groupby(by, sort=False).ngroup() if len(long) else 0
    base = long.drop_duplicates("group").set_index("group")
    long["pair"] = long.groupby(["source_key", "split", "target_key"], sort=False).ngroup() if len(long) else 0
    again = long.duplicated("pair")
    place = long["file"].astype(object) + ", line " + long["line"].astype(str).astype(object)
    own = long["row"].to_numpy() == base["row"].reindex(long["group"]).to_numpy()
    long["why"] = "the same pair as " + place[~again].to_numpy()[long["pair"]]  # numbered in order of their first row
    # Where nothing is merged, a repetition is the base of its own group; it goes all the same.
    repeated = long[again & (~own if merge else True)].drop_duplicates("row")
    further = long[~again & ~own].copy()
    first = long.drop_duplicates("group").index.to_numpy()  # groups too are numbered in order
    further["why"] = "further translation of the source of " + place.to_numpy()[first[further["group"]]]
    for rows in (further, repeated):
        target = base.reindex(rows["group"])
        shown = target["source"] + " = " + target["target"]
        _record(records, raw, rows["row"], "merged", "pair", _pair(rows), shown, rows["why"])
    live = long[~again]
    pairs = live.drop_duplicates("group").set_index("group")
    rest = live[live.duplicated("group")]
    pairs["alternatives"] = rest.groupby("group")["target"].agg("|".join).reindex(pairs.index).fillna("")
    for name in [n for n in ("category", *LEMMAS) if n in live.columns]:
        first_given = live[live[name] != ""].drop_duplicates("group").set_index("group")[name]
        pairs[name] = first_given.reindex(pairs.index).fillna("")
    origins = long.drop_duplicates(["group", "provenance"])
    several = origins[origins.duplicated("group", keep=False)].groupby("group")["provenance"].agg(" + ".join)
    pairs["provenance"] = several.reindex(pairs.index).fillna(pairs["provenance"])
    pairs["cognate"] = np.round(edit_similarity(pairs["source"].tolist(), pairs["target"].tolist()), 4)
    columns = CLEAN + [name for name in LEMMAS if name in pairs.columns]
    return pairs.reset_index(drop=True)[columns]
