"""A cell on its way to a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tli import facts
from tli.statistics.cells import EMPTY, CellClaim
from tli.statistics.judging import Rules


@dataclass
class Case:
    """A cell on its way to a verdict: its claim, what the grid says of it, and its adjusted p's."""

    claim: CellClaim
    about: dict  # seeds, loss_layer, placebo_seeds (None without a placebo), failed, also
    adjusted: dict[str, float] = field(default_factory=dict)
    family_size: int = 0
    p_family: float = float("nan")
    detectable: float = float("nan")
    gap_same: float = float("nan")
    described: dict = field(default_factory=dict)
    verdict: str = ""

    def test(self, name: str) -> dict:
        return self.claim.tests.get(name, EMPTY)

    @property
    def has_placebo(self) -> bool:
        return self.about["placebo_seeds"] is not None

    @property
    def p(self) -> float:
        """The claim's p: the larger of both contrasts', that of after - before without a placebo."""
        both = [self.test("change")["p"], self.test("against_placebo")["p"]]
        return float(max(both)) if self.has_placebo and np.isfinite(both).all() else float("nan") if self.has_placebo else both[0]

    def counts_as_one(self, rules: Rules) -> str:
        """Why no claim can be made of it, so that its p counts as 1; "" otherwise."""
        counts, seeds = self.claim.counts, self.about["seeds"]
        seeds = min(seeds, self.about["placebo_seeds"]) if self.has_placebo else seeds
        if self.about["failed"]:
            return "failed"
        few = seeds < rules.minimum_seeds or counts.get("units", 0) < rules.minimum_units
        return facts.TOO_FEW if few else "" if np.isfinite(self.p) else "not measured"
