"""Jobs on a cell: tune, train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tli.errors import ConfigError
from tli.experiment import Experiment
from tli.experiment import settings as specs_of
from tli.experiment.grid import folds_of, run_name
from tli.experiment.job.base import OfModel, Paths
from tli.specs import MeasureSpec, Member, TemplateSpec, TextSpec, TrainSpec, TuneSpec, plain


def training_of(experiment: Experiment, arm: str, layer: str, rank: str) -> dict[str, Any]:
    """How a cell is trained, with what is tried of it before."""
    settled = experiment.arms[arm]
    fed = {"templates_of": experiment.config.pooling.templates} if settled.training.templates else {}
    return plain(settled.cell(layer, rank)) | ({"tune": plain(settled.tune)} if settled.tune else {}) | fed


@dataclass(frozen=True, eq=False)
class OfCell(OfModel):
    """A job that trains on a cell: one arm, loss layer and rank of a model and pair."""

    pair: str
    arm: str
    layer: str
    rank: str

    def __post_init__(self) -> None:
        arm = self.experiment.arms.get(self.arm)
        if arm is None and not self.arm.startswith("{"):
            raise ConfigError(f"--arm {self.arm}: the config has {', '.join(self.experiment.arms)}")
        if arm is not None and (self.layer not in arm.loss_layers or self.rank not in arm.rank_names):
            layers, ranks = ", ".join(arm.loss_layers), ", ".join(arm.rank_names)
            raise ConfigError(f"--arm {self.arm} --layer {self.layer} --rank {self.rank}: the arm has layers {layers} and ranks {ranks}")
        if arm is not None and not arm.is_of(self.pair):
            raise ConfigError(f"--arm {self.arm} --pair {self.pair}: the arm is trained on {', '.join(arm.train_on)}")

    @property
    def lists(self) -> tuple[str, ...]:
        """The pairs on whose lists it is trained."""
        return self.experiment.arms[self.arm].lists(self.pair) if self.arm in self.experiment.arms else (self.pair,)

    @property
    def takes(self) -> bool:
        """Whether a joint training is another run's, the one of its first pair: this one waits for it and takes the unit."""
        return self.pair != self.lists[0]

    @property
    def list_files(self) -> Paths:
        """The pairs of each list that is trained on, and with folds their deals."""
        files = [self.layout.lexicon(pair) for pair in self.lists]
        return {name: [of[name] for of in files] for name in (["pairs", "folds"] if self.experiment.has_folds else ["pairs"])}

    @property
    def cell(self) -> str:
        return f"{self.model}.{self.pair}.{self.arm}.layer-{self.layer}.rank-{self.rank}"

    @property
    def spec(self) -> TrainSpec:
        """Of a tuned arm, whose choice is known only when its trials are done, that of its dearest trial."""
        return self.experiment.arms[self.arm].cell(self.layer, self.rank)

    @property
    def tune(self) -> TuneSpec | None:
        """What is tried of the cell first."""
        return self.experiment.arms[self.arm].tune if self.arm in self.experiment.arms else None

    @property
    def numbers(self) -> list[str]:
        """For `best`, the layers that the arm lists by number: a job of `best` waits for theirs, since it may be one of them, and what
        is finished is not done twice.
        """
        layers = self.experiment.arms[self.arm].loss_layers if self.layer == "best" else ()
        return [layer for layer in layers if layer.isdigit()]

    @property
    def texts(self) -> dict[str, tuple[TextSpec, str]]:
        """Running text that the arm's anchor reads, and the file where it lies; none without an anchor."""
        if self.arm not in self.experiment.arms or (anchor := self.experiment.arms[self.arm].training.anchor) is None:
            return {}
        return self.experiment.texts(anchor.text or [language for pair in self.lists for language in pair.split("-")])

    @property
    def templates(self) -> dict[str, TemplateSpec]:
        """The frames in which the words of each list are fed; none where all are fed by themselves."""
        return specs_of.training_templates(self.experiment.config, self.spec, self.lists)

    @property
    def required(self) -> Paths:
        return {name: files for name, files in self.inputs.items() if name not in ("listed", "first")}

    @property
    def needed(self) -> Paths:
        """What any training reads, but for the pairs."""
        files: Paths = {"check": self.layout.check(self.model)}
        if texts := self.texts:
            files["texts"] = [path for _, path in texts.values()]
        if self.layer == "best":
            files["choice"] = [self.layout.scan(self.model, pair)["choice"] for pair in self.lists]
        return files

    @property
    def depends(self) -> dict[str, Any]:
        texts = {language: plain(text) for language, (text, _) in self.texts.items()}
        depends = {"model": self.plain_model, "spec": plain(self.spec)} | ({"text": texts} if texts else {})
        depends |= {"templates": [plain(one) for one in self.templates.values()]} if self.templates else {}
        return depends | ({"tune": plain(self.tune)} if self.tune else {})


@dataclass(frozen=True, eq=False)
class TuneJob(OfCell):
    """The trials of one cell, of a joint training under its first pair. With folds too they learn from the lists' own train splits: the
    select splits are the same in all.
    """

    kind: ClassVar[str] = "tune"
    stage: ClassVar[str] = "tune"

    def __post_init__(self) -> None:
        super().__post_init__()
        arm = self.experiment.arms.get(self.arm)
        if arm is not None and arm.tune is None:
            raise ConfigError(f"--arm {self.arm}: nothing of it is tuned; give it `tune`")
        if arm is not None and arm.tuned_as != arm.name:
            raise ConfigError(f"--arm {self.arm}: is trained with what is chosen for {arm.tuned_as}; tune that one")
        if arm is not None and self.takes:
            raise ConfigError(f"--arm {self.arm} --pair {self.pair}: one choice serves all its pairs; tune it under {self.lists[0]}")

    @property
    def name(self) -> str:
        return self.cell

    @property
    def tuning(self) -> TuneSpec:
        """What is tried; an arm without trials has no such job."""
        assert self.tune is not None
        return self.tune

    @property
    def measure(self) -> MeasureSpec:
        return self.measure_of(self.pair)

    def measure_of(self, pair: str) -> MeasureSpec:
        """How a trial is measured on one of its lists."""
        return specs_of.trial_measure_spec(self.experiment.config, pair)

    @property
    def criterion(self) -> str:
        """The metric that chooses: the one that carries the claims."""
        return self.experiment.config.statistics.primary

    @property
    def inputs(self) -> Paths:
        place = self.model, self.pair
        listed = [self.layout.trials(*place, (self.arm, layer, self.rank)) for layer in self.numbers]
        return {"pairs": self.list_files["pairs"], **self.needed} | ({"listed": listed} if listed else {})

    @property
    def outputs(self) -> Paths:
        return {"trials": self.layout.trials(self.model, self.pair, (self.arm, self.layer, self.rank))}

    @property
    def depends(self) -> dict[str, Any]:
        return super().depends | {"measure": plain(self.measure), "criterion": self.criterion}


@dataclass(frozen=True, eq=False)
class TrainJob(OfCell):
    """The seeds of one cell, or those of one of its chunks (`jobs.seeds_per_job`, counted from 1)."""

    chunk: int = 1
    method: str = ""  # of a pattern, whose arm is not known; else the arm's own
    kind: ClassVar[str] = "train"
    stage: ClassVar[str] = "train"

    @property
    def names(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.names_of() if name != "method"}

    @property
    def name(self) -> str:
        return f"{self.cell}.part-{self.chunk}"

    @property
    def seeds(self) -> list[int]:
        return self.experiment.seed_chunks[self.chunk - 1]

    @property
    def members(self) -> list[Member]:
        """The runs of this job: each fold of each seed."""
        return [Member(seed, fold) for seed in self.seeds for fold in folds_of(self.experiment.config)]

    @property
    def inputs(self) -> Paths:
        files = self.list_files | self.needed
        if self.tune:
            cell = self.experiment.arms[self.arm].tuned_as, self.layer, self.rank
            files["trials"] = self.layout.trials(self.model, self.lists[0], cell)
        if self.layer == "best":
            files["listed"] = [
                self.layout.record(self.model, self.pair, run_name(self.arm, layer, self.rank, seed, fold))
                for layer in self.numbers
                for seed in self.experiment.config.seed_list
                for fold in folds_of(self.experiment.config)
            ]
        if self.takes:
            files["first"] = [self.layout.record(self.model, self.lists[0], run) for run in self._run_names]
        return files

    @property
    def _run_names(self) -> list[str]:
        return [run_name(self.arm, self.layer, self.rank, member.seed, member.fold) for member in self.members]

    @property
    def outputs(self) -> Paths:
        method = self.method or self.spec.method
        return self.layout.trained(self.model, self.pair, self._run_names, method)

    def folder(self, seed: int, fold: int = 0) -> str:
        """Where a run goes."""
        return self.layout.run(self.model, self.pair, run_name(self.arm, self.layer, self.rank, seed, fold))

    @property
    def depends(self) -> dict[str, Any]:
        return super().depends | {"seeds": self.seeds}
