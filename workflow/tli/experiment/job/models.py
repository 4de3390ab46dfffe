"""Jobs on a model: check, scan, train, evaluate, transfer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tli.errors import ConfigError
from tli.experiment import Part
from tli.experiment import settings as specs_of
from tli.experiment.grid import folds_of, run_name
from tli.experiment.job.base import OfModel, Paths
from tli.io import store
from tli.metrics.choice import choice_pooling
from tli.specs import MapsSpec, Member, TextSpec, TrainSpec, plain


@dataclass(frozen=True, eq=False)
class CheckJob(OfModel):
    """What the grid asks of the model (layers, modules) is no param: with one layer more, everything would run again."""

    kind: ClassVar[str] = "check"
    stage: ClassVar[str] = "check"

    @property
    def inputs(self) -> Paths:
        if self.experiment.on_hub(self.model):
            return {"files": self.layout.fetched_model(self.model)}
        folder = Path(self.experiment.config.models[self.model].source)
        return {"files": sorted(str(path) for kind in ("*.json", "*.safetensors", "*.model") for path in folder.glob(kind))}

    @property
    def outputs(self) -> Paths:
        return {"check": self.layout.check(self.model)}

    @property
    def depends(self) -> dict[str, Any]:
        return {"model": self.plain_model}


@dataclass(frozen=True, eq=False)
class ScanJob(OfModel):
    pair: str
    kind: ClassVar[str] = "scan"
    stage: ClassVar[str] = "scan"

    @property
    def spec(self):
        return specs_of.scan_spec(self.experiment.config)

    @property
    def maps(self) -> MapsSpec:
        return specs_of.maps_spec(self.experiment.config)

    @property
    def inputs(self) -> Paths:
        return {**self.list_files, "check": self.layout.check(self.model)}

    @property
    def outputs(self) -> Paths:
        return self.layout.scan(self.model, self.pair)

    @property
    def depends(self) -> dict[str, Any]:
        depends = {"model": self.plain_model, "spec": plain(self.spec), "maps": plain(self.maps)}
        return depends | ({"judged": self.experiment.judged} if self.experiment.has_folds else {})


@dataclass(frozen=True, eq=False)
class TrainJob(OfModel):
    """The seeds of one cell, or those of one of its chunks (`jobs.seeds_per_job`, counted from 1)."""

    pair: str
    arm: str
    layer: str
    rank: str
    chunk: int = 1
    method: str = ""  # of a pattern, whose arm is not known; else the arm's own
    kind: ClassVar[str] = "train"
    stage: ClassVar[str] = "train"

    def __post_init__(self) -> None:
        arm = self.experiment.arms.get(self.arm)
        if arm is None and not self.arm.startswith("{"):
            raise ConfigError(f"--arm {self.arm}: the config has {', '.join(self.experiment.arms)}")
        if arm is not None and (self.layer not in arm.loss_layers or self.rank not in arm.rank_names):
            layers, ranks = ", ".join(arm.loss_layers), ", ".join(arm.rank_names)
            raise ConfigError(f"--arm {self.arm} --layer {self.layer} --rank {self.rank}: the arm has layers {layers} and ranks {ranks}")

    @property
    def names(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.names_of() if name != "method"}

    @property
    def name(self) -> str:
        return f"{self.model}.{self.pair}.{self.arm}.layer-{self.layer}.rank-{self.rank}.part-{self.chunk}"

    @property
    def seeds(self) -> list[int]:
        return self.experiment.seed_chunks[self.chunk - 1]

    @property
    def members(self) -> list[Member]:
        """The runs of this job: each fold of each seed."""
        return [Member(seed, fold) for seed in self.seeds for fold in folds_of(self.experiment.config)]

    @property
    def spec(self) -> TrainSpec:
        return self.experiment.arms[self.arm].cell(self.layer, self.rank)

    @property
    def inputs(self) -> Paths:
        files: Paths = self.list_files | {"check": self.layout.check(self.model)}
        if texts := self.texts:
            files["texts"] = [path for _, path in texts.values()]
        if self.layer == "best":  # it waits for the layers that the grid lists by number: if it is one of them, the run is made once
            numbers = [layer for layer in self.experiment.arms[self.arm].loss_layers if layer.isdigit()]
            files["choice"] = self.layout.scan(self.model, self.pair)["choice"]
            files["listed"] = [
                self.layout.record(self.model, self.pair, run_name(self.arm, layer, self.rank, seed, fold))
                for layer in numbers
                for seed in self.experiment.config.seed_list
                for fold in folds_of(self.experiment.config)
            ]
        return files

    @property
    def texts(self) -> dict[str, tuple[TextSpec, str]]:
        """Running text that the arm's anchor reads, and the file where it lies; none without an anchor."""
        if self.arm not in self.experiment.arms or (anchor := self.experiment.arms[self.arm].training.anchor) is None:
            return {}
        return self.experiment.texts(anchor.text or self.pair.split("-"))

    @property
    def outputs(self) -> Paths:
        method = self.method or self.spec.method
        runs = [run_name(self.arm, self.layer, self.rank, member.seed, member.fold) for member in self.members]
        return self.layout.trained(self.model, self.pair, runs, method)

    def folder(self, seed: int, fold: int = 0) -> str:
        """Where a run goes."""
        return self.layout.run(self.model, self.pair, run_name(self.arm, self.layer, self.rank, seed, fold))

    @property
    def depends(self) -> dict[str, Any]:
        texts = {language: plain(text) for language, (text, _) in self.texts.items()}
        return {"model": self.plain_model, "spec": plain(self.spec), "seeds": self.seeds} | ({"text": texts} if texts else {})


@dataclass(frozen=True, eq=False)
class MeasuringJob(OfModel):
    pair: str
    part: str

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

    @property
    def scan_pooling(self) -> str:
        """How the scan's maps pool a word."""
        return choice_pooling(specs_of.scan_spec(self.experiment.config))

    @property
    def trained(self) -> list[str]:
        """What the runs left behind. Their record stands for an adapter and its losses too: a grid of 10,000 runs would else have
        40,000 inputs to look at."""
        place = self.model, self.pair
        records = [self.layout.record(*place, run.run) for run in self.content.runs]
        return records + [self.layout.weights(*place, run.run) for run in self.content.runs if run.is_full]

    @property
    def outputs(self) -> Paths:
        return self.layout.measured(self.stage, self.model, self.pair, self.part)

    @property
    def depends(self) -> dict[str, Any]:
        """With a digest of how the runs are trained: where a changed training fails, its old measurements must not pass for new ones."""
        cells = sorted({run.cell for run in self.content.runs})
        trained = {".".join(cell): plain(self.experiment.arms[cell[0]].cell(*cell[1:])) for cell in cells}
        return {
            "model": self.plain_model,
            "spec": plain(self.spec),
            "runs": [run.run for run in self.content.runs] + [*self.content.baselines, *(f"inside {name}" for name in self.content.inside)],
            "trained": store.digest(trained),
            "lexicon": plain(specs_of.lexicon_spec(self.experiment.config, self.pair)),
        }


@dataclass(frozen=True, eq=False)
class EvaluateJob(MeasuringJob):
    kind: ClassVar[str] = "evaluate"
    stage: ClassVar[str] = "evaluate"

    @property
    def spec(self):
        return specs_of.measure_spec(self.experiment.config)

    @property
    def inputs(self) -> Paths:
        return {
            **self.list_files,
            "check": self.layout.check(self.model),
            "choice": self.layout.scan(self.model, self.pair)["choice"],
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
    kind: ClassVar[str] = "transfer"
    stage: ClassVar[str] = "transfer"

    @property
    def spec(self):
        return specs_of.transfer_spec(self.experiment.config)

    @property
    def inputs(self) -> Paths:
        tasks = [self.layout.fetched_tasks()] if self.spec.source == "hub" and self.spec.tasks else []
        texts = [path for _, path in self.texts.values()]
        return {"check": self.layout.check(self.model), "trained": self.trained, "tasks": tasks, "texts": texts, **self.scanned}

    @property
    def texts(self) -> dict[str, tuple[TextSpec, str]]:
        """Running text of the pair's languages, and the file where it lies."""
        return self.experiment.texts(self.pair.split("-"))

    @property
    def depends(self) -> dict[str, Any]:
        texts = {language: plain(text) for language, (text, _) in self.texts.items()}
        return super().depends | ({"text": texts} if texts else {})
