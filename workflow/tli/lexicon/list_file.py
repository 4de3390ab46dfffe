"""One file of a word list, as its reader is given it, and its lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tli.lexicon.forms import fail
from tli.lexicon.languages import short

# Our names of what a row can hold.
NAMES = ("source", "target", "alternatives", "category", "split", "provenance", "source_lemma", "target_lemma")


@dataclass(frozen=True)
class ListFile:
    """A file and what the config says of it; readers take their own options beside it."""

    path: str
    columns: tuple[str, ...] | dict[str, str] | None
    source_language: str
    target_language: str
    beside: str | None = None  # the second file, of a format that takes two

    @property
    def languages(self) -> tuple[str, str]:
        return self.source_language, self.target_language


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
    # Where some line is wrong, find out which.
    parts: list[str] | list[bytes] = text.split("\n") if text is not None else data.split(b"\n")
    if parts and not parts[-1]:
        parts.pop()
    return [_decoded(part, encoding) for part in parts]


def _decoded(line: str | bytes, encoding: str) -> tuple[str, str]:
    problem = ""
    if isinstance(line, bytes):
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            text, problem = line.decode(encoding, "replace"), f"not {encoding} text at byte {error.start + 1}"
    else:
        text = line
    if "\0" in text:
        problem, text = problem or "holds a NUL byte", text.replace("\0", "")
    return text.rstrip("\r"), problem


_TITLES = {
    *("word", "words", "term", "lemma", "headword", "entry", "form", "phrase", "text", "translation", "translations", "gloss", "meaning"),
    *("src", "tgt", "trg", "source", "target", "source_text", "target_text", "source text", "target text", "l1", "l2"),
}


def is_header(cells: list[str], file: ListFile) -> bool:
    """Whether a first line names its columns: both cells are titles, or codes or (English) names of the list's languages."""
    from babel import Locale

    names = Locale("en").languages
    codes = {one for language in file.languages for one in (language, short(language))}
    titles = _TITLES | {code.casefold() for code in codes} | {names[code].casefold() for code in codes if code in names}
    cells = [cell.strip().strip('"#').casefold() for cell in cells]
    return len(cells) > 1 and all(cell in titles for cell in cells)
