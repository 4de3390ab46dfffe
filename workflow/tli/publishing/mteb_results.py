"""Word retrieval as a bitext-mining result in the form of MTEB's TaskResult (scores: split -> one entry a direction)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tli.experiment.grid import GridRun
from tli.lexicon.scripts import majority_script
from tli.publishing.finished import Finished
from tli.report.selection import rows

FITS = (
    "`accuracy` is P@1 by cosine of the held-out words among the forms that no training touched, ties counted as wrong; MTEB ranks among the "
    "targets of the queries alone. `main_score` is that accuracy: MTEB's own is a weighted F1 over predictions, which is not computed here, "
    "so there is no `f1`. `csls_accuracy` is ours. Words are no task of MTEB's: `task_name` is this workflow's."
)


def result(done: Finished, run: GridRun, of: str, revision: str) -> dict[str, Any] | None:
    """The result of a run's adapter (`of` its name), or of its baseline; None where the words were not measured.

    revision: the digest of the list's pairs.
    """
    found = done.words(run, of)
    if found is None:
        return None
    pairs = rows(done.report.tables.pairs, model=run.model, pair=run.pair)
    source, target = (f"{code}-{_script(pairs[side])}" for code, side in zip(run.pair.split("-"), ("source", "target"), strict=True))
    entries = [
        _entry(run.pair, [source, target], found, ""),
        _entry("-".join(reversed(run.pair.split("-"))), [target, source], found, "_reverse"),
    ]
    return {
        "dataset_revision": revision,
        "task_name": f"TLIWordRetrieval.{run.pair}",
        "mteb_version": None,
        "scores": {"test": entries},
        "evaluation_time": None,
        "kg_co2_emissions": None,
    }


def _entry(subset: str, languages: list[str], found: pd.Series, direction: str) -> dict[str, Any]:
    accuracy = float(found[f"p_at_1{direction}"])
    return {
        "accuracy": accuracy,
        "main_score": accuracy,
        "csls_accuracy": float(found[f"csls_p_at_1{direction}"]),
        "hf_subset": subset,
        "languages": languages,
    }


def _script(forms: pd.Series) -> str:
    return majority_script(list(map(str, forms))) or "Zyyy"
