"""`tli look`: one model and one list, nothing trained, without a config. What is finished is not done again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tli import lexicon
from tli.cluster import costs
from tli.config import parse
from tli.errors import ConfigError, TliError
from tli.experiment import Experiment
from tli.experiment.inspect import inspect
from tli.experiment.job import Job
from tli.io import store
from tli.io.records import read_json, write_json
from tli.log import say
from tli.runtime.progress import remember
from tli.runtime.wrapping import run

SMALL = 2e9  # bytes of weights: below, float32 is as quick and needs no thought


def experiment_of(model: str, files: list[str], pair: str = "", results: str = "", revision: str = "") -> Experiment:
    """The experiment of a model (a folder or a hub id) and a word list (its files), with every default and no arms.

    pair: by default from the file's name. results: by default a folder of its own in results/look. Raises ConfigError.
    """
    name = _slug(Path(model).resolve().name if Path(model).is_dir() else model.rsplit("/", 1)[-1])
    pair = pair or Path(files[0]).name.split(".")[0]
    if not re.fullmatch(r"[a-z0-9]+-[a-z0-9]+", pair):
        raise ConfigError(f"the file's name does not tell the pair (got {pair!r}); add it, as --pair swh-eng")
    for file in files:
        if not Path(file).exists():
            raise ConfigError(f"{file}: there is no such list; give the file with the translation pairs")
    size = sum(path.stat().st_size for path in Path(model).glob("*.safetensors"))
    local = Path(model).is_dir()
    sections: dict[str, Any] = {
        "title": f"{name} and {pair}, before any training",
        "question": "Does the model align the words of the two languages, where inside, and what would be left for a training to gain?",
        "models": {name: {"source": model, "dtype": "float32" if local and size < SMALL else "bfloat16"}},
        "pairs": {pair: {"lexicon": files if len(files) > 1 else files[0], "format": lexicon.guess_format(files[0], pair)}},
        "results": results or f"results/look/{name}.{pair}",
    }
    if not local:
        sections["models"][name]["revision"] = revision or None
    return Experiment(parse(sections))


def look(experiment: Experiment, threads: int) -> str:
    """Do every job that is not finished; returns the path of the page."""
    inspect(experiment)
    remember(experiment.layout, experiment.config.model_dump_json(exclude_unset=True))
    record = Path(experiment.layout.results) / "look.json"
    try:
        done = read_json(record, "what `tli look` has done")
    except TliError:
        done = {}
    for job in _jobs(experiment):
        place, now = f"{job.kind} {job.name}", _digest(job)
        if done.get(place) == now and all(Path(path).exists() for path in _paths(job.outputs)):
            say(f"look: {place} is finished already")
            continue
        run(job, threads=threads, gpus=costs.request(job).gpu)
        done[place] = _digest(job)
        write_json(done, record)
    return experiment.layout.page()["page"]


def _jobs(experiment: Experiment) -> Iterator[Job]:
    for model in experiment.config.models:
        if experiment.on_hub(model):
            yield Job.of(experiment, "fetch-model", model=model)
    for pair in experiment.config.pairs:
        yield Job.of(experiment, "lexicon", pair=pair)
    for model in experiment.config.models:
        yield Job.of(experiment, "check", model=model)
    for model, pair in experiment.model_pairs:
        yield Job.of(experiment, "scan", model=model, pair=pair)
    yield Job.of(experiment, "report")


def _digest(job: Job) -> str:
    """Of what the job depends on: its params, and its input files as they lie there."""
    files = [Path(path) for path in _paths(job.inputs)]
    seen = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else [str(path)] for path in files]
    return store.digest({"params": job.params, "files": seen})


def _paths(named: dict) -> list[str]:
    return [path for value in named.values() for path in (value if isinstance(value, list) else [value])]


def _slug(name: str) -> str:
    """A name for paths: small letters, digits, '-' and '.'."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
