"""Statistics: from the measured words of all runs to tests, verdicts and what else the seeds can say."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tli import statistics
from tli.io import tables
from tli.log import say
from tli.specs import StatisticsSpec

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


def analyse(
    *, parts: list[str], pairs: dict[tuple[str, str], str], words: dict[tuple[str, str], str], checks: dict[str, str], transfer: list[str], settings: dict, pooling: str, claim_at: str | int,
    output: str,
) -> None:  # fmt: skip
    """Write runs.tsv, tests.tsv, verdicts.tsv and the descriptive tables into the folder `output`.

    parts: folders of the evaluation. pairs, words: (model, pair) -> pairs.tsv and the scan's words.tsv. checks: model -> the check's JSON. transfer:
    folders of the transfer stage, none where it is left out. settings: the config's section `statistics`. claim_at: "output" or
    the hidden state at which claims are made.
    """
    found = gather(parts)
    lists = pd.concat(
        [
            tables.read(path, tables.PAIRS)
            .assign(model=model, pair=pair)
            .merge(tables.read(words[model, pair], tables.WORDS), on=["model", "pair", "pair_id"], validate="one_to_one")
            for (model, pair), path in pairs.items()
        ],
        ignore_index=True,
    )
    layers = {model: json.loads(Path(path).read_text(encoding="utf-8"))["layers"] for model, path in checks.items()}
    spec = StatisticsSpec(**settings, pooling=pooling, claim_at=claim_at)
    measured = statistics.Measured(found["runs"], found["similarities"], found["metrics"], lists, layers)
    results = statistics.analyse(measured, spec)
    output = Path(output)
    tables.write(found["runs"], output / "runs.tsv", tables.RUNS)
    tables.write(results["tests"], output / "tests.tsv", tables.TESTS)
    tables.write(results["verdicts"], output / "verdicts.tsv", tables.VERDICTS)
    for name in DESCRIPTIVE:
        tables.write(results[name], output / f"{name}.tsv")
    if transfer:
        items = pd.concat([tables.read(Path(folder) / "transfer.parquet", tables.TRANSFER) for folder in transfer], ignore_index=True)
        for name, table in statistics.transfer(statistics.Scored(items, found["runs"]), spec).items():
            tables.write(table, output / f"transfer_{name}.tsv")
    for _, verdict in results["verdicts"].iterrows():
        say(f"statistics: {verdict['sentence']}")
