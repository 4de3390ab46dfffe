"""Word lists of any of the known formats -> one table of raw rows, each with its file and line.

A reader leaves nothing out in silence: what it cannot use comes back as a row whose `problem` says why, and `clean`
records it as dropped. In the strict formats (tsv, csv) a problem is an error at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tli.errors import LexiconError
from tli.lexicon import cldf, cldr, tabular, tei
from tli.lexicon.forms import fail

RAW = ["source", "target", "alternatives", "category", "split", "provenance", "file", "line"]
LEMMAS = ["source_lemma", "target_lemma"]


class Format(NamedTuple):
    reader: Callable[..., list[dict]]
    strict: bool
    about: str


FORMATS = {
    "tsv": Format(tabular.read_tsv, True, "tab-separated with a header: source, target, and optional columns"),
    "csv": Format(tabular.read_csv, True, "comma-separated with a header, quoted where needed"),
    "json": Format(tabular.read_json, False, "a list of objects (or one object a line); `columns` names their keys"),
    "muse": Format(tabular.read_muse, False, "two words a line, no header"),
    "gatitos": Format(tabular.read_gatitos, False, "two tab-separated columns, no header; `columns` gives their order"),
    "freedict-tei": Format(tei.read_tei, False, "a FreeDict dictionary in TEI P5, in either direction"),
    "cldf": Format(cldf.read_cldf, False, "a CLDF word list: two languages of it, joined by concept"),
    "cldr": Format(cldr.read_cldr, False, "terms of the Unicode CLDR (territories, languages, months, ...), no file"),
}


def read(
    path: str | os.PathLike | list,
    *,
    format: str = "tsv",
    columns: dict[str, str] | list[str] | None = None,
    source_language: str,
    target_language: str,
    strict: bool | None = None,
    **options,
) -> pd.DataFrame:
    """Read one word list, or several of one format one after the other.

    Args:
        path: a file or a list of files (a folder or its metadata file for cldf; not looked at for cldr).
        format: a name in FORMATS.
        columns: for tsv and csv {our name: header}, or the order of the columns of a file without a header; for json
            {our name: key}; for gatitos and muse the order, such as ["target", "source"]. Our names: source, target,
            alternatives ('|'-joined), category, split, provenance, source_lemma, target_lemma.
        source_language, target_language: ISO 639-3 (or 639-1) codes.
        strict: whether an empty cell, a repeated row, a NUL byte, text in another encoding or a line with too few
            columns is an error (default for tsv and csv) or a row to be dropped on the record (the others).
        options: encoding (utf-8) for text files; headword (the language of the entries) for freedict-tei; source_id,
            target_id, gloss for cldf; source_locale, target_locale, kinds for cldr.

    Returns:
        A row an entry: RAW (+ LEMMAS where given) + `problem` ("" for a usable row); `attrs` holds the two languages.

    Raises:
        LexiconError: with file, line, reason and mend.
    """
    if format not in FORMATS:
        raise fail(f"the format {format!r} is not known", f"use one of {', '.join(FORMATS)}")
    chosen = FORMATS[format]
    strict = chosen.strict if strict is None else strict
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    if not paths:
        raise fail("no file is named", "give the path of a word list")
    rows = []
    for one in paths:
        name = str(one)
        if format != "cldr" and not Path(name).exists():
            raise fail("there is no such file", "check the path (it is relative to the working directory)", file=name)
        try:
            found = chosen.reader(name, columns=columns, source_language=source_language, target_language=target_language, **options)
        except TypeError as error:
            if "keyword argument" not in str(error):
                raise
            raise fail(f"an option is unknown to the format {format} ({error})", "leave it out", file=name) from error
        except RecursionError as error:
            raise fail("is nested too deeply", f"check that it is {chosen.about}", file=name) from error
        except OSError as error:
            raise fail(f"cannot be read ({error.strerror or error})", "check the file", file=name) from error
        if not found:
            raise fail("no entry was found", f"check that it is {chosen.about}", file=name)
        rows += [{"file": name, **row} for row in found]
    return _table(rows, strict, source_language, target_language)


def _table(rows: list[dict], strict: bool, source_language: str, target_language: str) -> pd.DataFrame:
    """Fill in the optional columns and, if strict, stop at the first problem."""
    table = pd.DataFrame(rows)
    names = RAW + [name for name in LEMMAS if name in table.columns] + ["problem"]
    if "line" not in table.columns:
        raise LexiconError("internal: a reader gave rows without lines")
    for name in names:
        if name not in table.columns:
            table[name] = ""
        elif name != "line":
            table[name] = table[name].fillna("").astype(object)
    table = table[names].copy()
    table["line"] = table["line"].astype("int64")
    empty = (table["problem"] == "") & ((table["source"].str.strip() == "") | (table["target"].str.strip() == ""))
    side = table["source"].str.strip().eq("").map({True: "source", False: "target"})
    table.loc[empty, "problem"] = "empty " + side[empty]
    if strict:
        wrong = table.index[table["problem"] != ""]
        again = table.index[table.drop(columns=["file", "line", "provenance"]).duplicated()]
        first = min([*wrong[:1], *again[:1]], default=None)
        if first is not None:
            row = table.loc[first]
            if row["problem"]:
                raise fail(row["problem"], "mend or remove the line", file=row["file"], line=row["line"])
            same = table[(table["source"] == row["source"]) & (table["target"] == row["target"])].iloc[0]
            raise fail(
                f"repeats {same['file']}, line {same['line']} ({row['source']!r}, {row['target']!r})",
                "remove one of the two", file=row["file"], line=row["line"],
            )  # fmt: skip
    named = table["provenance"] != ""
    table.loc[~named, "provenance"] = table.loc[~named, "file"].map(os.path.basename)
    table.attrs = {"source_language": source_language, "target_language": target_language}
    return table
