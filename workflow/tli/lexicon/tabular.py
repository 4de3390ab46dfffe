"""Readers of plain text lists, one row a line: TSV, CSV, MUSE and GATITOS."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from tli.lexicon.forms import fail
from tli.lexicon.list_file import NAMES, ListFile, is_header, lines_of

ALSO = {"category": "domain", "provenance": "attested_in"}  # what the shipped lists call these columns
Record = tuple[int, list[str], str]  # line, cells, problem


def _places(header: list[str], file: ListFile) -> dict[str, int]:
    """Our names -> positions in the header."""
    header = [name.strip() for name in header]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise fail(f"the header names {repeated[0]!r} twice", "rename one of them", file=file.path, line=1)
    wanted = dict(file.columns) if isinstance(file.columns, dict) else {}
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise fail(
            f"columns names {unknown[0]!r}, which is none of {', '.join(NAMES)}",
            "write it as our name: header name, such as {source: swahili, target: english}",
            file=file.path,
        )
    languages = dict(zip(("source", "target"), file.languages))
    places = {}
    for name in NAMES:
        candidates = [wanted[name]] if name in wanted else [name, languages.get(name, ALSO.get(name, name))]
        present = [candidate for candidate in candidates if candidate in header]
        present = present or [given for given in header if given.casefold() in {candidate.casefold() for candidate in candidates}]
        if present:
            places[name] = header.index(present[0])
        elif name in wanted or name in languages:
            raise fail(
                f"has no column {candidates[0]!r} for the {name}; its header is {', '.join(map(repr, header[:12]))}",
                f"name it in the config, such as columns: {{{name}: <header>}}, or give the columns in order as a list "
                "where the file has no header",
                file=file.path,
                line=1,
            )
    return places


def _order(file: ListFile) -> dict[str, int]:
    """Our names -> positions, from a list such as ["target", "source"]; "" or "-" skips a column."""
    columns = file.columns or ("source", "target")
    order = [] if isinstance(columns, dict) else list(columns)
    unknown = [name for name in order if name not in NAMES and name not in {"", "-", None}]
    if unknown or "source" not in order or "target" not in order or len(set(order)) < len([n for n in order if n]):
        raise fail(
            f"columns is {columns}, which is no order of source and target",
            f"use [source, target] or [target, source], with '-' for a column to skip; known: {', '.join(NAMES)}",
            file=file.path,
        )
    return {name: place for place, name in enumerate(order) if name in NAMES}


def _row(record: Record, places: dict[str, int], width: int) -> dict:
    line, cells, problem = record
    if not problem and len(cells) < width:
        problem = f"has {len(cells)} column{'s' if len(cells) != 1 else ''} where {width} are expected"
    row = {name: cells[place] if place < len(cells) else "" for name, place in places.items()}
    return {**row, "line": line, "problem": problem}


def _header_problem(cells: list[str], file: ListFile) -> str:
    """What is wrong with the first line of a file that should have no header, "" if it names no columns."""
    return "names the columns, where no header is expected" if is_header(cells, file) else ""


def _header_rows(records: Iterable[Record], file: ListFile) -> list[dict]:
    """Rows of a file with a header (columns: None or a map) or without (columns: a list)."""
    rows: list[dict] = []
    places, width, exact = None, 0, True
    if isinstance(file.columns, (list, tuple)):
        places = _order(file)
        width, exact = max(places.values()) + 1, False
    for line, cells, problem in records:
        if places is None:
            if problem:
                raise fail(f"the header {problem}", "save the file as UTF-8 text", file=file.path, line=line)
            places = _places(cells, file)
            width = len(cells)
            continue
        if not exact and not rows:
            problem = problem or _header_problem(cells, file)
        if not problem and not any(cell.strip() for cell in cells):
            problem = "empty line"
        elif not problem and exact and len(cells) > width:
            problem = f"has {len(cells)} columns where the header has {width}"
        need = width if exact else min(width, max(places["source"], places["target"]) + 1)
        rows.append(_row((line, cells, problem), places, need))
    return rows


def read_tsv(file: ListFile, *, encoding: str = "utf-8") -> list[dict]:
    """Tab-separated, no quoting."""
    lines = lines_of(file.path, encoding)
    return _header_rows(((number, text.split("\t"), problem) for number, (text, problem) in enumerate(lines, 1)), file)


def read_csv(file: ListFile, *, encoding: str = "utf-8", delimiter: str = ",") -> list[dict]:
    """Comma-separated with quotes; a quoted cell may run over lines, a row counts as the line on which it starts."""
    lines = lines_of(file.path, encoding)

    def records() -> Iterable[Record]:
        reader = csv.reader((text + "\n" for text, _ in lines), delimiter=delimiter, strict=True)
        start = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise fail(f"is no CSV ({error})", "check the quotes", file=file.path, line=start) from error
            problems = [problem for _, problem in lines[start - 1 : reader.line_num] if problem]
            yield start, cells, problems[0] if problems else ""
            start = reader.line_num + 1

    return _header_rows(records(), file)


def read_gatitos(file: ListFile, *, encoding: str = "utf-8") -> list[dict]:
    """Two tab-separated columns without a header; `columns` gives their order, by default [source, target]."""
    places = _order(file)
    width = max(2, max(places.values()) + 1)
    rows = []
    for number, (text, problem) in enumerate(lines_of(file.path, encoding), 1):
        cells = text.split("\t")
        if not problem and len(cells) > width:
            problem = f"has {len(cells)} columns where {width} are expected"
        if not problem and not text.strip():
            problem = "empty line"
        if number == 1:
            problem = problem or _header_problem(cells, file)
        rows.append(_row((number, cells, problem), places, width))
    return rows


def read_muse(file: ListFile, *, encoding: str = "utf-8") -> list[dict]:
    """Two words a line, parted by a space or a tab (Conneau et al. 2018), without a header."""
    places = _order(file)
    rows = []
    for number, (text, problem) in enumerate(lines_of(file.path, encoding), 1):
        cells = text.split("\t") if "\t" in text.strip() else text.split()
        if not problem and len(cells) != 2:
            problem = f"has {len(cells)} words where 2 are expected" if cells else "empty line"
            cells = cells if len(cells) < 2 else [cells[0], " ".join(cells[1:])]
        if number == 1:
            problem = problem or _header_problem(cells, file)
        rows.append(_row((number, cells, problem), places, 2))
    return rows
