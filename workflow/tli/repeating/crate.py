"""A finished run as a Workflow Run RO-Crate: the workflow, what it read, what came of it, when, with which software.

Profiles: Workflow Run Crate 0.5 and Process Run Crate 0.5 (w3id.org/ro/wfrun), Workflow RO-Crate 1.0 (w3id.org/workflowhub), on
RO-Crate 1.1. The folder is also one from which `tli repeat` repeats the run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tli import __version__
from tli.config.reading import OWN_FOLDER
from tli.errors import TliError
from tli.experiment.layout import Layout
from tli.experiment.remembered import remembered
from tli.io.atomic import whole
from tli.io.place import assert_free
from tli.io.provenance import DIRTY, commits, read_records
from tli.repeating.credits import Credits, credit
from tli.repeating.figures import PUBLISHED
from tli.repeating.inputs import Pinned, digest
from tli.repeating.owner import Owner
from tli.repeating.pinning import CONFIG, CONSTRAINTS, pin, versions
from tli.repeating.settings import PINNED

WORKFLOW = Path(__file__).parents[2]
TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # sha256 is none of RO-Crate 1.1's own
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
DESCRIBED = {
    CONFIG: "The config of the run, with every place and commit pinned",
    PINNED: "Digests of all that the run read, and of the lists as it prepared them",
    CONSTRAINTS: "The versions that the run had, as pip's constraints",
    PUBLISHED: "The figures that a repetition is held against",
    "README.md": "How to repeat the run",
}
KINDS = {
    ".tsv": "text/tab-separated-values",
    ".csv": "text/csv",
    ".html": "text/html",
    ".md": "text/markdown",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".xml": "application/xml",
    ".txt": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
    ".svg": "image/svg+xml",
}
SPDX = "https://spdx.org/licenses/"
UNSAID = "The workflow is under the MIT License. What else is here (results, report, lists) is its owner's, who has named no licence."
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
DEMANDED = ("url", "sdPublisher", "dateCreated")  # by BIOSCHEMAS, beside what every crate says of its workflow
HOMES = {
    "accelerate": "https://github.com/huggingface/accelerate",
    "bitsandbytes": "https://github.com/bitsandbytes-foundation/bitsandbytes",
    "lm_eval": "https://github.com/EleutherAI/lm-evaluation-harness",
    "numpy": "https://numpy.org",
    "pandas": "https://pandas.pydata.org",
    "peft": "https://github.com/huggingface/peft",
    "scipy": "https://scipy.org",
    "snakemake": "https://snakemake.github.io",
    "statsmodels": "https://www.statsmodels.org",
    "torch": "https://pytorch.org",
    "transformers": "https://github.com/huggingface/transformers",
}


def write_crate(results: str | Path, output: str | Path, with_lists: bool = False, given: Credits | None = None) -> int:
    """Write the crate of the run in `results` to the folder `output`, whole or not at all; returns how many files it describes.

    with_lists: word lists and texts are copied into it. Raises TliError where the run cannot be pinned (see `pinning.pin`), `output` is
    there, or the package rocrate is not installed.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise TliError(f"the package rocrate is not installed here: `pip install {_wanted()}`") from None
    folder = Path(output)
    assert_free(folder)
    records = read_records(Layout(str(results)).provenance())
    with whole(folder) as beside:
        pins = pin(results, beside, with_lists)
        owner = Owner(results, pins)
        files = _copied(Path(results), beside, owner)
        shutil.copytree(WORKFLOW, beside / "workflow", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.sif"))
        crate = ROCrate(version="1.1")
        crate.metadata.extra_contexts.append(TERMS)
        _describe(crate, beside, owner.clean(remembered(results).config.title), (list(pins), files, records), given or Credits())
        crate.metadata.write(beside)
    return len(files)


def _wanted() -> str:
    """The package with the version that environment.yml names."""
    listed = OWN_FOLDER / "environment.yml"
    found = re.search(r"rocrate==[\w.]+", listed.read_text(encoding="utf-8")) if listed.is_file() else None
    return found.group() if found else "rocrate"


def _copied(results: Path, beside: Path, owner: Owner) -> list[str]:
    """Tables, report and scan in the crate, without what they say of their owner; returns their places there."""
    asked = [*results.glob("statistics/*.tsv"), *results.glob("scan/*/*/*.tsv"), *results.glob("check/*.json")]
    asked += [*results.glob("report/index.html"), *results.glob("report/summary.md"), *results.glob("lexicon/*/audit.tsv")]
    places = []
    for file in sorted(asked):
        place = Path("results") / file.relative_to(results)
        (beside / place).parent.mkdir(parents=True, exist_ok=True)
        (beside / place).write_text(owner.clean(file.read_text(encoding="utf-8")), encoding="utf-8")
        places.append(place.as_posix())
    return places


def _describe(crate: Any, beside: Path, title: str, run: tuple[list[Pinned], list[str], list[dict[str, Any]]], given: Credits) -> None:
    from rocrate.model.contextentity import ContextEntity

    pins, files, records = run

    def about(identifier: str, kind: str, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))

    def file(place: str, name: str, **properties: Any) -> Any:
        path = beside / place
        said = {"name": name, "contentSize": str(path.stat().st_size), "sha256": digest(path), **properties}
        return crate.add_file(path, place, properties=said | {"encodingFormat": KINDS.get(path.suffix, "application/octet-stream")})

    starts, ends = _times(records)
    crate.name = title
    crate.description = f"A run of the workflow Targeted Lexical Injection {__version__}: {title}"
    mit = about(f"{SPDX}MIT", "CreativeWork", name="MIT License", description="The licence of the workflow")
    crate.license = (
        about(f"{SPDX}{given.licence}", "CreativeWork", name=given.licence, description="The licence that the run's owner gives it")
        if given.licence
        else about("#licence", "CreativeWork", name="No licence is named", description=UNSAID)
    )
    crate.root_dataset["datePublished"] = max(ends, default=datetime.now(UTC)).isoformat(timespec="seconds")
    profiles = [about(uri, "CreativeWork", name=name, version=version) for uri, (name, version) in PROFILES.items()]
    crate.root_dataset["conformsTo"] = profiles
    workflow = _workflow(crate, beside, records)
    workflow["license"] = mit
    workflow["softwareRequirements"] = [
        about(HOMES.get(name, f"#{name}"), "SoftwareApplication", name=name, softwareVersion=version, **_address(name))
        for name, version in versions(records).items()
    ]
    parameters = {
        name: about(f"#{name}", "FormalParameter", name=name, additionalType=kind, valueRequired=True, description=text)
        for name, kind, text in (("config", "File", "What is asked"), ("figures", "File", "Every figure that a repetition is held against"))
    }
    for parameter in parameters.values():
        parameter["conformsTo"] = about(PARAMETER, "CreativeWork", name="Bioschemas FormalParameter", version="1.0-RELEASE")
    workflow["input"], workflow["output"] = parameters["config"], parameters["figures"]
    own = {name: file(name, text, description=text) for name, text in DESCRIBED.items()}
    own["README.md"]["about"] = crate.root_dataset
    own[CONFIG]["exampleOfWork"], own[PUBLISHED]["exampleOfWork"] = parameters["config"], parameters["figures"]
    results = [file(place, place.removeprefix("results/")) for place in files]
    action = about("#run", "CreateAction", name=title, description=f"{len(records)} jobs of the workflow")
    action["actionStatus"] = "http://schema.org/CompletedActionStatus"
    if ends:
        action["startTime"], action["endTime"] = (time.isoformat(timespec="seconds") for time in (min(starts), max(ends)))
    action["instrument"] = workflow
    action["object"] = [own[CONFIG], *(_input(crate, beside, (about, file), one) for one in pins)]
    action["result"] = [own[PUBLISHED], *results]
    crate.root_dataset["mentions"] = action
    credit(crate, given, workflow, action)
    if all(workflow.get(name) for name in DEMANDED):
        workflow["conformsTo"] = about(BIOSCHEMAS, "CreativeWork", name="Bioschemas ComputationalWorkflow", version="1.0-RELEASE")


def _address(name: str) -> dict[str, str]:
    return {"url": HOMES[name]} if name in HOMES else {}


def _workflow(crate: Any, beside: Path, records: list[dict[str, Any]]) -> Any:
    """The Snakefile as the main entity, and the folder that it needs."""
    place, named = "workflow/Snakefile", {"name": "Targeted Lexical Injection", "encodingFormat": "text/plain"}
    workflow = crate.add_workflow(beside / place, place, main=True, lang="snakemake", properties=named)
    workflow["version"] = __version__
    if made_by := [f"commit {commit}" for commit in commits(records)]:
        workflow["identifier"] = made_by[0] if len(made_by) == 1 else made_by
    if date := _date_of_commit(records):
        workflow["dateCreated"] = date
    crate.add_dataset(beside / "workflow", "workflow/", properties={"name": "The workflow's rules, script and package"})
    return workflow


def _date_of_commit(records: list[dict[str, Any]]) -> str:
    """When the workflow that ran last was committed, ISO 8601; "" where this checkout does not know it."""
    commit = (commits(records) or [""])[-1].partition(DIRTY)[0]
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        return ""
    try:
        told = subprocess.run(
            ["git", "-C", str(OWN_FOLDER), "show", "-s", "--format=%cI", commit], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""


def _times(records: list[dict[str, Any]]) -> tuple[list[datetime], list[datetime]]:
    """When the jobs began and ended."""
    timed = [one for one in records if one.get("finished")]
    ends = [datetime.fromisoformat(str(one["finished"])) for one in timed]
    return [end - timedelta(seconds=float(one.get("seconds") or 0)) for end, one in zip(ends, timed, strict=True)], ends


def _input(crate: Any, beside: Path, make: tuple[Callable[..., Any], Callable[..., Any]], pinned: Pinned) -> Any:
    """A list, text or model by its digest; a file or folder of the crate where it was copied."""
    about, file = make
    said = f"{pinned.what}, SHA-256 {pinned.digest}"
    if not pinned.copied:
        return about(f"#{pinned.place}", "CreativeWork", name=pinned.what, description=said, sha256=pinned.digest)
    if (beside / pinned.place).is_dir():
        return crate.add_dataset(beside / pinned.place, f"{pinned.place}/", properties={"name": pinned.what, "description": said})
    return file(pinned.place, pinned.what, description=said, sha256=pinned.digest)
