"""What is read: word lists, their splits, the frames of their words, running text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tli.specs.base import added

WORD = "{word}"  # where a template has the word


@dataclass(frozen=True)
class SplitSpec:
    """How the pairs of a lexicon are divided. The keys are those of the config's section `split`."""

    by: str = "forms"
    shares: dict[str, float] = field(default_factory=lambda: {"train": 0.6, "select": 0.15, "heldout": 0.25})
    sizes: dict[str, int] | None = None
    heldout_categories: tuple[str, ...] = ()
    leaks: str = "error"
    folds: int = added(1)
    union: bool = added(True)  # with the lists before it that share a language


@dataclass(frozen=True)
class LexiconSpec:
    """How a list is read, cleaned and split. The keys are those of the config's section `pairs`."""

    format: str = "tsv"
    columns: tuple[str, ...] | dict[str, str] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    merge: bool = True
    splits: tuple[str, ...] | None = None
    split: SplitSpec = field(default_factory=SplitSpec)
    clean: str = added("normalised")  # or "verbatim"
    units: str = added("")  # "words" or "sentences"; "": as the format has it
    train: bool = added(True)  # False: nobody trains on it, so that all of it is held out

    @property
    def is_verbatim(self) -> bool:
        """Every row and string stays as the file has it."""
        return self.clean == "verbatim"


@dataclass(frozen=True)
class TemplateSpec:
    """The frames in which the words of a pair are fed too: `source[i]` and `target[i]` belong together."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    averaged: bool = False  # a word's vectors over its frames become one; else each template has figures of its own

    @property
    def carry_claims(self) -> bool:
        """Whether the user put a frame first. With WORD first, claims rest on the words alone, as without templates."""
        return self.source[0] != WORD

    @property
    def names(self) -> tuple[str, ...]:
        """What stands after a pooling's name in tables, "no-bos@2": the template's number, or that it is the mean of all."""
        return ("@mean",) if self.averaged else tuple(f"@{number}" for number in self.numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The templates that are read beside the words by themselves, counted from 1; the mean is over all."""
        both = enumerate(zip(self.source, self.target, strict=True), 1)
        return tuple(number for number, sides in both if self.averaged or sides != (WORD, WORD))

    @property
    def first(self) -> TemplateSpec:
        """What the first of `names` needs."""
        return self if self.averaged else TemplateSpec(self.source[:1], self.target[:1])


@dataclass(frozen=True)
class TextSpec:
    """A file of running text in one language. The keys are those of the config's section `text`."""

    file: str
    column: str | int | None = None
    sha256: str = ""
