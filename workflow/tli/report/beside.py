"""What the page holds itself, and what lies in files beside it until the reader opens its place.

A page opened from disk may not read other files, but it may run a script that lies beside it: so such a file is one that hands its
value to the page. Nothing is left out; a page that was sent without its folder says which file it misses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tli.io.atomic import whole


@dataclass
class Room:
    """How many characters of a kind the page still takes."""

    left: int

    def takes(self, size: int) -> bool:
        """Whether `size` more characters fit; if so they are counted."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


def put_beside(folder: Path, name: str, value: Iterable[str]) -> str:
    """Write folder/name, a script that hands `value` (JSON, in parts) to the page; returns `name`."""
    with whole(folder / name) as made, made.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f'tliBeside("{name}",')
        stream.writelines(value)
        stream.write(");\n")
    return name
