"""Raw rows -> pairs with every row and every string as the file has them: what a replication trains on."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from tli.lexicon.changes import CHANGES, Changes
from tli.lexicon.clean import Rules, clean
from tli.lexicon.formats import LEMMAS
from tli.lexicon.merging import CLEAN, shown
from tli.lexicon.similarity import edit_similarity

LEFT = "left"  # the action of a record about what cleaning would have done
_NO_CELL = re.compile(r"[\t\r\n\x00]+")  # what no cell of a table can hold (tli.io.tables)


def verbatim(raw: pd.DataFrame, units: str = "words") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every usable row of `read`, byte for byte: no NFC, nothing cleaned, split, merged or dropped, repeated rows stay.

    Only a tab or line end inside a string becomes a space, on the record, since no table cell holds one.

    Returns
    -------
        pairs: merging.CLEAN (+ lemmas), one row a usable row, in the order of the input.
        changes: CHANGES. What `clean` would have changed, merged or dropped has the action "left"; "dropped" are rows that
        the reader could not use.
    """
    raw = raw.reset_index(drop=True)
    problem = raw["problem"] if "problem" in raw.columns else pd.Series("", index=raw.index)
    changes = Changes(raw)
    useless = raw[problem != ""]
    changes.add(useless.index, "dropped", "pair", shown(useless), "", problem[useless.index])
    pairs = raw[problem == ""].copy()
    for field in ("source", "target"):
        cells = pairs[field].str.replace(_NO_CELL, " ", regex=True)
        changed = (cells != pairs[field]).to_numpy()
        rows = pairs.index[changed]
        changes.add(rows, "changed", field, pairs[field][changed], cells[changed], "a tab or line end, which no table cell holds")
        pairs[field] = cells
    pairs["cognate"] = np.round(edit_similarity(pairs["source"].tolist(), pairs["target"].tolist()), 4)
    pairs["split"] = pairs["split"].str.strip()
    columns = CLEAN + [name for name in LEMMAS if name in pairs.columns]
    usable = raw[problem == ""]
    usable.attrs = raw.attrs
    would_be = clean(usable, Rules(units=units))[1].assign(action=LEFT)
    return pairs[columns].reset_index(drop=True), pd.concat([changes.table(), would_be], ignore_index=True)[CHANGES]
