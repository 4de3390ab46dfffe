"""`make bench-grid`: a small grid of the demo model through Snakemake, against one job per run and stage.

    python benchmarks/grid.py [--pairs 2] [--layers 1,2,3] [--ranks 4,16] [--seeds 5] [--scratch FOLDER]

Both run the same workflow to the end; the second sets jobs.seeds_per_job and jobs.adapters_per_job to 1, as scripts that start
anew for every run do. The full grid is 120 runs; one job per run and stage then takes an hour or more on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, row, write_table


def config(given, one_by_one: bool) -> dict:
    demo = ROOT / "resources" / "demo"
    pairs = [demo / "swh-eng.tsv", demo / "lin-eng.tsv"][: given.pairs]
    arm = {"loss_layer": [int(k) for k in given.layers.split(",")], "rank": [int(r) for r in given.ranks.split(",")]}
    return {
        "title": "Benchmark of a small grid",
        "models": {"demo": {"source": str(demo / "model"), "dtype": "float32", "device": "cpu", "demo": True}},
        "pairs": {path.stem: {"lexicon": str(path)} for path in pairs},
        "arms": {"tli": arm, "placebo": {"like": ["tli"], "shuffle_translations": True}},
        "seeds": given.seeds,
        "training": {"learning_rate": 1.0e-3},
        "jobs": {"seeds_per_job": 1, "adapters_per_job": 1} if one_by_one else {},
    }


def run(given, scratch: Path, one_by_one: bool) -> tuple[float, float]:
    """Seconds of processor time of all jobs, and seconds by the clock."""
    folder = scratch / ("one-by-one" if one_by_one else "ours")
    folder.mkdir()
    (folder / "config.yaml").write_text(json.dumps(config(given, one_by_one)), encoding="utf-8")  # JSON is YAML
    command = [
        str(Path(sys.executable).parent / "snakemake"),
        "--snakefile",
        str(ROOT / "workflow" / "Snakefile"),
        "--configfile",
        "config.yaml",
        "--cores",
        str(given.cores),
        "--quiet",
        "all",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "SNAKEMAKE_OUTPUT_CACHE": "", "OMP_NUM_THREADS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2, choices=(1, 2))
    parser.add_argument("--layers", default="1,2,3")
    parser.add_argument("--ranks", default="4,16")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--scratch")
    given = parser.parse_args()
    runs = 2 * given.pairs * len(given.layers.split(",")) * len(given.ranks.split(",")) * given.seeds
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        ours, other = run(given, Path(scratch), False), run(given, Path(scratch), True)
    name = f"demo model, {runs} runs"
    rows = [
        row("grid through Snakemake, processor time", name, "one job per run and stage", [ours[0]], [other[0]], 5),
        row("grid through Snakemake, by the clock", name, "one job per run and stage", [ours[1]], [other[1]], 5),
    ]
    print("wrote", write_table("grid", rows))


if __name__ == "__main__":
    main()
