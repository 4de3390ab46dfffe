"""What must not leave the machine: the user's places and tokens. Nothing is written with them; this looks once more before a folder is made."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tli.errors import TliError
from tli.experiment import Experiment, is_address
from tli.log import TOKEN
from tli.publishing import public

FEWEST = 5  # characters of a place that can be looked for
TEXT = {".md", ".json", ".tsv", ".txt", ".tex", ".bib", ".svg", ".yaml"}


def private_places(experiment: Experiment) -> set[str]:
    """Paths of the user: home, working folder, results, and every file or folder that the config names and the workflow does not ship."""
    named = [*_named(experiment), experiment.config.results]
    given = {entry for entry in named if entry and not public.is_shipped(entry) and not is_address(entry)}
    whole = {str(Path(entry).expanduser().resolve()) for entry in given} | {str(Path.cwd()), str(Path.home())}
    # A relative path of one word ("results") is an ordinary word.
    return {entry for entry in whole | {entry for entry in given if "/" in entry} if len(entry) >= FEWEST}


def _named(experiment: Experiment) -> list[str]:
    config = experiment.config
    lists = [entry for pair in config.pairs for entry in experiment.lists(pair)]
    models = [model.source for model in config.models.values() if not public.told(model.source, model.revision)]
    texts = [text.file for text in config.text.values()]
    return [*lists, *models, *texts, config.transfer.source, config.transfer.question_from or ""]


def assert_private(folder: Path, experiment: Experiment) -> None:
    """Raises TliError for a text file below `folder` that holds a place of the user, or a token."""
    places = private_places(experiment)
    tokens = {value for key, value in os.environ.items() if len(value) >= 8 and re.search(r"(TOKEN|SECRET|PASSWORD)$", key)}
    for file in sorted(folder.rglob("*")):
        if file.suffix not in TEXT or not file.is_file():
            continue
        text = file.read_text(encoding="utf-8")
        for kind, found in (("a path of this machine", places), ("a token", tokens)):
            if any(one in text for one in found) or (kind == "a token" and TOKEN.search(text)):
                raise TliError(
                    f"{file.relative_to(folder)} would hold {kind}, and nothing was written; look for it in the config's title and question"
                )
