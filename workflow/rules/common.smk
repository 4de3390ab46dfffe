# Wiring only: read the config, make the experiment, hand rules what its jobs say. The logic lives in workflow/tli, under test.
import atexit
import sys
from functools import cache

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from tli.cluster import cards, costs, starts
from tli import config as tli_config
from tli.errors import ConfigError, InUseError
from tli.experiment import Experiment
from tli.experiment.inspect import inspect, unpinned
from tli.experiment.job import Job
from tli.io import store
from tli.runtime import console, progress
from tli.runtime.wrapping import forget_tokens

console.let_scripts_find(workflow.basedir)

if workflow.exec_mode.name == "REMOTE":
    forget_tokens()

try:
    EXPERIMENT = Experiment(tli_config.parse(dict(config), workflow.overwrite_configfiles or workflow.configfiles))
    if workflow.is_main_process:
        inspect(EXPERIMENT)
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

    def asked(wildcards):
        return costs.asked(job_of(kind, wildcards, **names), CARD.gb if CARD else costs.CARD_GB)

    more = {
        "mem_mb": lambda wildcards, attempt: attempt * asked(wildcards).memory_mb,
        "runtime": lambda wildcards, attempt: attempt * asked(wildcards).minutes,
    }
    if kind in costs.OF_OTHERS:
        return {**more, "gpu_model": ""}
    return {**more, "gpu": lambda wildcards: asked(wildcards).gpu}


def announce(log):
    for model in unpinned(EXPERIMENT):
        raise WorkflowError(
            f"models.{model}: the hub model has no revision, so nobody could repeat this run. "
            "`python -m tli fetch CONFIG` prints the commit to write into the config."
        )
    try:
        starts.begin(LAYOUT, log if isinstance(log, str) else log[0])
    except InUseError as error:
        raise WorkflowError(str(error))
    store.sweep(LAYOUT.store)
    atexit.register(starts.end, LAYOUT)
    rules_to_run = [job.rule.name for job in workflow.dag.needrun_jobs()]
    progress.begin(LAYOUT, rules_to_run, workflow._cores or workflow.nodes or 1)
    progress.remember(LAYOUT, CONFIG.model_dump_json(exclude_unset=True))
    console.announce_run(EXPERIMENT)


def conclude():
    console.conclude_run(EXPERIMENT, any(job.rule.name in ("statistics", "report") for job in workflow.dag.jobs))


def explain_failure(log):
    console.explain(CONFIG, log if isinstance(log, str) else log[0])
