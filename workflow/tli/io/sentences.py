"""Running text: sentences of a file, and which of them are kept apart for anchors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tli.errors import ConfigError
from tli.specs import TextSpec


@dataclass(frozen=True)
class Sentence:
    """A sentence, and its line in the file: lines of parallel text have the same number in each language."""

    line: int  # from 1
    text: str

    @property
    def is_anchor(self) -> bool:
        """Whether it is of the third that training may read and that is never measured.

        By the sentence alone, so that a line which comes twice, or in two files, lies on one side.
        """
        return int(hashlib.sha256(self.text.encode()).hexdigest()[:8], 16) % 3 == 0


def read_sentences(path: str | Path, spec: TextSpec) -> list[Sentence]:
    """The file's sentences, one a line or one a cell of a column; empty ones are left out, and so is a header that names the column.

    Raises ConfigError: no such file, no such column, nothing in it.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"text: {path} cannot be read ({reason}); give a UTF-8 file with one sentence a line") from error
    found, skipped = [*enumerate(map(str.strip, lines), 1)], 0
    if spec.column is not None:
        cells = [line.split("\t") for line in lines]
        number = spec.column - 1 if isinstance(spec.column, int) else _place(path, cells[:1], spec.column)
        skipped = 0 if isinstance(spec.column, int) else 1
        found = [(line, row[number].strip()) for line, row in enumerate(cells, 1) if line > skipped and len(row) > number]
    sentences = [Sentence(line, text) for line, text in found if text]
    if not sentences:
        raise ConfigError(f"text: {path} holds no sentence; it wants one a line" + (f" in column {spec.column}" if spec.column else ""))
    return sentences


def _place(path: str | Path, head: list[list[str]], column: str) -> int:
    names = [name.strip() for name in head[0]] if head else []
    if column not in names:
        raise ConfigError(
            f"text: {path} has no column {column!r} in its first line; it has {', '.join(names)}. A column can be a number too"
        )
    return names.index(column)
