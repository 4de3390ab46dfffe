"""What a probe is: something that is asked of every subject, and the tables that its answers become.

A new one is a file of its own and a line in tli.probes.registry: layout, rules and stages follow from its `tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from tli.io.records import CheckRecord
from tli.probes.column import Column
from tli.probes.predictions import Predictions
from tli.specs import AcrossSpec, MeasureSpec, ModelSpec, TextSpec, TransferSpec
from tli.subjects import Subject


@dataclass(frozen=True)
class Answer:
    """A table that a probe's answers become, subjects below each other: columns tables.RUN and the answer's own."""

    file: str  # of a part of the evaluation or the transfer: its ending says how it is written
    columns: tuple[str, ...]


TrainedElsewhere = Callable[[int, int], frozenset[str]]  # of a seed and fold: forms of the list that are trained through another alone


def nothing_elsewhere(seed: int, fold: int) -> frozenset[str]:
    """No list is trained on together with this one."""
    return frozenset()


def _no_list(seed: int, fold: int) -> pd.DataFrame:
    raise ValueError("a probe asks for pairs, and its job reads no list")


@dataclass(frozen=True, eq=False)
class Setting:
    """What probes are made from: the model, the list, and what is asked of them."""

    model: ModelSpec
    check: CheckRecord
    pair: str
    scratch: Path  # a folder that is gone after the job
    measure: MeasureSpec = field(default_factory=MeasureSpec)
    transfer: TransferSpec = field(default_factory=TransferSpec)
    texts: dict[str, tuple[TextSpec, str]] = field(default_factory=dict)  # language -> running text and the file where it lies
    splits: Callable[[int, int], pd.DataFrame] = _no_list  # the pairs with the splits of a seed and fold, columns tables.PAIRS
    elsewhere: TrainedElsewhere = nothing_elsewhere
    has_folds: bool = False
    states: dict[str, list[int]] = field(default_factory=dict)  # of each subject's run: the hidden states at which it is measured
    projected: frozenset[tuple[str, int, int]] = frozenset()  # run, seed and fold of whom the words are drawn by t-SNE and PCA
    across: tuple[AcrossSpec, Mapping[str, Callable[[int, int], Column]]] | None = None  # and the column of each list, for a seed and fold
    predictions: Predictions = field(default_factory=Predictions)  # of sentences, shared by the probes that ask for some


class Probe:
    """A measurement of subjects. Subclasses fill in what follows; `prepare` may stay."""

    kind: ClassVar[str] = ""  # its folder of the store
    needs_head: ClassVar[bool] = False  # it asks for probabilities, not for hidden states alone
    knows_languages: ClassVar[bool] = False  # it can tell text of one language from that of another
    streams: ClassVar[bool] = True  # it can be asked of a model that is run block by block
    once_a_seed: ClassVar[bool] = False  # with folds it is asked of the first one's runs only
    answers: ClassVar[dict[str, Answer]] = {}  # <name>.parquet in the unit's folder -> the table that it becomes

    @classmethod
    def of(cls, setting: Setting) -> Sequence[Probe]:
        """The probes of this kind for a setting; none where nothing is asked."""
        raise NotImplementedError

    def asks(self, subject: Subject) -> bool:
        """Whether it is asked of this subject.

        What has nothing to do with the list's split is asked once a seed, with folds too; a map inside the model is for text of one
        language, and who cannot say which does not ask it.
        """
        if subject.map_inside is not None and not self.knows_languages:
            return False
        return subject.stands_for_its_seed if self.once_a_seed else True

    def key(self, subject: Subject) -> dict[str, Any]:
        """All that the answer depends on."""
        raise NotImplementedError

    def prepare(self, loaded: Any, subjects: Sequence[Subject]) -> None:
        """Called once for each opened form (tli.model.opened.Loaded), with the subjects that will be measured on it."""

    def expect(self, subjects: Sequence[Subject]) -> None:
        """Called after `prepare`, with those of the subjects whose answer to this very probe is not there yet."""

    def measure(self, loaded: Any, subject: Subject, folder: Path) -> None:
        """Write the answers into `folder`. The model wears the subject, unless it is streamed."""
        raise NotImplementedError
