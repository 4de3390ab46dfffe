# Wiring only: read the config, make the experiment, hand rules what its jobs say. The logic lives in workflow/tli, under test.
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

PACKAGE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent  # workflow/, where it is on this disk
if (PACKAGE / "tli").is_dir() and str(PACKAGE) not in sys.path:
    sys.path.insert(0, str(PACKAGE))

try:
    from tli import config as tli_config
    from tli.cluster import cards, costs, starts
    from tli.errors import ConfigError, InUseError
    from tli.experiment import Experiment
    from tli.experiment.design_warnings import foreseen, refuse_unpinned
    from tli.experiment.inspect import inspect
    from tli.experiment.job import Job
    from tli.io import store
    from tli.report import FIGURES, MATRIX, figure_name
    from tli.runtime import console, progress
    from tli.runtime.wrapping import forget_tokens, in_words
except ImportError as error:
    raise WorkflowError(
        f"{error}. Snakemake has to run in this workflow's own environment, since its jobs are known from the config and the lists: "
        "`make` in a clone of it, or `conda env create -f environment.yml && conda activate tli && pip install --no-deps <the clone>`."
    )

console.let_scripts_find(PACKAGE)


def is_of_the_whole_run(record):
    """Whether a line of Snakemake's is more than one job's."""
    event, quietness = (getattr(getattr(record, name, None), "name", "") for name in ("event", "quietness"))
    return event not in ("JOB_INFO", "GROUP_INFO") and quietness != "RULES"


# A dry run is a table of jobs, not twenty lines for each, unless somebody said how loud it shall be (`--quiet host` shows them all).
if workflow.output_settings.dryrun and not workflow.output_settings.quiet:
    logger.addFilter(is_of_the_whole_run)

if workflow.exec_mode.name == "REMOTE":
    forget_tokens()

# The config's files, for the line of a mistake; as a module the workflow may be given a part of a config, which has no lines.
FILES = (workflow.overwrite_configfiles or workflow.configfiles) if config == workflow.config else []

try:
    EXPERIMENT = Experiment(tli_config.parse(dict(config), FILES))
    if workflow.is_main_process:
        REMARKS = foreseen(EXPERIMENT, inspect(EXPERIMENT))
        if workflow.output_settings.dryrun:
            console.foresee(REMARKS)
    EXPERIMENT.runs
    CARD = cards.of_resources(workflow.resource_settings.default_resources)
except ConfigError as error:
    raise WorkflowError(f"The config cannot be run:\n{error}")

CONFIG, LAYOUT = EXPERIMENT.config, EXPERIMENT.layout


wildcard_constraints:
    model="|".join(CONFIG.models),
    pair="|".join(CONFIG.pairs),
    arm="|".join(sorted(EXPERIMENT.arms)) or "no-arm",
    layer=r"best|output|\d+",
    rank=r"\d+|full",
    number=r"\d+",
    language=r"[a-z0-9]+",
    part=r"[a-z0-9.-]+",


@cache
def _job(kind, names):
    return Job.of(EXPERIMENT, kind, **dict(names))


def job_of(kind, wildcards, **names):
    """The job of a rule's wildcards."""
    return _job(kind, tuple({**dict(wildcards.items()), **names}.items()))


def rule_job(kind, **names):
    """The job whose names are a rule's wildcards: its outputs, log and benchmark are the rule's."""
    return Job.pattern(EXPERIMENT, kind, **names)


def job_inputs(kind, **names):
    return unpack(lambda wildcards: job_of(kind, wildcards, **names).inputs)


def job_params(kind, **names):
    return lambda wildcards: job_of(kind, wildcards, **names).params


def job_resources(kind, **names):
    """What a job asks for; more at each further try. Without a GPU, a default of the profile must not ask for one."""

    def request(wildcards):
        return costs.request(job_of(kind, wildcards, **names), CARD.gb if CARD else cards.ASSUMED_GB)

    more = {
        "mem_mb": lambda wildcards, attempt: attempt * request(wildcards).memory_mb,
        "runtime": lambda wildcards, attempt: attempt * request(wildcards).minutes,
    }
    if kind in costs.OF_OTHERS:
        return {**more, "gpu_model": ""}
    return {**more, "gpu": lambda wildcards: request(wildcards).gpu}
