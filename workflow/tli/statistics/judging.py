"""From a cell's tests to its verdict: exhaustive, exclusive, the first that fits in the order of facts.VERDICTS.

- A claim needs the sign, at the level alpha / 2: "aligns better" both contrasts above 0 (the larger p enters the confirmatory
  family), "worse" after - before below 0 (adjusted among the cells' after - before). Both together stay below alpha.
- An arm without a placebo cannot be told from a training on wrong translations: its p is that of after - before.
- "rose as its placebo did" says that it rose, and that more than the placebo is not shown; that they are the same is said
  only where TOST within the margin says so. "raised all cosines alike" needs TOST of the gap.
- The later verdicts rest on tests adjusted over the same cells, one family a contrast.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tli import facts

# what is tested of every cell beside its claim
CONTRASTS = ("change", "against_placebo", "placebo_change", "train_change", "train_over_heldout", "cosine", "mismatched")


@dataclass(frozen=True)
class Figure:
    """A mean and its p's, two-sided; NaN where it was not measured."""

    estimate: float = float("nan")
    p: float = float("nan")
    adjusted: float = float("nan")

    def rose(self, alpha: float, corrected: bool = True) -> bool:
        return self.estimate > 0 and (self.adjusted if corrected else self.p) <= alpha

    def fell(self, alpha: float) -> bool:
        return self.estimate < 0 and self.adjusted <= alpha


@dataclass(frozen=True)
class Figures:
    """What the verdict of one cell is judged by."""

    failed: str = ""  # why, or ""
    seeds: int = 0
    placebo_seeds: int | None = None  # None where the grid has no placebo for the arm
    units: int = 0
    p_family: float = float("nan")  # of the claim, adjusted
    gap_same: float = float("nan")  # adjusted p of TOST: the gap has not changed by more than the margin
    contrasts: dict[str, Figure] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Figure:
        return self.contrasts.get(name, Figure())


@dataclass(frozen=True)
class Rules:
    """When a claim is made."""

    alpha: float = 0.05
    minimum_seeds: int = 5
    minimum_units: int = 20


def judge(figures: Figures, rules: Rules) -> str:
    """The verdict of one cell, one of facts.VERDICTS."""
    alpha = rules.alpha
    change, against, placebo = figures["change"], figures["against_placebo"], figures["placebo_change"]
    has_placebo = figures.placebo_seeds is not None
    seeds = figures.seeds if figures.placebo_seeds is None else min(figures.seeds, figures.placebo_seeds)
    above_placebo = against.rose(alpha, corrected=False)
    claimed = figures.p_family <= alpha
    fits = {
        facts.FAILED: bool(figures.failed),
        facts.TOO_FEW: seeds < rules.minimum_seeds or figures.units < rules.minimum_units,
        facts.WORSE: change.fell(alpha),
        facts.BETTER: has_placebo and change.estimate > 0 and against.estimate > 0 and claimed,
        facts.UNCORRECTED: change.rose(alpha, corrected=False) and (above_placebo or not has_placebo) and not claimed,
        facts.NO_PLACEBO: not has_placebo and change.estimate > 0 and claimed,
        facts.PLACEBO_HARMS: has_placebo and against.rose(alpha) and placebo.fell(alpha),
        facts.BELOW_PLACEBO: has_placebo and against.fell(alpha),
        facts.LIKE_PLACEBO: has_placebo and change.rose(alpha) and not above_placebo,
        facts.MEMORISED: figures["train_change"].rose(alpha)
        and figures["train_over_heldout"].rose(alpha)
        and not change.rose(alpha, corrected=False),
        facts.ALIKE: figures["cosine"].rose(alpha) and figures["mismatched"].rose(alpha) and figures.gap_same <= alpha,
        facts.NOTHING: True,
    }
    return next(name for name in facts.VERDICTS if fits[name])
