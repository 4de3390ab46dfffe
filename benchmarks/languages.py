"""`make bench-languages LISTS=FOLDER`: config/languages.yaml on the demo model, every adapter on every list, against a job for each.

    python benchmarks/languages.py FOLDER [--every 4] [--seeds 5] [--cells 6] [--scratch FOLDER]

FOLDER holds the lists as the config's addresses name them (en_bem.tsv, ...). Of every so many English words one is kept, the same in all
lists. The lists are prepared and the adapters trained in this process; then the stage across runs as its jobs do, a process a part. The
other way is one process for each adapter and list, some cells of which are timed, drawn at random.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
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

from common import ROOT, peak_mib, quiet, write_table

from tli.config import load, parse
from tli.experiment import Experiment
from tli.experiment.job import Job

KEPT = ("lexicon", "check", "train")  # of a results folder: what the stage across reads


def sections(lists: Path, folder: Path, every: int, seeds: int) -> dict[str, Any]:
    """The config of 20 languages as it stands, on the demo model and on a part of the lists."""
    given = load(ROOT / "config" / "languages.yaml").model_dump(mode="json", exclude_unset=True)
    for name, pair in given["pairs"].items():
        pair["lexicon"] = str(shortened(lists / Path(pair["lexicon"]).name, folder / f"{name}.tsv", every))
        del pair["sha256"]
    demo = {"source": str(ROOT / "resources" / "demo" / "model"), "dtype": "float32", "device": "cpu", "demo": True}
    return given | {"models": {"demo": demo}, "seeds": seeds, "results": str(folder / "results"), "maps": []}


def shortened(lists: Path, to: Path, every: int) -> Path:
    """One English word in so many, by its hash: the same in all lists."""
    lines = lists.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if int(hashlib.sha256(line.split("\t")[0].casefold().encode()).hexdigest(), 16) % every == 0]
    to.write_text("".join(kept), encoding="utf-8")
    return to


def prepared(experiment: Experiment) -> dict[str, float]:
    """Do the jobs before the stage across, here; processor seconds of each stage."""
    config = experiment.config
    jobs = [Job.of(experiment, "lexicon", pair=pair) for pair in config.pairs] + [Job.of(experiment, "check", model="demo")]
    cells = [{name: getattr(cell, name) for name in ("model", "pair", "arm", "layer", "rank")} for cell in experiment.cells]
    jobs += [Job.of(experiment, "train", **names) for names in cells]
    seconds: dict[str, float] = {}
    for job in jobs:
        start = time.process_time()
        with contextlib.redirect_stderr(io.StringIO()):
            importlib.import_module(f"tli.stages.{job.stage}").run(job)
        seconds[job.stage] = seconds.get(job.stage, 0) + time.process_time() - start
    return seconds


def run_across(given: dict[str, Any], folder: Path, part: str) -> tuple[float, float, float]:
    """One job of the stage in a process of its own: processor seconds, seconds by the clock, peak memory in MiB."""
    file = folder / f"{part}.yaml"
    file.write_text(json.dumps(given), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-c", RUN, "run", "across", str(file), "--model", "demo", "--part", part, "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, time.perf_counter() - start, float(done.stdout.split()[-1])


RUN = """
import sys
from tli.__main__ import main
code = main(sys.argv[1:])
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""


def alone(given: dict[str, Any], results: Path, folder: Path, on: str, run: int) -> float:
    """Processor seconds of one adapter on one list as a job of its own, on what is trained already."""
    folder.mkdir()
    for name in KEPT:
        (folder / name).symlink_to(results / name)
    evaluation = given["evaluation"] | {"on": [on]}
    return run_across(given | {"evaluation": evaluation, "jobs": {"adapters_per_job": 1}, "results": str(folder)}, folder, f"part-{run}")[0]


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--scratch")
    asked = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory(dir=asked.scratch) as scratch:
        folder = Path(scratch)
        given = sections(asked.lists.resolve(), folder, asked.every, asked.seeds)
        experiment = Experiment(parse(given))
        results = Path(experiment.layout.results)
        rows = [
            {"what": f"{stage}, all jobs in one process", "value": f"{s:.0f}", "unit": "s"} for stage, s in prepared(experiment).items()
        ]
        parts = experiment.across_parts("demo")
        done = [run_across(given, folder, part) for part in parts]
        ours = sum(seconds for seconds, _, _ in done)
        lists, adapters = len(experiment.lists_measured), len(experiment.runs)
        cells = lists * (adapters + 1)
        drawn = random.Random(0)
        each = [
            alone(given, results, folder / f"alone-{i}", drawn.choice(experiment.lists_measured), drawn.randrange(2, adapters + 1))
            for i in range(asked.cells)
        ]
        other = cells * sum(each) / len(each)
        words = sum(table_rows(Path(experiment.layout.across("demo", part)["similarities"])) for part in parts)
        rows += [
            {
                "what": f"across: {adapters} adapters and the base model on {lists} lists, {len(parts)} jobs",
                "value": f"{ours:.0f}",
                "unit": "s",
            },
            {"what": "across: peak memory of a job", "value": f"{max(peak for _, _, peak in done):.0f}", "unit": "MiB"},
            {"what": f"across: tables, {words:,} words of a run on a list", "value": f"{megabytes(results / 'across'):.0f}", "unit": "MB"},
            {"what": "across: units of the store", "value": f"{megabytes(results / 'store' / 'across'):.0f}", "unit": "MB"},
            {"what": f"one job per adapter and list: the mean of {len(each)}", "value": f"{sum(each) / len(each):.2f}", "unit": "s"},
            {"what": f"one job per adapter and list: {cells:,} of them, reckoned", "value": f"{other:.0f}", "unit": "s"},
            {"what": "one job per adapter and list / across", "value": f"{other / ours:.1f}", "unit": "x"},
        ]
    note = f"demo model, one English word in {asked.every}, {asked.seeds} seeds, processor time; this process's peak {peak_mib():.0f} MiB"
    print("wrote", write_table("languages", rows, note))


def table_rows(path: Path) -> int:
    import pyarrow.parquet as parquet

    return parquet.read_metadata(path).num_rows


if __name__ == "__main__":
    main()
