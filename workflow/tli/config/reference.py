"""The config's reference and schema, written from the models in config/keys/ so that they cannot drift apart."""

from __future__ import annotations

import json
import types
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tli.config import Arm, Config, Training

PREAMBLE = """# The config, key by key

One file says what is run; nothing in it says where or how (that is a profile's). Unknown keys are refused, a mistake stops
before the first job with file, line and remedy. This page is made from the code by `tli reference`; a test compares.

Ready configs: `config.yaml` (the demo, the default), `demo-ranks.yaml` (rank against alignment, in small), `demo-harm.yaml` (training that spares the model), `paper-text.yaml`
and `paper-code.yaml` (the two protocols of the paper on Lugha-Llama), `ranks.yaml` (rank, full fine-tuning and transfer).
`snakemake --configfile config/ranks.yaml ...` takes one of them instead of the default.

A number such as `2e-4` may be written so, or as `2.0e-4`. The smallest config:

```yaml
models: {my-model: {source: path/to/model}}
pairs: {swh-eng: {lexicon: resources/lexicons/swh-eng.tsv}}
arms:
  tli: {loss_layer: [best]}
  placebo: {like: [tli], shuffle_translations: true}
```

Where the defaults leave the paper's settings: BOS is left out of every pool (pooled in, an attention sink makes any two words
alike), false negatives of a batch are masked, adapters sit only on blocks that the loss reaches, and they are evaluated
without being merged. `paper-text.yaml` and `paper-code.yaml` set each of these as the paper had it.
"""


def markdown() -> str:
    """config/README.md."""
    parts = [PREAMBLE, "## Top level\n", _table(Config)]
    for name, field in Config.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            continue
        named = get_origin(field.annotation) is dict
        parts.append(f"## `{name}{'.<name>' if named else ''}`\n\n{(section.__doc__ or '').strip()}\n")
        parts.append(_table(section, skip=set(Training.model_fields) if section is Arm else set()))
        for inner, inner_field in section.model_fields.items():
            nested = _section(inner_field.annotation)
            if nested is not None and nested not in {_section(f.annotation) for f in Config.model_fields.values()}:
                if section is Arm:
                    continue
                parts.append(f"### `{name}.{inner}`\n\n{(nested.__doc__ or '').strip()}\n")
                parts.append(_table(nested))
    return "\n".join(parts).rstrip() + "\n"


def schema() -> str:
    """workflow/schemas/config.schema.json."""
    return json.dumps(Config.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def all_keys() -> set[str]:
    """Every key that the reference must explain, as `section.key`."""
    found = set(Config.model_fields)
    for name, field in Config.model_fields.items():
        section = _section(field.annotation)
        if section is not None:
            found |= {f"{name}.{key}" for key in section.model_fields}
    return found


def _table(section: type[BaseModel], skip: Collection[str] = ()) -> str:
    rows = ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if name not in skip:
            cells = [f"`{name}`", _kind(field.annotation, field.metadata), _default(field), field.description or "", _example(name, field)]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _kind(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0], inner[1:])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(part) for part in inner if part is not type(None)))
    if origin is list:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"map of {_kind(inner[0])} to {_kind(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section below"
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, str(annotation))
    bounds = _bounds(metadata)
    return f"{plain} {bounds}".strip()


def _bounds(metadata: Sequence[Any]) -> str:
    words = []
    for mark in metadata:
        for inner in [mark, *getattr(mark, "metadata", [])]:
            words += [
                f"{sign} {getattr(inner, key):g}"
                for key, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
                if hasattr(inner, key)
            ]
            words += [f"matching `{inner.pattern}`"] if getattr(inner, "pattern", None) else []
    return ", ".join(dict.fromkeys(words))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(needed)"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its own defaults"
    return f"`{_yaml(value)}`" if value is not None else "none"


def _example(name: str, field: FieldInfo) -> str:
    examples = field.examples or []
    if not examples and not field.is_required():
        default = field.get_default(call_default_factory=True)
        return "" if isinstance(default, BaseModel) or default is None else f"`{name}: {_yaml(default)}`"
    return ", ".join(f"`{name}: {_yaml(value)}`" for value in examples)


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip().replace("\n", " ")


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _section(inner)
        if found is not None:
            return found
    return None
