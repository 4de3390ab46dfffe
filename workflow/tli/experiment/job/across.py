"""The job that measures a model's runs on lists that are not their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tli.errors import ConfigError
from tli.experiment import Part
from tli.experiment import settings as specs_of
from tli.experiment.job.base import OfModel, Paths
from tli.experiment.job.training import training_of
from tli.io import store
from tli.specs import AcrossSpec, plain


@dataclass(frozen=True, eq=False)
class AcrossJob(OfModel):
    """A part of a model's baselines and runs, of all pairs, on every list of `evaluation.on`, on one opened model."""

    part: str
    kind: ClassVar[str] = "across"
    stage: ClassVar[str] = "across"

    @property
    def spec(self) -> AcrossSpec:
        return specs_of.across_spec(self.experiment.config, self.experiment.lists_measured)

    @property
    def content(self) -> Part:
        """The runs and baselines that this job measures."""
        parts = self.experiment.across_parts(self.model)
        if self.part not in parts:
            known = ", ".join(parts) or "none: evaluation.on names no list"
            raise ConfigError(f"--part {self.part}: {self.model} has {known}")
        return parts[self.part]

    @property
    def lists(self) -> list[str]:
        """Pairs whose lists are read: those that are measured, and those that are trained on, whose forms no pool may have."""
        experiment = self.experiment
        return [pair for pair in experiment.config.pairs if pair in experiment.lists_measured or pair in experiment.trained_pairs]

    def list_paths(self, pair: str) -> dict[str, str]:
        """The pairs of a list, and with folds the deal of one that is trained on."""
        files, dealt = self.layout.lexicon(pair), self.experiment.has_folds and pair in self.experiment.trained_pairs
        return {name: files[name] for name in (["pairs", "folds"] if dealt else ["pairs"])}

    @property
    def inputs(self) -> Paths:
        runs = self.content.runs
        records = [self.layout.record(run.model, run.pair, run.run) for run in runs]  # each stands for its adapter too
        return {
            "lists": [path for pair in self.lists for path in self.list_paths(pair).values()],
            "check": self.layout.check(self.model),
            "trained": records + [self.layout.weights(run.model, run.pair, run.run) for run in runs if run.is_full],
        }

    @property
    def outputs(self) -> Paths:
        return self.layout.across(self.model, self.part)

    @property
    def depends(self) -> dict[str, Any]:
        """With digests of how the runs are trained and of how the lists are made, as of the evaluation."""
        config, runs = self.experiment.config, self.content.runs
        cells = sorted({run.cell for run in runs})
        trained = {".".join(cell): training_of(self.experiment, *cell) for cell in cells}
        lists = {pair: plain(specs_of.lexicon_spec(config, pair)) for pair in self.lists}
        return {
            "model": self.plain_model,
            "spec": plain(self.spec),
            "runs": [f"{run.pair}/{run.run}" for run in runs] + list(self.content.baselines),
            "trained": store.digest(trained),
            "lists": store.digest(lists),
        } | ({"judged": self.experiment.judged} if self.experiment.has_folds else {})
