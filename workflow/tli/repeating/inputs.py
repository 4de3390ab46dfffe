"""What a run read, by its bytes, and where it lies in the folder of a repetition."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tli.config.reading import OWN_FOLDER
from tli.errors import TableError
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import store
from tli.io.records import read_json
from tli.lexicon import prepare_union
from tli.model.files import identity

RESOURCES = "resources/"  # what the workflow ships is there where the run is repeated
CLDF = "metadata.json"  # ends the name of the file that describes a CLDF word list
ASKED = ["pair_id", "source", "target", "split"]  # of a prepared pair: what decides the figures


@dataclass(frozen=True)
class Pinned:
    """A file or folder that a run read: where the config of the repetition looks for it, and its digest."""

    what: str
    place: str
    digest: str
    copied: bool = False  # it lies in the folder already

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with the workflow."""
        return self.place.startswith(RESOURCES)

    @property
    def is_to_be_brought(self) -> bool:
        return not (self.copied or self.is_shipped)


class Pins:
    """What is pinned so far; a source that is named twice is pinned once."""

    def __init__(self, copied_to: Path | None):
        self._copied_to, self._by_source = copied_to, dict[Path, Pinned]()

    def __iter__(self) -> Iterator[Pinned]:
        return iter(self._by_source.values())

    @property
    def places(self) -> dict[str, str]:
        """What the run's config may call each source -> its place."""
        return {name: pinned.place for source, pinned in self._by_source.items() for name in (str(source), str(source.resolve()))}

    def add(self, what: str, source: str, below: str, *, may_be_copied: bool = False) -> str:
        """Pin a file or folder, to be put into the folder `below`; returns its place. Raises TableError where it is not there.

        It keeps its name, which a prepared list gives as where its words are from.
        """
        path = Path(source).expanduser().absolute()
        if path not in self._by_source:
            self._by_source[path] = self._pinned(what, path, below, may_be_copied)
        return self._by_source[path].place

    def _pinned(self, what: str, path: Path, below: str, may_be_copied: bool) -> Pinned:
        if not path.exists():
            raise TableError(
                f"{path}: is not there; it is {what} that the run read. Put it back; a path of the config that does not begin with / is "
                "found from the folder that the run was started in: start this there"
            )
        found = digest(path)
        if shipped := shipped_place(path):
            return Pinned(what, shipped, found)
        place, number = f"{below}/{path.name}", 1
        while place in {pinned.place for pinned in self._by_source.values()}:
            place, number = f"{below}/{number}/{path.name}", number + 1
        if self._copied_to is not None and may_be_copied:
            root, to = (path, self._copied_to / place) if path.is_dir() else (path.parent, (self._copied_to / place).parent)
            for file in files_of(path):
                beside = to / file.relative_to(root)
                beside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, beside)
        return Pinned(what, place, found, self._copied_to is not None and may_be_copied)


def shipped_place(path: Path) -> str:
    """`resources/...` for what the workflow ships as it is here, else "". A file that is put or changed there is no shipped one."""
    try:
        place = path.resolve().relative_to(OWN_FOLDER.resolve()).as_posix()
    except ValueError:
        return ""
    if not place.startswith(RESOURCES):
        return ""
    try:
        known = [
            subprocess.run(["git", "-C", str(OWN_FOLDER), *words, "--", place], capture_output=True, text=True, timeout=20)
            for words in (["ls-files"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.TimeoutExpired):
        return place
    if known[0].returncode:  # no checkout: all that lies there came with it
        return place
    return place if known[0].stdout and not known[1].stdout else ""


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a model's folder its identity as the check knows it; of another folder, and of a CLDF word list by
    its description, that of its files' names and bytes. Raises TableError where it is not there.
    """
    if (path / "config.json").is_file():
        return identity(path)
    files = files_of(path)
    if files == [path]:
        return _of_bytes(path)
    root = path if path.is_dir() else path.parent
    return store.digest([[file.relative_to(root).as_posix(), _of_bytes(file)] for file in files])


def files_of(path: Path) -> list[Path]:
    """The files that an entry of the config stands for, sorted: itself, those of a folder, of a CLDF word list the tables it names."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if not path.name.endswith(CLDF):
        return [path]
    described = read_json(path, "the description of a CLDF word list")
    named = [table.get("url", "") for table in described.get("tables", []) if isinstance(table, dict)]
    named += [described["dc:source"]] if isinstance(described.get("dc:source"), str) else []
    beside = [path.parent / f"{name}{packed}" for name in named if name for packed in ("", ".zip")]
    return sorted({path, *(file for file in beside if file.is_file())})


def _of_bytes(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error})") from None


def prepared(experiment: Experiment, pair: str) -> pd.DataFrame:
    """The pairs of a list as the workflow prepares and splits them now, columns ASKED, all text."""
    job: Any = Job.of(experiment, "lexicon", pair=pair)
    return prepare_union(job.lists)[pair].pairs[ASKED].astype(str).reset_index(drop=True)
