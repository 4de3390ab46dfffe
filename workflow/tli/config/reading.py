"""From config files to a checked config; a mistake is told with file, line, key, reason and mend."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tli.config.arms import trials_apart
from tli.config.keys import Config
from tli.errors import ConfigError


def load(paths: str | Path | list[str | Path]) -> Config:
    """Read config files, later ones over earlier ones key by key, and check them.

    Raises ConfigError.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    merged: dict = {}
    for path in paths:
        merged = _merge(merged, _read_yaml(Path(path)))
    return parse(merged, paths)


def parse(values: dict, paths: list[str | Path] = ()) -> Config:
    """Check a config that is already read; `paths` are its files, for the error's line.

    Raises ConfigError with one paragraph per mistake.
    """
    for path in paths:
        _read_yaml(Path(path))  # for what is lost in the values: a key that stands twice
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e, paths) for e in _gather(error.errors()))) from None
    if apart := trials_apart(config) if _tunes(config) else []:
        raise ConfigError("\n".join(_uneven(*one, paths) for one in apart))
    return config


def _tunes(config: Config) -> bool:
    return any(section.tune for section in (config.training, *config.arms.values()))


def _uneven(arm: str, other: str, told: str, paths: list[str | Path]) -> str:
    """Two arms with unequal trials, and where both stand."""
    beside = _find_line(("arms", other, "tune"), paths).removesuffix(": ")
    return (
        f"{_find_line(('arms', arm, 'tune'), paths)}arms.{arm}: {told}{f' ({beside})' if beside else ''}; arms are compared fairly only "
        "where each had equally many trials: give all of them as many, or tune none"
    )


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
        raise ConfigError(f"{path}: there is no such config file; config/ has the ready ones") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            f"{path}{f', line {mark.line + 1}' if mark else ''}: not valid YAML ({getattr(error, 'problem', error)})"
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds no keys; a config has at least models and pairs")
    return values


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
            raise ConfigError(f"{path}, line {line}: {name} is there twice, first in line {seen[name]}; keep one of them")
        seen[name] = line
        _refuse_repeated_keys(value, path, f"{name}.")


def _gather(errors: list[dict]) -> list[dict]:
    """One error per key: the branches of a union complain each for itself."""
    kept: dict[tuple, dict] = {}
    for error in errors:
        location = tuple(
            p for p in error["loc"] if not (isinstance(p, str) and re.search(r"[\[(]|^(int|float|str|bool|constrained-\w+)$", p))
        )
        if location in kept:
            kept[location]["msg"] += f", or: {error['msg']}"
        else:
            kept[location] = {**error, "loc": location, "of_name": "[key]" in error["loc"]}
    return list(kept.values())


def _explain(error: dict, paths: list[str | Path]) -> str:
    location = error["loc"]
    key = ".".join(map(str, location)) or "(the whole config)"
    where = _find_line(location, paths, is_there=error["type"] != "missing")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{where}{key}: unknown key; {mend}"
    if error["type"] == "missing":
        return f"{where}{key}: this key is missing; config/README.md says what it means"
    if error["type"] == "string_pattern_mismatch" and error["of_name"]:
        return f"{where}{key}: the name becomes part of paths; use lower-case letters, digits, '-' (a pair is like swh-eng)"
    value = error.get("input")
    shown = f" (it says {value!r})" if isinstance(value, (str, int, float, list)) and len(str(value)) < 80 else ""
    return f"{where}{key}: {message}{shown}; config/README.md explains the key"


def _known_keys(location: tuple) -> list[str]:
    section: Any = Config
    named = False  # the next part is a name the user chose, as in models.<name>
    for part in location:
        if named or isinstance(part, int):
            named = False
            continue
        annotation = section.model_fields[part].annotation
        named = getattr(annotation, "__origin__", None) is dict
        section = _inner_section(annotation)
    return list(section.model_fields)


def _inner_section(annotation) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in reversed(getattr(annotation, "__args__", ())):
        found = _inner_section(inner)
        if found is not None:
            return found
    return None


def _find_line(location: tuple, paths: list[str | Path], is_there: bool = False) -> str:
    """`file, line N: ` of the deepest part of the key that a file holds; the last file that holds it counts.

    is_there: the key has a value; one that no file holds was given on the command line.
    """
    best, merges = ("", -1), False
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            continue
        merges = merges or "<<:" in text  # then a key may come from an anchor
        depth, line = 0, 1
        for part in location:
            step = None
            if isinstance(node, yaml.MappingNode):
                step = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                step = (node.value[part], node.value[part])
            if step is None:
                break
            line, node, depth = step[0].start_mark.line + 1, step[1], depth + 1
        if depth >= best[1]:
            best = (f"{path}, line {line}: ", depth)
    if is_there and 0 <= best[1] < len(location) and not merges:
        return "--config on the command line: "
    return best[0]
