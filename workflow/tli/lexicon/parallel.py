"""Readers of parallel sentences: two files line by line (Moses), and folders with one file a language (FLORES)."""

from __future__ import annotations

import json
from pathlib import Path

from tli.lexicon.forms import fail
from tli.lexicon.languages import same_language
from tli.lexicon.list_file import ListFile, lines_of

SPLITS = ("dev", "devtest", "test")  # what FLORES calls its parts


def read_moses(file: ListFile, *, encoding: str = "utf-8") -> list[dict]:
    """Two files, source and target, whose n-th lines are translations of each other, as Moses and OPUS have them.

    Raises LexiconError where they have not equally many lines, and where their endings name the languages the other way round.
    """
    if file.beside is None:
        raise fail("is one file; parallel sentences need two", "name both, as lexicon: [text.swh, text.eng]", file=file.path)
    endings = [Path(path).suffix.lstrip(".") for path in (file.path, file.beside)]
    if all(same_language(ending, language) for ending, language in zip(endings, reversed(file.languages), strict=True)):
        raise fail(
            f"comes before {file.beside}, and the pair is {'-'.join(file.languages)}", "name the source's file first", file=file.path
        )
    return _side_by_side((file.path, file.beside), lines_of(file.path, encoding), lines_of(file.beside, encoding))


def read_flores(file: ListFile, *, split: str = "", source: str = "", target: str = "", key: str = "text") -> list[dict]:
    """A folder with one file a language: `swh_Latn.dev` (FLORES-200: a sentence a line) or `swh_Latn.jsonl` (FLORES+: an object a line).

    Args:
        file: the folder with the files, or the one above it, which holds folders `dev`, `devtest` or `test`.
        split: which of these, where there are several.
        source: the file's name before its ending (`zho_Hans`), where several files are in the source's language.
        target: the same of the target.
        key: of the sentence in an object.
    """
    folder = _folder(Path(file.path), split)
    paths = [_file_of(folder, name, language) for name, language in zip((source, target), file.languages, strict=True)]
    lines = [_sentences(path, key) if path.suffix == ".jsonl" else lines_of(str(path)) for path in paths]
    return _side_by_side((str(paths[0]), str(paths[1])), lines[0], lines[1])


def _side_by_side(paths: tuple[str, str], sources: list[tuple[str, str]], targets: list[tuple[str, str]]) -> list[dict]:
    """A row a line; what is wrong with a line stands with the file that it is wrong in."""
    if len(sources) != len(targets):
        longer, shorter = sorted(zip((len(sources), len(targets)), paths, strict=True), reverse=True)
        raise fail(
            f"has {longer[0]} lines where {shorter[1]} has {shorter[0]}: which sentences belong together is not clear",
            "take the two files of one version, or restore the line that was lost or split",
            file=longer[1],
            line=shorter[0] + 1,
        )
    rows = []
    for number, ((source, wrong), (target, wrong_too)) in enumerate(zip(sources, targets, strict=True), 1):
        problems = [wrong or ("" if source.strip() else "empty line"), wrong_too or ("" if target.strip() else "empty line")]
        place = paths[1] if problems[1] and not problems[0] else paths[0]
        rows.append({"file": place, "source": source, "target": target, "line": number, "problem": problems[0] or problems[1]})
    return rows


def _folder(place: Path, split: str) -> Path:
    """The folder of the files. Raises LexiconError where it is not clear which is meant."""
    if not place.is_dir():
        raise fail("is no folder", "name the folder with one file a language, such as flores200/dev", file=str(place))
    there = [name for name in SPLITS if (place / name).is_dir()]
    if split and (place / split).is_dir():
        return place / split
    if len(there) > 1 or (split and split not in (place.name, "")):
        told = f"holds {', '.join(there)}" if there else f"has no folder {split}"
        raise fail(
            told, "name one in options: {split: dev}" if there else "leave options.split out, or name the right folder", file=str(place)
        )
    return place / there[0] if there else place


def _file_of(folder: Path, name: str, language: str) -> Path:
    """The file of a language: that of this name, or the only one whose code says so."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    fitting = [path for path in files if (path.stem == name if name else same_language(path.stem.split("_")[0], language))]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise fail(
            f"has no file {name or language + '_...'}; it has {', '.join(path.name for path in files[:8]) or 'none'}",
            "name the pair by the codes of the files, or name the file in options: {source: swh_Latn}",
            file=str(folder),
        )
    raise fail(
        f"has several files in {language}: {', '.join(path.name for path in fitting)}",
        f"name one in options: {{source: {fitting[0].stem}}} or target",
        file=str(folder),
    )


def _sentences(path: Path, key: str) -> list[tuple[str, str]]:
    """(sentence, problem) of each line."""
    found = []
    for line, problem in lines_of(str(path)):
        try:
            item = json.loads(line) if not problem else {}
        except ValueError:
            item, problem = {}, "is no JSON"
        text = item.get(key) if isinstance(item, dict) else None
        found.append((text, problem) if isinstance(text, str) else ("", problem or f"has no text under the key {key!r}"))
    return found
