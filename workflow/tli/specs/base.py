"""The version of each stage, and how a spec becomes the values of a digest."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

# Raised when a stage gives other results than before from the same inputs; docs/decisions/ says when and why.
STAGE_VERSIONS = {
    "fetch": 1,
    "lexicon": 2,
    "lists": 1,
    "folds": 1,
    "check": 1,
    "scan": 3,
    "tune": 1,
    "train": 1,
    "evaluate": 2,
    "across": 1,
    "transfer": 1,
    "statistics": 5,
    "report": 1,
}


def added(default: Any) -> Any:
    """A field with a default that `plain` leaves out while it has it."""
    return field(default=default, metadata={"added": True})


def plain(spec: Any) -> dict:
    """A spec's fields as plain JSON types, by name."""
    values = {}
    for one in dataclasses.fields(spec):
        value = getattr(spec, one.name)
        if one.metadata.get("added") and value == one.default:
            continue
        values[one.name] = plain(value) if dataclasses.is_dataclass(value) else list(value) if isinstance(value, tuple) else value
    return values
