"""What an earlier start found in the lists, as long as nothing that it rests on has changed.

Twenty lists take seconds of a processor to read, clean and split, at every start of Snakemake. What was found is a unit of the store: its
digest is of the bytes of every file, of how each list is read and split, of this package's source and of the libraries that read with it.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tli.errors import TableError
from tli.experiment import Experiment
from tli.experiment.settings import lexicon_spec
from tli.io import store
from tli.io.records import read_json, write_json
from tli.specs import plain

KIND, FILE = "lists", "found.json"
READ_ELSEWHERE = ("cldf", "cldr")  # formats of which more is read than the files that the config names
LIBRARIES = ("numpy", "pandas", "pyarrow", "scipy", "defusedxml")  # that read and compare lists
PACKAGE = Path(__file__).parents[1]
BEGAN = time.time()
SETTLED = 60  # seconds: source that changed later than so long before this process may not be what it runs


class Question:
    """Something that follows from the files of some lists, how they are read, and what else is named; its answer is JSON values."""

    def __init__(self, experiment: Experiment, asked: str, pairs: Sequence[str], **about: Any):
        """asked: its name. pairs: whose lists, in the order in which they are read. about: what else the answer depends on."""
        self._experiment, self._pairs, self._about = experiment, list(pairs), {"asked": asked, **about}
        self._key = self._made()

    def recalled(self) -> Any:
        """The answer that was kept; None where there is none."""
        folder = store.find(Path(self._experiment.layout.store), KIND, self._key) if self._key else None
        try:
            return read_json(folder / FILE, "what was found in the lists")["found"] if folder else None
        except (TableError, KeyError, TypeError):
            return None

    def keep(self, found: Any) -> None:
        """Keep the answer, if the results' folder is there and the files are still those that the question was made for."""
        if not self._key or not Path(self._experiment.layout.results).is_dir() or self._made() != self._key:
            return
        with suppress(OSError), store.make(Path(self._experiment.layout.store), KIND, self._key) as folder:  # it is found anew then
            write_json({"found": found}, folder / FILE)

    def _made(self) -> dict[str, Any] | None:
        """All that the answer depends on; None where that cannot be told."""
        code, lists = _code(), []
        for pair in self._pairs:
            spec, entries = lexicon_spec(self._experiment.config, pair), self._experiment.entries(pair)
            digests = [_bytes(Path(entry)) for entry in entries]
            if spec.format in READ_ELSEWHERE or not all(digests):
                return None
            lists.append([pair, list(zip(entries, digests, strict=True)), plain(spec)])
        return {**self._about, "lists": lists, **code} if code else None


def _bytes(path: Path) -> str:
    """SHA-256 of a file; "" for what is none."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


@cache
def _code() -> dict[str, Any]:
    """What reads: a digest of the package's source, and versions; nothing where the source may not be what this process runs."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.stat().st_mtime > BEGAN - SETTLED:
            return {}
        digest.update(f"{path.relative_to(PACKAGE)}\0{_bytes(path)}\n".encode())
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {"code": digest.hexdigest(), "versions": {"python": platform.python_version(), **versions}}
