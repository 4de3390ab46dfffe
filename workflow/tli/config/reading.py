"""From config files to a checked config; a mistake is told with file, line, key, reason and mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tli.config.arms import trials_apart
from tli.config.keys.top_level import Config
from tli.config.places import Problem, place, refusal, shown
from tli.config.wording import problems_of
from tli.errors import ConfigError

YAML_MISTAKES = {  # what PyYAML says: what people do about it
    "expected ',' or": "a bracket that is opened in line {opened} is not closed; close it, or put a comma between two values",
    "expected the node content": "a value is missing between the brackets of line {opened}; write it, or take the comma or bracket out",
    "end of stream": "a quote that is opened in line {opened} is not closed; close it",
    "expected <block end>": "this line stands further left or right than those that it belongs to; put keys of one section below each other",
    "mapping values are not allowed": "a second colon in one value; put a text with a colon into quotes, and a section's keys on lines below",
    "cannot start any token": "a value begins with a sign that means something in YAML; put the value into quotes",
    "found undefined alias": "a value that begins with * is the name of another; put a text into quotes",
}
OWN_FOLDER = Path(__file__).parents[3]  # of the workflow, with resources/ in it


def load(paths: str | Path | list[str | Path]) -> Config:
    """Read config files, later ones over earlier ones key by key, and check them.

    Raises ConfigError.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    merged: dict = {}
    for path in paths:
        merged = _merge(merged, _read_yaml(Path(path)))
    return parse(merged, paths)


def parse(values: dict, paths: Sequence[str | Path] = ()) -> Config:
    """Check a config that is already read; `paths` are its files, for the error's line.

    Raises ConfigError with one paragraph per mistake.
    """
    for path in paths:
        _read_yaml(Path(path))  # for what is lost in the values: a key that stands twice
    try:
        config = Config.model_validate(with_own_resources(values))
    except ValidationError as error:
        raise refusal(paths, problems_of([dict(one) for one in error.errors()])) from None
    config._files = tuple(map(str, paths))
    if apart := trials_apart(config) if _tunes(config) else []:
        raise refusal(paths, (_uneven(*one, paths) for one in apart))
    return config


def _tunes(config: Config) -> bool:
    return any(section.tune for section in (config.training, *config.arms.values()))


def _uneven(arm: str, other: str, told: str, paths: Sequence[str | Path]) -> Problem:
    """Two arms with unequal trials, and where the other stands."""
    beside = place(("arms", other, "tune"), paths).removesuffix(": ")
    return Problem(
        ("arms", arm, "tune"),
        f"{told}{f' ({beside})' if beside else ''}; arms are compared fairly only where each had equally many trials: give all of them as "
        "many, or tune none",
    )


def with_own_resources(values: Any) -> Any:
    """What the workflow ships (resources/...) is found in its own folder where the folder that Snakemake runs in has none of it."""
    if isinstance(values, dict):
        return {key: with_own_resources(value) for key, value in values.items()}
    if isinstance(values, list):
        return [with_own_resources(value) for value in values]
    if isinstance(values, str) and values.startswith("resources/") and not Path(values).exists() and (OWN_FOLDER / values).exists():
        return str(OWN_FOLDER / values)
    return values


def _merge(base: dict, over: dict) -> dict:
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merge(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


def _read_yaml(path: Path) -> dict:
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader), path)
        values = yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"{shown(path)}: there is no such config file; config/ has the ready ones") from None
    except OSError as error:
        raise ConfigError(f"{shown(path)}: cannot be read ({error.strerror}); give a config file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown(path)}, line {line}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown(path)}, {_yaml_mistake(error, text)}") from None
    if values is None:
        raise ConfigError(f"{shown(path)}, line 1: the file holds no keys; a config has at least models and pairs")
    if not isinstance(values, dict):
        raise ConfigError(
            f"{shown(path)}, line 1: the file is {'a list' if isinstance(values, list) else 'one value'}, not keys with values; "
            "write `models:` and `pairs:` at the left edge, and what belongs to them below, indented"
        )
    return values


def _yaml_mistake(error: yaml.YAMLError, text: str) -> str:
    """`line N: ` reason and mend of what is not YAML, for the mistakes that people make."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"line 1: not valid YAML ({error}); save the file as plain UTF-8 text"
    lines, number = text.splitlines(), mark.line + 1
    for at, line in enumerate(lines[:number], 1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return f"line {at}: a tab indents the line; YAML takes spaces: put two in its place"
    start = getattr(error, "context_mark", None)
    for at in dict.fromkeys([mark.line, mark.line - 1, *([start.line] if start else [])]):
        line = lines[at].split("#")[0].strip() if 0 <= at < len(lines) else ""
        if re.fullmatch(r"[\w.-]+( *[^:{}\[\],'\"]*)?", line):
            return f"line {at + 1}: `{line}` has no colon; write `{line.split()[0]}:` and its value behind it or below, indented"
    opened = start.line + 1 if start else number
    for words, told in YAML_MISTAKES.items():
        if words in str(error.problem):
            return f"line {number}: not valid YAML; {told.format(opened=opened)}"
    return f"line {number}: not valid YAML ({error.problem}); look for a bracket or a quote that is not closed"


def _refuse_repeated_keys(node: yaml.Node | None, path: Path, above: str = "") -> None:
    """YAML lets a key stand twice and forgets the first; in a config that is a mistake. Raises ConfigError."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, path, above)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        name, line = f"{above}{key.value}", key.start_mark.line + 1
        if name in seen and key.value != "<<":
            raise ConfigError(f"{shown(path)}, line {line}: {name} is there twice, first in line {seen[name]}; keep one of them")
        seen[name] = line
        _refuse_repeated_keys(value, path, f"{name}.")
