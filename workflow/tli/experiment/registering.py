"""Registration of an experiment: what it will ask is written down before there is a result, and held against it afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tli.config.keys.base import Section
from tli.errors import ConfigError, TableError
from tli.experiment import Experiment
from tli.experiment.foresight import planned
from tli.io.records import read_json, write_json
from tli.model.files import identity
from tli.statistics import registration

RESULTS = ("train", "evaluate", "across", "transfer", "statistics")  # the stages whose end is a result; a look before training is none


def design_of(experiment: Experiment) -> dict[str, Any]:
    """What results depend on: the config without what changes none of them, the lists' and the models' digests, the family.

    A list is known by its bytes, a model in a folder as the check knows it. Of what is not on this disk yet, the address or
    commit stands in the config.
    """
    config = experiment.config
    lists = {name: [_bytes(path) for path in _files(pair.lexicon)] for name, pair in config.pairs.items()}
    models = {name: identity(Path(model.source)) if Path(model.source).is_dir() else "" for name, model in config.models.items()}
    family = sorted(
        {f"{run.model}, {run.pair}: {run.arm}, layer {run.layer}, rank {run.rank}" for run in experiment.runs if not run.control}
    )
    plain = config.model_dump(mode="json", exclude={"title", "question", "results", "jobs"})
    return {"config": plain, "lists": lists, "models": models, "family": family}


def register(experiment: Experiment) -> Path:
    """Write the registration. Raises ConfigError where there is one already: it is written once."""
    path = Path(experiment.layout.registration())
    if path.exists():
        raise ConfigError(f"{path} is there already and a registration is written once; to ask anew, name another folder under results")
    written = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    write_json(registration.registration(design_of(experiment), written, planned(experiment)), path)
    return path


def held_against(experiment: Experiment, records: Iterable[Mapping[str, Any]]) -> registration.Registered:
    """The registration beside what is asked now; records: those of the provenance, whose earliest result is looked for."""
    path = Path(experiment.layout.registration())
    try:
        record = read_json(path, "the registration") if path.exists() else None
    except TableError:
        record = {}  # what cannot be read was not written so
    now = design_of(experiment)
    if isinstance(before := (record or {}).get("asked"), dict):
        now["config"] = _of_then(now["config"], experiment.config, before.get("config"))
    finished = [str(one["finished"]) for one in records if one.get("stage") in RESULTS and one.get("finished")]
    return registration.checked(record, now, min(finished, default=None))


def _of_then(plain: Any, section: Any, registered: Any) -> Any:
    """A part of today's config without the keys that came after the registration was written and have their default: they change nothing.

    plain: the part as JSON values; section: the same as the config has it.
    """
    if not isinstance(plain, dict) or not isinstance(registered, dict):
        return plain
    values, fields = (dict(section), type(section).model_fields) if isinstance(section, Section) else (section, {})
    later = {
        name for name, field in fields.items() if name not in registered and values[name] == field.get_default(call_default_factory=True)
    }
    return {name: _of_then(value, values[name], registered.get(name)) for name, value in plain.items() if name not in later}


def _files(source: str | list[str]) -> list[Path]:
    paths = [Path(one) for one in ([source] if isinstance(source, str) else source)]
    return [path for path in paths if path.exists()]


def _bytes(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder in the order of their names."""
    digest = hashlib.sha256()
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file():
            digest.update(one.read_bytes())
    return digest.hexdigest()
