"""The bench: one model, opened once in each form that its subjects need, and every probe asked of every subject.

What the store holds is not measured again. A new measurement is a probe (tli.probes.base).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tli.io import store, table_files, tables
from tli.log import say
from tli.model.device import device_name
from tli.model.opened import Loaded
from tli.model.opening import open_model, open_with_head
from tli.probes.base import Answer, Probe
from tli.specs import ModelSpec
from tli.subjects import Subject


class Bench:
    """A model and what is asked of it."""

    def __init__(self, model: ModelSpec, units: str | Path, probes: Sequence[Probe], *, merge: bool = False):
        """units: the store. merge: adapters are measured merged into the weights."""
        self.model, self.units, self.probes, self.merge = model, Path(units), probes, merge
        self.device = ""  # its name, once a model was opened
        self._loaded: Loaded | None = None
        self._form: tuple | None = None

    def measure(self, subjects: Sequence[Subject]) -> Iterator[tuple[Subject, list[Path], int]]:
        """Of each subject in turn: the folder of each answer of the probes that ask it, and how many of them were measured now."""
        for subject in subjects:
            todo = self._lacking(subject)
            if todo:
                self._open(subject, subjects)
                self._ask(subject, todo)
            found = (store.find(self.units, probe.kind, probe.key(subject)) for probe in self.probes if probe.asks(subject))
            yield subject, [folder for folder in found if folder is not None], len(todo)

    def measure_all(self, subjects: Sequence[Subject], log: str) -> dict[str, list[pd.DataFrame]]:
        """Every answer of every subject, by the answer's name, with the columns RUN. `log` begins the lines of the log."""
        parts: dict[str, list[pd.DataFrame]] = {}
        several = len({subject.pair for subject in subjects if subject.pair}) > 1
        for number, (subject, folders, made) in enumerate(self.measure(subjects), 1):
            name = f"{subject.pair} {subject.run}".strip() if several else subject.run
            say(f"{log}: {name} ({number} of {len(subjects)}): {made} of {len(folders)} measured, the others taken from the store")
            for path in (path for folder in folders for path in folder.glob("*.parquet")):
                parts.setdefault(path.stem, []).append(tables.of_run(pd.read_parquet(path), subject))
        return parts

    def _lacking(self, subject: Subject) -> list[Probe]:
        asking = [probe for probe in self.probes if probe.asks(subject)]
        return [probe for probe in asking if store.find(self.units, probe.kind, probe.key(subject)) is None]

    def _ask(self, subject: Subject, probes: list[Probe]) -> None:
        assert self._loaded is not None
        if self._loaded.opened.stream is not None:  # a streamed model's subjects ride through it together
            self._write(subject, probes)
            return
        with subject.worn(self._loaded.opened, self.merge):
            self._write(subject, probes)

    def _write(self, subject: Subject, probes: list[Probe]) -> None:
        for probe in probes:
            with store.make(self.units, probe.kind, probe.key(subject)) as folder:
                probe.measure(self._loaded, subject, folder)

    def _open(self, subject: Subject, subjects: Sequence[Subject]) -> None:
        if self._loaded is not None and self._form == subject.form:
            return
        self._loaded = None  # the old one goes before the new one comes
        if any(probe.needs_head for probe in self.probes):
            spec = self.model if subject.quantized else replace(self.model, quantization="none")
            whole, opened = open_with_head(spec, streams=not subject.is_full and all(probe.streams for probe in self.probes))
            self._loaded = Loaded(opened, whole)
        else:
            spec = replace(self.model, stream="never") if subject.is_full else self.model
            self._loaded = Loaded(open_model(spec, quantized=subject.quantized))
        self._form = subject.form
        self.device = device_name(self._loaded.opened.device)
        lacking = {other: todo for other in subjects if other.form == subject.form and (todo := self._lacking(other))}
        for probe in self.probes:
            probe.prepare(self._loaded, list(lacking))
            probe.expect([other for other, todo in lacking.items() if probe in todo])


def write_answers(parts: dict[str, list[pd.DataFrame]], answers: dict[str, Answer], folder: str | Path) -> None:
    """Write each answer's table into `folder`, an empty one where no subject had any."""
    for name, answer in answers.items():
        columns = list(answer.columns)
        table_files.write(tables.joined(parts.get(name, []), columns), Path(folder) / answer.file, columns)
