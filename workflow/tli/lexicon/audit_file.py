"""A word list on disk, read, cleaned, split and audited before anything runs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tli.errors import LexiconError
from tli.io import tables
from tli.lexicon.audit import audit
from tli.lexicon.audit_lines import audit_lines, worst_first
from tli.lexicon.compared import Listed, compare
from tli.lexicon.formats import FORMATS, languages_of, read, repeated, units_of
from tli.lexicon.forms import fail
from tli.lexicon.languages import same_language
from tli.lexicon.prepare import cleaned
from tli.lexicon.split import split
from tli.specs import LexiconSpec

LONG = 20_000  # rows from which on progress is shown
MOST_BESIDE, LARGEST = 60, 5_000_000  # files beside a list that it is held against, and bytes of one


def guess_format(path: str, pair: str = "") -> str:
    """The format that a file's name and first line point to. Raises LexiconError where nothing does."""
    place = Path(path)
    if place.is_dir() and not any(place.glob("*-metadata.json")):
        return "flores"
    if place.is_dir() or place.name.endswith("-metadata.json"):
        return "cldf"
    ending = place.suffix.lower()
    if ending in {".tei", ".xml"}:
        return "freedict-tei"
    if ending in {".json", ".jsonl"}:
        return "json"
    if ending == ".csv":
        return "csv"
    if not place.is_file():
        raise fail("there is no such file", "check the path", file=str(path))
    with place.open("rb") as stream:
        head = stream.readline(100_000).decode("utf-8", "replace").removeprefix("\ufeff")
    cells = head.rstrip("\r\n").split("\t")
    titles = {cell.strip().casefold() for cell in cells}
    if {"source", "target"} <= titles or (pair and set(pair.split("-")) <= titles):
        return "tsv"
    if len(cells) == 2:
        return "gatitos"
    if len(cells) == 1 and len(head.split()) == 2:
        return "muse"
    return "tsv"


def _guess_pair(path: str) -> str:
    name = re.match(r"([a-z]{2,3})[-_]([a-z]{2,3})(?![a-zA-Z])", Path(path).name)
    return f"{name.group(1)}-{name.group(2)}" if name else "und-und"


def audit_file(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    spec: LexiconSpec | None = None,
    pair: str = "",
    *,
    tokenize: Callable[[list[str]], list[list]] | None = None,
    compare_with: Sequence[str | os.PathLike] | None = None,
) -> list[str]:
    """Read, clean, split and audit a word list, and say what is wrong with it; progress on stderr for long lists.

    Rows that would stop a strict format are errors, all of them counted.

    Args:
        spec: as for `prepare`; without one, or with an empty `format`, the format is guessed. Its leaks are reported.
        pair: <source>-<target>; by default from the file's name.
        tokenize: as for `audit`.
        compare_with: other lists that it is held against, their languages told by their names (default: the files beside it that end alike).

    Raises
    ------
        LexiconError: when the file cannot be read as a word list at all.
    """
    from tqdm import tqdm

    paths = [str(path) for path in ([files] if isinstance(files, (str, os.PathLike)) else files)]
    spec, pair = spec or LexiconSpec(format=""), pair or _guess_pair(paths[0])
    spec = replace(spec, format=spec.format or guess_format(paths[0], pair), split=replace(spec.split, leaks="report"))
    lines = []
    raw = read(paths, pair, spec, strict=False)
    with tqdm(total=4, file=sys.stderr, disable=len(raw) < LONG, desc=f"{len(raw)} rows", unit="step") as progress:
        if FORMATS[spec.format].strict:
            lines += _strict_lines(raw, may_repeat=spec.is_verbatim or units_of(spec) == "sentences")
        pairs, changes = cleaned(raw, spec)
        progress.update()
        aside = None
        try:
            pairs, aside = split(pairs, spec.split, repeats="keep" if spec.is_verbatim else "set aside")
        except LexiconError as error:
            lines.append(f"error: {error}")
        progress.update()
        result = audit(pairs, tokenize=tokenize, changes=changes, aside=aside, by=spec.split.by)
        progress.update()
        lines += audit_lines(result)
        lines += _beside(paths, spec, pair, raw, compare_with)
        progress.update()
    return worst_first([f"info: {paths[0]}: format {spec.format}, {len(raw)} entries read", *lines])


def _strict_lines(raw: pd.DataFrame, may_repeat: bool) -> list[str]:
    wrong = raw[raw["problem"] != ""]
    lines = [f"error: {row.file}, line {row.line}: {row.problem}" for row in wrong.head(10).itertuples()]
    if len(wrong) > 10:
        lines.append(f"error: ... and {len(wrong) - 10} more lines like these")
    again = raw[repeated(raw) & (raw["problem"] == "") & (not may_repeat)]
    lines += [f"error: {row.file}, line {row.line}: repeats {row.source} = {row.target}" for row in again.head(5).itertuples()]
    if len(again) > 5:
        lines.append(f"error: ... and {len(again) - 5} more repeated rows")
    return lines


def _beside(
    paths: list[str], spec: LexiconSpec, pair: str, raw: pd.DataFrame, compare_with: Sequence[str | os.PathLike] | None
) -> list[str]:
    """What the lists beside this one say of it, each read as this one is; files that are no such list are passed over."""
    listed = [Path(path) for path in paths if Path(path).is_file()]
    if compare_with is None:
        near = [other for path in listed for other in sorted(path.parent.iterdir()) if other.suffix == path.suffix]
        compare_with = [other for other in near if other.is_file() and other not in listed and other.stat().st_size <= LARGEST][
            :MOST_BESIDE
        ]
    others = []
    for path in compare_with:
        name = _named_as(pair, _guess_pair(str(path)))
        with suppress(LexiconError):
            others.append(Listed(name, (str(path),), read(path, name, spec, strict=False)))
    found = compare([Listed(pair, tuple(paths), raw), *others]) if others else pd.DataFrame(columns=tables.LISTS)
    own = found[(found["pair"] == pair) | (found["other_pair"] == pair)]
    return [
        f"{severity}: {text}" for severity, text in own[["severity", "text"]].itertuples(index=False) if any(path in text for path in paths)
    ]


def _named_as(pair: str, other: str) -> str:
    """The other pair's name with the language that both have on the same side."""
    source, target = languages_of(pair)
    one, two = languages_of(other)
    turned = (same_language(one, target) and not same_language(two, target)) or (
        same_language(two, source) and not same_language(one, source)
    )
    return f"{two}-{one}" if turned else other
