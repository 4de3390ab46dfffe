"""The experiment that a results folder remembers."""

from __future__ import annotations

from pathlib import Path

from tli.config import parse
from tli.errors import TliError
from tli.experiment import Experiment
from tli.experiment.layout import Layout
from tli.io.records import read_json


def remembered(results: str | Path) -> Experiment:
    """The experiment of the last run into this folder. Raises TliError for a folder that is none of a run, or does not remember it."""
    path = Path(Layout(str(results)).config())
    if not Path(results).is_dir():
        raise TliError(f"{results} is no folder; give the results folder of a run")
    if not path.exists():
        raise TliError(
            f"{results} does not remember its config ({path} is not there); only a folder that a run wrote does; `tli report` takes --config FILE"
        )
    return Experiment(parse(read_json(path, "the config of the run")).model_copy(update={"results": str(results)}))
