"""Reader of JSON lists: a list of objects, or one object a line."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator

from tli.lexicon.forms import fail
from tli.lexicon.list_file import NAMES, ListFile, lines_of

_GAP = re.compile(r"[\s,]*")


def read_json(file: ListFile, *, encoding: str = "utf-8") -> list[dict]:
    """A list of objects, or one object a line; `columns` names the keys, a value may be a text or a list of texts (of a target,
    the first is the translation and the others are alternatives).

    Raises LexiconError where the text is no JSON or an object lacks the keys in all of the list.
    """
    path = file.path
    lines = lines_of(path, encoding)
    for number, (_, problem) in enumerate(lines, 1):
        if problem:
            raise fail(problem, "save the file as UTF-8 text", file=path, line=number)
    text = "\n".join(line for line, _ in lines)
    starts = [0]
    for line, _ in lines:
        starts.append(starts[-1] + len(line) + 1)
    keys = _keys(file)
    given: set[str] = set()
    rows: list[dict] = []
    objects = 0
    for place, item in _objects(text, path, starts):
        number = bisect.bisect_right(starts, place)
        if not isinstance(item, dict):
            rows.append({"source": "", "target": "", "line": number, "problem": "is no object"})
            continue
        objects += 1
        row, problem = _row(item, keys, by_our_names=file.columns is None)
        given |= row.keys()
        rows.append({"source": "", "target": "", **row, "line": number, "problem": problem})
    missing = [name for name in ("source", "target") if name not in given]
    if objects and missing:
        raise fail(
            f"no object has the key {keys[missing[0]]!r} for the {missing[0]}",
            "name the keys in the config, such as columns: {source: swahili, target: english}",
            file=path,
        )
    return rows


def _keys(file: ListFile) -> dict[str, str]:
    """Our name -> the key of the objects."""
    if file.columns is None:
        return {name: name for name in NAMES} | dict(zip(("source", "target"), file.languages))
    if not isinstance(file.columns, dict):
        raise fail("columns is a list", "name the keys, such as {source: swahili, target: english}", file=file.path)
    unknown = [name for name in file.columns if name not in NAMES]
    if unknown:
        raise fail(f"columns names {unknown[0]!r}, which is none of {', '.join(NAMES)}", "write our name: key", file=file.path)
    return {name: name for name in NAMES} | file.columns


def _row(item: dict, keys: dict[str, str], by_our_names: bool) -> tuple[dict[str, str], str]:
    """What an object gives under our names, and what is wrong with it; `by_our_names`: a key of ours stands for one that is not there."""
    row, problem, further = {}, "", {}
    for name, key in keys.items():
        value = item.get(key, item.get(name) if by_our_names else None)
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            further[name], value = (value[1:], (value or [""])[0]) if name == "target" else ([], "|".join(value))
        if value is None:
            if name in {"source", "target"}:
                problem = problem or f"has no key {key!r} for the {name}"
            continue
        if not isinstance(value, str):
            problem, value = problem or f"{key!r} is no text", str(value)
        if "\0" in value:
            problem, value = problem or "holds a NUL byte", value.replace("\0", "")
        row[name] = value
    if further.get("target"):
        row["alternatives"] = "|".join([*further["target"], *filter(None, [row.get("alternatives")])])
    return row, problem


def _objects(text: str, path: str, starts: list[int]) -> Iterator[tuple[int, object]]:
    """(position, value) of each item of a JSON list, or of each value of a file with one value a line."""
    decoder = json.JSONDecoder()
    place = len(text) - len(text.lstrip())
    listed = text[place : place + 1] == "["
    place += listed
    while True:
        gap = _GAP.match(text, place)
        place = gap.end() if gap else place
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
            raise fail(f"is no JSON ({getattr(error, 'msg', error)})", "correct the syntax", file=path, line=line) from error
        yield place, value
        place = end
