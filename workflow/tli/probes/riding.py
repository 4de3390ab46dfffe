"""Subjects of a streamed model that ride through it together: its files are read once for as many as the free memory holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tli.model.device import free_memory
from tli.model.embedding import Embedded, embed_all
from tli.model.framed import Fed
from tli.model.opened import Opened
from tli.model.streaming import Wanted
from tli.subjects import Subject

PLAIN = "base model"  # who reads what a subject's map inside the model is not for


@dataclass
class Rider:
    """A subject, the hidden states it is asked for, and the forms (a dict without values: distinct ones in their order)."""

    subject: Subject
    states: Sequence[int]
    forms: dict[Fed, None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Ride:
    """What one reading gave."""

    forms: list[Fed]
    read: dict[str, Embedded]  # unit, or PLAIN where some map stands inside the model -> the vectors of `forms`


def ride(opened: Opened, riders: Iterable[Rider], poolings: Sequence[str], merge: bool = False) -> Ride:
    """The first of those that wait, and as many more as leave half of the free main memory; the others have a reading of their own
    when it is their turn.
    """
    waiting = list(riders)
    states = max(len(one.states) for one in waiting)
    held = 2 * len(_forms(waiting)) * states * len(poolings) * opened.hidden_size * 4  # float32 vectors, and what is made of them
    riding = waiting[: max(1, int(free_memory() / 2 / held))]
    forms = _forms(riding)
    wanted = {one.subject.unit: one.subject.wanted(opened, one.states, merge) for one in riding}
    if below := {state for one in riding if one.subject.map_inside for state in one.states}:
        wanted[PLAIN] = Wanted(sorted(below))
    embedded = embed_all(opened, forms, list(wanted.values()), list(poolings))
    return Ride(forms, dict(zip(wanted, embedded, strict=True)))


def _forms(riders: Iterable[Rider]) -> list[Fed]:
    return list({form: None for one in riders for form in one.forms})
