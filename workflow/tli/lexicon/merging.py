"""Rows of one source become one pair."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.lexicon.changes import Changes
from tli.lexicon.formats import LEMMAS
from tli.lexicon.similarity import edit_similarity

CLEAN = ["source", "target", "alternatives", "category", "split", "cognate", "provenance", "file", "line"]


def shown(table: pd.DataFrame) -> pd.Series:
    """Each row in words: "<source> = <target>"."""
    return table["source"] + " = " + table["target"]


def merged(changes: Changes, raw: pd.DataFrame, long: pd.DataFrame, merge: bool) -> pd.DataFrame:
    """Group the translations of one source; the first of a group names the pair.

    Args:
        raw: the raw rows, index 0, 1, ...
        long: one row a (source form, translation): row (of raw), part, source, target, source_key, target_key.
        merge: False merges exact repetitions only.

    Returns
    -------
        CLEAN (+ lemmas), one row a pair.
    """
    for name in [n for n in ("category", "split", "provenance", "file", "line", *LEMMAS) if n in raw.columns]:
        long[name] = raw[name].to_numpy()[long["row"]]
    # A row without a split joins the first row of its source that has one.
    given = long[long["split"] != ""].drop_duplicates("source_key").set_index("source_key")["split"].to_dict()
    empty = long["split"] == ""
    long.loc[empty, "split"] = [given.get(name, "") for name in long.loc[empty, "source_key"].tolist()]
    by = ["source_key", "split"] if merge else ["row", "part"]
    long["group"] = long.groupby(by, sort=False).ngroup() if len(long) else 0
    long["pair"] = long.groupby(["source_key", "split", "target_key"], sort=False).ngroup() if len(long) else 0
    _record(changes, long, merge)
    live = long[~long.duplicated("pair")]
    pairs = live.drop_duplicates("group").set_index("group")
    rest = live[live.duplicated("group")]
    pairs["alternatives"] = rest.groupby("group")["target"].agg("|".join).reindex(pairs.index).fillna("")
    for name in [n for n in ("category", *LEMMAS) if n in live.columns]:
        first_given = live[live[name] != ""].drop_duplicates("group").set_index("group")[name]
        pairs[name] = first_given.reindex(pairs.index).fillna("")
    origins = long.drop_duplicates(["group", "provenance"])
    several = origins[origins.duplicated("group", keep=False)].groupby("group")["provenance"].agg(" + ".join)
    pairs["provenance"] = several.reindex(pairs.index).fillna(pairs["provenance"])
    pairs["cognate"] = np.round(edit_similarity(pairs["source"].tolist(), pairs["target"].tolist()), 4)
    columns = CLEAN + [name for name in LEMMAS if name in pairs.columns]
    return pairs.reset_index(drop=True)[columns]


def _record(changes: Changes, long: pd.DataFrame, merge: bool) -> None:
    """Record the rows that are no base of a pair: further translations, and repetitions."""
    base = long.drop_duplicates("group").set_index("group")
    again = long.duplicated("pair")
    place = long["file"].astype(object) + ", line " + long["line"].astype(str).astype(object)
    is_base = long["row"].to_numpy() == base["row"].reindex(long["group"]).to_numpy()
    why = pd.Series("the same pair as " + place[~again].to_numpy()[long["pair"]], index=long.index)  # numbered in order of their first row
    # Where nothing is merged, a repetition is the base of its own group; it goes all the same.
    repeated = long.assign(why=why)[again & (~is_base if merge else True)].drop_duplicates("row")
    further = long[~again & ~is_base].copy()
    first = long.drop_duplicates("group").index.to_numpy()  # groups too are numbered in order
    further["why"] = "further translation of the source of " + place.to_numpy()[first[further["group"]]]
    for rows in (further, repeated):
        target = base.reindex(rows["group"])
        changes.add(rows["row"], "merged", "pair", shown(rows), shown(target), rows["why"])
