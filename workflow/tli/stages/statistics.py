"""Statistics: from the measured words of all runs to tests, verdicts and what else the seeds can say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tli import statistics
from tli.experiment.job import StatisticsJob
from tli.experiment.layout import Layout
from tli.io import tables
from tli.io.records import read_check
from tli.log import say

DESCRIPTIVE = ("words", "ranks", "survival", "gains")


def gather(parts: list[str]) -> dict[str, pd.DataFrame]:
    """The tables of all evaluation parts together: runs, similarities, metrics, projections, losses."""
    names = {
        "runs": "runs.tsv",
        "similarities": "similarities.parquet",
        "metrics": "metrics.tsv",
        "projections": "projections.parquet",
        "losses": "losses.parquet",
    }
    found = {key: pd.concat([tables.read(Path(part) / file) for part in parts], ignore_index=True) for key, file in names.items()}
    twice = found["metrics"].duplicated(["model", "pair", "run", "split", "hidden_state", "pooling"])
    if twice.any():
        row = found["metrics"][twice].iloc[0]
        raise tables.TableError(f"{parts[0]} and other parts hold the run {row['run']} of {row['model']}, {row['pair']} twice")
    found["runs"] = mark_same(found["runs"])
    return found


def mark_same(runs: pd.DataFrame) -> pd.DataFrame:
    """Fill `same_as`: among runs of one model and pair that depend on the same things, all but the first name the first.

    The first is the one whose layer is a number, so that `best` gives way to the layer it stands for.
    """
    order = runs.assign(_named=runs["layer"].isin(["best", "output"])).sort_values("_named", kind="stable")
    first = order.groupby(["model", "pair", "unit"])["run"].transform("first")
    return runs.assign(same_as=first.where(first != order["run"], "").reindex(runs.index))


def run(job: StatisticsJob) -> dict:
    """Write runs, tests, verdicts and the descriptive tables, and those of the transfer where tasks were scored."""
    experiment, layout, spec = job.experiment, job.layout, job.spec
    measured = gather([layout.part("evaluate", *place) for place in job.parts_of("evaluate")])
    lists = pd.concat([_words(layout, model, pair) for model, pair in experiment.model_pairs], ignore_index=True)
    layers = {model: read_check(layout.check(model)).layers for model in experiment.config.models}
    results = statistics.analyse(
        measured["runs"], measured["similarities"], measured["metrics"], lists, primary=spec.primary, correction=spec.correction,
        alpha=spec.alpha, minimum_seeds=spec.minimum_seeds, equivalence_margin=spec.equivalence_margin,
        bootstrap=spec.bootstrap, number_of_layers=layers,
        claim_at={model: last if spec.claim_at == "output" else int(spec.claim_at) for model, last in layers.items()}, pooling=spec.pooling,
    )  # fmt: skip
    tables.write(measured["runs"], job.outputs["runs"], tables.RUNS)
    tables.write(results["tests"], job.outputs["tests"], tables.TESTS)
    tables.write(results["verdicts"], job.outputs["verdicts"], tables.VERDICTS)
    for name in DESCRIPTIVE:
        tables.write(results[name], job.outputs[name])
    if job.inputs["transfer"]:
        items = pd.concat([tables.read(path, tables.TRANSFER) for path in job.inputs["transfer"]], ignore_index=True)
        for name, table in statistics.transfer(
            items,
            measured["runs"],
            correction=spec.correction,
            alpha=spec.alpha,
            minimum_seeds=spec.minimum_seeds,
            bootstrap=spec.bootstrap,
        ).items():
            tables.write(table, layout.transfer_statistics(name))
    for sentence in results["verdicts"]["sentence"]:
        say(f"statistics: {sentence}")
    return {}


def _words(layout: Layout, model: str, pair: str) -> pd.DataFrame:
    """The pairs of a list with what the scan says of their words."""
    pairs = tables.read(layout.lexicon(pair)["pairs"], tables.PAIRS).assign(model=model, pair=pair)
    words = tables.read(layout.scan(model, pair)["words"], tables.WORDS)
    return pairs.merge(words, on=["model", "pair", "pair_id"], validate="one_to_one")
