"""The lists of an experiment held against each other, before and while it runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tli import lexicon
from tli.errors import LexiconError
from tli.experiment import Experiment
from tli.experiment.recalled import Question
from tli.experiment.settings import lexicon_spec


def compared(experiment: Experiment) -> pd.DataFrame:
    """What speaks against the names of the lists (tables.LISTS), as far as their files are on disk and can be read."""
    return lexicon.compare([found for pair in experiment.config.pairs if (found := _listed(experiment, pair)) is not None])


def findings(experiment: Experiment) -> list[tuple[str, str]]:
    """Severity and text of each row of `compared`, from an earlier start where nothing has changed since."""
    question = Question(experiment, "compared", [pair for pair in experiment.config.pairs if _is_there(experiment, pair)])
    if (found := question.recalled()) is None:
        table = compared(experiment)
        found = [list(row) for row in zip(table["severity"], table["text"], strict=True)]
        question.keep(found)
    return [(severity, text) for severity, text in found]


def _listed(experiment: Experiment, pair: str) -> lexicon.Listed | None:
    if not _is_there(experiment, pair):
        return None
    spec, files = lexicon_spec(experiment.config, pair), experiment.entries(pair)
    try:
        return lexicon.Listed(pair, tuple(files), lexicon.read(files, pair, spec, strict=False))
    except LexiconError:  # told where the list itself is read
        return None


def _is_there(experiment: Experiment, pair: str) -> bool:
    return experiment.config.pairs[pair].format == "cldr" or all(Path(file).exists() for file in experiment.entries(pair))
