"""What of a user's paths may be told to others: hub ids and what the workflow ships; of all else, nothing."""

from __future__ import annotations

import re
from pathlib import Path

from tli.config.reading import OWN_FOLDER

SHIPPED = "resources/"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_shipped(path: str) -> bool:
    """Whether a path is below the workflow's own resources, as a config names it or as it is found from another folder."""
    return path.startswith((SHIPPED, f"{OWN_FOLDER / SHIPPED}/"))


def hub_id(source: str, revision: str | None) -> str:
    """The hub's name of a model; "" of one in a folder. revision: the commit, without which no hub model is run."""
    is_folder = Path(source).exists() or source.startswith((".", "/", "~", SHIPPED))
    return source if revision and not is_folder and HUB_ID.fullmatch(source) else ""


def told(source: str, revision: str | None = None) -> str:
    """A model's hub id or shipped place; "" for any other folder: its path is nobody else's business."""
    if is_shipped(source):
        return SHIPPED + source.removeprefix(str(OWN_FOLDER)).lstrip("/").removeprefix(SHIPPED)
    return hub_id(source, revision)
