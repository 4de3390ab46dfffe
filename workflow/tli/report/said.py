"""Sentences of the first screens that are no verdicts: what else changed, and which cells are one run."""

from __future__ import annotations

import pandas as pd

from tli.report.choose import cell_name, first_cell, rows, table

CELL = ["model", "pair", "arm", "layer", "rank"]


def transfer_words(tables: dict[str, pd.DataFrame], config: dict, groups: list) -> dict | None:
    """The transfer's claims over seeds for the cell shown first of each model and pair, and a count over all cells."""
    cells = table(tables, "transfer_cells")
    if cells.empty:
        return None
    claims = cells[~cells["control"].astype(bool)]
    correction = (config.get("statistics") or {}).get("correction", "holm")
    adjusted = claims[{"benjamini-hochberg": "p_bh", "benjamini-yekutieli": "p_by"}.get(correction, "p_holm")]
    changed = claims[(claims["contrast"] == "after - before") & (adjusted <= (config.get("statistics") or {}).get("alpha", 0.05))]
    tested = claims[claims["contrast"] == "after - before"]
    lower, higher = int((changed["estimate"] < 0).sum()), int((changed["estimate"] > 0).sum())
    found = []
    for model, pair in groups:
        first = first_cell(claims, config, model, pair)
        own = rows(claims, **first) if first is not None else claims.iloc[:0]
        if len(own):
            found.append({"model": model, "pair": pair, "cell": cell_name(own.iloc[0]), "sentences": own["sentence"].tolist()})
    summary = (
        f"Of {len(tested)} tests of after - before (cells x tasks), {lower} found accuracy lower and {higher} higher after correction; "
        "where none was found, the smallest change that could have been is named."
    )
    return {"summary": summary, "groups": found}


def same_runs(tables: dict[str, pd.DataFrame]) -> str:
    """Which cells are the same run by construction, in words; "" where none is."""
    runs = table(tables, "runs")
    if runs.empty or "same_as" not in runs.columns:
        return ""
    twins = runs[runs["same_as"].fillna("") != ""].drop_duplicates(CELL)
    if twins.empty:
        return ""
    named = [f"{row.model}, {row.pair}: {_cell(row.run)} is {_cell(row.same_as)}" for row in twins.head(6).itertuples()]
    more = f"; and {len(twins) - 6} more" if len(twins) > 6 else ""
    return "Cells that are the same run by construction, made once and counted once: " + "; ".join(named) + more + "."


def _cell(run: str) -> str:
    return run.rsplit("/seed-", 1)[0].replace("/", ", ")
