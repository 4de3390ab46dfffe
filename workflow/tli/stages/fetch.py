"""Fetch: models and word lists from outside, on the machine that has a network, checked and whole."""

from __future__ import annotations

import hashlib
import shutil
import urllib.request
from pathlib import Path

from tli.errors import ModelError, TliError
from tli.experiment.job import FetchListJob, FetchModelJob, FetchTasksJob, FetchTextJob
from tli.io.atomic import whole
from tli.io.records import write_json
from tli.log import redact, say
from tli.specs import ModelSpec


def newest_commit(source: str) -> str:
    """The hub's newest commit of a model, to be written into the config as its revision."""
    from huggingface_hub import HfApi

    return HfApi().model_info(source).sha


def run(job: FetchModelJob | FetchListJob | FetchTextJob | FetchTasksJob) -> dict:
    """Bring what the job names; raises TliError where it cannot be had as the config wants it."""
    if isinstance(job, FetchModelJob):
        fetch_model(job.model_spec, job.outputs["record"])
    elif isinstance(job, FetchListJob):
        fetch_list(job.address, job.sha256, job.outputs["list"])
    elif isinstance(job, FetchTextJob):
        fetch_list(job.text.file, job.text.sha256, job.outputs["text"])
    else:
        fetch_tasks(list(job.experiment.config.transfer.tasks), job.outputs["record"])
    return {}


def fetch_model(spec: ModelSpec, output: str) -> None:
    """Bring a hub model at its pinned commit into the hub's own cache (HF_HOME is respected, a broken download goes on).

    Writes source, revision and the commit as JSON. Raises ModelError without a revision.
    """
    from huggingface_hub import snapshot_download

    if not spec.revision:
        raise ModelError(
            f"{spec.source}: has no revision, so nobody could repeat this run; "
            "`python -m tli fetch CONFIG` prints the commit to write into the config"
        )
    code = ["*.py"] if spec.trust_remote_code else []
    kinds = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", *code]
    folder = snapshot_download(spec.source, revision=spec.revision, allow_patterns=kinds)
    say(f"fetch: {spec.source} at {spec.revision} is here")
    write_json({"source": spec.source, "revision": spec.revision, "commit": Path(folder).name}, output)


def fetch_list(address: str, sha256: str, output: str) -> None:
    """Download a word list or a text and compare its checksum. Raises ValueError when it is another file than the config names."""
    if not address.startswith("https://"):
        raise TliError(f"{redact(address)}: only https addresses are fetched; download the file and give its path")
    with whole(output) as beside:
        with urllib.request.urlopen(address, timeout=60) as stream, beside.open("wb") as file:
            shutil.copyfileobj(stream, file)
        digest = hashlib.sha256(beside.read_bytes()).hexdigest()
        if digest != sha256:
            raise TliError(
                f"{redact(address)}: has the checksum {digest}, the config says {sha256}; if the new file is meant, write its checksum into the config"
            )


def fetch_tasks(tasks: list[str], output: str) -> None:
    """Bring the items of the harness's tasks into the hub's cache, so that compute nodes find them without a network."""
    import tempfile

    from tli.probes.harness import build

    with tempfile.TemporaryDirectory() as folder:
        for task in tasks:
            build(task, "hub", None, 0, Path(folder))
    say(f"fetch: the items of {', '.join(tasks)} are here")
    write_json({"tasks": tasks}, output)
