"""Jobs on everything that was measured: statistics, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tli.experiment import settings as specs_of
from tli.experiment.job.base import Job, Paths
from tli.io import store
from tli.specs import StatisticsSpec, plain


@dataclass(frozen=True, eq=False)
class OfEverything(Job):
    """A job that there is once."""

    @property
    def log(self) -> str:
        return self.layout.log(self.stage)

    @property
    def benchmark(self) -> str:
        return self.layout.benchmark(self.stage)

    def parts_of(self, stage: str) -> list[tuple[str, str, str]]:
        """(model, pair, part) of every part of a stage."""
        if stage == "transfer" and not self.experiment.has_transfer:
            return []
        return [(*key, part) for key in self.experiment.model_pairs for part in self.experiment.parts(stage, *key)]


@dataclass(frozen=True, eq=False)
class StatisticsJob(OfEverything):
    """What can be claimed."""

    kind: ClassVar[str] = "statistics"
    stage: ClassVar[str] = "statistics"

    @property
    def spec(self) -> StatisticsSpec:
        return specs_of.statistics_spec(self.experiment.config)

    @property
    def inputs(self) -> Paths:
        config, layout, tasks = self.experiment.config, self.layout, self.experiment.config.transfer.tasks
        return {
            "evaluated": [path for place in self.parts_of("evaluate") for path in layout.measured("evaluate", *place).values()],
            "transfer": [layout.measured("transfer", *place)["transfer"] for place in self.parts_of("transfer")] if tasks else [],
            "across": [
                path
                for model in config.models
                for part in self.experiment.across_parts(model)
                for path in layout.across(model, part).values()
            ],
            "text": [layout.measured("transfer", *place)["text"] for place in self.parts_of("transfer")],
            "translate": [layout.measured("transfer", *place)["translate"] for place in self.parts_of("transfer")],
            "pairs": [layout.lexicon(pair)["pairs"] for pair in config.pairs],
            "words": [layout.scan(*key)["words"] for key in self.experiment.model_pairs],
            "maps": [layout.scan(*key)[name] for key in self.experiment.model_pairs for name in ("maps", "map_similarities")],
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
class ReportJob(OfEverything):
    """The page, its figures and tables."""

    kind: ClassVar[str] = "report"
    stage: ClassVar[str] = "report"

    @property
    def inputs(self) -> Paths:
        scans = [self.layout.scan(*key) for key in self.experiment.model_pairs]
        return {
            "statistics": [] if self.experiment.trains_nothing else list(self.layout.statistics().values()),
            "scans": [path for files in scans for path in (files["scan"], files["choice"], files["map_metrics"])],
            "trials": [self.layout.trials(cell.model, cell.pair, cell.cell) for cell in self.experiment.tuned_cells],
            "lists": [self.layout.lists()] if len(self.experiment.config.pairs) > 1 else [],
            "audits": [self.layout.lexicon(pair)["audit"] for pair in self.experiment.config.pairs],
        }

    @property
    def outputs(self) -> Paths:
        return self.layout.page()

    @property
    def depends(self) -> dict[str, Any]:
        return {"config": self.experiment.config.model_dump(mode="json", exclude_unset=True)}
