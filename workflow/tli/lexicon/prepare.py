"""The steps of a list in their order: read, clean, split."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tli.lexicon.clean import Rules, clean
from tli.lexicon.formats import read
from tli.lexicon.split import split
from tli.specs import LexiconSpec


def prepare(files: Sequence[str], pair: str, spec: LexiconSpec) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The pairs in their splits (tables.PAIRS), the pairs set aside (ASIDE), and the record of changes (CHANGES).

    Raises LexiconError with file, line, reason and mend; a leak between given splits is one unless spec.split.leaks is
    "report".
    """
    cleaned, changes = clean(read(files, pair, spec), Rules(merge=spec.merge))
    pairs, aside = split(cleaned, spec.split)
    return pairs, aside, changes
