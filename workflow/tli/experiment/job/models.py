"""Jobs on the base model: check, scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tli import facts
from tli.experiment import settings as specs_of
from tli.experiment.job.base import OfModel, Paths
from tli.specs import MapsSpec, ScanSpec, plain


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
    """A model and a list at every hidden state, and the free maps."""

    pair: str
    kind: ClassVar[str] = "scan"
    stage: ClassVar[str] = "scan"

    @property
    def spec(self) -> ScanSpec:
        return specs_of.scan_spec(self.experiment.config, self.pair)

    @property
    def maps(self) -> MapsSpec:
        return specs_of.maps_spec(self.experiment.config)

    @property
    def trained_with(self) -> list[str]:
        """The other pairs of joint trainings: how near a word is to theirs may tell whether it gains."""
        return self.experiment.trained_with(self.pair)

    @property
    def joint_trainings(self) -> dict[str, tuple[str, ...]]:
        """The lists of each joint training that the pair is part of, by the name that RUNS has for it."""
        lists = (arm.lists(self.pair) for arm in self.experiment.arms.values() if arm.is_of(self.pair))
        return {facts.JOINED.join(pairs): pairs for pairs in lists if len(pairs) > 1}

    @property
    def inputs(self) -> Paths:
        together = {"together": [self.layout.lexicon(pair)["pairs"] for pair in self.trained_with]} if self.trained_with else {}
        return {**self.list_files, **self.other_files, **together, "check": self.layout.check(self.model)}

    @property
    def outputs(self) -> Paths:
        return self.layout.scan(self.model, self.pair)

    @property
    def depends(self) -> dict[str, Any]:
        depends: dict[str, Any] = {"model": self.plain_model, "spec": plain(self.spec), "maps": plain(self.maps)}
        depends |= {"joint_trainings": sorted(self.joint_trainings)} if self.joint_trainings else {}
        return depends | ({"judged": self.experiment.judged} if self.experiment.has_folds else {})
