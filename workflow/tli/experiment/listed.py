"""The lists of an experiment held against each other, before and while it runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tli import lexicon
from tli.errors import LexiconError
from tli.experiment import Experiment
from tli.experiment.settings import lexicon_spec


def compared(experiment: Experiment) -> pd.DataFrame:
    """What speaks against the names of the lists (tables.LISTS), as far as their files are on disk and can be read."""
    return lexicon.compare([found for pair in experiment.config.pairs if (found := _listed(experiment, pair)) is not None])


def _listed(experiment: Experiment, pair: str) -> lexicon.Listed | None:
    spec, files = lexicon_spec(experiment.config, pair), experiment.entries(pair)
    if spec.format != "cldr" and not all(Path(file).exists() for file in files):
        return None
    try:
        return lexicon.Listed(pair, tuple(files), lexicon.read(files, pair, spec, strict=False))
    except LexiconError:  # told where the list itself is read
        return None
