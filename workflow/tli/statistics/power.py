"""What change a design finds with 80 % power: the whole claim, both contrasts and the family's correction, by simulation.

Under the normal model of the crossed table the mean and the mean squares are independent, the squares Wishart: a claim is
simulated from them without drawing a single word. A simulated claim is made where the mean lies far enough above 0 in both
contrasts; how far it lacks is the effect that it needs, and the quantile of these is the smallest detectable effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli.facts import POWER
from tli.specs import StatisticsSpec

DRAWS = 4_000


@dataclass(frozen=True)
class Variances:
    """Standard deviations of a difference after - before, per run, unit, and run x unit; a unit is one word unless it is said.

    run: of a run's mean, its luck. unit: of a unit's mean over runs. residual: of a unit in a run, above both.
    placebo: the correlation of a unit's gain in the real and in the placebo training.
    The defaults are those of the demo: they are assumed where no results are at hand.
    """

    run: float = 0.06
    unit: float = 0.4
    residual: float = 0.3
    placebo: float = 0.5


@dataclass(frozen=True)
class Design:
    """Of one cell: how many seeds, folds (1: none) and units carry the claim, and how many claims are in the family."""

    seeds: int
    units: int
    folds: int = 1
    family: int = 1
    with_placebo: bool = True


@dataclass(frozen=True)
class Components:
    """Covariances [contrasts, contrasts] of seeds, units and residual of a crossed table, one contrast or two."""

    seeds: np.ndarray
    units: np.ndarray
    residual: np.ndarray


def components(tables: list[np.ndarray]) -> Components:
    """Of crossed tables [seeds, units] of the same seeds and units: the moment estimates, no variance below 0."""
    d = np.stack(tables, -1)
    seeds, units, _ = d.shape
    mean, row, column = d.mean((0, 1)), d.mean(1), d.mean(0)
    residual = (d - row[:, None] - column[None] + mean).reshape(-1, d.shape[2])
    within = residual.T @ residual / ((seeds - 1) * (units - 1))
    of_seeds = units * (row - mean).T @ (row - mean) / (seeds - 1)
    of_units = seeds * (column - mean).T @ (column - mean) / (units - 1)
    return Components(_positive((of_seeds - within) / units), _positive((of_units - within) / seeds), within)


def assumed(variances: Variances, folds: int = 1, with_placebo: bool = True) -> Components:
    """The components that such variances give: a seed's mean is that of its folds' runs, the placebo has a luck of its own."""
    change = np.array([[1.0, 1.0], [1.0, 2.0]])  # real - before and real - placebo, of independent runs
    units = np.array([[1.0, 1 - variances.placebo], [1 - variances.placebo, 2 - 2 * variances.placebo]])
    size = 2 if with_placebo else 1
    parts = (variances.run**2 / folds * change, variances.unit**2 * units, variances.residual**2 * change)
    return Components(*(part[:size, :size] for part in parts))


def needed(parts: Components, design: Design, alpha: float = 0.05, seed: int = 0) -> np.ndarray:
    """The effect that each of DRAWS simulated experiments would have needed for its claim: [draws], inf where none would do.

    The level is alpha / family, Holm's first step: what is found by it is found whatever the other cells show.
    """
    from scipy import stats

    seeds, units, random = design.seeds, design.units, np.random.default_rng(seed)
    if seeds < 2 or units < 2:
        return np.full(DRAWS, np.inf)
    within = parts.residual
    df = {"seeds": seeds - 1, "units": units - 1, "residual": (seeds - 1) * (units - 1)}
    squares = {"seeds": units * parts.seeds + within, "units": seeds * parts.units + within, "residual": within}
    v = {name: _wishart_diagonal(squares[name], df[name], random) / (seeds * units) for name in df}
    variance = np.maximum(v["seeds"] + v["units"] - v["residual"], np.maximum(v["seeds"], v["units"]))
    true = parts.seeds / seeds + parts.units / units + within / (seeds * units)
    noise = random.standard_normal((DRAWS, len(true))) @ _root(true).T
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / sum(v[name] ** 2 / df[name] for name in df)
        threshold = stats.t.isf(alpha / 2 / max(design.family, 1), freedom) * np.sqrt(variance)
    return (np.where(variance > 0, threshold, 0.0) - noise).max(1)


def detectable(parts: Components, design: Design, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest effect, of both contrasts alike, that the whole claim finds with `power`; inf where there is none."""
    return least(needed(parts, design, alpha), power)


def least(need: np.ndarray, power: float = POWER) -> float:
    """The effect that is enough for this share of the simulated experiments."""
    return float(np.quantile(need, power, method="higher"))


PLAN = ["seeds", "folds", "units", "family_size", "detectable", "power_at_05", "power_at_10", "sentence"]


def plan_power(units: dict[int, int], design: Design, variances: Variances, spec: StatisticsSpec) -> pd.DataFrame:
    """PLAN: what the planned design finds (the first row), and what more seeds or folds would buy.

    units: for each number of folds, how many units carry the claim ({1: held-out components, 5: dealt components}). design:
    the planned one. The correction is taken at its first step, alpha / family, whichever the config names.
    """
    rows = []
    more = [(design.seeds, design.folds), *((seeds, folds) for folds in sorted(units) for seeds in (5, 10, 20))]
    for seeds, folds in dict.fromkeys(more):
        one = Design(seeds, units[folds], folds, design.family, design.with_placebo)
        parts = assumed(variances, folds, design.with_placebo)
        need = needed(parts, one, spec.alpha)
        smallest = least(need)
        text = f"{seeds} seeds, {f'{folds} folds' if folds > 1 else 'no folds'}, {one.units} units, a family of {design.family}: "
        text += _too_small(one, spec) or (
            f"a change of {smallest:+.3f} or more is found with {100 * POWER:.0f} % power"
            if smallest <= 1
            else f"no change that is possible is found with {100 * POWER:.0f} % power"
        )
        powers = [float((need <= effect).mean()) for effect in (0.05, 0.10)]
        rows.append([seeds, folds, one.units, design.family, smallest, *powers, text + "."])
    return pd.DataFrame(rows, columns=PLAN)


def _too_small(design: Design, spec: StatisticsSpec) -> str:
    if design.seeds >= spec.minimum_seeds and design.units >= spec.minimum_units:
        return ""
    return f"no claim is made below {spec.minimum_seeds} seeds and {spec.minimum_units} units"


def variances_of(table: pd.DataFrame) -> Variances:
    """The variances of an earlier experiment: medians over the cells of its table `power` (columns.POWER)."""
    columns = {"run": "run_sd", "unit": "unit_sd", "residual": "residual_sd", "placebo": "placebo_correlation"}
    medians = {name: float(table[column].median()) for name, column in columns.items()}
    usual = Variances()
    return Variances(**{name: value if np.isfinite(value) else getattr(usual, name) for name, value in medians.items()})


def described(parts: Components, folds: int) -> dict[str, float]:
    """The standard deviations and the correlation of `Variances` that components imply."""
    sd = {name: float(np.sqrt(getattr(parts, name)[0, 0])) for name in ("seeds", "units", "residual")}
    correlation = np.nan
    if len(parts.units) == 2:  # of real and placebo: against = real - placebo, so cov(real, placebo) = var(real) - cov(real, against)
        (real, both), (_, against) = parts.units
        placebo = real + against - 2 * both
        correlation = float((real - both) / np.sqrt(real * placebo)) if real > 0 and placebo > 0 else np.nan
    run = sd["seeds"] * np.sqrt(folds)
    return {"run_sd": run, "unit_sd": sd["units"], "residual_sd": sd["residual"], "placebo_correlation": correlation}


def _positive(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _wishart_diagonal(mean_square: np.ndarray, df: int, random: np.random.Generator) -> np.ndarray:
    """[DRAWS, contrasts]: the diagonal of Wishart(mean_square, df) / df, by Bartlett's decomposition."""
    size = len(mean_square)
    factor = np.zeros((DRAWS, size, size))
    for i in range(size):
        factor[:, i, i] = np.sqrt(random.chisquare(df - i, DRAWS)) if df > i else 0.0
        factor[:, i, :i] = random.standard_normal((DRAWS, i))
    values, vectors = np.linalg.eigh(mean_square)
    root = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T)[1].T  # lower triangular, root root' = mean_square
    return ((root @ factor) ** 2).sum(2) / df
