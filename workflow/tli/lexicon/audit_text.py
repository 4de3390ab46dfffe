"""The audit in words, for a terminal: `error`, `warning` and `info` lines."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from tli.errors import LexiconError
from tli.lexicon.audit import audit, same_list
from tli.lexicon.clean import clean
from tli.lexicon.formats import FORMATS, read
from tli.lexicon.forms import fail
from tli.lexicon.split import split

FEWEST_HELDOUT = 60  # a split with fewer queries is underpowered
UNBALANCED = 0.25  # standardised difference of train and held-out
LONG = 20_000  # rows from which on progress is shown


def audit_lines(result: dict) -> list[str]:
    """The result of `audit` as lines that start with "error: ", "warning: " or "info: ", errors first."""
    figures, lines = result["figures"], []

    def say(severity: str, text: str) -> None:
        lines.append(f"{severity}: {text}")

    def some(table: pd.DataFrame, shape: str, most: int = 3) -> str:
        shown = "; ".join(shape.format(**row) for row in table.head(most).to_dict("records"))
        return shown + ("; ..." if len(table) > most else "")

    if not figures["pairs"]:
        say("error", "no pair is left")
    if figures["leaks"]:
        say("error", f"{figures['leaks']} form(s) leak across splits: " + some(result["leaks"], "{form!r} in {splits}"))
    if figures["identical_share"] > 0.5:
        say("error", f"{figures['identical_share']:.0%} of the sources equal their targets: both columns are one list")
    elif figures["identical_share"] > 0.1:
        say("warning", f"{figures['identical_share']:.0%} of the sources equal their targets")
    if figures["duplicates"]:
        say("warning", f"{figures['duplicates']} pairs repeat: " + some(result["duplicates"], "{source} = {target}"))
    if figures["repeated_anchors"]:
        say("warning", f"{figures['repeated_anchors']} sources stand in several pairs (false negatives in a batch): "
            + some(result["repeated_anchors"], "{source} = {targets}"))  # fmt: skip
    if figures["mixed_scripts"]:
        say("warning", f"{figures['mixed_scripts']} words mix scripts: " + some(result["mixed_scripts"], "{form} ({scripts})"))
    splits = result["splits"].set_index("split")["pairs"] if len(result["splits"]) else {}
    if len(splits) and splits.get("heldout", 0) < FEWEST_HELDOUT:
        say("warning", f"{splits.get('heldout', 0)} held-out pairs: below {FEWEST_HELDOUT} the split is underpowered")
    for row in result["balance"].itertuples():
        if abs(row.standardised) > UNBALANCED:
            say("warning", f"train and held-out differ in {row.measure.replace('_', ' ')}: {row.train:.2f} against "
                f"{row.heldout:.2f} ({row.standardised:+.2f} sd)")  # fmt: skip
        elif pd.isna(row.standardised) and row.difference > UNBALANCED:
            say("warning", f"train and held-out differ in their categories (total variation {row.difference:.2f})")
    say("info", f"{figures['pairs']} pairs, {figures['translations']} accepted translations, {figures['sources']} sources, "
        f"{figures['targets']} target forms")  # fmt: skip
    if figures["shared_translations"]:
        say("info", f"{figures['shared_translations']} translations are shared by several sources (masked as false negatives): "
            + some(result["shared_translations"], "{target} ({sources})"))  # fmt: skip
    say("info", f"{figures['cognate_share']:.0%} cognates or loans (mean edit similarity {figures['cognate_mean']:.2f})"
        + (": " + some(result["cognates"], "{source} = {target}") if len(result["cognates"]) else ""))  # fmt: skip
    say("info", f"{figures['multi_word_pairs']} pairs with a multi-word side (source {figures['source_multi_word_share']:.0%}, "
        f"target {figures['target_multi_word_share']:.0%})")  # fmt: skip
    categories = result["categories"][result["categories"]["category"] != ""]
    if len(categories):
        say("info", "categories: " + some(categories, "{category} {share:.0%}", 8))
    for row in result["tokens"].itertuples():
        if row.split == "all":
            say("info", f"{row.side}: {row.mean:.1f} tokens a form (median {row.median:.0f}, at most {row.most}, "
                f"{row.single_token_share:.0%} in one token)")  # fmt: skip
    if "shared_tokens_share" in figures:
        say("info", f"{figures['shared_tokens_share']:.0%} of the pairs share a token")
    if len(splits):
        say("info", "splits: " + some(result["splits"], "{split} {pairs} ({share:.0%})"))
        say("info", f"the largest component has {figures['largest_component']} pairs")
    if len(result["dropped"]):
        say("info", f"{figures['rows_dropped']} rows dropped: " + some(result["dropped"], "{reason} ({rows})", 6))
    if figures.get("rows_merged"):
        say("info", f"{figures['rows_merged']} rows merged into a pair of the same source")
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(lines, key=lambda line: order[line.split(":")[0]])


def guess_format(path: str) -> str:
    """The format that a file's name and first line point to. Raises LexiconError where nothing does."""
    place = Path(path)
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
    if "source" in cells and "target" in cells:
        return "tsv"
    if len(cells) == 2:
        return "gatitos"
    if len(cells) == 1 and len(head.split()) == 2:
        return "muse"
    return "tsv"


def _guess_languages(path: str) -> list[str]:
    found = re.match(r"([a-z]{2,3})[-_]([a-z]{2,3})(?![a-zA-Z])", Path(path).name)
    return list(found.groups()) if found else ["und", "und"]


def audit_file(
    path,
    *,
    format: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    columns=None,
    by: str = "forms",
    tokenize=None,
    compare: list | None = None,
    cleaning: dict | None = None,
    **options,
) -> list[str]:
    """Read, clean, split and audit a word list, and say what is wrong with it; progress on stderr for long lists.

    The format is guessed where it is not given. Rows that would stop a strict format are errors, all of them counted.
    `compare`: other lists that this one must not be a copy of (default: the files of equal size beside it).
    `cleaning`: arguments of `clean`. The other arguments are those of `read`.

    Raises:
        LexiconError: when the file cannot be read as a word list at all.
    """
    from tqdm import tqdm

    one = str(path[0] if isinstance(path, (list, tuple)) else path)
    format = format or guess_format(one)
    guessed = _guess_languages(one)
    lines = []
    raw = read(
        path, format=format, columns=columns, source_language=source_language or guessed[0],
        target_language=target_language or guessed[1], strict=False, **options,
    )  # fmt: skip
    with tqdm(total=4, file=sys.stderr, disable=len(raw) < LONG, desc=f"{len(raw)} rows", unit="step") as progress:
        if FORMATS[format].strict:
            lines += _strict_lines(raw)
        pairs, changes = clean(raw, **(cleaning or {}))
        progress.update()
        aside = pd.DataFrame()
        try:
            pairs, aside = split(pairs, by=by, leaks="report")
        except LexiconError as error:
            lines.append(f"error: {error}")
        progress.update()
        result = audit(pairs, tokenize=tokenize, changes=changes, by=by)
        progress.update()
        lines += audit_lines(result)
        if len(aside):
            lines.append(f"info: {len(aside)} pairs set aside by the split: {aside['reason'].iloc[0]}; ...")
        lines += _copies(path, compare)
        progress.update()
    order = {"error": 0, "warning": 1, "info": 2}
    shown = f"info: {one}: format {format}, {len(raw)} entries read"
    return sorted([shown, *lines], key=lambda line: order[line.split(":")[0]])


def _strict_lines(raw: pd.DataFrame) -> list[str]:
    wrong = raw[raw["problem"] != ""]
    lines = [f"error: {row.file}, line {row.line}: {row.problem}" for row in wrong.head(10).itertuples()]
    if len(wrong) > 10:
        lines.append(f"error: ... and {len(wrong) - 10} more lines like these")
    again = raw[raw.drop(columns=["file", "line", "provenance"]).duplicated() & (raw["problem"] == "")]
    lines += [f"error: {row.file}, line {row.line}: repeats {row.source} = {row.target}" for row in again.head(5).itertuples()]
    if len(again) > 5:
        lines.append(f"error: ... and {len(again) - 5} more repeated rows")
    return lines


def _copies(path, compare) -> list[str]:
    own = [Path(one) for one in (path if isinstance(path, (list, tuple)) else [path]) if Path(one).is_file()]
    if compare is None:
        compare = [
            other for one in own for other in sorted(one.parent.iterdir())
            if other.is_file() and other not in own and other.stat().st_size == one.stat().st_size
        ]  # fmt: skip
    if not own or not compare:
        return []
    found = same_list([*own, *compare])
    mine = found[found["file"].isin([str(one) for one in own]) & found["other"].isin([str(one) for one in compare])]
    return [
        f"error: {row.file} is {'byte for byte' if row.same_bytes else f'for {row.shared_lines:.0%} of its lines'} the list {row.other}"
        for row in mine.itertuples()
    ]
