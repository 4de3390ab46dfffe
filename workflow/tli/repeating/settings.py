"""What two runs were asked, with which versions and where they ran, as far as it differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tli.errors import TableError
from tli.experiment.layout import Layout
from tli.io.provenance import commits, read_records
from tli.io.records import read_json

PINNED = "pinned.json"
CHANGES_NOTHING = ("results", "jobs", "title", "question")


def differences_of_settings(first: str | Path, second: str | Path) -> list[str]:
    """What the runs were asked and where they ran, as far as it differs: one line each. What only one folder tells is told as (none).

    A folder that `tli repeat` wrote tells nothing of what its run was asked, since its config asks that of the other. Raises TableError.
    """
    sides = [about(folder) for folder in (first, second)]
    if silent := [str(folder) for folder, said in zip((first, second), sides, strict=True) if not said]:
        return [f"{' and '.join(silent)}: records neither the config nor the versions"]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    if any((Path(folder) / PINNED).is_file() for folder in (first, second)):
        names = [name for name in names if not name.startswith("config ")]
    return [
        f"{name}: {sides[0].get(name, '(none)')} | {sides[1].get(name, '(none)')}"
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    ]


def about(folder: str | Path) -> dict[str, str]:
    """Of a results folder, or of one that `tli repeat` wrote: versions, stages, commit, machine; of the first what it was asked too."""
    if (Path(folder) / PINNED).is_file():
        return read_pinned(folder)["about"]
    layout = Layout(str(folder))
    asked = _flat(read_json(layout.config(), "the config of the run")) if Path(layout.config()).exists() else {}
    found = {f"config {name}": value for name, value in asked.items() if name.split(".")[0] not in CHANGES_NOTHING}
    records = read_records(layout.provenance())
    for record in sorted(records, key=lambda one: str(one.get("finished", ""))):
        found |= {f"version of {name}": str(version) for name, version in record.get("versions", {}).items()}
        found |= {f"stage {record['stage']}": str(record["stage_version"])} if "stage_version" in record else {}
        found |= {name: str(record[name]) for name in ("machine", "device") if record.get(name)}
    made_by = commits(records)
    return found | ({"commit": made_by[-1]} if made_by else {})


def read_pinned(folder: str | Path) -> dict[str, Any]:
    """What `tli repeat` wrote of a run: pins, about, words. Raises TableError where it is not whole."""
    path = Path(folder) / PINNED
    values = read_json(path, "what the run read")
    kinds = {"pins": list, "about": dict, "words": dict}
    for name, kind in kinds.items():
        if not isinstance(values, dict) or not isinstance(values.get(name), kind):
            raise TableError(f"{path}: lacks {name!r}; take the published folder again, or write it again with this version of tli repeat")
    return values


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Nested settings as dotted names."""
    if isinstance(value, dict):
        return {inner: text for key, part in value.items() for inner, text in _flat(part, f"{name}.{key}" if name else key).items()}
    return {name: json.dumps(value, ensure_ascii=False)}
