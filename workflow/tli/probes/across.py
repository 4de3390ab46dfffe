"""Any adapter on any list: a list's held-out words among forms that no list of the experiment trains.

A list has one pool for every subject that is asked it (tli.probes.column), and the forms of all lists are embedded together, once a subject.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from tli.io import tables
from tli.model.embedding import embed
from tli.model.framed import Fed
from tli.model.opened import Loaded, Opened
from tli.probes.base import Answer, Probe, Setting
from tli.probes.column import Column
from tli.probes.riding import Rider, ride
from tli.probes.words import states_of
from tli.specs import STAGE_VERSIONS, AcrossSpec, ModelSpec
from tli.subjects import Subject


class Together:
    """The vectors of subjects, of the forms of all lists that still ask them. Each distinct form is embedded once a subject."""

    def __init__(self, hidden_state: int, pooling: str, merge: bool = False):
        self.hidden_state, self.pooling, self.merge = hidden_state, pooling, merge
        self._loaded: Callable[[], Loaded | None] = lambda: None  # as long as others hold it
        self._waiting: dict[str, tuple[Subject, dict[Column, None]]] = {}  # unit -> who has it, and what asks for it
        self._read: dict[str, np.ndarray] = {}  # unit -> [forms, d] of those read last
        self._place: dict[Fed, int] = {}  # their forms

    def begin(self, loaded: Loaded) -> None:
        """Called by every probe for each opened model."""
        if self._loaded() is not loaded:
            self._loaded, self._waiting, self._read = weakref.ref(loaded), {}, {}

    def expect(self, subject: Subject, column: Column) -> None:
        """Say that this will be asked, before anything is."""
        self._waiting.setdefault(subject.unit, (subject, {}))[1][column] = None

    def vectors(self, opened: Opened, subject: Subject, column: Column) -> np.ndarray:
        """[forms of the column, d], float32. The model wears the subject, unless it is streamed."""
        if subject.unit not in self._read or any(form not in self._place for form in column.forms):
            self.expect(subject, column)
            self._read = {}  # before others come
            if opened.stream is None:
                self._embed(opened, subject)
            else:
                self._stream(opened, subject)
        rows = self._read[subject.unit]
        return rows[[self._place[form] for form in column.forms]]

    def _embed(self, opened: Opened, subject: Subject) -> None:
        forms = list(self._rider(subject).forms)
        values = embed(opened, forms, [self.hidden_state], [self.pooling]).vectors[self.hidden_state, self.pooling]
        self._take(forms, {subject.unit: values})

    def _stream(self, opened: Opened, subject: Subject) -> None:
        """The subject and others that wait, in one reading of the model's files."""
        waiting = [subject, *(other for unit, (other, _) in self._waiting.items() if unit != subject.unit)]
        made = ride(opened, map(self._rider, waiting), [self.pooling], self.merge)
        self._take(made.forms, {unit: its.vectors[self.hidden_state, self.pooling] for unit, its in made.read.items()})

    def _rider(self, subject: Subject) -> Rider:
        columns = self._waiting[subject.unit][1]
        return Rider(subject, [self.hidden_state], {form: None for column in columns for form in column.forms})

    def _take(self, forms: Sequence[Fed], vectors: dict[str, np.ndarray]) -> None:
        self._read, self._place = vectors, {form: place for place, form in enumerate(forms)}
        for unit in vectors:
            self._waiting.pop(unit)


@dataclass(eq=False)
class AcrossProbe(Probe):
    """One list, asked of every subject of a model."""

    on: str  # the pair whose list it is
    spec: AcrossSpec
    model: ModelSpec
    identity: str
    layers: int
    column: Callable[[int, int], Column]  # of a seed and fold
    together: Together  # shared by the probes of all lists

    kind: ClassVar[str] = "across"
    answers: ClassVar[dict[str, Answer]] = {
        "rows": Answer("similarities.parquet", tuple(tables.ACROSS)),
        "figures": Answer("metrics.tsv", tuple(tables.ACROSS_METRICS)),
    }

    @classmethod
    def of(cls, setting: Setting) -> list[AcrossProbe]:
        assert setting.across is not None  # the setting of this stage has it
        spec, columns = setting.across
        state = states_of([spec.hidden_state], setting.check.layers, [])[0]
        together = Together(state, spec.pooling, spec.merge)
        about = setting.model, setting.check.identity, setting.check.layers
        return [cls(on, spec, *about, columns[on], together) for on in spec.on]

    def key(self, subject: Subject) -> dict:
        return {
            "version": STAGE_VERSIONS["across"],
            "identity": self.identity,
            "dtype": self.model.dtype,
            "quantization": self.model.quantization if subject.quantized else "none",
            "unit": subject.unit,
            "state": self.together.hidden_state,
            "pooling": self.spec.pooling,
            "k": self.spec.csls_k,
            "merge": self.spec.merge and not subject.is_baseline,
            "on": self.on,
            "column": self.column(subject.seed, subject.fold).digest,
            **self.model.word_key,
        }

    def prepare(self, loaded: Loaded, subjects: Sequence[Subject]) -> None:
        self.together.begin(loaded)

    def expect(self, subjects: Sequence[Subject]) -> None:
        for subject in subjects:
            self.together.expect(subject, self.column(subject.seed, subject.fold))

    def measure(self, loaded: Loaded, subject: Subject, folder: Path) -> None:
        column = self.column(subject.seed, subject.fold)
        vectors = self.together.vectors(loaded.opened, subject, column)
        rows, figures = column.figures(vectors, self.spec.csls_k)
        state = self.together.hidden_state
        place = {"on": self.on, "hidden_state": state, "pooling": self.spec.pooling}
        _write(rows, tables.ACROSS, place, folder / "rows.parquet", _SMALL)
        _write(figures, tables.ACROSS_METRICS, place | {"normed": state == self.layers}, folder / "figures.parquet")


# Ranks as int32, cosines (which are computed in float32) and their means as float32: a large matrix has millions of rows.
_SMALL: dict[np.dtype, type] = {np.dtype("float64"): np.float32, np.dtype("int64"): np.int32}


def _write(table: pd.DataFrame, columns: list[str], place: dict, path: Path, kinds: dict[np.dtype, type] | None = None) -> None:
    """A unit's table, without the run's names: of thousands of small ones pandas' own writing would be most of the work."""
    import pyarrow
    from pyarrow import parquet

    arrays = {}
    for name in columns:
        if name in tables.RUN:
            continue
        values = np.full(len(table), place[name]) if name in place else table[name].to_numpy()
        arrays[name] = values.astype((kinds or {}).get(values.dtype, values.dtype)) if name not in place else values
    parquet.write_table(pyarrow.table(arrays), path, write_statistics=False, store_schema=False)
