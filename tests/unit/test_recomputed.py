"""A finished run's claims, computed again from its files by another way: pandas, statsmodels' analysis of variance, scipy; without the package's test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import planted
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from tli import statistics
from tli.io import table_files
from tli.specs import StatisticsSpec

DEMO = Path(__file__).parents[2] / "results"


def recomputed(results: Path, verdict: pd.Series, against: str) -> dict[str, float]:
    """Of a cell's hits on held-out words at the output: the mean difference from `against`, its t', df, p and interval."""
    where = results / "evaluate" / verdict.model / verdict.pair
    rows = pd.concat([pd.read_parquet(path) for path in sorted(where.glob("*/similarities.parquet"))])
    rows = rows[(rows["split"] == "heldout") & (rows["pool"] == "untrained") & (rows["hidden_state"] == rows["hidden_state"].max())]
    rows = rows[rows["pooling"] == "no-bos"].assign(hit=lambda table: (table["csls_target_rank"] == 1).astype(float))
    hits = rows.pivot_table(index="run", columns="pair_id", values="hit", observed=True)
    stem = f"layer-{verdict.layer}/rank-{verdict['rank']}/seed-"
    real = hits.loc[[f"{verdict.arm}/{stem}{seed}" for seed in sorted(rows.loc[rows["arm"] == verdict.arm, "seed"].unique())]]
    other = (
        hits.loc["baseline"]
        if against == "baseline"
        else hits.loc[[run.replace(f"{verdict.arm}/", f"{against}/", 1) for run in real.index]].to_numpy()
    )
    difference = real - other
    component = pd.read_csv(results / "lexicon" / verdict.pair / "pairs.tsv", sep="\t", dtype=str).set_index("pair_id")["component"]
    units = difference.T.groupby(component.reindex(difference.columns)).sum().T
    units = units / (difference.shape[1] / units.shape[1])
    long = units.reset_index(names="seed").melt("seed", var_name="unit", value_name="d")
    squares = anova_lm(ols("d ~ C(seed) + C(unit)", long).fit())
    seeds, number = units.shape
    v = (squares["mean_sq"] / (seeds * number)).to_dict()
    v_s, v_u, v_su = v["C(seed)"], v["C(unit)"], v["Residual"]
    variance = max(v_s + v_u - v_su, v_s, v_u)
    df = variance**2 / (v_s**2 / (seeds - 1) + v_u**2 / (number - 1) + v_su**2 / ((seeds - 1) * (number - 1)))
    mean, error = long["d"].mean(), np.sqrt(variance)
    half = stats.t.ppf(0.975, df) * error
    found = {
        "estimate": mean,
        "low": mean - half,
        "high": mean + half,
        "t": mean / error,
        "df": df,
        "p": 2 * stats.t.sf(abs(mean / error), df),
    }
    return found | {"units": number}


def compared(results: Path) -> int:
    """Hold both contrasts of every verdict against their second computation; how many figures were compared."""
    verdicts = pd.read_csv(results / "statistics" / "verdicts.tsv", sep="\t", dtype=dict.fromkeys(("layer", "rank"), str))
    runs = pd.read_csv(results / "statistics" / "runs.tsv", sep="\t", keep_default_na=False)
    placebo = runs[runs["placebo_of"] != ""].set_index("placebo_of")["arm"].to_dict()
    names = {"estimate": "{}", "low": "{}_low", "high": "{}_high", "t": "t_{}", "df": "df_{}", "p": "p_{}"}
    number = 0
    for _, verdict in verdicts.iterrows():
        for contrast, against in (("change", "baseline"), ("against_placebo", placebo[verdict.arm])):
            expected = recomputed(results, verdict, against)
            assert verdict.units == expected.pop("units")
            for name, value in expected.items():
                said = verdict[names[name].format(contrast)]
                if np.isfinite(value) and np.isfinite(said):
                    assert said == pytest.approx(value, rel=1e-8, abs=1e-12), (verdict.pair, verdict.arm, contrast, name)
                    number += 1
    return number


def test_planted_runs(tmp_path):
    measured = planted.tables_of(planted.World(gain=0.1, words=60), 3)
    made = {
        "evaluate/model-1/pair-1/part-1/similarities.parquet": measured.similarities,
        "lexicon/pair-1/pairs.tsv": measured.pairs.drop(columns="pair"),
        "statistics/verdicts.tsv": statistics.analyse(measured, StatisticsSpec())["verdicts"],
        "statistics/runs.tsv": measured.runs,
    }
    for name, table in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        table_files.write(table, tmp_path / name)
    assert compared(tmp_path) == 12


def is_finished(results: Path) -> bool:
    """Whether there are verdicts, of this version's form."""
    verdicts = results / "statistics" / "verdicts.tsv"
    return verdicts.exists() and "t_against_placebo" in verdicts.read_text(encoding="utf-8").partition("\n")[0].split("\t")


@pytest.mark.skipif(not is_finished(DEMO), reason="the demo was not run here; `make run` does")
def test_the_demo():
    assert compared(DEMO) >= 12
