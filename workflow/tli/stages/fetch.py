"""Fetch: models and word lists from outside, on the machine that has a network, checked and whole."""

from __future__ import annotations

import errno
import hashlib
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tli.errors import ModelError, TliError
from tli.experiment.job import FetchListJob, FetchModelJob, FetchTasksJob, FetchTextJob
from tli.io.atomic import whole
from tli.io.records import write_json
from tli.log import redact, say
from tli.specs import ModelSpec


def newest_commit(source: str) -> str:
    """The hub's newest commit of a model, to be written into the config as its revision. Raises ModelError."""
    from huggingface_hub import HfApi

    with _from_the_hub(source):
        return HfApi().model_info(source).sha or ""


@contextmanager
def _from_the_hub(source: str) -> Iterator[None]:
    """Within the block: what the hub's client, its transport or the system raises becomes a ModelError of one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        text = "its owner gives it on request only; ask on its page, then `hf auth login` here"
        raise ModelError(f"{source}: {text}") from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{source}: the hub has no such commit of it; `tli fetch CONFIG` prints the newest") from error
    except errors.RepositoryNotFoundError as error:
        text = "the hub has no such model, or shows it to its owner only; check the id, or `hf auth login`"
        raise ModelError(f"{source}: {text}") from error
    except errors.OfflineModeIsEnabled as error:
        raise ModelError(f"{source}: the hub is switched off here by HF_HUB_OFFLINE; unset it where there is a network") from error
    except Exception as error:
        if _cannot_be_written(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{source}: the hub cannot be reached ({reason}); try again where there is a network, or name a folder with the model in the config"
        ) from error


def _cannot_be_written(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


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
            "`tli fetch CONFIG` prints the commit to write into the config"
        )
    code = ["*.py"] if spec.trust_remote_code else []
    kinds = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", *code]
    with _from_the_hub(spec.source):
        folder = snapshot_download(spec.source, revision=spec.revision, allow_patterns=kinds)
    say(f"fetch: {spec.source} at {spec.revision} is here")
    write_json({"source": spec.source, "revision": spec.revision, "commit": Path(folder).name}, output)


def fetch_list(address: str, sha256: str, output: str) -> None:
    """Download a word list or a text and compare its checksum. Raises ValueError when it is another file than the config names."""
    if not address.startswith("https://"):
        raise TliError(f"{redact(address)}: only https addresses are fetched; download the file and give its path")
    with whole(output) as beside:
        try:
            stream = urllib.request.urlopen(address, timeout=60)
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise TliError(
                f"{redact(address)}: cannot be fetched ({reason}); try again where there is a network, or download the file and give its path"
            ) from error
        with stream, beside.open("wb") as file:
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
