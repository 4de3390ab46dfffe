"""What held-out words gain by themselves and in each template: the same crossed test, for each way in which they were fed."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing, units
from tli.statistics.cells import Difference, cells_of
from tli.statistics.crossed import crossed, one
from tli.statistics.inputs import Measured


def in_templates(measured: Measured, fed: Mapping[str, Mapping[str, str]], spec: StatisticsSpec) -> pd.DataFrame:
    """TEMPLATES: the primary endpoint of every cell, before and after, at the hidden state and in the pool of the claims.

    fed: pair -> pooling, as tables name it, -> the template in words; nothing for a pair whose words were fed by themselves alone. The
    intervals are over other seeds and held-out words and not adjusted: one look at the same claim in another way, and no claim.
    """
    states, members, rows = measured.claim_states(spec.claim_at), comparing.members(measured.runs), []
    asked = measured.similarities[
        measured.similarities["pair"].isin([pair for pair, names in fed.items() if names])
        & (measured.similarities["pool"] == measured.claim_pool)
        & (measured.similarities["split"] == "heldout")
    ]
    asked = asked[asked["hidden_state"] == asked["model"].map(states)]
    for pooling, similarities in asked.groupby("pooling", sort=False, observed=True):
        part = Measured(measured.runs, similarities, measured.metrics, measured.pairs, measured.layers)
        for sheet in units.sheets(part):
            if pooling not in fed[sheet.pair]:
                continue
            for cell, of_cell in cells_of(sheet, members):
                change = Difference.of(sheet, of_cell, facts.AFTER_BEFORE, "heldout")
                table = change.table(spec.primary)
                if not table.size:
                    continue
                test, (after, before) = one(crossed(table, alpha=spec.alpha)), change.means(spec.primary)
                rows.append(
                    dict(zip(tables.CELL, cell, strict=True))
                    | {"control": bool(of_cell["control"].iloc[0]), "pooling": pooling, "template": fed[sheet.pair][str(pooling)]}
                    | {"hidden_state": sheet.hidden_state, "pool": sheet.pool, "metric": spec.primary}
                    | {"words": int(change.words(spec.primary).sum()), "seeds": test["seeds"], "units": test["units"]}
                    | {"before": before, "after": after, "change": test["estimate"], "low": test["low"], "high": test["high"]}
                )
    found = pd.DataFrame(rows, columns=tables.TEMPLATES)
    order = {pooling: place for names in fed.values() for place, pooling in enumerate(names)}
    place = found["pooling"].map(order)
    return found.assign(place=place).sort_values([*tables.CELL, "place"], kind="stable", ignore_index=True)[tables.TEMPLATES]
