"""The steps of a list in their order: read, clean, split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tli.lexicon.clean import clean
from tli.lexicon.formats import read
from tli.lexicon.split import split as split_pairs


def prepare(
    files: Sequence[str], *, pair: str, format: str, columns, options: Mapping, merge: bool, splits: Sequence[str] | None, split: Mapping
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The pairs in their splits, the pairs set aside, and the record of changes.

    split: a dumped tli.config.Split. Raises LexiconError with file, line, reason and mend; a leak between given splits is
    one unless split["leaks"] is "report".
    """
    source, target = pair.split("-")
    raw = read(files, format=format, columns=columns, source_language=source, target_language=target, **options)
    if splits:
        raw["split"] = raw["file"].map(dict(zip(map(str, files), splits, strict=True)))
    cleaned, record = clean(raw, merge=merge)
    pairs, aside = split_pairs(cleaned, **{key: split[key] for key in ("shares", "sizes", "by", "heldout_categories", "leaks")})
    return pairs, aside, record
