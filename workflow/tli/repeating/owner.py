"""What a text says of the machine and the person that it comes from, and how that is taken out."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from tli.config.reading import OWN_FOLDER
from tli.log import redact
from tli.repeating.inputs import Pins

AFTER = r"(?![\w.-])"  # a folder "me" is not the beginning of one "meera"


class Owner:
    """Paths of whoever ran the run whose results lie in `results`, and what stands for each."""

    def __init__(self, results: str | Path, pins: Pins):
        own = {str(OWN_FOLDER): "clone", str(Path.cwd()): ".", str(Path.home()): "~"} | pins.places
        own |= {str(Path(results).absolute()): "results", str(Path(results).resolve()): "results"}
        beside = {str(Path(path).parent): "elsewhere" for path in own if len(Path(path).parts) > 3}
        written = {f(path): name for path, name in (beside | own).items() for f in (str, html.escape, _in_json, _url)}
        self._names = {path: name for path, name in written.items() if path != "/"}
        longest = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(f"(?:{'|'.join(map(re.escape, longest))}){AFTER}")

    def clean(self, text: str) -> str:
        """The text with places in stead of paths, without tokens and passwords."""
        return redact(self._pattern.sub(lambda found: self._names[found.group()], text))


def _in_json(path: str) -> str:
    return json.dumps(path)[1:-1]


def _url(path: str) -> str:
    return Path(path).as_uri().removeprefix("file://")
