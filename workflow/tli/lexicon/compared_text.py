"""What `compare` found, in words: what, where, the figure, the mend."""

from __future__ import annotations

import math
from typing import NamedTuple

from tli.lexicon.languages import english_name, same_language

SAME_FILE = "same file"
SAME_PAIRS = "same pairs"
SAME_WORDS = "same words"
SWAPPED = "columns swapped"
MISNAMED = "another language"
ALIKE = "one language twice"


class Place(NamedTuple):
    """A column: its pair, the language that it is named for, and the list's files."""

    pair: str
    language: str
    files: tuple[str, ...]

    @property
    def shown(self) -> str:
        return f"{self.pair} ({', '.join(self.files)})"


def text_of(finding: str, one: Place, other: Place, value: float, own: float = math.nan) -> str:
    """The sentence of a finding.

    Args:
        finding: one of the names above.
        one: the column that the finding is about.
        other: the column that it was held against.
        value: the share, or the likeness, of the two.
        own: of a column that is not what its name says, its likeness to the other lists of that name; NaN without any.
    """
    both = f"{one.shown} and {other.shown}"
    is_one = same_language(one.language, other.language)
    names = f"{one.language} and {other.language} words" if not is_one else "words"
    mend = "take one of the two pairs out" if is_one else "give one of the two pairs its own file, or take it out"
    if finding == SAME_FILE:
        same = "are one file, byte for byte" if value == 1 else f"are one file that is read in two ways, {value:.1%} of the pairs alike"
        return f"{both} {same}: the same {names} under two names; {mend}"
    if finding == SAME_PAIRS:
        return f"{both} share {_share(value)} of their pairs (of the shorter list's): the same {names} under two names; {mend}"
    if finding == SAME_WORDS:
        return (
            f"{both} share {_share(value)} of their {one.language} and {other.language} words (of the shorter list's): one language's words "
            "under two names; give one of the two pairs its own file, or name the right column in `columns`"
        )
    if finding == SWAPPED:
        against = f", its {_other_side(one)} column less so ({own:.2f})" if not math.isnan(own) else ""
        return (
            f"{one.shown}: its columns look swapped: its {one.language} column reads as {english_name(other.language)} (likeness {value:.2f} "
            f"to {other.shown}){against}; turn the order in `columns`, or turn the pair's name"
        )
    if finding == MISNAMED:
        against = f"and {own:.2f} to the other {one.language} lists" if not math.isnan(own) else f"and no other list is {one.language}"
        return (
            f"{one.shown}: its {one.language} column reads as {other.language} (likeness {value:.2f} to {other.shown}, {against}); check "
            f"that the file is {english_name(one.language)}, or rename the pair. Closely related languages (Croatian and Bosnian) are as alike"
        )
    if one.pair == other.pair:
        return f"{one.shown}: both columns read as one language (likeness {value:.2f}); check `columns`, and that the file is the right one"
    return (
        f"{both}: their {one.language} and {other.language} columns are as alike as one language (likeness {value:.2f}); check that neither file "
        "lies under the other's name. Closely related languages (Croatian and Bosnian) are as alike, and then nothing is wrong"
    )


def _share(value: float) -> str:
    """99.9 % where 100 % would hide that some are not."""
    return f"{math.floor(value * 1000) / 10:g} %"


def _other_side(place: Place) -> str:
    """The other language of a pair's name."""
    source, _, target = place.pair.partition(".")[0].partition("-")
    return target if place.language == source else source
