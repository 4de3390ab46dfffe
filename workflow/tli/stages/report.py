"""Report: gather every table of a results folder and hand them to the report's builder; also for a grid half done."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, replace
from functools import partial as partial_of
from pathlib import Path

import pandas as pd

from tli.errors import TableError
from tli.experiment import Experiment
from tli.experiment.job import ReportJob
from tli.experiment.registering import held_against
from tli.experiment.results import Place, finished, read_measured, read_similarities
from tli.facts import PAIRED_T, WITHIN_RUN
from tli.io import table_files, tables
from tli.io.memory import give_back, one_allocator
from tli.io.provenance import commit, commits, read_records, stage_seconds
from tli.io.records import read_check
from tli.log import redact, say
from tli.report import build
from tli.report.derived import shown_runs
from tli.report.input import AuditLine, Provenance, ReportInput
from tli.report.stage_picture import stage_picture

LONG = ("tests", "gains")  # of the statistics: a row a run, or a word


def run(job: ReportJob) -> dict:
    """Write the report. Raises TableError for a missing table."""
    write_report(job.experiment)
    return {}


def write_report(experiment: Experiment, partial: bool = False) -> list[str]:
    """Write the report, of what is finished where it is `partial`; returns what is missing of such a grid, in words.

    Raises TableError for a missing table unless `partial`.
    """
    one_allocator()
    try:
        made, folder = with_words(experiment, report_input(experiment, partial)), experiment.layout.report(partial)
    except TableError as error:
        if partial or not isinstance(error.__cause__, FileNotFoundError):
            raise
        mend = f"`tli report --partial {shlex.quote(experiment.layout.results)}` shows what is"
        raise TableError(f"{error.__cause__.filename}: is not there, so the run is not finished; {mend}") from error
    give_back()
    build(made, folder)
    say(f"report: {folder}/index.html" + (f"; missing: {'; '.join(made.missing)}" if made.missing else ""))
    return list(made.missing)


def report_input(experiment: Experiment, partial: bool = False) -> ReportInput:
    """What a report is made from but the words' figures (`with_words`). Raises TableError for a missing table unless `partial`."""
    read, missing = gather(experiment, partial)
    checks = {model: Path(experiment.layout.check(model)) for model in experiment.config.models}
    tests = experiment.layout.statistics()["tests"]
    made = ReportInput.of(
        experiment.config,
        read,
        checks={model: asdict(read_check(path)) for model, path in checks.items() if path.exists()},
        audit=audits(experiment),
        provenance=provenance(experiment),
        missing=tuple(missing),
    )
    return replace(made, within_runs=partial_of(_within_runs, tests) if "tests" in read else None)


def with_words(experiment: Experiment, made: ReportInput) -> ReportInput:
    """With the words' figures of the runs that are drawn: they are most of what a large grid leaves."""
    words = read_similarities(experiment.layout, _evaluated(experiment), shown_runs(made))
    return replace(made, tables=replace(made.tables, similarities=words))


def gather(experiment: Experiment, partial: bool) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Every table of the results folder by its name but the words' figures, of which the page shows few; and what is missing in words."""
    config, layout, both = experiment.config, experiment.layout, experiment.model_pairs
    read: dict[str, pd.DataFrame] = {"grid": experiment.grid}
    missing: list[str] = []

    def collect(name: str, files: list[tuple[str, dict]], what: str) -> None:
        there = [(path, names) for path, names in files if Path(path).exists() or not partial]
        said = f"{what}: {len(files) - len(there)} of {len(files)} not finished"
        if len(there) < len(files) and said not in missing:  # the tables of one job
            missing.append(said)
        if there:
            read[name] = pd.concat([table_files.read(path).assign(**names) for path, names in there], ignore_index=True)

    collect("pairs", [(layout.lexicon(pair)["pairs"], {"model": model, "pair": pair}) for model, pair in both], "lexicons")
    for name, table in {"scan": "scan", "choice": "choice", "maps": "maps", "maps-metrics": "map_metrics"}.items():
        collect(name, [(layout.scan(*key)[table], {}) for key in both], "scans")
    if experiment.tuned_cells:
        cells = [(cell.model, cell.pair, cell.cell) for cell in experiment.tuned_cells]
        collect("trials", [(layout.trials(*place), {}) for place in cells], "tuned cells")
    if tokens := [path for key in both if Path(path := layout.scan(*key)["tokens"]).exists()]:
        read["tokens"] = pd.concat([table_files.read(path) for path in tokens], ignore_index=True)
    if places := _evaluated(experiment):
        read |= read_measured(layout, places, without=("similarities", "select-maps-similarities"))
    measured = len(read.get("runs", ()))
    if partial and measured < len(experiment.runs):
        trained = sum(Path(layout.record(run.model, run.pair, run.run)).exists() for run in experiment.runs)
        missing.append(f"runs: {measured} of {len(experiment.runs)} measured, {trained} trained")
    for name, path in ({} if experiment.trains_nothing else layout.statistics()).items():
        if Path(path).exists() or not partial:
            read[name] = table_files.read(path, compact=name in LONG, keep=_read_at_once if name == "tests" else None)
    if partial and not experiment.trains_nothing and not Path(layout.statistics()["verdicts"]).exists():
        missing.append("statistics: no verdict yet")
    if Path(layout.matrix()).exists() and experiment.measures_across:
        read["across"] = table_files.read(layout.matrix(), tables.MATRIX)
    if config.transfer.tasks:
        read |= _transfer(experiment)
        places = [(*key, part) for key in both for part in experiment.parts("transfer", *key)]
        if left := len(places) - len(finished(layout, places, "transfer", "transfer")) if partial else 0:
            missing.append(f"tasks: {left} of {len(places)} parts not finished")
    return read, missing


def _read_at_once(tests: pd.DataFrame) -> pd.Series:
    """Of the tests those that more than their own table shows; those within one run are far more, and are read when that is written."""
    return (tests["level"] != WITHIN_RUN) | ((tests["test"] == PAIRED_T) & (tests["metric"] == "cosine"))


def _within_runs(path: str) -> pd.DataFrame:
    return table_files.read(path, compact=True, keep=lambda tests: tests["level"] == WITHIN_RUN)


def _transfer(experiment: Experiment) -> dict[str, pd.DataFrame]:
    """The tables of the transfer and of its statistics, as far as they are there."""
    layout, read = experiment.layout, {}
    statistics = Path(layout.transfer_statistics("cells")).parent
    for path in sorted(statistics.glob("transfer_*.tsv")):
        read[path.stem] = table_files.read(path)
    places = [(*key, part) for key in experiment.model_pairs for part in experiment.parts("transfer", *key)]
    for name in ("transfer", "perplexity", "generation"):
        files = [layout.measured("transfer", *place)[name] for place in finished(layout, places, "transfer", name)]
        if files:
            read[name] = table_files.stacked([table_files.read(path, compact=name == "transfer") for path in files])
    return read


def _evaluated(experiment: Experiment) -> list[Place]:
    """The parts of the evaluation that are finished."""
    every = [(*key, part) for key in experiment.model_pairs for part in experiment.parts("evaluate", *key)]
    return finished(experiment.layout, every, "evaluate", "metrics")


def audits(experiment: Experiment) -> tuple[AuditLine, ...]:
    """The lines of the lexicons' audits, of the lists held against each other, and of what each model's tokenizer makes of them."""
    layout, lines = experiment.layout, []
    for pair in experiment.config.pairs:
        files = {"": layout.lexicon(pair)["audit"]} | {
            f"{model}: ": layout.scan(model, pair)["audit"] for model in experiment.config.models
        }
        for before, path in files.items():
            if Path(path).exists():
                audit = table_files.read(path, text=["severity", "text"])
                lines += [AuditLine(pair, severity, before + text) for severity, text in audit.itertuples(index=False)]
    if len(experiment.config.pairs) > 1 and Path(layout.lists()).exists():
        found = table_files.read(layout.lists(), tables.LISTS)
        lines += [AuditLine(", ".join(dict.fromkeys([row.pair, row.other_pair])), row.severity, row.text) for row in found.itertuples()]
    return tuple(lines)


def provenance(experiment: Experiment) -> Provenance:
    """What the reader needs to trust and to repeat the run."""
    import yaml

    text = yaml.safe_dump(json.loads(experiment.config.model_dump_json(exclude_unset=True)), sort_keys=False, allow_unicode=True)
    records = read_records(experiment.layout.provenance())
    stages = stage_seconds(records)
    stages["gpu_seconds"] = stages["seconds"].where(~stages["device"].isin(["", "CPU"]), 0.0)
    made_by = tuple(commits(records))
    versions: dict[str, str] = {}
    for record in records:
        versions |= record.get("versions", {})
    return Provenance(
        commits=made_by,
        drawn_by="" if (now := commit()) in made_by else now,
        versions=versions,
        devices=tuple(sorted({str(record.get("device", "")) for record in records} - {""})),
        config_text=redact(text),
        registration=held_against(experiment, records).sentence,
        config_digest=hashlib.sha256(text.encode()).hexdigest(),
        stage_seconds=stages,
        graph=stage_picture(stages.groupby("stage").size().to_dict()),
        command="snakemake --profile profiles/local --configfile <the config below>",
    )
