"""A finished run as a folder from which somebody else repeats it: config, digests of all that was read, versions, the figures found.

The folder holds nothing of the machine that it comes from: a list, a text or a model that lies outside the workflow's own resources
is named by where it is to be put below the folder.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tli import lexicon
from tli.errors import TableError, TliError
from tli.experiment import Experiment, is_address
from tli.experiment.job import Job
from tli.experiment.remembered import remembered
from tli.io import store, tables
from tli.io.atomic import whole
from tli.io.provenance import read_records
from tli.io.records import write_json
from tli.model.files import identity
from tli.probes.task_items import HUB
from tli.repeating.figures import figures_of

CONFIG, PINNED, FIGURES, CONSTRAINTS = "config.yaml", "pinned.json", "figures.parquet", "constraints.txt"
OWN = "resources/"  # what the workflow ships is there where it is repeated
README = """# To repeat this run

{title}

{missing}In the environment of this workflow, in a clone of commit `{commit}`:

```sh
tli repeat {name}
```

This looks at the digest of every list, text and model first and stops where one differs; then it runs `{config}` and holds the figures
against those of `figures.parquet`: `comparison.tsv` says which agree, and within what. With the same versions, on the same kind of
machine, all should agree to the last bit; with packages resolved anew (`pip install -c {constraints} ...` keeps them) to 1e-6; on another kind
of processor or card within the intervals.
"""


@dataclass(frozen=True)
class Pinned:
    """A file or folder that a run read: where the config of the repetition looks for it, and its digest."""

    what: str
    place: str
    digest: str
    copied: bool = False  # it lies in the folder already

    @property
    def is_to_be_brought(self) -> bool:
        return not self.copied and not self.place.startswith(OWN)


def pin(results: str | Path, output: str | Path, with_lists: bool = False) -> list[Pinned]:
    """Write the folder `output` for the run in `results`, whole or not at all; returns what it pins.

    with_lists: the word lists and running texts are copied into it, as far as their licence allows that. Raises TliError where the
    run is not finished, a list or model is gone or is not what the run read, or `output` is there.
    """
    experiment, folder = remembered(results), Path(output)
    if folder.exists():
        raise TliError(f"{output} is there already; name a folder that is not")
    config = experiment.config.model_dump(mode="json", exclude_unset=True, exclude={"results"})
    records = read_records(experiment.layout.provenance())
    figures = figures_of(results)
    with whole(folder) as beside:
        beside.mkdir(parents=True)
        pins = _pin_lists(experiment, config, beside if with_lists else None)
        pins += _pin_texts(experiment, config, beside if with_lists else None)
        pins += [*_pin_models(experiment, config), *_pin_tasks(experiment, config)]
        commits = sorted({str(one["commit"]) for one in records if one.get("commit")})
        write_json({"pins": [vars(one) for one in pins], "commits": commits, "pairs": _prepared_digests(experiment)}, beside / PINNED)
        (beside / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
        (beside / CONSTRAINTS).write_text("".join(f"{line}\n" for line in constraints(records)), encoding="utf-8")
        figures.to_parquet(beside / FIGURES, index=False)
        brought = [
            f"- {one.what}: put it at `{one.place}` in this folder (digest `{one.digest}`)\n" for one in pins if one.is_to_be_brought
        ]
        missing = "Not in this folder, and to be brought first:\n\n" + "".join(brought) + "\n" if brought else ""
        words = {"title": experiment.config.title, "missing": missing, "commit": commits[-1] if commits else "unknown", "name": folder.name}
        (beside / "README.md").write_text(README.format(**words, config=CONFIG, constraints=CONSTRAINTS), encoding="utf-8")
    return pins


def constraints(records: list[dict[str, Any]]) -> list[str]:
    """The versions that the jobs ran with, as pip's constraints, newest job first where they differ; a local build's mark is left out."""
    found: dict[str, str] = {}
    for record in reversed(records):
        for name, version in record.get("versions", {}).items():
            found.setdefault(name, str(version).partition("+")[0])
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a model's folder its identity as the check knows it; of another folder that of its files' names and
    bytes. Raises TableError where it is not there.
    """
    if (path / "config.json").is_file():
        return identity(path)
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            return store.digest([[file.relative_to(path).as_posix(), digest(file)] for file in files])
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error})") from None


def _pin_lists(experiment: Experiment, config: dict[str, Any], copied_to: Path | None) -> list[Pinned]:
    pins = []
    for pair in experiment.config.pairs:
        _assert_unchanged(experiment, pair)
        places = []
        for number, entry in enumerate(experiment.lists(pair)):
            if is_address(entry):  # its checksum stands in the config
                places.append(entry)
                continue
            pinned = _pinned(f"the list of {pair}", entry, f"lists/{pair}-{number}{Path(entry).suffix}", copied_to)
            pins.append(pinned)
            places.append(pinned.place)
        config["pairs"][pair]["lexicon"] = places if isinstance(experiment.config.pairs[pair].lexicon, list) else places[0]
    return pins


def _pin_texts(experiment: Experiment, config: dict[str, Any], copied_to: Path | None) -> list[Pinned]:
    pins = []
    for language, section in experiment.config.text.items():
        if not is_address(section.file):
            pins.append(_pinned(f"running text in {language}", section.file, f"texts/{language}{Path(section.file).suffix}", copied_to))
            config["text"][language]["file"] = pins[-1].place
    return pins


def _pin_models(experiment: Experiment, config: dict[str, Any]) -> list[Pinned]:
    pins = []
    for name, section in experiment.config.models.items():
        if not experiment.on_hub(name):  # a hub model's commit stands in the config
            pins.append(_pinned(f"the model {name}", section.source, f"models/{name}", None))
            config["models"][name]["source"] = pins[-1].place
    return pins


def _pin_tasks(experiment: Experiment, config: dict[str, Any]) -> list[Pinned]:
    section = experiment.config.transfer
    if not section.tasks or section.source == HUB:
        return []
    pinned = _pinned("the items of the tasks", section.source, "tasks", None)
    config["transfer"]["source"] = pinned.place
    return [pinned]


def _pinned(what: str, source: str, place: str, copied_to: Path | None) -> Pinned:
    if source.startswith(OWN):
        return Pinned(what, source, digest(Path(source)))
    if copied_to is not None:
        (copied_to / place).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, copied_to / place)
    return Pinned(what, place, digest(Path(source)), copied_to is not None)


def _assert_unchanged(experiment: Experiment, pair: str) -> None:
    """The list on the disk must still be the one that the run split."""
    path = Path(experiment.layout.lexicon(pair)["pairs"])
    if not path.exists():
        raise TliError(f"{path}: is not there; only a run whose lists are prepared can be repeated")
    job: Any = Job.of(experiment, "lexicon", pair=pair)
    asked = ["pair_id", "source", "target", "split"]
    now = lexicon.prepare_union(job.lists)[pair].pairs[asked].astype(str).reset_index(drop=True)
    if not now.equals(tables.read(path, tables.PAIRS)[asked].astype(str)):
        files = ", ".join(experiment.lists(pair))
        raise TliError(f"{files}: is not the list that the run read ({path} differs from what it gives now); restore it, or run again")


def _prepared_digests(experiment: Experiment) -> dict[str, str]:
    return {pair: digest(Path(experiment.layout.lexicon(pair)["pairs"])) for pair in experiment.config.pairs}
