"""Lists held against each other: one file under two names, columns the wrong way round, one language under another's name.

    lists = [Listed("lin-eng", ("en_ln.tsv",), read("en_ln.tsv", "lin-eng", spec)), Listed("lug-eng", ...)]
    findings = compare(lists)        # tables.LISTS, a row a finding

What the limits rest on is measured: docs/decisions/0055-lists-held-against-each-other.md.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from tli.io import tables
from tli.lexicon.compared_text import ALIKE, MISNAMED, SAME_FILE, SAME_PAIRS, SAME_WORDS, SWAPPED, Place, text_of
from tli.lexicon.formats import languages_of
from tli.lexicon.forms import key
from tli.lexicon.languages import short
from tli.lexicon.likeness import likeness
from tli.lexicon.scripts import majority_script

MUCH_SHARED = 0.6  # of the shorter list's pairs, or forms; two languages' lists with English share up to .12 and .17
FEWEST_SHARED = 20  # pairs or forms, so that short lists may have some in common
ONE_LANGUAGE = 0.9  # likeness from which two columns read as one language; two languages reach .85, one language's lists .93 and more
FEWEST_FORMS = 200  # of a column that is judged by its letters
CLEARLY_MORE = 0.1  # by which a column has to be more like another language than like its own; right names stay 0.09 below 0
_SOURCE, _TARGET = 0, 1


@dataclass(frozen=True, eq=False)
class Listed:
    """A list as it is compared: its pair's name, its files (or names that are none) and the rows that `read` made of them."""

    pair: str
    files: tuple[str, ...]
    rows: pd.DataFrame

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Normalised (source, target) of each usable row."""
        usable = self.rows[self.rows["problem"] == ""] if "problem" in self.rows.columns else self.rows
        return frozenset(zip(map(key, usable["source"].tolist()), map(key, usable["target"].tolist())))

    @cached_property
    def mirrored(self) -> frozenset[tuple[str, str]]:
        """The pairs with their sides the other way round."""
        return frozenset((target, source) for source, target in self.pairs)

    @cached_property
    def columns(self) -> tuple[frozenset[str], frozenset[str]]:
        """The distinct forms of source and target."""
        return frozenset(source for source, _ in self.pairs), frozenset(target for _, target in self.pairs)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Of the files, sorted; empty where one of them is no file."""
        paths = [Path(file) for file in self.files]
        return tuple(sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)) if all(map(Path.is_file, paths)) else ()


def compare(lists: Sequence[Listed]) -> pd.DataFrame:
    """What speaks against the names of the lists, one row a finding (tables.LISTS), errors first; none where nothing does.

    Columns are compared as languages (`likeness`): first which columns are swapped, then, with those turned, which column's language is
    not what its name says. The clearest case is told first and taken as mended before the others are looked at, so that one wrong list
    accuses no right one.
    """
    comparison = _Comparison(lists)
    rows = [*comparison.shared(), *comparison.swapped(), *comparison.misnamed(), *comparison.same_words(), *comparison.alike()]
    return pd.DataFrame(rows, columns=tables.LISTS).sort_values("severity", kind="stable", ignore_index=True)


class _Comparison:
    """Columns 2 i and 2 i + 1 are source and target of the i-th list; a finding is noted in `names` and `turned`, as if it were mended."""

    def __init__(self, lists: Sequence[Listed]):
        self.lists = list(lists)
        self.codes = [code for listed in lists for code in languages_of(listed.pair)]
        self.names = [short(code).split("_")[0] for code in self.codes]  # the language that each column is taken for
        self.columns = [column for listed in self.lists for column in listed.columns]
        self.likeness = likeness(self.columns)
        self.scripts = [majority_script(sorted(column)[:FEWEST_FORMS]) for column in self.columns]
        self.judged = [len(column) >= FEWEST_FORMS for column in self.columns]
        self.turned = [False] * len(self.lists)
        self.told: set[frozenset[int]] = set()  # two lists of which something was told

    def place(self, column: int) -> Place:
        listed = self.lists[column // 2]
        return Place(listed.pair, self.codes[column], listed.files)

    def row(self, finding: str, column: int, other: int, value: float, limit: float, severity: str, more: float = np.nan) -> dict:
        one, two = self.place(column), self.place(other)
        text = text_of(finding, one, two, value, more)
        names = {"pair": one.pair, "other_pair": two.pair, "language": one.language, "other_language": two.language}
        return {**names, "finding": finding, "severity": severity, "value": value, "limit": limit, "text": text}

    def shared(self) -> Iterator[dict]:
        """Two lists with the same pairs, either way round."""
        for one, two in combinations(range(len(self.lists)), 2):
            first, second = self.lists[one], self.lists[two]
            straight = _share(first.pairs, second.pairs)
            mirrored = _share(first.pairs, second.mirrored)
            is_one_file = bool(first.digests) and first.digests == second.digests
            if max(straight, mirrored) >= MUCH_SHARED:
                self.told.add(frozenset((one, two)))
                across = _TARGET if mirrored > straight else _SOURCE
                agree = [self.names[2 * one + side] == self.names[2 * two + (side ^ across)] for side in (_SOURCE, _TARGET)]
                if all(agree) and across:
                    continue  # one list in both directions, as its names say
                side = agree.index(False) if False in agree else _SOURCE
                finding, severity = SAME_FILE if is_one_file else SAME_PAIRS, "warning" if all(agree) else "error"
                yield self.row(finding, 2 * one + side, 2 * two + (side ^ across), max(straight, mirrored), MUCH_SHARED, severity)

    def swapped(self) -> Iterator[dict]:
        """Lists whose source is more like the other lists' target language than their own target is, or the other way round."""
        while True:
            left = [number for number, turned in enumerate(self.turned) if not turned]
            gain, column, other, own = max((self._gain(number) for number in left), default=(0.0, 0, 0, 0.0))
            if gain <= CLEARLY_MORE:
                return
            yield self.row(SWAPPED, column, other, self.likeness[column, other], CLEARLY_MORE, "error", own)
            source = column - column % 2
            self.turned[source // 2] = True
            for noted in (self.names, self.codes):
                noted[source], noted[source + 1] = noted[source + 1], noted[source]

    def _gain(self, number: int) -> tuple[float, int, int, float]:
        """By how much the columns of a list would fit the other lists' better the other way round: the mean of both sides, where they are known.

        With the column that shows it most, the column of another list that it is like, and how like its neighbour is to that language.
        """
        found = []
        for side in (_SOURCE, _TARGET):
            here, there = 2 * number + side, 2 * number + 1 - side
            as_other, other = self._nearest(here, self.names[there])
            as_named, named = self._nearest(there, self.names[there])
            if other >= 0 and named >= 0:
                found.append((as_other - as_named, here, other, as_named))
        return (float(np.mean([one[0] for one in found])), *max(found)[1:]) if found else (0.0, 2 * number, 2 * number, np.nan)

    def _nearest(self, column: int, language: str | None, *, but: str | None = None) -> tuple[float, int]:
        """Of the other lists' columns of a language (None: any but `but`), the likeness of the most alike and its number; NaN, -1 without one."""
        best, where = np.nan, -1
        for other in range(len(self.columns)):
            wanted = self.names[other] == language if language is not None else self.names[other] != but
            if wanted and self._comparable(column, other) and not self.likeness[column, other] <= best:
                best, where = float(self.likeness[column, other]), other
        return best, where

    def _comparable(self, column: int, other: int) -> bool:
        one, two = column // 2, other // 2
        known = self.judged[column] and self.judged[other] and not np.isnan(self.likeness[column, other])
        return one != two and known

    def misnamed(self) -> Iterator[dict]:
        """Columns that are more like another language than like the other lists of the language that they are named for."""
        while True:
            gain, column, other, own = max((self._doubt(column) for column in range(len(self.columns))), default=(0.0, 0, 0, 0.0))
            if gain <= CLEARLY_MORE:
                return
            yield self.row(MISNAMED, column, other, self.likeness[column, other], CLEARLY_MORE, "warning", own)
            self.told.add(frozenset((column // 2, other // 2)))
            self.names[column] = self.names[other]

    def _doubt(self, column: int) -> tuple[float, int, int, float]:
        """By how much a column is nearer to another language than to its own, with those two; as alike as one language without any of its own."""
        siblings = [other for other, name in enumerate(self.names) if name == self.names[column] and self._comparable(column, other)]
        own = max(
            (float(self.likeness[column, other]) for other in siblings if self.scripts[other] == self.scripts[column]), default=np.nan
        )
        rival, other = self._nearest(column, None, but=self.names[column])
        if other < 0:
            return 0.0, column, column, own
        if np.isnan(own):  # nothing speaks for the name: something has to speak against it, or for the other's
            sure = bool(siblings) or self._nearest(other, self.names[other])[0] >= ONE_LANGUAGE
            return (rival if sure and rival >= ONE_LANGUAGE else 0.0), column, other, own
        return rival - own, column, other, own

    def same_words(self) -> Iterator[dict]:
        """The same forms under two languages' names: the column that is so with most others once, then what is left."""
        left = []
        for column, other in combinations(range(len(self.columns)), 2):
            share = _share(self.columns[column], self.columns[other]) if self._apart(column, other) else 0.0
            if share >= MUCH_SHARED:
                left.append((share, column, other))
        while left:
            often = Counter(number for _, *both in left for number in both)
            worst = max(often, key=lambda number: (often[number], number))
            mine = [row for row in left if worst in row[1:]]
            share, column, other = max(mine)
            yield self.row(SAME_WORDS, worst, other if column == worst else column, share, MUCH_SHARED, "error")
            self.told |= {frozenset((column // 2, other // 2)) for _, column, other in mine}
            left = [row for row in left if row not in mine]

    def _apart(self, column: int, other: int) -> bool:
        """Whether two columns are of two lists and two languages, and nothing was told of the lists."""
        one, two = column // 2, other // 2
        return one != two and self.names[column] != self.names[other] and frozenset((one, two)) not in self.told

    def alike(self) -> Iterator[dict]:
        """Columns under two languages' names that read as one language, where nothing tells which name is wrong."""
        for column, other in combinations(range(len(self.columns)), 2):
            one, two, alike = column // 2, other // 2, self.likeness[column, other]
            known = self.judged[column] and self.judged[other] and alike >= ONE_LANGUAGE and self.names[column] != self.names[other]
            if known and frozenset((one, two)) not in self.told:
                self.told.add(frozenset((one, two)))
                yield self.row(ALIKE, column, other, alike, ONE_LANGUAGE, "warning")


def _share(one: frozenset, other: frozenset) -> float:
    """What the two have in common, as a share of the smaller; 0 where that is next to nothing."""
    common = len(one & other)
    return common / min(len(one), len(other)) if common >= min(FEWEST_SHARED, len(one), len(other)) > 0 else 0.0
