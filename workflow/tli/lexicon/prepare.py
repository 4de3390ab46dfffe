"""The steps of a list in their order: read, clean, split."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tli.lexicon.clean import Rules, clean
from tli.lexicon.formats import read
from tli.lexicon.forms import fail
from tli.lexicon.split import split
from tli.lexicon.verbatim import verbatim
from tli.specs import LexiconSpec


def cleaned(raw: pd.DataFrame, spec: LexiconSpec) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs of the raw rows and the record of changes, cleaned or verbatim as `spec.clean` has it."""
    if spec.clean not in {"normalised", "verbatim"}:
        raise fail(f"clean is {spec.clean!r}", "use normalised or verbatim")
    return verbatim(raw) if spec.is_verbatim else clean(raw, Rules(merge=spec.merge))


def prepare(files: Sequence[str], pair: str, spec: LexiconSpec) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The pairs in their splits (tables.PAIRS), the pairs set aside (ASIDE), and the record of changes (CHANGES).

    Raises LexiconError with file, line, reason and mend; a leak between given splits is one unless spec.split.leaks is
    "report".
    """
    pairs, changes = cleaned(read(files, pair, spec), spec)
    pairs, aside = split(pairs, spec.split, repeats="keep" if spec.is_verbatim else "set aside")
    return pairs, aside, changes
