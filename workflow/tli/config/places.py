"""Where in the config files a key stands, and the error that says so: file, line, key, reason and mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tli.errors import ConfigError

Key = tuple[str | int, ...]  # the parts of a key, from the top: ("arms", "tli", "rank", 0)


@dataclass(frozen=True)
class Problem:
    """What is wrong under a key: reason and mend in one sentence, without the place."""

    key: Key
    text: str
    is_there: bool = False  # whether the key has a value of the user's; one that no file holds was then given on the command line


class KeyProblem(ValueError):
    """For validators: a problem under a key below (or above) the section that they see. `key` counts from that section."""

    def __init__(self, key: Key, text: str):
        super().__init__(text)
        self.key = key


def refusal(files: Sequence[str | Path], problems: Iterable[Problem]) -> ConfigError:
    """The error of a config with these problems, a line each; what is said twice is said once."""
    return ConfigError("\n".join(dict.fromkeys(f"{place(one.key, files, one.is_there)}{dotted(one.key)}: {one.text}" for one in problems)))


def dotted(key: Key) -> str:
    """A key as it is written in running text: "arms.tli.rank", "arms.tli.rank[2]" for an item of a list, counted from 1."""
    if not key:
        return "the config"
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def place(key: Key, files: Sequence[str | Path], is_there: bool = False) -> str:
    """`file, line N: ` of the deepest part of the key that a file holds; the last file that holds it counts. "" without files.

    is_there: the key has a value; one that no file holds was given on the command line.
    """
    best, deepest, merges = "", -1, False
    for file in files:
        try:
            text = Path(file).read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            continue
        merges = merges or "<<:" in text  # then a key may come from an anchor
        depth, line = 0, 1
        for part in key:
            step = None
            if isinstance(node, yaml.MappingNode):
                step = next(((name, value) for name, value in node.value if name.value == str(part)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                step = (node.value[part], node.value[part])
            if step is None and part == 0 and not isinstance(node, yaml.SequenceNode):
                step = (node, node)  # one value where a list may stand
            if step is None:
                break
            line, node, depth = step[0].start_mark.line + 1, step[1], depth + 1
        if depth >= deepest:
            best, deepest = f"{shown(file)}, line {line}: ", depth
    if is_there and 0 <= deepest < len(key) and not merges:
        return "--config on the command line: "
    return best


def shown(file: str | Path) -> str:
    """A file as its user would name it from here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(file)


def nearest(name: str, known: Iterable[str]) -> str:
    """A mend for a name that is not known: "did you mean 'tli'?", or all that are known."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
