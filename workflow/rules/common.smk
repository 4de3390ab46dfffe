# Wiring only: read the config, expand the grid, say where things are. The logic lives in workflow/tli, under test.
import atexit
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from tli import config as tli_config, progress, specs
from tli.experiment import grid, jobs
from tli.config.arms import expand_arms
from tli.io import store
from tli.errors import ConfigError, InUseError
from tli.cluster import costs, starts
from tli.runtime import wrapping as running
from tli.runtime.console import announce_run, conclude_run, explain, let_scripts_find

let_scripts_find(workflow.basedir)

if workflow.exec_mode.name == "REMOTE":
    running.forget_tokens()

try:
    CONFIG = tli_config.parse(
        {key: value for key, value in config.items() if key != "pathvars"},
        workflow.overwrite_configfiles or workflow.configfiles,
    )
    GRID = grid.expand(CONFIG)
    if workflow.is_main_process:
        jobs.inspect(CONFIG)
except ConfigError as error:
    raise WorkflowError(f"The config cannot be run:\n{error}")


pathvars:
    results=CONFIG.results,
    logs=f"{CONFIG.results}/logs",
    benchmarks=f"{CONFIG.results}/benchmarks",


wildcard_constraints:
    model="|".join(CONFIG.models),
    pair="|".join(CONFIG.pairs),
    arm="|".join(sorted(set(GRID["arm"]))),
    layer=r"best|output|\d+",
    rank=r"\d+|full",
    seed=r"\d+",
    part=r"[a-z0-9.-]+",


MODEL_PAIRS = [(model, pair) for model in CONFIG.models for pair in CONFIG.pairs]
RUN_FOLDER = "<results>/train/{model}/{pair}/{arm}/layer-{layer}/rank-{rank}/seed-{seed}"


@cache
def parts_of(stage, model, pair):
    return jobs.parts(CONFIG, GRID, model, pair, stage)


@cache
def mapped_of(model, pair):
    return jobs.mapped_runs(GRID, model, pair)


def part_folders(stage):
    """Every part's folder of a stage that is cut as the evaluation is."""
    return [
        f"<results>/{stage}/{model}/{pair}/{part}"
        for model, pair in MODEL_PAIRS
        for part in parts_of(stage, model, pair)
    ]


def cost_of_part(stage, wildcards):
    """Memory and time of one part of the evaluation or the transfer; a baseline counts as a run."""
    part = parts_of(stage, wildcards.model, wildcards.pair)[wildcards.part]
    return costs.of_part(CONFIG, stage, wildcards.model, wildcards.pair, part)


def lexicon_files(wildcards):
    return [
        f"<results>/fetched/{wildcards.pair}/{i}.lexicon" if jobs.is_address(entry) else entry
        for i, entry in enumerate(jobs.addresses(CONFIG, wildcards.pair))
        if jobs.is_address(entry) or Path(entry).exists()
    ]


def choice_of(wildcards):
    """The scan's choice, where the cell needs it."""
    return "<results>/scan/{model}/{pair}/best.tsv" if wildcards.layer == "best" else []


def same_cell_by_number(wildcards):
    """`best` waits for the layers that the grid lists by number: if it is one of them, the run is made once."""
    listed = expand_arms(CONFIG)[wildcards.arm]["loss_layer"] if wildcards.layer == "best" else []
    return [
        f"<results>/train/{wildcards.model}/{wildcards.pair}/{grid.run_name(wildcards.arm, layer, wildcards.rank, seed)}/run.json"
        for layer in listed
        if isinstance(layer, int)
        for seed in CONFIG.seed_list
    ]


def run_folder(run):
    return f"<results>/train/{run['model']}/{run['pair']}/{run['run']}"


def left_behind(stage, wildcards):
    """What the runs of this part left behind. run.json stands for an adapter and its losses too, which come with it: a grid
    of 10,000 runs would else have 40,000 inputs to look at."""
    return [
        f"{run_folder(run)}/{name}"
        for run in parts_of(stage, wildcards.model, wildcards.pair)[wildcards.part]["runs"]
        for name in ["run.json", *(["weights/model.safetensors"] if run["method"] == "full" else [])]
    ]


def announce(log):
    unpinned = jobs.unpinned(CONFIG)
    if unpinned:
        raise WorkflowError(
            f"models.{unpinned[0]}: the hub model has no revision, so nobody could repeat this run. "
            "`python -m tli fetch CONFIG` prints the commit to write into the config."
        )
    try:
        starts.begin(CONFIG.results, log if isinstance(log, str) else log[0])
    except InUseError as error:
        raise WorkflowError(str(error))
    store.sweep(f"{CONFIG.results}/store")
    atexit.register(starts.end, CONFIG.results)
    progress.begin(
        CONFIG.results, [job.rule.name for job in workflow.dag.needrun_jobs()], workflow._cores or workflow.nodes or 1
    )
    progress.remember(CONFIG.results, CONFIG.model_dump_json(exclude_unset=True))
    announce_run(CONFIG, GRID)


def conclude():
    conclude_run(CONFIG)


def explain_failure(log):
    explain(CONFIG, log if isinstance(log, str) else log[0])
