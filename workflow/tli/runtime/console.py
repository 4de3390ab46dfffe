"""What a run says on the terminal: what lies ahead, where the report is, what went wrong and what to do."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tli.config import Config
from tli.experiment import Experiment
from tli.experiment.design_warnings import Remark
from tli.experiment.job import JOBS, Job
from tli.io import table_files
from tli.io.provenance import read_records, stage_seconds
from tli.specs import STAGE_VERSIONS


def let_scripts_find(package: str | os.PathLike) -> None:
    """Scripts run in processes of their own, on this machine or on a node: they find the package by PYTHONPATH."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(package), *filter(None, others)]))


def announce_run(experiment: Experiment) -> None:
    """One line before the first job: how large the grid is."""
    config, runs, cells = experiment.config, experiment.runs, len(experiment.cells)
    if experiment.trains_nothing:
        looked = f"{_count(len(config.models), 'model')}, {_count(len(config.pairs), 'pair')}"
        _say(f"{config.title}: scan only, nothing is trained ({looked}); results in {config.results}/")
        return
    _say(
        f"{config.title}: {_count(len(runs), 'run')} in {_count(cells, 'cell')} ({_count(len(config.models), 'model')}, {_count(len(config.pairs), 'pair')}, "
        f"{len(experiment.arms)} arms, {len(config.seed_list)} seeds); results in {config.results}/"
    )


def foresee(remarks: Sequence[Remark]) -> None:
    """What speaks against the design, before the first job."""
    for line in foreseen_lines(remarks):
        _say(line)


def foreseen_lines(remarks: Sequence[Remark]) -> list[str]:
    """A line each; what is said of several lists or models is said once. None where nothing speaks against the design."""
    places: dict[str, list[str]] = {}
    for one in sorted(remarks, key=lambda one: not one.is_serious):
        places.setdefault(one.text, []).append(one.about)
    lines = [f"  - {': '.join(filter(None, [', '.join(filter(None, about)), text]))}" for text, about in places.items()]
    return ["What speaks against this design, before it runs:", *lines] if lines else []


def conclude_run(experiment: Experiment, has_judged: bool = True) -> None:
    """The last lines of a good run: time per stage, the headline, and the report's path.

    has_judged: whether the run went as far as the statistics; verdicts that lie there are of an earlier one where it did not.
    """
    config, layout = experiment.config, experiment.layout
    stages = stage_seconds(read_records(layout.provenance()))
    if len(stages):
        total = stages.groupby("stage", sort=False)["seconds"].sum()
        _say("Time per stage, s: " + ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in total.items()))
    verdicts = Path(layout.statistics()["verdicts"])
    if not has_judged:
        _say(
            "This run ends before the statistics. Without --until and the like, the same command makes verdicts and report of what is there."
        )
        return
    if verdicts.exists():
        demo = any(model.demo for model in config.models.values())
        for _, row in table_files.read(verdicts).iterrows():
            cell = ", ".join([row["model"], row["pair"], row["arm"], f"layer {row['layer']}", f"rank {row['rank']}"])
            _say(f"{'demo model, ' if demo else ''}{cell}: {row['in_short']}. {row['sentence']}")
    report = Path(layout.page()["page"])
    if report.exists():
        _say(f"The report is {report}")


TO_OPEN = {  # of a stage's outputs, those that people look at first
    "lexicon": ["audit", "pairs"],
    "lists": ["lists"],
    "check": ["check"],
    "scan": ["scan", "choice"],
    "tune": ["trials"],
    "train": ["records"],
    "evaluate": ["metrics"],
    "across": ["metrics"],
    "transfer": ["transfer", "text"],
    "statistics": ["verdicts", "lines"],
    "report": ["page"],
}


def conclude_stage(jobs: Sequence[Job]) -> None:
    """The last lines of a stage by itself: its folder, and what to open there."""
    for job in jobs:
        outputs = {name: one if isinstance(one, list) else [one] for name, one in job.outputs.items()}
        every = [path for paths in outputs.values() for path in paths]
        there = [path for name in TO_OPEN.get(job.stage, []) for path in outputs.get(name, [])[:1] if Path(path).exists()]
        folder = os.path.commonpath([str(Path(path).parent) for path in every])
        _say(f"{job.stage} {job.name} is done: {folder}/" + (f"; open {' and '.join(there)}" if there else ""))


def what_comes_first(job: Job, config_files: Sequence[str]) -> str:
    """What to run before a job whose inputs are not there, as a sentence and the commands."""
    lacking = job.lacking()
    order = list(STAGE_VERSIONS)
    made_by = dict.fromkeys(" ".join(job.layout.makes(path)) for path in lacking)
    commands = sorted(made_by, key=lambda one: order.index(JOBS[one.split()[0]].stage))
    stages = list(dict.fromkeys(command.split()[0] for command in commands))
    absent = f"{lacking[0]} is not there" if len(lacking) == 1 else f"{lacking[0]} and {len(lacking) - 1} more are not there"
    config = " ".join(config_files)
    shown = [f"  tli run {' '.join([stage, config, *names])}" for stage, *names in map(str.split, commands[:5])]
    left = [f"  and {len(commands) - 5} more; Snakemake runs them all"] if len(commands) > 5 else []
    return "\n".join([f"run {', '.join(stages)} first: {absent}", *shown, *left])


def explain(config: Config, log: str) -> None:
    """The last lines of a failed run: each failed job's log, its last lines, and how to see what is finished."""
    try:
        text = Path(log).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    failed = re.findall(r"^Error in rule (\S+):\n(?:    .*\n)*?    log: (.+?)(?: \(check log file.*)?$", text, re.MULTILINE)
    for rule, path in dict.fromkeys(failed):
        _say(f"The rule {rule} failed; its log is {path}. What it says last:")
        try:
            lines = Path(path).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        errors_at = [number for number, line in enumerate(lines) if line.startswith("Error in ")]
        for line in lines[errors_at[-1] :] if errors_at else lines[-2:]:
            _say(f"  {line}")
        if not errors_at:
            _say("  (no error of its own: it did not start, or was killed; out of memory or of time?)")
    _say("What is finished is kept; the same command goes on from there. A report of what is there so far:")
    _say(f"  tli report --partial {shlex.quote(config.results)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
