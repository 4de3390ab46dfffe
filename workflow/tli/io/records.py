"""The JSON records that stages leave for others: what a model is, what was trained in a run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tli.errors import TableError
from tli.io.atomic import whole


@dataclass(frozen=True)
class CheckRecord:
    """What the check job found a model to be."""

    model: str
    identity: str  # digest of its files, or hub id and commit
    layers: int  # L: hidden states are hs[0] to hs[L]
    hidden_size: int = 0
    parameters: int = 0
    tied_head: bool = False
    causal: bool = True  # it predicts the next token; an encoder does not
    bos: bool = False  # its tokenizer puts BOS before a text
    added_before: list[int] = field(default_factory=list)  # ids that the tokenizer puts around a text
    added_after: list[int] = field(default_factory=list)
    vocabulary: int = 0
    perplexity: dict[str, dict] = field(default_factory=dict)  # language -> perplexity, tokens, uniform
    demo: bool = False
    word_form: str = "alone"  # how it is fed a word
    tokens: dict[str, dict] = field(default_factory=dict)  # language -> word form -> counts over the words of the shipped sentences


def read_check(path: str | Path) -> CheckRecord:
    """Raises TableError where the model was not checked yet, or the record lacks what every check writes."""
    values = read_json(path, "the model's check; run the stage check first")
    if lacking := [name for name in ("model", "identity", "layers") if name not in values]:
        raise TableError(f"{path}: lacks {', '.join(lacking)}: it is the model's check; delete it and run the stage check again")
    return CheckRecord(**{one.name: values[one.name] for one in fields(CheckRecord) if one.name in values})


def write_check(record: CheckRecord, path: str | Path) -> None:
    """Written whole or not at all."""
    write_json(asdict(record), path)


def read_json(path: str | Path, what: str) -> dict[str, Any]:
    """Raises TableError, which says what the file is and where it comes from, where it cannot be read or holds no names with values."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: cannot be read ({error}): it is {what}") from None
    if not isinstance(values, dict):
        raise TableError(f"{path}: holds no names with values: it is {what}")
    return values


def write_json(values: dict, path: str | Path) -> None:
    """Write a record whole."""
    with whole(path) as beside:
        beside.write_text(json.dumps(values, indent=1), encoding="utf-8")
