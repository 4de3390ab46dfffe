"""What every job has: names, and what follows from them."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tli.errors import ConfigError
from tli.experiment import Experiment
from tli.experiment import settings as specs_of
from tli.specs import STAGE_VERSIONS, ModelSpec, plain

if TYPE_CHECKING:
    from tli.experiment.layout import Layout

Paths = dict[str, Any]  # a name -> a path, or a list of paths
JOBS: dict[str, type[Job]] = {}  # by kind; each class enters itself


def kinds() -> list[str]:
    """The kinds of jobs, in the order of the work."""
    order = list(STAGE_VERSIONS)
    return sorted(JOBS, key=lambda kind: order.index(JOBS[kind].stage))


@dataclass(frozen=True, eq=False)
class Job:
    """One job of a stage. `model_spec` and `spec` are what the stage is given; `inputs` and `outputs` name its files."""

    experiment: Experiment
    kind: ClassVar[str] = ""  # its name among JOBS
    stage: ClassVar[str] = ""  # the module of tli.stages that does it

    def __init_subclass__(cls) -> None:
        if kind := cls.__dict__.get("kind"):
            JOBS[kind] = cls

    @staticmethod
    def of(experiment: Experiment, kind: str, **names: Any) -> Job:
        """The job of that kind and those names. Raises ConfigError for one that is not there."""
        if kind not in JOBS:
            raise ConfigError(f"{kind}: no such job; there are {', '.join(kinds())}")
        job = JOBS[kind](experiment, **names)
        for what, known in (("model", experiment.config.models), ("pair", experiment.config.pairs)):
            name = getattr(job, what, None)
            if name is not None and name not in known and not name.startswith("{"):
                raise ConfigError(f"--{what} {name}: the config has {', '.join(known)}")
        if (
            hasattr(job, "model")
            and (pair := getattr(job, "pair", None)) in experiment.config.pairs
            and pair not in experiment.trained_pairs
        ):
            raise ConfigError(f"--pair {pair}: nobody trains on it (train: false), so it has no {kind}; see `tli run across`")
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
    def layout(self) -> Layout:
        return self.experiment.layout

    @property
    def inputs(self) -> Paths:
        return {}

    @property
    def outputs(self) -> Paths:
        return {}

    @property
    def required(self) -> Paths:
        """The inputs without which it cannot be done; others only settle what is done first."""
        return self.inputs

    def lacking(self) -> list[str]:
        """The required files that are not there."""
        listed = [path for one in self.required.values() for path in (one if isinstance(one, list) else [one])]
        return [path for path in listed if not Path(path).exists()]

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
class OfModel(Job):
    """A job on one model."""

    model: str

    @property
    def model_spec(self) -> ModelSpec:
        return self.experiment.model(self.model)

    @property
    def list_files(self) -> Paths:
        """The pairs of the job's list, and with folds their deal."""
        files = self.layout.lexicon(self.names["pair"])
        return {name: files[name] for name in (["pairs", "folds"] if self.experiment.has_folds else ["pairs"])}

    @property
    def other_files(self) -> Paths:
        """The pairs and deals of lists through which some run may train what the job's list holds out; mostly there are none."""
        files = [self.layout.lexicon(pair) for pair in self.experiment.may_leak_to(self.names["pair"])]
        names = {"pairs": "other_pairs", "folds": "other_folds"} if self.experiment.has_folds else {"pairs": "other_pairs"}
        return {name: [of[file] for of in files] for file, name in names.items()} if files else {}

    @property
    def plain_model(self) -> dict:
        """The model's values for params; where its weights lie changes no result."""
        return plain(specs_of.model_spec(self.experiment.config, self.model))
