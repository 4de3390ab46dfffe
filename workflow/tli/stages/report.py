"""Report: gather every table of a results folder and hand them to the report's builder; also for a grid half done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd

from tli.config import Config, parse
from tli.experiment import grid, jobs
from tli.io import tables
from tli.log import redact, say
from tli.report import build
from tli.report.input import AuditLine, Provenance, ReportInput
from tli.runtime import console
from tli.runtime.wrapping import commit
from tli.stages import statistics

STATISTICS = ("runs", "tests", "verdicts", "words", "ranks", "survival", "gains")


def report(*, config: dict, results: str, output: str, partial: bool = False) -> list[str]:
    """Write the report into the folder `output`; returns what is missing of a partial grid, in words.

    config: the experiment as the config says it (plain values). partial: make do with what is finished.
    Raises tables.TableError for a missing table unless `partial`.
    """
    checked = parse(config)
    runs = grid.expand(checked)
    found, missing = gather(checked, runs, Path(results), partial)
    made = ReportInput.of(
        checked,
        found,
        checks=checks(checked, Path(results)),
        audit=audits(checked, Path(results)),
        provenance=provenance(checked, Path(results)),
        missing=tuple(missing),
    )
    build(made, output)
    say(f"report: {output}/index.html" + (f"; missing: {'; '.join(missing)}" if missing else ""))
    return missing


def gather(config: Config, runs: pd.DataFrame, results: Path, partial: bool) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Every table of the results folder by its name, and what is missing in words."""
    found: dict[str, pd.DataFrame] = {"grid": runs}
    missing: list[str] = []

    def collect(name: str, files: list[tuple[Path, dict]], what: str) -> None:
        there = [(path, names) for path, names in files if path.exists() or not partial]
        if len(there) < len(files):
            missing.append(f"{what}: {len(files) - len(there)} of {len(files)} not finished")
        if there:
            found[name] = pd.concat([tables.read(path).assign(**names) for path, names in there], ignore_index=True)

    both = [(m, p) for m in config.models for p in config.pairs]
    collect("pairs", [(results / "lexicon" / p / "pairs.tsv", {"model": m, "pair": p}) for m, p in both], "lexicons")
    collect("scan", [(results / "scan" / m / p / "scan.tsv", {}) for m, p in both], "scans")
    collect("choice", [(results / "scan" / m / p / "best.tsv", {}) for m, p in both], "choices of the best layer")
    # Not every folder there is: an older cut into jobs or an arm that is gone may have left some.
    parts = [results / "evaluate" / m / p / part for m, p in both for part in jobs.parts(config, runs, m, p)]
    parts = [part for part in parts if (part / "metrics.tsv").exists()]
    if parts:
        found |= statistics.gather([str(part) for part in parts])
    measured = len(found.get("runs", ()))
    if partial and measured < len(runs):
        trained = sum(1 for _ in (results / "train").glob("*/*/*/*/*/*/run.json"))
        missing.append(f"runs: {measured} of {len(runs)} measured, {trained} trained")
    collect_all = [(name, results / "statistics" / f"{name}.tsv") for name in STATISTICS]
    for name, path in collect_all:
        if path.exists() or not partial:
            found[name] = tables.read(path)
    if partial and not (results / "statistics" / "verdicts.tsv").exists():
        missing.append("statistics: no verdict yet")
    for path in sorted((results / "statistics").glob("transfer_*.tsv")):
        found[path.stem] = tables.read(path)
    for name, pattern in (("transfer", "transfer.parquet"), ("perplexity", "perplexity.tsv"), ("generation", "generation.tsv")):
        files = [results / "transfer" / m / p / part / pattern for m, p in both for part in jobs.parts(config, runs, m, p, "transfer")]
        files = [path for path in files if path.exists() and config.transfer.tasks]
        if files:
            found[name] = pd.concat([tables.read(path) for path in files], ignore_index=True)
    return found, missing


def checks(config: Config, results: Path) -> dict[str, dict]:
    """The record of each model's check, by its name; of those that were checked."""
    files = {model: results / "check" / f"{model}.json" for model in config.models}
    return {model: json.loads(path.read_text(encoding="utf-8")) for model, path in files.items() if path.exists()}


def audits(config: Config, results: Path) -> tuple[AuditLine, ...]:
    """The lines of the lexicons' audits."""
    lines: list[AuditLine] = []
    for pair in config.pairs:
        files = [results / "lexicon" / pair / "audit.tsv", *sorted((results / "scan").glob(f"*/{pair}/audit.tsv"))]
        for path in filter(Path.exists, files):
            model = path.parts[-3] + ": " if path.parts[-4] == "scan" else ""
            audit = tables.read(path, text=["severity", "text"])
            lines += [AuditLine(pair, severity, model + text) for severity, text in audit.itertuples(index=False)]
    return tuple(lines)


def provenance(config: Config, results: Path) -> Provenance:
    """What the reader needs to trust and to repeat the run."""
    import yaml

    text = yaml.safe_dump(json.loads(config.model_dump_json(exclude_unset=True)), sort_keys=False, allow_unicode=True)
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((results / "provenance").glob("*/*.json"))]
    stages = console.stage_seconds(results)
    stages["gpu_seconds"] = stages["seconds"].where(~stages["device"].isin(["", "CPU"]), 0.0)
    versions: dict[str, str] = {}
    for record in records:
        versions |= record.get("versions", {})
    return Provenance(
        commit=commit(),
        versions=versions,
        devices=tuple(sorted({str(record.get("device", "")) for record in records} - {""})),
        config_text=redact(text),
        config_digest=hashlib.sha256(text.encode()).hexdigest(),
        stage_seconds=stages,
        graph=stage_graph(stages),
        command="snakemake --profile profiles/local --configfile <the config below>",
    )


ARROWS = [
    ("lexicon", "scan"), ("check", "scan"), ("scan", "train"), ("train", "evaluate"), ("train", "transfer"),
    ("evaluate", "statistics"), ("transfer", "statistics"), ("statistics", "report"),
]  # fmt: skip
PLACES = {
    "lexicon": (0, 0), "check": (0, 1), "scan": (1, 0.5), "train": (2, 0.5), "evaluate": (3, 0), "transfer": (3, 1),
    "statistics": (4, 0.5), "report": (5, 0.5),
}  # fmt: skip


def stage_graph(stages: pd.DataFrame) -> str:
    """The stages that ran and how many jobs each had, as an SVG picture."""
    jobs = stages.groupby("stage").size().to_dict() if len(stages) else {}
    shown = [stage for stage in PLACES if jobs.get(stage) or stage in ("statistics", "report")]
    place = {stage: (20 + 150 * PLACES[stage][0], 20 + 70 * PLACES[stage][1]) for stage in shown}
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 890 150" width="890" role="img" font-family="sans-serif" font-size="14">',
        '<rect width="890" height="150" fill="#ffffff"/>',
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
