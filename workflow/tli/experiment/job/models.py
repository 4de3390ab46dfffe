"""Jobs on a model as it came: check, scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

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
    def inputs(self) -> Paths:
        return {**self.list_files, **self.other_files, "check": self.layout.check(self.model)}

    @property
    def outputs(self) -> Paths:
        return self.layout.scan(self.model, self.pair)

    @property
    def depends(self) -> dict[str, Any]:
        depends = {"model": self.plain_model, "spec": plain(self.spec), "maps": plain(self.maps)}
        return depends | ({"judged": self.experiment.judged} if self.experiment.has_folds else {})
