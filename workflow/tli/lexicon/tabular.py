"""Readers of plain text lists: TSV, CSV, JSON, MUSE and GATITOS."""

from __future__ import annotations

import bisect
import csv
import json
import re
from pathlib import Path

from tli.lexicon.forms import fail

NAMES = ("source", "target", "alternatives", "category", "split", "provenance", "source_lemma", "target_lemma")


def lines_of(path: str, encoding: str = "utf-8") -> list[tuple[str, str]]:
    """The lines of a text file as (text, problem): a line with a NUL or in another encoding has a problem, not an error.

    Raises LexiconError for a file in UTF-16 and for an unknown encoding.
    """
    data = Path(path).read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and encoding.lower().replace("-", "") in {"utf8", "utf8sig"}:
        raise fail("is in UTF-16", "save it as UTF-8", file=path)
    try:
        data = data.removeprefix(b"\xef\xbb\xbf")
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = None
    except LookupError as error:
        raise fail(f"the encoding {encoding!r} is unknown", "use utf-8, latin-1, cp1252, ...", file=path) from error
    if text is not None:
        parts = text.split("\n")
    else:  # some line is wrong: find out which
        parts = data.split(b"\n")
    if parts and not parts[-1]:
        parts.pop()
    return [_decoded(part, encoding) for part in parts]


def _decoded(line: str | bytes, encoding: str) -> tuple[str, str]:
    problem = ""
    if isinstance(line, bytes):
        try:
            line = line.decode(encoding)
        except UnicodeDecodeError as error:
            line, problem = line.decode(encoding, "replace"), f"not {encoding} text at byte {error.start + 1}"
    if "\0" in line:
        problem, line = problem or "holds a NUL byte", line.replace("\0", "")
    return line.rstrip("\r"), problem


def _places(header: list[str], columns, source_language: str, target_language: str, path: str) -> dict[str, int]:
    """Our names -> positions in the header."""
    header = [name.strip() for name in header]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise fail(f"the header names {repeated[0]!r} twice", "rename one of them", file=path, line=1)
    wanted = dict(columns or {})
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise fail(
            f"columns names {unknown[0]!r}, which is none of {', '.join(NAMES)}",
            "write it as our name: header name, such as {source: swahili, target: english}", file=path,
        )  # fmt: skip
    languages = {"source": source_language, "target": target_language}
    places = {}
    for name in NAMES:
        options = [wanted[name]] if name in wanted else [name, languages.get(name, name)]
        found = [option for option in options if option in header]
        found = found or [given for given in header if given.casefold() in {option.casefold() for option in options}]
        if found:
            places[name] = header.index(found[0])
        elif name in wanted or name in languages:
            raise fail(
                f"has no column {options[0]!r} for the {name}; its header is {', '.join(map(repr, header[:12]))}",
                f"name it in the config, such as columns: {{{name}: <header>}}, or give the columns in order as a list "
                "where the file has no header", file=path, line=1,
            )  # fmt: skip
    return places


def _order(columns, path: str) -> dict[str, int]:
    """Our names -> positions, from a list such as ["target", "source"]; "" or "-" skips a column."""
    order = [] if isinstance(columns, dict) else list(columns)
    unknown = [name for name in order if name not in NAMES and name not in {"", "-", None}]
    if unknown or "source" not in order or "target" not in order or len(set(order)) < len([n for n in order if n]):
        raise fail(
            f"columns is {columns}, which is no order of source and target",
            f"use [source, target] or [target, source], with '-' for a column to skip; known: {', '.join(NAMES)}",
            file=path,
        )
    return {name: place for place, name in enumerate(order) if name in NAMES}


def _row(cells: list[str], places: dict[str, int], width: int, line: int, problem: str) -> dict:
    if not problem and len(cells) < width:
        problem = f"has {len(cells)} column{'s' if len(cells) != 1 else ''} where {width} are expected"
    row = {name: cells[place] if place < len(cells) else "" for name, place in places.items()}
    return {**row, "line": line, "problem": problem}


def _header_rows(records, columns, source_language, target_language, path) -> list[dict]:
    """Rows of a file with a header (columns: None or a map) or without (columns: a list)."""
    rows, places, width, exact = [], None, 0, True
    if isinstance(columns, (list, tuple)):
        places = _order(columns, path)
        width, exact = max(places.values()) + 1, False
    for line, cells, problem in records:
        if places is None:
            if problem:
                raise fail(f"the header {problem}", "save the file as UTF-8 text", file=path, line=line)
            places = _places(cells, columns, source_language, target_language, path)
            width = len(cells)
            continue
        if not problem and not any(cell.strip() for cell in cells):
            problem = "empty line"
        elif not problem and exact and len(cells) > width:
            problem = f"has {len(cells)} columns where the header has {width}"
        need = width if exact else min(width, max(places["source"], places["target"]) + 1)
        rows.append(_row(cells, places, need, line, problem))
    return rows


def read_tsv(path, *, columns, source_language, target_language, encoding="utf-8") -> list[dict]:
    """Tab-separated, no quoting."""
    lines = lines_of(path, encoding)
    records = ((number, text.split("\t"), problem) for number, (text, problem) in enumerate(lines, 1))
    return _header_rows(records, columns, source_language, target_language, path)


def read_csv(path, *, columns, source_language, target_language, encoding="utf-8", delimiter=",") -> list[dict]:
    """Comma-separated with quotes; a quoted cell may run over lines, a row counts as the line on which it starts."""
    lines = lines_of(path, encoding)

    def records():
        reader = csv.reader((text + "\n" for text, _ in lines), delimiter=delimiter, strict=True)
        start = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise fail(f"is no CSV ({error})", "check the quotes", file=path, line=start) from error
            problems = [problem for _, problem in lines[start - 1 : reader.line_num] if problem]
            yield start, cells, problems[0] if problems else ""
            start = reader.line_num + 1

    return _header_rows(records(), columns, source_language, target_language, path)


def read_gatitos(path, *, columns, source_language, target_language, encoding="utf-8") -> list[dict]:
    """Two tab-separated columns without a header; `columns` gives their order, by default [source, target]."""
    places = _order(columns or ["source", "target"], path)
    width = max(2, max(places.values()) + 1)
    rows = []
    for number, (text, problem) in enumerate(lines_of(path, encoding), 1):
        cells = text.split("\t")
        if not problem and len(cells) > width:
            problem = f"has {len(cells)} columns where {width} are expected"
        if not problem and not text.strip():
            problem = "empty line"
        rows.append(_row(cells, places, width, number, problem))
    return rows


def read_muse(path, *, columns, source_language, target_language, encoding="utf-8") -> list[dict]:
    """Two words a line, parted by a space or a tab (Conneau et al. 2018), without a header."""
    places = _order(columns or ["source", "target"], path)
    rows = []
    for number, (text, problem) in enumerate(lines_of(path, encoding), 1):
        cells = text.split("\t") if "\t" in text.strip() else text.split()
        if not problem and len(cells) != 2:
            problem = f"has {len(cells)} words where 2 are expected" if cells else "empty line"
            cells = cells if len(cells) < 2 else [cells[0], " ".join(cells[1:])]
        rows.append(_row(cells, places, 2, number, problem))
    return rows


_GAP = re.compile(r"[\s,]*")


def read_json(path, *, columns, source_language, target_language, encoding="utf-8") -> list[dict]:
    """A list of objects, or one object a line; `columns` names the keys, a value may be a text or a list of texts.

    Raises LexiconError where the text is no JSON or an object lacks the keys in all of the list.
    """
    lines = lines_of(path, encoding)
    for number, (_, problem) in enumerate(lines, 1):
        if problem:
            raise fail(problem, "save the file as UTF-8 text", file=path, line=number)
    text = "\n".join(line for line, _ in lines)
    starts = [0]
    for line, _ in lines:
        starts.append(starts[-1] + len(line) + 1)
    keys = {name: name for name in NAMES}
    keys |= {"source": source_language, "target": target_language} if columns is None else {}
    if columns is not None and not isinstance(columns, dict):
        raise fail("columns is a list", "name the keys, such as {source: swahili, target: english}", file=path)
    unknown = [name for name in columns or {} if name not in NAMES]
    if unknown:
        raise fail(f"columns names {unknown[0]!r}, which is none of {', '.join(NAMES)}", "write our name: key", file=path)
    keys |= columns or {}
    rows, seen, objects = [], set(), 0
    for place, item in _objects(text, path, starts):
        line = bisect.bisect_right(starts, place)
        objects += isinstance(item, dict)
        if not isinstance(item, dict):
            rows.append({"source": "", "target": "", "line": line, "problem": "is no object"})
            continue
        row, problem = {}, ""
        for name, key in keys.items():
            value = item.get(key, item.get(name) if columns is None else None)
            if value is not None:
                seen.add(name)
            if isinstance(value, list) and all(isinstance(part, str) for part in value):
                value = "|".join(value)
            if value is None and name in {"source", "target"}:
                problem = problem or f"has no key {key!r} for the {name}"
            elif value is not None and not isinstance(value, str):
                problem, value = problem or f"{key!r} is no text", str(value)
            if "\0" in (value or ""):
                problem, value = problem or "holds a NUL byte", value.replace("\0", "")
            if value is not None or name in {"source", "target"}:
                row[name] = value or ""
        rows.append({**row, "line": line, "problem": problem})
    missing = [name for name in ("source", "target") if name not in seen]
    if objects and missing:
        raise fail(
            f"no object has the key {keys[missing[0]]!r} for the {missing[0]}",
            "name the keys in the config, such as columns: {source: swahili, target: english}", file=path,
        )  # fmt: skip
    return rows


def _objects(text: str, path: str, starts: list[int]):
    """(position, value) of each item of a JSON list, or of each value of a file with one value a line."""
    decoder = json.JSONDecoder()
    place = len(text) - len(text.lstrip())
    listed = text[place : place + 1] == "["
    place += listed
    while True:
        place = _GAP.match(text, place).end()
        if place >= len(text):
            if listed:
                raise fail("the list does not end", "add the missing ]", file=path, line=len(starts) - 1)
            return
        if listed and text[place] == "]":
            rest = text[place + 1 :].strip()
            if rest:
                line = bisect.bisect_right(starts, place)
                raise fail("goes on after the list", "remove what follows the ]", file=path, line=line)
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError) as error:
            line = bisect.bisect_right(starts, getattr(error, "pos", place))
            raise fail(f"is no JSON ({getattr(error, 'msg', error)})", "mend the syntax", file=path, line=line) from error
        yield place, value
        place = end
