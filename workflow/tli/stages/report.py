"""Report: gather every table of a results folder and hand them to the report's builder; also for a grid half done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from functools import partial as partial_of
from pathlib import Path

import pandas as pd

from tli.experiment import Experiment
from tli.experiment.job import ReportJob
from tli.experiment.registering import held_against
from tli.experiment.results import Place, finished, read_measured, read_similarities
from tli.facts import PAIRED_T, WITHIN_RUN
from tli.io import tables
from tli.io.memory import give_back, one_allocator
from tli.io.provenance import commit, read_records, stage_seconds
from tli.io.records import read_check
from tli.log import redact, say
from tli.report import build
from tli.report.derived import shown_runs
from tli.report.input import AuditLine, Provenance, ReportInput

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
    made, folder = with_words(experiment, report_input(experiment, partial)), experiment.layout.report(partial)
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
        if len(there) < len(files):
            missing.append(f"{what}: {len(files) - len(there)} of {len(files)} not finished")
        if there:
            read[name] = pd.concat([tables.read(path).assign(**names) for path, names in there], ignore_index=True)

    collect("pairs", [(layout.lexicon(pair)["pairs"], {"model": model, "pair": pair}) for model, pair in both], "lexicons")
    collect("scan", [(layout.scan(*key)["scan"], {}) for key in both], "scans")
    collect("choice", [(layout.scan(*key)["choice"], {}) for key in both], "choices of the best layer")
    if experiment.tuned_cells:
        cells = [(cell.model, cell.pair, cell.cell) for cell in experiment.tuned_cells]
        collect("trials", [(layout.trials(*place), {}) for place in cells], "tuned cells")
    collect("maps", [(layout.scan(*key)["maps"], {}) for key in both], "free maps")
    collect("maps-metrics", [(layout.scan(*key)["map_metrics"], {}) for key in both], "figures of free maps")
    if tokens := [path for key in both if Path(path := layout.scan(*key)["tokens"]).exists()]:
        read["tokens"] = pd.concat([tables.read(path) for path in tokens], ignore_index=True)
    if places := _evaluated(experiment):
        read |= read_measured(layout, places, without=("similarities", "select-maps-similarities"))
    measured = len(read.get("runs", ()))
    if partial and measured < len(experiment.runs):
        trained = sum(Path(layout.record(run.model, run.pair, run.run)).exists() for run in experiment.runs)
        missing.append(f"runs: {measured} of {len(experiment.runs)} measured, {trained} trained")
    for name, path in ({} if experiment.trains_nothing else layout.statistics()).items():
        if Path(path).exists() or not partial:
            read[name] = tables.read(path, compact=name in LONG, keep=_read_at_once if name == "tests" else None)
    if partial and not experiment.trains_nothing and not Path(layout.statistics()["verdicts"]).exists():
        missing.append("statistics: no verdict yet")
    if Path(layout.matrix()).exists() and experiment.measures_across:
        read["across"] = tables.read(layout.matrix(), tables.MATRIX)
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
    return tables.read(path, compact=True, keep=lambda tests: tests["level"] == WITHIN_RUN)


def _transfer(experiment: Experiment) -> dict[str, pd.DataFrame]:
    """The tables of the transfer and of its statistics, as far as they are there."""
    layout, read = experiment.layout, {}
    statistics = Path(layout.transfer_statistics("cells")).parent
    for path in sorted(statistics.glob("transfer_*.tsv")):
        read[path.stem] = tables.read(path)
    places = [(*key, part) for key in experiment.model_pairs for part in experiment.parts("transfer", *key)]
    for name in ("transfer", "perplexity", "generation"):
        files = [layout.measured("transfer", *place)[name] for place in finished(layout, places, "transfer", name)]
        if files:
            read[name] = tables.stacked([tables.read(path, compact=name == "transfer") for path in files])
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
                audit = tables.read(path, text=["severity", "text"])
                lines += [AuditLine(pair, severity, before + text) for severity, text in audit.itertuples(index=False)]
    if len(experiment.config.pairs) > 1 and Path(layout.lists()).exists():
        found = tables.read(layout.lists(), tables.LISTS)
        lines += [AuditLine(", ".join(dict.fromkeys([row.pair, row.other_pair])), row.severity, row.text) for row in found.itertuples()]
    return tuple(lines)


def provenance(experiment: Experiment) -> Provenance:
    """What the reader needs to trust and to repeat the run."""
    import yaml

    text = yaml.safe_dump(json.loads(experiment.config.model_dump_json(exclude_unset=True)), sort_keys=False, allow_unicode=True)
    records = read_records(experiment.layout.provenance())
    stages = stage_seconds(records)
    stages["gpu_seconds"] = stages["seconds"].where(~stages["device"].isin(["", "CPU"]), 0.0)
    versions: dict[str, str] = {}
    for record in records:
        versions |= record.get("versions", {})
    return Provenance(
        commit=commit(),
        versions=versions,
        devices=tuple(sorted({str(record.get("device", "")) for record in records} - {""})),
        config_text=redact(text),
        registration=held_against(experiment, records).sentence,
        config_digest=hashlib.sha256(text.encode()).hexdigest(),
        stage_seconds=stages,
        graph=stage_graph(stages),
        command="snakemake --profile profiles/local --configfile <the config below>",
    )


ARROWS = [
    ("lexicon", "scan"),
    ("check", "scan"),
    ("scan", "tune"),
    ("tune", "train"),
    ("scan", "train"),
    ("train", "evaluate"),
    ("train", "transfer"),
    ("evaluate", "statistics"),
    ("transfer", "statistics"),
    ("statistics", "report"),
]
PLACES = {
    "lexicon": (0, 0),
    "check": (0, 1),
    "scan": (1, 0.5),
    "tune": (2, 0.5),  # where it ran, what comes after it moves by one
    "train": (2, 0.5),
    "evaluate": (3, 0),
    "transfer": (3, 1),
    "statistics": (4, 0.5),
    "report": (5, 0.5),
}


def stage_graph(stages: pd.DataFrame) -> str:
    """The stages that ran and how many jobs each had, as an SVG picture."""
    jobs = stages.groupby("stage").size().to_dict() if len(stages) else {}
    shown = [stage for stage in PLACES if jobs.get(stage) or stage in ("statistics", "report")]
    after_tuning = list(PLACES)[list(PLACES).index("tune") + 1 :]
    moved = {stage: int("tune" in shown and stage in after_tuning) for stage in shown}
    place = {stage: (20 + 150 * (PLACES[stage][0] + moved[stage]), 20 + 70 * PLACES[stage][1]) for stage in shown}
    width = 890 + 150 * ("tune" in shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 150" width="{width}" role="img" font-family="sans-serif" '
        f'font-size="14"><rect width="{width}" height="150" fill="#ffffff"/>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
    ]
    for start, end in ARROWS:
        if start in place and end in place:
            (x, y), (u, v) = place[start], place[end]
            parts.append(f'<path d="M{x + 110} {y + 22}L{u} {v + 22}" stroke="#555" fill="none" marker-end="url(#a)"/>')
    for stage, (x, y) in place.items():
        count = jobs.get(stage, 1)
        parts.append(f'<rect x="{x}" y="{y}" width="110" height="44" rx="6" fill="#eef2f6" stroke="#555"/>')
        parts.append(f'<text x="{x + 55}" y="{y + 19}" text-anchor="middle">{stage}</text>')
        parts.append(f'<text x="{x + 55}" y="{y + 36}" text-anchor="middle" fill="#555">{count} job{"s" if count != 1 else ""}</text>')
    return "".join([*parts, "</svg>"])
