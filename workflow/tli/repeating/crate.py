"""A finished run as a Workflow Run RO-Crate: the workflow, what it read, what came of it, when, with which software.

Profiles: Workflow Run Crate 0.5 and Process Run Crate 0.5 (w3id.org/ro/wfrun), Workflow RO-Crate 1.0 (w3id.org/workflowhub), on
RO-Crate 1.1. The folder is also one from which `tli repeat` repeats the run.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tli import __version__
from tli.errors import TliError
from tli.experiment.layout import Layout
from tli.experiment.remembered import remembered
from tli.io.atomic import whole
from tli.io.provenance import read_records
from tli.repeating.pinning import CONFIG, CONSTRAINTS, FIGURES, PINNED, Pinned, constraints, pin

WORKFLOW = Path(__file__).parents[2]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
DESCRIBED = {
    CONFIG: "The config of the run, with every place and commit pinned",
    PINNED: "Digests of all that the run read, and of the lists as it prepared them",
    CONSTRAINTS: "The versions that the run had, as pip's constraints",
    FIGURES: "The figures that a repetition is held against",
    "README.md": "How to repeat the run",
}
MIT = "https://spdx.org/licenses/MIT"


def write_crate(results: str | Path, output: str | Path, with_lists: bool = False) -> int:
    """Write the crate of the run in `results` to the folder `output`, whole or not at all; returns how many files it describes.

    with_lists: word lists and texts are copied into it. Raises TliError where the run cannot be pinned (see `pinning.pin`), `output` is
    there, or the package rocrate is not installed.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise TliError(
            "the package rocrate is not installed here: `pip install rocrate`, at the version that environment.yml names"
        ) from None
    folder, layout = Path(output), Layout(str(results))
    if folder.exists():
        raise TliError(f"{output} is there already; name a folder that is not")
    records = read_records(layout.provenance())
    with whole(folder) as beside:
        pins = pin(results, beside, with_lists)
        files = _copied(Path(results), beside)
        shutil.copytree(WORKFLOW, beside / "workflow", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.sif"))
        crate = ROCrate(version="1.1")
        _describe(crate, beside, remembered(results).config.title, (pins, files, records))
        crate.metadata.write(beside)
    return len(files)


def _copied(results: Path, beside: Path) -> list[str]:
    """Tables, report and scan in the crate; returns their places there."""
    asked = [*results.glob("statistics/*.tsv"), *results.glob("scan/*/*/*.tsv"), *results.glob("check/*.json")]
    asked += [*results.glob("report/index.html"), *results.glob("report/summary.md"), *results.glob("lexicon/*/audit.tsv")]
    places = []
    for file in sorted(asked):
        place = Path("results") / file.relative_to(results)
        (beside / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, beside / place)
        places.append(place.as_posix())
    return places


def _describe(crate: Any, beside: Path, title: str, run: tuple[list[Pinned], list[str], list[dict[str, Any]]]) -> None:
    from rocrate.model.contextentity import ContextEntity

    pins, files, records = run

    def about(identifier: str, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, identifier, properties=properties))

    crate.name = title
    crate.description = f"A run of the workflow Targeted Lexical Injection {__version__}: {title}"
    crate.license = about(
        MIT, **{"@type": "CreativeWork", "name": "MIT License", "description": "of the workflow; lists and models have theirs"}
    )
    ends = [datetime.fromisoformat(str(one["finished"])) for one in records if one.get("finished")]
    starts = [end - timedelta(seconds=float(one.get("seconds", 0))) for end, one in zip(ends, records, strict=False)]
    crate.root_dataset["datePublished"] = max(ends).isoformat() if ends else ""
    profiles = [about(uri, **{"@type": "CreativeWork", "name": name, "version": version}) for uri, (name, version) in PROFILES.items()]
    crate.root_dataset["conformsTo"] = profiles
    workflow = crate.add_workflow(
        beside / "workflow" / "Snakefile",
        "workflow/Snakefile",
        main=True,
        lang="snakemake",
        properties={"name": "Targeted Lexical Injection"},
    )
    workflow["version"] = __version__
    commits = sorted({str(one["commit"]) for one in records if one.get("commit")})
    workflow["identifier"] = [f"commit {commit}" for commit in commits]
    workflow["license"] = crate.license
    crate.add_dataset(beside / "workflow", "workflow/", properties={"name": "The workflow's rules, script and package"})
    software = []
    for line in constraints(records):
        name, _, version = line.partition("==")
        software.append(about(f"#{name}", **{"@type": "SoftwareApplication", "name": name, "softwareVersion": version, "version": version}))
    workflow["softwareRequirements"] = software
    own = {name: crate.add_file(beside / name, name, properties={"name": text, "description": text}) for name, text in DESCRIBED.items()}
    results = [crate.add_file(beside / place, place, properties=_of_result(place)) for place in files]
    action = about(
        "#run",
        **{
            "@type": "CreateAction",
            "name": title,
            "description": f"{len(records)} jobs of the workflow",
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    if ends:
        action["startTime"], action["endTime"] = min(starts).isoformat(), max(ends).isoformat()
    action["instrument"] = workflow
    action["object"] = [own[CONFIG], *(_input(crate, beside, about, one) for one in pins)]
    action["result"] = [own[FIGURES], *results]
    crate.root_dataset["mentions"] = [action]


def _input(crate: Any, beside: Path, about: Any, pinned: Pinned) -> Any:
    """A list, text or model by its digest; a file of the crate where it was copied."""
    said = {"name": pinned.what, "description": f"{pinned.what}, SHA-256 {pinned.digest}", "sha256": pinned.digest}
    if pinned.copied:
        return crate.add_file(beside / pinned.place, pinned.place, properties=said)
    return about(f"#{pinned.place}", **{"@type": "CreativeWork", **said})


def _of_result(place: str) -> dict[str, str]:
    kind = {".tsv": "text/tab-separated-values", ".html": "text/html", ".md": "text/markdown", ".json": "application/json"}
    return {"name": place.removeprefix("results/"), "encodingFormat": kind[Path(place).suffix]}
