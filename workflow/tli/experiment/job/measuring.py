"""Jobs on what was trained: evaluate, transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tli.errors import ConfigError
from tli.experiment import Part
from tli.experiment import settings as specs_of
from tli.experiment.job.base import OfModel, Paths
from tli.experiment.job.training import training_of
from tli.io import store
from tli.metrics.choice import token_pooling
from tli.specs import MeasureSpec, TextSpec, TransferSpec, plain


@dataclass(frozen=True, eq=False)
class MeasuringJob(OfModel):
    """A part of the baselines and runs of a model and pair, measured on one opened model."""

    pair: str
    part: str

    @property
    def spec(self) -> MeasureSpec | TransferSpec:
        raise NotImplementedError

    @property
    def content(self) -> Part:
        """The runs and baselines that this job measures."""
        parts = self.experiment.parts(self.stage, self.model, self.pair)
        if self.part not in parts:
            raise ConfigError(f"--part {self.part}: {self.model}, {self.pair} has {', '.join(parts)}")
        return parts[self.part]

    @property
    def scanned(self) -> Paths:
        """What the scan says of the maps that stand inside the model, and the list that they are fitted to."""
        return {**self.list_files, "maps": self.layout.scan(self.model, self.pair)["maps"]} if self.content.inside else {}

    def choices(self, lists: Sequence[str]) -> list[str]:
        """What the scans of these lists chose."""
        return [self.layout.scan(self.model, pair)["choice"] for pair in lists]

    @property
    def scan_pooling(self) -> str:
        """How the scan pools a word by itself: a map inside the model is fitted to such vectors."""
        return token_pooling(specs_of.scan_spec(self.experiment.config))

    @property
    def trained(self) -> list[str]:
        """What the runs left behind. Their record stands for an adapter and its losses too: a grid of 10,000 runs would else have
        40,000 inputs to look at.
        """
        place = self.model, self.pair
        records = [self.layout.record(*place, run.run) for run in self.content.runs]
        whole = [run for run in self.content.runs if run.is_full]
        others = [(pair, run) for run in whole for pair in self.experiment.arms[run.arm].lists(self.pair) if pair != self.pair]
        # Once measured, a joint training's weights leave the store: the runs of its other pairs have theirs by then.
        records += [self.layout.record(self.model, pair, run.run) for pair, run in others]
        return records + [self.layout.weights(*place, run.run) for run in whole]

    @property
    def outputs(self) -> Paths:
        return self.layout.measured(self.stage, self.model, self.pair, self.part)

    @property
    def depends(self) -> dict[str, Any]:
        """With a digest of how the runs are trained: where a changed training fails, its old measurements must not pass for new ones."""
        cells = sorted({run.cell for run in self.content.runs})
        trained = {".".join(cell): self._training(*cell) for cell in cells}
        return {
            "model": self.plain_model,
            "spec": plain(self.spec),
            "runs": [run.run for run in self.content.runs] + [*self.content.baselines, *(f"inside {name}" for name in self.content.inside)],
            "trained": store.digest(trained),
            "lexicon": plain(specs_of.lexicon_spec(self.experiment.config, self.pair)),
        }

    def _training(self, arm: str, layer: str, rank: str) -> dict[str, Any]:
        """How a cell is trained, on which other lists, and in which templates."""
        lists = self.experiment.arms[arm].lists(self.pair)
        lexicons = {pair: plain(specs_of.lexicon_spec(self.experiment.config, pair)) for pair in lists if pair != self.pair}
        training = self.experiment.arms[arm].training
        fed = [plain(one) for one in specs_of.training_templates(self.experiment.config, training, lists).values()]
        known = training_of(self.experiment, arm, layer, rank)
        return known | ({"lexicons": lexicons} if lexicons else {}) | ({"fed": fed} if fed else {})


@dataclass(frozen=True, eq=False)
class EvaluateJob(MeasuringJob):
    """Their words."""

    kind: ClassVar[str] = "evaluate"
    stage: ClassVar[str] = "evaluate"

    @property
    def spec(self) -> MeasureSpec:
        return specs_of.measure_spec(self.experiment.config, self.pair)

    @property
    def inputs(self) -> Paths:
        chosen_by = self.experiment.chosen_by(self.pair)
        return {
            **self.list_files,
            **self.other_files,
            "check": self.layout.check(self.model),
            "choice": list(dict.fromkeys(path for lists in [(self.pair,), *chosen_by] for path in self.choices(lists))),
            "trained": self.trained,
            **self.scanned,
        }

    @property
    def depends(self) -> dict[str, Any]:
        return super().depends | {
            "layers_asked": self.experiment.layers_asked,
            "projected": self.experiment.projected_runs(self.model, self.pair),
        }


@dataclass(frozen=True, eq=False)
class TransferJob(MeasuringJob):
    """Their tasks, running text and translation."""

    kind: ClassVar[str] = "transfer"
    stage: ClassVar[str] = "transfer"

    @property
    def spec(self) -> TransferSpec:
        return specs_of.transfer_spec(self.experiment.config)

    @property
    def inputs(self) -> Paths:
        tasks = [self.layout.fetched_tasks()] if self.spec.source == "hub" and self.spec.tasks else []
        texts = [path for _, path in self.texts.values()]
        lists = self.list_files | self.other_files if self.experiment.translates else {}
        return {**lists, "check": self.layout.check(self.model), "trained": self.trained, "tasks": tasks, "texts": texts, **self.scanned}

    @property
    def texts(self) -> dict[str, tuple[TextSpec, str]]:
        """Running text of the pair's languages, and the file where it lies."""
        return self.experiment.texts(self.pair.split("-"))

    @property
    def depends(self) -> dict[str, Any]:
        texts = {language: plain(text) for language, (text, _) in self.texts.items()}
        judged = {"judged": self.experiment.judged} if self.experiment.has_folds and self.experiment.translates else {}
        return super().depends | ({"text": texts} if texts else {}) | judged
