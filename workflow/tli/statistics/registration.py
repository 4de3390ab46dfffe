"""Registration: what will be asked is written down with a digest before any result exists, and held against what was asked.

A registration is plain JSON: `asked` (the config with endpoint and margins, digests of lexicons and models, the family), `power` (what change
the design was to find), when it was written, and a digest of all. This file makes and checks it; where it lies and what goes into it is the
caller's. What is asked is held against what is asked later; power was a promise, and only has to be intact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ABSENT = "not there"


@dataclass(frozen=True)
class Registered:
    """What can be said of an experiment's registration."""

    exists: bool = False
    intact: bool = True  # its digest is that of its content
    before_results: bool = False
    written: str = ""
    digest: str = ""
    differences: tuple[tuple[str, Any, Any], ...] = ()  # (field, registered, now)
    power: tuple[str, ...] = ()  # what the design was to find, in sentences

    @property
    def sentence(self) -> str:
        """The report's line."""
        if not self.exists:
            return "Not registered: nothing was written down before the results."
        if not self.intact:
            return "The registration was changed after it was written: its digest is not that of its content."
        when = "before the first result" if self.before_results else "after the first result"
        text = f"Registered {when} ({self.written}, {self.digest[:12]})"
        if not self.differences:
            return f"{text}; nothing was changed since.{self._promise}"
        changes = "; ".join(f"{name}: registered {_shown(old)}, now {_shown(new)}" for name, old, new in self.differences)
        return f"{text}; changed since: {changes}.{self._promise}"

    @property
    def _promise(self) -> str:
        return f" What it was to find: {' '.join(self.power)}" if self.power else ""


def registration(asked: dict[str, Any], written: str, power: Sequence[str] = ()) -> dict[str, Any]:
    """The record to be written. asked: JSON values. written: when, ISO 8601 in UTC, so that texts compare as times. power: sentences."""
    promised = {"power": list(power)} if power else {}
    return {"asked": asked, **promised, "written": written, "digest": digest(asked, written, power)}


def digest(asked: dict[str, Any], written: str, power: Sequence[str] = ()) -> str:
    """SHA-256 of the content, whatever the order of its keys. Raises TypeError for what is no JSON."""
    content = [asked, written, *([list(power)] if power else [])]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def checked(record: dict[str, Any] | None, asked: dict[str, Any], first_result: str | None) -> Registered:
    """record: as it was read, None where there is none. asked: what is asked now. first_result: when the first result was finished."""
    if record is None:
        return Registered()
    written = str(record.get("written", ""))
    try:
        power = tuple(map(str, record.get("power", ())))
        intact = digest(record["asked"], written, power) == record["digest"]
    except (KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        return Registered(exists=True, intact=False, written=written)
    before = first_result is None or written < first_result
    changes = differences(record["asked"], json.loads(json.dumps(asked)))
    return Registered(True, True, before, written, record["digest"], tuple(changes), power)


def differences(registered: Any, now: Any, above: str = "") -> list[tuple[str, Any, Any]]:
    """Field by field, in the order of their names: (dotted name, registered, now)."""
    if isinstance(registered, dict) and isinstance(now, dict):
        changes = []
        for name in sorted(set(registered) | set(now)):
            changes += differences(registered.get(name, ABSENT), now.get(name, ABSENT), f"{above}.{name}" if above else name)
        return changes
    return [] if registered == now else [(above, registered, now)]


def _shown(value: Any) -> str:
    text = value if value == ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
