"""What pydantic found, in words for people who know the config and not pydantic."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from tli.config.keys.base import PATTERNS
from tli.config.keys.top_level import Config
from tli.config.places import Key, KeyProblem, Problem, nearest

SHORT = 60  # characters of a value that are shown


def problems_of(errors: list[dict]) -> list[Problem]:
    """Pydantic's errors as problems, one a key: the branches of a union complain each for itself, and the deepest is to the point."""
    found: dict[Key, Problem] = {}
    for error in errors:
        problem = _problem(error)
        if error["type"] not in ("missing", "value_error", "assertion_error"):
            problem = replace(problem, is_there=True)
        found.setdefault(problem.key, problem)
    above = {key[:length] for key in found for length in range(len(key))}
    return [problem for key, problem in found.items() if key not in above]


def _problem(error: dict) -> Problem:
    key, wanted, is_name = _walk(error["loc"])
    kind, value = error["type"], error.get("input")
    if kind in ("extra_forbidden", "invalid_key"):  # a key that is no text is none of ours either
        return Problem(key, f"unknown key; {nearest(str(key[-1]), _section_at(error['loc'][:-1]).model_fields)}")
    if kind == "missing":
        return Problem(key, f"this key is missing; write it, such as {_example(key, wanted)}")
    if kind in ("value_error", "assertion_error"):
        raised = error["ctx"]["error"]
        return Problem((*key, *(raised.key if isinstance(raised, KeyProblem) else ())), str(raised))
    if is_name and (options := list(_options(wanted))):
        return Problem(key, f"unknown name; {nearest(str(key[-1]), options)}")
    if is_name:
        what = (
            "the name of a pair, in lower-case letters and digits, is like swh-eng (or swh-eng.flores)"
            if key[0] == "pairs"
            else ("the name becomes part of paths; use lower-case letters, digits and '-'")
        )
        return Problem(key, f"{what}; rename it")
    if value is None:
        return Problem(key, f"is empty; take the key out, or give it a value, such as {_example(key, wanted)}")
    if value in ([], {}):
        return Problem(key, f"is empty; write it such as {_example(key, wanted)}")
    return Problem(key, f"must be {_words(wanted)}, not {_shown(value)}; {_mend(key, wanted, value)}")


def _mend(key: Key, wanted: Any, value: Any) -> str:
    options = list(_options(wanted))
    if isinstance(value, str):
        near = nearest(value, options) if options and value not in options else ""
        if near.startswith("did you mean"):
            return near
        if not near and get_origin(_plain(wanted)) is list and isinstance(key[-1], str):
            return f"write it as {_yaml({key[-1]: [value]})[1:-1]}"
    return f"write it such as {_example(key, wanted)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"keys ({', '.join(map(str, list(value)[:3]))})" if value else "an empty section"
    text = _yaml(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]} ..."


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False, allow_unicode=True).removesuffix("...\n").strip()
    return text.replace("'on':", "on:")  # a key that YAML takes for `true`, and this workflow for what it says


def _walk(location: tuple) -> tuple[Key, Any, bool]:
    """Pydantic's location -> the user's key, what is wanted there, and whether it is the key's own name that is wrong.

    pydantic puts the branch of a union into its locations; no user wrote that.
    """
    key: list = []
    wanted: Any = Config
    above: Any = None
    union: Any = None  # the union whose branch was the last part
    for part in location:
        wanted = _bare(wanted)
        if part == "[key]":
            return tuple(key), get_args(_plain(above))[0], True
        branches = _branches(wanted)
        if len(branches) > 1:
            union, wanted = union or wanted, _branch(branches, str(part))
            continue
        key.append(part)
        above, union, wanted = branches[0], None, _below(branches[0], part)
    return tuple(key), union or wanted, False


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) in _UNIONS else annotation


_UNIONS = (Union, types.UnionType)


def _branches(annotation: Any) -> list[Any]:
    """The types of a union without None, flat as pydantic has them; the type itself in a list where it is none."""
    if get_origin(annotation) in _UNIONS:
        return [inner for part in get_args(annotation) if part is not type(None) for inner in _branches(part)]
    return [annotation]


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _branch(branches: list[Any], tag: str) -> Any:
    """The branch of a union that pydantic calls by this tag."""
    containers = {"list": list, "dict": dict, "literal": Literal}
    for one in branches:
        plain = _plain(one)
        origin = get_origin(plain)
        name = tag.split("[")[0].removeprefix("constrained-")
        if (origin is not None and containers.get(name) is origin) or getattr(plain, "__name__", "") == name:
            return one
    return branches[0]


def _below(annotation: Any, part: str | int) -> Any:
    """What is wanted one step down; None below a key that is not known."""
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        field = plain.model_fields.get(str(part))
        return None if field is None else Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return get_args(plain)[-1] if get_origin(plain) in (list, dict) else None


def _section_at(location: tuple) -> type[BaseModel]:
    return next(_sections(_walk(location)[1]))


def _sections(wanted: Any) -> Iterator[type[BaseModel]]:
    """The sections that a value may be; none of a map or a plain value."""
    for one in _branches(_plain(wanted)):
        plain = _plain(one)
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            yield plain


def _options(annotation: Any) -> Iterator[str]:
    """The words that a value may be, or the items of a list."""
    for one in _branches(_plain(annotation)):
        plain = _plain(one)
        if get_origin(plain) is list:
            yield from _options(get_args(plain)[0])
        if get_origin(plain) is Literal:
            yield from map(str, get_args(plain))


def _words(annotation: Any, metadata: tuple = ()) -> str:
    """A type as a user would say it: "a whole number >= 1", "one of no-bos, with-bos"."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inner[0], inner[1:])
    if origin in _UNIONS:
        return " or ".join(dict.fromkeys(_words(one) for one in _branches(annotation)))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else str(inner[0])
    bounds = _bounds(metadata)
    if origin is list:
        return f"a list of {_several(_words(inner[0]))}"
    if origin is dict:
        return "names with a section below each" if isinstance(inner[1], type) and issubclass(inner[1], BaseModel) else "keys with values"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a section with keys ({', '.join(list(annotation.model_fields)[:4])}{', ...' if len(annotation.model_fields) > 4 else ''})"
    if "pattern" in bounds:
        return PATTERNS[bounds["pattern"]]
    name = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[annotation]
    signs = [f"{sign} {bounds[bound]:g}" for bound, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")) if bound in bounds]
    return " ".join([name, " and ".join(signs)]).strip()


def _several(words: str) -> str:
    return re.sub(r"^a (whole )?number", r"\1numbers", words).removeprefix("one of ")


def _bounds(metadata: tuple) -> dict[str, Any]:
    bounds = {}
    for mark in metadata:
        for one in (mark, *getattr(mark, "metadata", [])):
            for name in ("ge", "gt", "le", "lt", "pattern"):
                if getattr(one, name, None) is not None:
                    bounds[name] = getattr(one, name)
    return bounds


def _example(key: Key, wanted: Any) -> str:
    """`name: value` that would do, from the reference's own examples and defaults."""
    names = [part for part in key if isinstance(part, str)]
    parent = next((section for section in _sections(_walk(tuple(names[:-1]))[1])), None)
    field = parent.model_fields.get(names[-1]) if parent is not None else None
    if field is not None and field.examples:
        return _yaml({names[-1]: field.examples[0]})[1:-1]
    value = None
    if field is not None and not field.is_required():
        value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        value = _sample(wanted)
    return _yaml({names[-1]: value})[1:-1]


def _sample(annotation: Any) -> Any:
    """A value of a section: its needed keys, else its first one."""
    for one in _branches(_plain(annotation)):
        plain = _plain(one)
        if get_origin(plain) is dict:
            return {"name": _sample(get_args(plain)[-1])}
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            needed = {name: field.examples[0] for name, field in plain.model_fields.items() if field.is_required() and field.examples}
            first = next((name, field) for name, field in plain.model_fields.items() if not field.is_required())
            return needed or {first[0]: first[1].get_default(call_default_factory=True)}
    return "..."
