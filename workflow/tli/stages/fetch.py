"""Fetch: models and word lists from outside, on the machine that has a network, checked and whole."""

from __future__ import annotations

import hashlib
import json
import shutil
import urllib.request
from pathlib import Path

from tli.errors import ModelError
from tli.io.atomic import whole
from tli.log import redact, say


def newest_commit(source: str) -> str:
    """The hub's newest commit of a model, to be written into the config as its revision."""
    from huggingface_hub import HfApi

    return HfApi().model_info(source).sha


def fetch_model(*, settings: dict, output: str) -> None:
    """Bring a hub model at its pinned commit into the hub's own cache (HF_HOME is respected, a broken download goes on).

    Writes source, revision and the commit as JSON. Raises ModelError without a revision.
    """
    from huggingface_hub import snapshot_download

    if not settings["revision"]:
        raise ModelError(
            f"{settings['source']}: has no revision, so nobody could repeat this run; "
            "`python -m tli fetch CONFIG` prints the commit to write into the config"
        )
    folder = snapshot_download(
        settings["source"], revision=settings["revision"],
        allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"] + (["*.py"] if settings["trust_remote_code"] else []),
    )  # fmt: skip
    say(f"fetch: {settings['source']} at {settings['revision']} is here")
    with whole(output) as beside:
        record = {"source": settings["source"], "revision": settings["revision"], "commit": Path(folder).name}
        beside.write_text(json.dumps(record, indent=1), encoding="utf-8")


def fetch_lexicon(*, address: str, sha256: str, output: str) -> None:
    """Download a word list and compare its checksum. Raises ValueError when it is another file than the config names."""
    if not address.startswith("https://"):
        raise ValueError(f"{redact(address)}: only https addresses are fetched; download the file and give its path")
    with whole(output) as beside:
        with urllib.request.urlopen(address, timeout=60) as stream, beside.open("wb") as file:
            shutil.copyfileobj(stream, file)
        found = hashlib.sha256(beside.read_bytes()).hexdigest()
        if found != sha256:
            raise ValueError(
                f"{redact(address)}: has the checksum {found}, the config says {sha256}; if the new file is meant, write its checksum into the config"
            )


def fetch_tasks(*, tasks: list[str], output: str) -> None:
    """Bring the items of the harness's tasks into the hub's cache, so that compute nodes find them without a network."""
    import tempfile

    from tli.probes.harness import build

    with tempfile.TemporaryDirectory() as folder:
        for task in tasks:
            build(task, "hub", None, 0, Path(folder))
    say(f"fetch: the items of {', '.join(tasks)} are here")
    with whole(output) as beside:
        beside.write_text(json.dumps({"tasks": tasks}, indent=1), encoding="utf-8")
