"""Harm: what rises on running text, sentence by sentence, and what may be said of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import synthetic

from tli import facts, statistics
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import harm

SPEC = StatisticsSpec(bootstrap=50)
SENTENCES = 60


@pytest.fixture(scope="module")
def made():
    return synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.3, seeds=5)


def texts_of(made: dict, rise: dict[str, float], spread: float = 0.02, arm: str = "tli") -> pd.DataFrame:
    """RUNNING_TEXT in which the runs of `arm` rise by so many nats a token in each language, and nothing else does."""
    random = np.random.default_rng(0)
    subjects = pd.concat([made["runs"], made["similarities"].query("seed == -1")])[tables.RUN].drop_duplicates()
    parts = []
    for language, of_language in rise.items():
        tokens, base = random.integers(5, 40, SENTENCES), random.normal(3, 0.4, SENTENCES)
        for row in subjects.to_dict("records"):
            up = of_language + random.normal(0, spread, SENTENCES) if row["arm"] == arm else np.zeros(SENTENCES)
            known = {"language": language, "sentence": [str(i) for i in range(SENTENCES)], "tokens": tokens}
            parts.append(pd.DataFrame({**row, **known, "cross_entropy": base + up, "kl": np.abs(up)}))
    return pd.concat(parts, ignore_index=True)


def line_of(made: dict, texts: pd.DataFrame, deciding) -> pd.Series:

    measured = statistics.Measured(made["runs"], made["similarities"], made["metrics"], made["pairs"], {})
    evidence = harm.evidence(harm.rises(texts, made["runs"]), deciding, SPEC)
    return statistics.analyse(measured, SPEC, (evidence,))["lines"].query("line == @facts.LEAVES_WHOLE").iloc[0]


def languages(made: dict) -> list[str]:
    return made["runs"]["pair"].iloc[0].split("-")


def test_the_rise_is_that_of_a_plain_loop(made):
    first, second = languages(made)
    texts = texts_of(made, {first: 0.3, second: 0.01})
    table = harm.harm(harm.rises(texts, made["runs"]), {first}, SPEC).set_index(["arm", "language"])
    seeds = texts[texts["arm"] == "tli"].query("language == @first")
    base = texts[texts["seed"] == -1].query("language == @first").set_index("sentence")
    rises = []
    for _, run in seeds.groupby("seed"):
        run = run.set_index("sentence")
        rises.append(((run["cross_entropy"] - base["cross_entropy"]) * run["tokens"]).sum() / run["tokens"].sum())
    row = table.loc[("tli", first)]
    assert row["rise"] == pytest.approx(np.mean(rises), abs=1e-12) and row["tokens"] == base["tokens"].sum()
    assert row["kl"] == pytest.approx((seeds["kl"] * seeds["tokens"]).sum() / seeds["tokens"].sum(), abs=1e-12)
    assert row["decides"] and not table.loc[("tli", second), "decides"]
    assert table.loc[("placebo-tli", first), ["control", "rise"]].tolist() == [True, 0.0]


@pytest.mark.parametrize(
    "rise, answer, part",
    [((0.0, 0.01), facts.YES, 1), ((0.0, 0.3), facts.NO, 1), ((0.4, 0.0), facts.NO, 0), ((0.05, 0.0), facts.NOT_DECIDED, 0)],
)
def test_a_model_is_whole_where_no_language_rises_beyond_the_margin(made, rise, answer, part):
    names = languages(made)
    line = line_of(made, texts_of(made, dict(zip(names, rise, strict=True))), set(names))
    assert line["answer"] == answer
    if answer != facts.YES:  # of a yes either language may be the weaker one
        assert line["part"] == names[part] and line["estimate"] == pytest.approx(rise[part], abs=0.01)


def test_shipped_sentences_decide_nothing(made):
    first, second = languages(made)
    texts = texts_of(made, {first: 1.0, second: 1.0})
    line = line_of(made, texts, {first})
    assert line["answer"] == facts.NOT_MEASURED and line["low"] < 1.0 < line["high"]
    assert f"{SENTENCES} units, 5 seeds; the shipped sentences decide nothing" in line["sentence"] and np.isnan(line["p_family"])
    assert line_of(made, texts, {first, second})["answer"] == facts.NO


def test_without_text_there_is_no_harm_to_tell(made):
    nothing = harm.rises(pd.DataFrame(columns=tables.RUNNING_TEXT), made["runs"])
    assert harm.harm(nothing, set(), SPEC).empty and harm.evidence(nothing, {"swh"}, SPEC).table.empty
