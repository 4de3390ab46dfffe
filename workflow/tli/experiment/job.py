"""A job: what is to be done for one set of names. From it follow inputs, outputs, params, log and benchmark.

A rule asks the job of its wildcards, the script `job.py` and `python -m tli run` make the same job from names, a test from a
config; `tli.stages.<stage>.run(job)` does it. Names in braces (`"{model}"`) make a job whose outputs are a rule's patterns.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from tli.errors import ConfigError
from tli.experiment import Experiment, Part, is_address
from tli.experiment import settings as specs_of
from tli.experiment.grid import folds_of, run_name
from tli.io import store
from tli.lexicon import before
from tli.specs import STAGE_VERSIONS, LexiconSpec, MapsSpec, Member, ModelSpec, TrainSpec, plain

Paths = dict[str, Any]  # a name -> a path, or a list of paths


@dataclass(frozen=True, eq=False)
class Job:
    """One job of a stage. `model_spec` and `spec` are what the stage is given; `inputs` and `outputs` name its files."""

    experiment: Experiment
    kind: ClassVar[str] = ""  # its name among JOBS
    stage: ClassVar[str] = ""  # the module of tli.stages that does it

    @staticmethod
    def of(experiment: Experiment, kind: str, **names: Any) -> Job:
        """The job of that kind and those names. Raises ConfigError for one that is not there."""
        if kind not in JOBS:
            raise ConfigError(f"{kind}: no such job; there are {', '.join(JOBS)}")
        job = JOBS[kind](experiment, **names)
        for what, known in (("model", experiment.config.models), ("pair", experiment.config.pairs)):
            name = getattr(job, what, None)
            if name is not None and name not in known and not name.startswith("{"):
                raise ConfigError(f"--{what} {name}: the config has {', '.join(known)}")
        return job

    @staticmethod
    def pattern(experiment: Experiment, kind: str, **names: Any) -> Job:
        """The job of a rule: the names that are not given are its wildcards, in braces."""
        needed = [one.name for one in fields(JOBS[kind]) if one.name != "experiment" and one.default is MISSING]
        return Job.of(experiment, kind, **{name: f"{{{name}}}" for name in needed} | names)

    @classmethod
    def names_of(cls) -> list[str]:
        """The names that tell one job of this stage from another."""
        return [one.name for one in fields(cls) if one.name != "experiment"]

    @property
    def names(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.names_of()}

    @property
    def name(self) -> str:
        """All names in one, unique within the stage."""
        return ".".join(map(str, self.names.values())) or "all"

    @property
    def layout(self):
        return self.experiment.layout

    @property
    def inputs(self) -> Paths:
        return {}

    @property
    def outputs(self) -> Paths:
        return {}

    @property
    def depends(self) -> dict[str, Any]:
        """What else the outputs depend on, as plain values."""
        return {}

    @property
    def params(self) -> dict[str, Any]:
        """A rule's params: what makes Snakemake run the job again when it changes, and the names for the script."""
        return {"job": self.kind, "names": self.names, "version": STAGE_VERSIONS[self.stage], **self.depends}

    @property
    def log(self) -> str:
        return self.layout.log(self.stage, self.name)

    @property
    def benchmark(self) -> str:
        return self.layout.benchmark(self.stage, self.name)


@dataclass(frozen=True, eq=False)
class _OfModel(Job):
    model: str

    @property
    def model_spec(self) -> ModelSpec:
        return self.experiment.model(self.model)

    @property
    def list_files(self) -> Paths:
        """The pairs of the job's list, and with folds their deal."""
        files = self.layout.lexicon(self.pair)
        return {name: files[name] for name in (["pairs", "folds"] if self.experiment.has_folds else ["pairs"])}

    @property
    def plain_model(self) -> dict:
        """The model's values for params; where its weights lie changes no result."""
        return plain(specs_of.model_spec(self.experiment.config, self.model))


@dataclass(frozen=True, eq=False)
class FetchModelJob(_OfModel):
    kind: ClassVar[str] = "fetch-model"
    stage: ClassVar[str] = "fetch"

    @property
    def outputs(self) -> Paths:
        return {"record": self.layout.fetched_model(self.model)}

    @property
    def depends(self) -> dict[str, Any]:
        return {"model": self.plain_model}


@dataclass(frozen=True, eq=False)
class FetchListJob(Job):
    pair: str
    number: int | str  # of the file among the lexicon's
    kind: ClassVar[str] = "fetch-list"
    stage: ClassVar[str] = "fetch"

    @property
    def address(self) -> str:
        return self.experiment.lists(self.pair)[int(self.number)]

    @property
    def sha256(self) -> str:
        """The checksum that the config names for this file."""
        listed = self.experiment.config.pairs[self.pair].sha256
        return listed if isinstance(listed, str) else (listed or [""] * (int(self.number) + 1))[int(self.number)]

    @property
    def outputs(self) -> Paths:
        return {"list": self.layout.fetched_list(self.pair, self.number)}

    @property
    def depends(self) -> dict[str, Any]:
        return {"address": self.address, "sha256": self.sha256}


@dataclass(frozen=True, eq=False)
class FetchTasksJob(Job):
    kind: ClassVar[str] = "fetch-tasks"
    stage: ClassVar[str] = "fetch"

    @property
    def name(self) -> str:
        return "tasks"

    @property
    def outputs(self) -> Paths:
        return {"record": self.layout.fetched_tasks()}

    @property
    def depends(self) -> dict[str, Any]:
        return {"tasks": list(self.experiment.config.transfer.tasks)}


@dataclass(frozen=True, eq=False)
class LexiconJob(Job):
    pair: str
    kind: ClassVar[str] = "lexicon"
    stage: ClassVar[str] = "lexicon"

    @property
    def spec(self) -> LexiconSpec:
        return specs_of.lexicon_spec(self.experiment.config, self.pair)

    @property
    def lists(self) -> dict[str, tuple[list[str], LexiconSpec]]:
        """Pair -> what is read, and how: the lists that decide the split of this one, in the config's order, itself the last."""
        config = self.experiment.config
        read = {pair: specs_of.lexicon_spec(config, pair) for pair in config.pairs}
        names = [*before({pair: spec.split.union for pair, spec in read.items()}, self.pair), self.pair]
        return {pair: (self._entries(pair), read[pair]) for pair in names}

    def _entries(self, pair: str) -> list[str]:
        """Files, fetched files, or names that are no files (a CLDR locale)."""
        listed = enumerate(self.experiment.lists(pair))
        return [self.layout.fetched_list(pair, i) if is_address(entry) else entry for i, entry in listed]

    @property
    def inputs(self) -> Paths:
        listed = [both for pair, (paths, _) in self.lists.items() for both in zip(self.experiment.lists(pair), paths, strict=True)]
        return {"files": [path for entry, path in listed if is_address(entry) or Path(entry).exists()]}

    @property
    def outputs(self) -> Paths:
        files = self.layout.lexicon(self.pair)
        return files if self.experiment.has_folds else {name: path for name, path in files.items() if name != "folds"}

    @property
    def depends(self) -> dict[str, Any]:
        earlier = {pair: {"spec": plain(spec), "entries": self.experiment.lists(pair)} for pair, (_, spec) in self.lists.items()}
        return earlier.pop(self.pair) | ({"earlier": earlier} if earlier else {})


@dataclass(frozen=True, eq=False)
class CheckJob(_OfModel):
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
class ScanJob(_OfModel):
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
class TrainJob(_OfModel):
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
    def outputs(self) -> Paths:
        method = self.method or self.spec.method
        runs = [run_name(self.arm, self.layer, self.rank, member.seed, member.fold) for member in self.members]
        return self.layout.trained(self.model, self.pair, runs, method)

    def folder(self, seed: int, fold: int = 0) -> str:
        """Where a run goes."""
        return self.layout.run(self.model, self.pair, run_name(self.arm, self.layer, self.rank, seed, fold))

    @property
    def depends(self) -> dict[str, Any]:
        return {"model": self.plain_model, "spec": plain(self.spec), "seeds": self.seeds}


@dataclass(frozen=True, eq=False)
class _MeasuringJob(_OfModel):
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
            "runs": [run.run for run in self.content.runs] + list(self.content.baselines),
            "trained": store.digest(trained),
            "lexicon": plain(specs_of.lexicon_spec(self.experiment.config, self.pair)),
        }


@dataclass(frozen=True, eq=False)
class EvaluateJob(_MeasuringJob):
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
        }

    @property
    def depends(self) -> dict[str, Any]:
        return super().depends | {
            "layers_asked": self.experiment.layers_asked,
            "projected": self.experiment.projected_runs(self.model, self.pair),
        }


@dataclass(frozen=True, eq=False)
class TransferJob(_MeasuringJob):
    kind: ClassVar[str] = "transfer"
    stage: ClassVar[str] = "transfer"

    @property
    def spec(self):
        return specs_of.transfer_spec(self.experiment.config)

    @property
    def inputs(self) -> Paths:
        tasks = [self.layout.fetched_tasks()] if self.spec.source == "hub" else []
        return {"check": self.layout.check(self.model), "trained": self.trained, "tasks": tasks}


@dataclass(frozen=True, eq=False)
class _OfEverything(Job):
    @property
    def log(self) -> str:
        return self.layout.log(self.stage)

    @property
    def benchmark(self) -> str:
        return self.layout.benchmark(self.stage)

    def parts_of(self, stage: str) -> list[tuple[str, str, str]]:
        """(model, pair, part) of every part of a stage."""
        if stage == "transfer" and not self.experiment.config.transfer.tasks:
            return []
        return [(*key, part) for key in self.experiment.model_pairs for part in self.experiment.parts(stage, *key)]


@dataclass(frozen=True, eq=False)
class StatisticsJob(_OfEverything):
    kind: ClassVar[str] = "statistics"
    stage: ClassVar[str] = "statistics"

    @property
    def spec(self):
        return specs_of.statistics_spec(self.experiment.config)

    @property
    def inputs(self) -> Paths:
        config, layout = self.experiment.config, self.layout
        return {
            "evaluated": [path for place in self.parts_of("evaluate") for path in layout.measured("evaluate", *place).values()],
            "transfer": [layout.measured("transfer", *place)["transfer"] for place in self.parts_of("transfer")],
            "pairs": [layout.lexicon(pair)["pairs"] for pair in config.pairs],
            "words": [layout.scan(*key)["words"] for key in self.experiment.model_pairs],
            "checks": [layout.check(model) for model in config.models],
        }

    @property
    def outputs(self) -> Paths:
        return self.layout.statistics()

    @property
    def depends(self) -> dict[str, Any]:
        """With a digest of all that the results depend on, since it reads them all."""
        asked = self.experiment.config.model_dump(mode="json", exclude={"title", "question", "results", "jobs"})
        return {"spec": plain(self.spec), "asked": store.digest(asked)}


@dataclass(frozen=True, eq=False)
class ReportJob(_OfEverything):
    kind: ClassVar[str] = "report"
    stage: ClassVar[str] = "report"

    @property
    def inputs(self) -> Paths:
        scans = [self.layout.scan(*key) for key in self.experiment.model_pairs]
        return {
            "statistics": list(self.layout.statistics().values()),
            "scans": [path for files in scans for path in (files["scan"], files["choice"])],
            "audits": [self.layout.lexicon(pair)["audit"] for pair in self.experiment.config.pairs],
        }

    @property
    def outputs(self) -> Paths:
        return self.layout.page()

    @property
    def depends(self) -> dict[str, Any]:
        return {"config": self.experiment.config.model_dump(mode="json", exclude_unset=True)}


JOBS: dict[str, type[Job]] = {
    job.kind: job
    for job in (
        FetchModelJob,
        FetchListJob,
        FetchTasksJob,
        LexiconJob,
        CheckJob,
        ScanJob,
        TrainJob,
        EvaluateJob,
        TransferJob,
        StatisticsJob,
        ReportJob,
    )
}
