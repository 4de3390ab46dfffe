"""Time, memory and size of the report of a large grid, and how soon it opens: 3 models x 5 pairs x 4 arms x 2 layers x 5 ranks x 5 seeds.

    python benchmarks/report_scale.py [--write] [--keep FOLDER]

A results folder is made by a process of its own, as the stages leave one: synthetic tables (tests/unit/synthetic.py) of one model and
pair, moved a little for each of the others. The report is then made by `tli report` in a process of its own, and opened in Chromium
where it is installed. Asked: 500 MB of memory, a page below 10 MB that opens in 2 s. --write puts the figures into
benchmarks/results/report.tsv; --keep leaves the results folder there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from common import ROOT, write_table
from page_load import opened

sys.path[:0] = [str(ROOT / "tests" / "unit")]

import synthetic  # noqa: E402

from tli.config import Config, parse  # noqa: E402
from tli.experiment import Experiment  # noqa: E402
from tli.io import table_files, tables  # noqa: E402
from tli.io.records import write_json  # noqa: E402
from tli.probes.registry import answers  # noqa: E402

RANKS, LAYERS, SEEDS, WORDS = (4, 8, 16, 32, 64), ("best", 2), 5, 80


def config(results: Path, models: int, pairs: int) -> Config:
    """The config of such a grid."""
    arm = {"loss_layer": list(LAYERS), "rank": list(RANKS)}
    placebo = {"shuffle_translations": True}
    return parse(
        {
            "title": "Six hundred cells",
            "question": "Does it work on three models and five pairs?",
            "results": str(results),
            "models": {f"model-{m}": {"source": f"models/{m}"} for m in range(models)},
            "pairs": {f"l{p}-eng": {"lexicon": f"l{p}.tsv"} for p in range(pairs)},
            "arms": {"tli": arm, "tli-all": {**arm, "target_modules": "all-linear"}}
            | {f"placebo-{name}": {"like": name, **placebo} for name in ("tli", "tli-all")},
            "seeds": SEEDS,
            "transfer": {"tasks": ["xcopa_sw", "copa", "xnli_sw", "xnli_en"]},
            "jobs": {"adapters_per_job": 10_000, "adapters_per_transfer_job": 10_000},  # one part of each, as write_results leaves it
        }
    )


def one_group() -> dict[str, pd.DataFrame]:
    """The tables of one model and pair."""
    made = synthetic.tables(
        pairs=1,
        seeds=SEEDS,
        words=WORDS,
        items=30,
        layers=tuple(map(str, LAYERS)),
        ranks=tuple(map(str, RANKS)),
        arms=("tli", "tli-all"),
        zero=False,
    )
    made |= synthetic.analyse(made)
    made |= {f"transfer_{name}": table for name, table in synthetic.transfer(made["transfer"], made["runs"]).items()}
    return made | {"ladder": ladder_of(made), "harm": harm_of(made)}


def ladder_of(made: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Before, two free maps, and every cell at the endpoint."""
    metrics = made["metrics"].query("split == 'heldout'")
    metrics = metrics[metrics["hidden_state"] == metrics["hidden_state"].max()]
    cells = metrics.groupby(["arm", "layer", "rank"], sort=False, as_index=False)["csls_p_at_1"].mean()
    rungs = [
        ("before", "baseline", "", 0.3),
        ("spelling", "spelling", "", 0.05),
        ("map", "procrustes", "4", 0.6),
        ("map", "ridge", "4", 0.55),
    ]
    rungs += [
        ("control" if "placebo" in row.arm else "arm", f"{row.arm}, rank {row.rank}", row.layer, row.csls_p_at_1)
        for row in cells[cells["arm"] != "baseline"].itertuples()
    ]
    table = pd.DataFrame(rungs, columns=["rung", "name", "layer", "value"])
    table = table.assign(low=table["value"] - 0.08, high=table["value"] + 0.08, pool="whole-list", metric="csls_p_at_1", hidden_state=4)
    return table.assign(model="model-1", pair="pair-1", words=30, units=30, seeds=SEEDS).reindex(columns=tables.LADDER)


def harm_of(made: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Each cell's rise in two languages, the larger the higher the rank."""
    cells = made["grid"].drop_duplicates(tables.CELL)[[*tables.CELL, "control"]]
    both = pd.concat(
        [cells.assign(language=language, rise=scale * cells["rank"].astype(float)) for language, scale in (("eng", 0.004), ("l0", 0.002))]
    )
    both = both.assign(low=both["rise"] * 0.8, high=both["rise"] * 1.2, decides=True, seeds=SEEDS, sentences=400, tokens=8000, margin=0.05)
    return both.reindex(columns=tables.HARM)


def moved(table: pd.DataFrame, model: str, pair: str, random: np.random.Generator) -> pd.DataFrame:
    """The table as that of another model and pair: no figure is quite the same, so that nothing is smaller than it would be."""
    there = {name: value for name, value in (("model", model), ("pair", pair)) if name in table.columns}
    floats = table.select_dtypes("float").columns.difference(["margin", "chance"])
    return table.assign(**there, **{name: table[name] * (1 + 1e-3 * random.standard_normal(len(table))) for name in floats})


def write_results(experiment: Experiment) -> None:
    """What the stages leave of such a grid, as far as the report reads it."""
    layout, made, statistics = experiment.layout, one_group(), {}
    for number, (model, pair) in enumerate(experiment.model_pairs):
        random = np.random.default_rng(number)
        own = {name: moved(table, model, pair, random) for name, table in made.items() if isinstance(table, pd.DataFrame)}
        table_files.write(own["pairs"].drop(columns=["model", "pair"]), layout.lexicon(pair)["pairs"])
        scan = layout.scan(model, pair)
        for name, table in {"scan": own["scan"], "choice": own["choice"], "maps": None, "map_metrics": None}.items():
            table_files.write(
                pd.DataFrame(columns=tables.MAPS if name == "maps" else tables.RUN_METRICS) if table is None else table, scan[name]
            )
        for stage in ("evaluate", "transfer"):
            columns = {answer.file.split(".")[0]: answer.columns for answer in answers(stage).values()}
            for name, path in layout.measured(stage, model, pair, next(iter(experiment.parts(stage, model, pair)))).items():
                table_files.write(own.get(name, pd.DataFrame(columns=list(columns.get(name, ())))), path)
        for name in [name for name in own if name in layout.statistics() or name.startswith("transfer_")]:
            statistics.setdefault(name, []).append(own[name])
    contract = {"rivals": tables.RIVALS, "added": tables.ADDED, "translation": tables.TRANSLATION, "templates": tables.TEMPLATES}
    for name, path in layout.statistics().items():
        table_files.write(pd.concat(statistics[name]) if name in statistics else pd.DataFrame(columns=contract[name]), path)
    for name in (name for name in statistics if name.startswith("transfer_")):
        table_files.write(pd.concat(statistics[name]), layout.transfer_statistics(name.removeprefix("transfer_")))
    write_json(experiment.config.model_dump(mode="json", exclude_unset=True), layout.config())


def built(results: Path) -> tuple[float, float]:
    """Seconds and the highest resident memory (MB) of `tli report`."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "tli", "report", str(results)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"the report of {results} failed")
    return time.perf_counter() - start, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"models": 3, "pairs": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", action="store_true")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = o.keep or Path(scratch) / "results"
        experiment = Experiment(config(results, o.models, o.pairs))
        if not results.exists():
            maker = multiprocessing.Process(target=write_results, args=(experiment,))
            maker.start()
            maker.join()
        seconds, memory = built(results)
        page, folder = results / "report" / "index.html", results / "report"
        row = {"cells": len(experiment.cells), "runs": len(experiment.runs), "build_s": f"{seconds:.0f}", "peak_mb": f"{memory:.0f}"}
        row |= {"page_mb": f"{page.stat().st_size / 1e6:.1f}"}
        row |= {"beside_mb": f"{sum(file.stat().st_size for file in folder.rglob('*.js')) / 1e6:.0f}"}
        if seen := opened(page):
            row |= {"load_s": f"{seen[0] / 1000:.2f}", "first_paint_s": f"{seen[1] / 1000:.2f}"}
    if o.write:
        write_table("report", [row], f"{o.models} models, {o.pairs} pairs; Chromium headless, from disk")
    else:
        print(row)


if __name__ == "__main__":
    main()
