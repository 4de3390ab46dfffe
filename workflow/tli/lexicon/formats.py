"""Word lists of any of the known formats -> one table of raw rows, each with its file and line.

A reader leaves nothing out in silence: what it cannot use comes back as a row whose `problem` says why, and `clean`
records it as dropped. In the strict formats (tsv, csv) a problem is an error at once.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tli.errors import LexiconError
from tli.lexicon import cldf, cldr, json_list, parallel, tabular, tei
from tli.lexicon.forms import fail
from tli.lexicon.list_file import ListFile
from tli.specs import LexiconSpec

RAW = ["source", "target", "alternatives", "category", "split", "provenance", "file", "line"]
LEMMAS = ["source_lemma", "target_lemma"]


class Format(NamedTuple):
    """How files of one format are read."""

    reader: Callable[..., list[dict]]
    strict: bool
    about: str
    units: str = "words"  # or "sentences": what a row is, where nobody says it
    files: int = 1  # that make one list

    @property
    def options(self) -> list[str]:
        """The keyword arguments of its reader."""
        return [name for name, one in inspect.signature(self.reader).parameters.items() if one.kind is one.KEYWORD_ONLY]


FORMATS = {
    "tsv": Format(tabular.read_tsv, True, "tab-separated with a header: source, target, and optional columns"),
    "csv": Format(tabular.read_csv, True, "comma-separated with a header, quoted where needed"),
    "json": Format(json_list.read_json, False, "a list of objects (or one object a line); `columns` names their keys"),
    "muse": Format(tabular.read_muse, False, "two words a line, no header"),
    "gatitos": Format(tabular.read_gatitos, False, "two tab-separated columns, no header; `columns` gives their order"),
    "freedict-tei": Format(tei.read_tei, False, "a FreeDict dictionary in TEI P5, in either direction"),
    "cldf": Format(cldf.read_cldf, False, "a CLDF word list: two languages of it, joined by concept"),
    "moses": Format(parallel.read_moses, True, "two files whose n-th lines are translations of each other", "sentences", 2),
    "flores": Format(parallel.read_flores, True, "a folder with one file of sentences a language, line by line", "sentences"),
    "cldr": Format(cldr.read_cldr, False, "terms of the Unicode CLDR (territories, languages, months, ...), no file"),
}


def languages_of(pair: str) -> tuple[str, str]:
    """Source and target of a pair's name, such as swh-eng or swh-eng.flores. Raises LexiconError for a name of another shape."""
    source, dash, target = pair.partition(".")[0].partition("-")
    if not (source and dash and target):
        raise fail(f"the pair {pair!r} does not name two languages", "write <source>-<target>, as swh-eng")
    return source, target


def read(
    files: str | os.PathLike | Sequence[str | os.PathLike], pair: str, spec: LexiconSpec | None = None, *, strict: bool | None = None
) -> pd.DataFrame:
    """Read one word list, or several of one format one after the other.

    Args:
        files: a file or several (a folder or its metadata file for cldf; not looked at for cldr).
        pair: <source>-<target>, ISO 639-3 (or 639-1) codes.
        spec: how it is read. `format` is a name in FORMATS. `columns`: for tsv and csv {our name: header}, or the order of
            the columns of a file without a header; for json {our name: key}; for gatitos and muse the order, such as
            ("target", "source"). Our names: source, target, alternatives ('|'-joined), category, split, provenance,
            source_lemma, target_lemma. `options`: encoding (utf-8) for text files; delimiter for csv; headword (the
            language of the entries) for freedict-tei; source_id, target_id, gloss for cldf; source_locale,
            target_locale, kinds for cldr; split, source, target, key for flores. `splits`: the split of each file.
            `clean`: verbatim lets rows repeat, and so do `units`: sentences.
        strict: whether an empty cell, a repeated row, a NUL byte, text in another encoding or a line with too few
            columns is an error (default for tsv and csv) or a row to be dropped on the record (the others).

    Returns
    -------
        A row an entry: RAW (+ LEMMAS where given) + `problem` ("" for a usable row); `attrs` holds the two languages.

    Raises
    ------
        LexiconError: with file, line, reason and mend.
    """
    spec = spec or LexiconSpec()
    languages = languages_of(pair)
    if spec.format not in FORMATS:
        raise fail(f"the format {spec.format!r} is not known", f"use one of {', '.join(FORMATS)}")
    format = FORMATS[spec.format]
    paths = [str(path) for path in ([files] if isinstance(files, (str, os.PathLike)) else files)]
    if not paths:
        raise fail("no file is named", "give the path of a word list")
    if len(paths) % format.files:
        raise fail(
            f"the format {spec.format} takes files by {format.files}, and {len(paths)} are named",
            "name both, as lexicon: [text.swh, text.eng]",
            file=paths[-1],
        )
    together = [tuple(paths[first : first + format.files]) for first in range(0, len(paths), format.files)]
    by_file = [_rows(some, languages, spec, format) for some in together]
    rows = [{"file": path, **row} for (path, *_), of_file in zip(together, by_file, strict=True) for row in of_file]
    table = _table(rows)
    if format.strict if strict is None else strict:
        _stop_at_a_problem(table, may_repeat=spec.is_verbatim or units_of(spec) == "sentences")
    if spec.splits:
        table["split"] = [split for split, of_file in zip(spec.splits[:: format.files], by_file, strict=True) for _ in of_file]
    table.attrs = dict(zip(("source_language", "target_language"), languages))
    return table


def units_of(spec: LexiconSpec) -> str:
    """What a row of the list is: "words" or "sentences", as the spec says, else as its format has it."""
    return spec.units or FORMATS[spec.format].units


def repeated(table: pd.DataFrame) -> pd.Series:
    """Which raw rows repeat an earlier one, wherever they stand."""
    return table.drop(columns=["file", "line", "provenance"]).duplicated()


def _rows(paths: tuple[str, ...], languages: tuple[str, str], spec: LexiconSpec, format: Format) -> list[dict]:
    """The rows of one file, or of those that make one list. Raises LexiconError where they cannot be read or hold none."""
    for path in paths:
        if spec.format != "cldr" and not Path(path).exists():
            raise fail("there is no such file", "check the path (it is relative to the working directory)", file=path)
    path, beside = paths[0], (paths[1] if len(paths) > 1 else None)
    unknown = [name for name in spec.options if name not in format.options]
    if unknown:
        raise fail(
            f"the option {unknown[0]!r} is unknown to the format {spec.format}",
            f"use {', '.join(format.options)}" if format.options else "leave it out",
            file=path,
        )
    try:
        rows = format.reader(ListFile(path, spec.columns, *languages, beside), **spec.options)
    except RecursionError as error:
        raise fail("is nested too deeply", f"check that it is {format.about}", file=path) from error
    except OSError as error:
        raise fail(f"cannot be read ({error.strerror or error})", "check the file", file=path) from error
    if not rows:
        raise fail("no entry was found", f"check that it is {format.about}", file=path)
    return rows


def _table(rows: list[dict]) -> pd.DataFrame:
    """The rows with the optional columns filled in, and empty sides as problems."""
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
    named = table["provenance"] != ""
    table.loc[~named, "provenance"] = table.loc[~named, "file"].map(os.path.basename)
    return table


def _stop_at_a_problem(table: pd.DataFrame, may_repeat: bool) -> None:
    """Raise LexiconError for the first row with a problem, or that repeats another."""
    wrong = table.index[table["problem"] != ""]
    again = table.index[:0] if may_repeat else table.index[repeated(table)]
    first = min([*wrong[:1], *again[:1]], default=None)
    if first is None:
        return
    row = table.loc[first]
    if row["problem"]:
        raise fail(row["problem"], "correct or remove the line", file=row["file"], line=row["line"])
    same = table[(table["source"] == row["source"]) & (table["target"] == row["target"])].iloc[0]
    raise fail(
        f"repeats {same['file']}, line {same['line']} ({row['source']!r}, {row['target']!r})",
        "remove one of the two",
        file=row["file"],
        line=row["line"],
    )
