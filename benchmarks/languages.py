"""`make bench-languages LISTS=FOLDER`: config/languages.yaml on the demo model through Snakemake to its page, against a job for each.

    python benchmarks/languages.py FOLDER [--every 4] [--seeds 5] [--cores 2] [--cells 6] [--scratch FOLDER | --keep FOLDER]

FOLDER holds the lists as the config's addresses name them (en_bem.tsv, ...). Of every so many English words one is kept, the same in all
lists; 1 keeps all. What is measured is one run of `snakemake --profile profiles/local`: seconds, memory and disk of each stage as the
jobs' own records tell them, and the page. The other way is one process for each adapter and list on what is trained already, some cells
of which are timed, drawn at random. --keep leaves the results in a folder; a run that is finished there is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from common import ROOT, quiet, write_table
from page_load import opened

from tli.config import load, parse
from tli.experiment import Experiment
from tli.io import table_files, tables
from tli.io.provenance import read_records
from tli.specs import STAGE_VERSIONS

KEPT = ("lexicon", "check", "train")  # of a results folder: what the stage across reads
TOOK = "took.json"  # beside the config: what the run as a whole took


def sections(lists: Path, folder: Path, every: int, seeds: int) -> dict[str, Any]:
    """The config of 20 languages as it stands, on the demo model and on a part of the lists."""
    given = load(ROOT / "config" / "languages.yaml").model_dump(mode="json", exclude_unset=True)
    for name, pair in given["pairs"].items():
        pair["lexicon"] = str(shortened(lists / Path(pair["lexicon"]).name, folder / f"{name}.tsv", every))
        del pair["sha256"]
    demo = {"source": str(ROOT / "resources" / "demo" / "model"), "dtype": "float32", "device": "cpu", "demo": True}
    return given | {"models": {"demo": demo}, "seeds": seeds, "results": str(folder / "results")}


def shortened(lists: Path, to: Path, every: int) -> Path:
    """One English word in so many, by its hash: the same in all lists."""
    lines = lists.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if int(hashlib.sha256(line.split("\t")[0].casefold().encode()).hexdigest(), 16) % every == 0]
    if not to.exists() or to.read_text(encoding="utf-8") != "".join(kept):  # Snakemake asks how old it is
        to.write_text("".join(kept), encoding="utf-8")
    return to


def timed(command: list[str], folder: Path) -> tuple[float, float, str]:
    """A process and its children in `folder`: processor seconds, seconds by the clock, what it printed to stdout."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "SNAKEMAKE_OUTPUT_CACHE": "", "OMP_NUM_THREADS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - start, done.stdout


def snakemake(folder: Path, cores: int, *more: str) -> tuple[float, float]:
    """The workflow as its users start it: processor seconds with those of its jobs, and seconds by the clock."""
    command = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    command += ["--profile", str(ROOT / "profiles" / "local"), "--configfile", "config.yaml", "--cores", str(cores), *more]
    return timed(command, folder)[:2]


def finished(folder: Path, cores: int) -> dict[str, float]:
    """Run the workflow in `folder` to its page, unless that is done: what a start and the run took, in seconds."""
    file = folder / TOOK
    if not file.exists():
        start, _ = snakemake(folder, cores, "--dry-run", "--quiet", "all")
        processor, clock = snakemake(folder, cores)
        file.write_text(json.dumps({"start": start, "processor": processor, "clock": clock}), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def alone(given: dict[str, Any], results: Path, folder: Path, on: str, run: int) -> float:
    """Processor seconds of one adapter on one list as a job of its own, on what is trained already."""
    folder.mkdir()
    for name in KEPT:
        (folder / name).symlink_to(results / name)
    evaluation = given["evaluation"] | {"on": [on]}
    asked = given | {"evaluation": evaluation, "jobs": {"adapters_per_job": 1}, "results": str(folder)}
    (folder / "config.yaml").write_text(json.dumps(asked), encoding="utf-8")  # JSON is YAML
    words = ["run", "across", "config.yaml", "--model", "demo", "--part", f"part-{run}", "--threads", "1"]
    return timed([sys.executable, "-m", "tli", *words], folder)[0]


def megabytes(folder: Path) -> float:
    """Of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def of_stages(results: Path) -> list[dict[str, str]]:
    """Jobs, processor time and memory of each stage, from the jobs' records."""
    records = pd.DataFrame(read_records(results / "provenance"))
    rows = []
    for stage in [name for name in STAGE_VERSIONS if (records["stage"] == name).any()]:
        jobs = records[records["stage"] == stage]
        memory = f"{jobs['peak_memory_mib'].max():.0f} MiB"
        what = f"{stage}, {len(jobs)} {'jobs' if len(jobs) > 1 else 'job'}, {memory} at most"
        rows.append({"what": what, "value": f"{jobs['processor_seconds'].sum():.0f}", "unit": "s"})
    return rows


def of_page(results: Path) -> list[dict[str, str]]:
    """Size of the page and of what lies beside it, and how soon it opens where Chromium is installed."""
    page = results / "report" / "index.html"
    rows = [{"what": "the page", "value": f"{page.stat().st_size / 1e6:.1f}", "unit": "MB"}]
    if seen := opened(page):
        rows.append({"what": "the page: opened by headless Chromium, from disk", "value": f"{seen[0] / 1000:.1f}", "unit": "s"})
    return rows


def of_matrix(experiment: Experiment) -> str:
    """As in "312 of 400 cells not decided, ...": how the matrix of the first arm came out, for the note."""
    table = table_files.read(experiment.layout.matrix(), tables.MATRIX)
    table = table[~table["control"].astype(bool)]
    own, others = table[table["own"].astype(bool)], table[~table["own"].astype(bool)]

    def counted(cells: pd.DataFrame) -> str:
        return ", ".join(f"{number} {status}" for status, number in cells["status"].value_counts().items())

    return f"own lists: {counted(own)}; others: {counted(others)}"


def measured(asked: argparse.Namespace, folder: Path, scratch: Path) -> None:
    """Run, measure and write the table."""
    given = sections(asked.lists.resolve(), folder, asked.every, asked.seeds)
    (folder / "config.yaml").write_text(json.dumps(given), encoding="utf-8")
    experiment = Experiment(parse(given))
    results = Path(experiment.layout.results)
    is_resumed = results.exists()
    took = finished(folder, asked.cores)
    parts = experiment.across_parts("demo")
    records = read_records(results / "provenance")
    ours = sum(record["processor_seconds"] for record in records if record["stage"] == "across")
    lists, adapters = len(experiment.lists_measured), len(experiment.runs)
    cells, drawn = lists * (adapters + 1), random.Random(0)
    each = [
        alone(given, results, scratch / f"alone-{i}", drawn.choice(experiment.lists_measured), drawn.randrange(2, adapters + 1))
        for i in range(asked.cells)
    ]
    other = cells * sum(each) / len(each)
    words = sum(table_rows(Path(experiment.layout.across("demo", part)["similarities"])) for part in parts)
    rows = [
        {"what": "a start of Snakemake until the jobs' graph stands", "value": f"{took['start']:.1f}", "unit": "s"},
        *of_stages(results),
        {"what": f"all, {len(records)} jobs", "value": f"{sum(record['processor_seconds'] for record in records):.0f}", "unit": "s"},
        *(
            []  # the clock and Snakemake's own part are the last start's alone
            if is_resumed
            else [
                {"what": "all, with Snakemake", "value": f"{took['processor']:.0f}", "unit": "s"},
                {"what": f"all, by the clock on {asked.cores} cores", "value": f"{took['clock'] / 60:.0f}", "unit": "min"},
            ]
        ),
        {"what": f"across: tables, {words:,} words of a run on a list", "value": f"{megabytes(results / 'across'):.0f}", "unit": "MB"},
        {"what": "all results", "value": f"{megabytes(results):.0f}", "unit": "MB"},
        {"what": "of them finished units of work (the store)", "value": f"{megabytes(results / 'store'):.0f}", "unit": "MB"},
        *of_page(results),
        {"what": f"one job per adapter and list: the mean of {len(each)}", "value": f"{sum(each) / len(each):.2f}", "unit": "s"},
        {"what": f"one job per adapter and list: {cells:,} of them, reckoned", "value": f"{other:.0f}", "unit": "s"},
        {"what": "one job per adapter and list / across", "value": f"{other / ours:.1f}", "unit": "x"},
    ]
    part = "all English words" if asked.every == 1 else f"one English word in {asked.every}"
    print("wrote", write_table("languages", rows, f"demo model, {part}, {asked.seeds} seeds, processor time; {of_matrix(experiment)}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path)
    for name, value in {"every": 4, "seeds": 5, "cores": 2, "cells": 6}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--scratch")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory(dir=asked.scratch) as scratch:
        folder = (asked.keep or Path(scratch) / "run").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        measured(asked, folder, Path(scratch))


def table_rows(path: Path) -> int:
    import pyarrow.parquet as parquet

    return parquet.read_metadata(path).num_rows


if __name__ == "__main__":
    main()
