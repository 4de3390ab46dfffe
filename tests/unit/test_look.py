"""Before anything is trained: a config without arms, `tli look`, and the sentences that the page then says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import tiny
from statsmodels.stats.proportion import proportion_confint as confint
from trial import Trial

from tli.__main__ import main
from tli.cluster import plan
from tli.errors import ConfigError
from tli.io import tables
from tli.report import answers
from tli.report.alignment import alignment_sentences, standing, untrained_rungs
from tli.report.input import ReportInput, Tables
from tli.runtime import looking


@pytest.fixture(scope="module")
def looked(models, tmp_path_factory):
    """`tli look` of an encoder and of a list whose name tells nothing but the pair: its experiment, and what it printed."""
    folder = tmp_path_factory.mktemp("look")
    words = folder / "swh-eng.tsv"
    words.write_text("source\ttarget\n" + "\n".join(f"{row[0]}\t{row[1]}" for row in tiny.LEXICON) + "\n", encoding="utf-8")
    arguments = ["look", models("bert").source, str(words), "--results", str(folder / "results"), "--threads", "1"]
    assert main(arguments) == 0
    return arguments, folder / "results"


def test_look_writes_a_page_that_answers(looked):
    _, results = looked
    summary = (results / "report" / "summary.md").read_text(encoding="utf-8")
    assert "before training" in summary and "At the output, hs\\[" not in summary and "At the output, hs[4]" in summary
    assert "the free map" in summary and "nothing is trained" in summary and "Nothing has been tested" not in summary
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "before training" in page and "Nothing has been tested" not in page
    assert not (results / "statistics").exists() and not (results / "train").exists()


def test_a_second_look_does_nothing_again(looked, monkeypatch):
    arguments, _ = looked
    monkeypatch.setattr(looking, "run", lambda job, **rest: pytest.fail(f"{job.kind} was done again"))
    assert main(arguments) == 0


def test_a_look_that_was_ended_goes_on_where_it_stopped(looked, monkeypatch):
    """Without the scan's outputs, what came before stays and what needs it is made."""
    arguments, results = looked
    next(results.glob("scan/*/*/best.tsv")).unlink()
    done, run = [], looking.run
    monkeypatch.setattr(looking, "run", lambda job, **rest: done.append(job.kind) or run(job, **rest))
    assert main(arguments) == 0
    assert done == ["scan", "report"]


def test_a_changed_list_is_looked_at_anew(looked, monkeypatch):
    arguments, _ = looked
    words = Path(arguments[2])
    before = words.read_text(encoding="utf-8")
    words.write_text(before + "paka\tcat\n", encoding="utf-8")
    done, run = [], looking.run
    monkeypatch.setattr(looking, "run", lambda job, **rest: done.append(job.kind) or run(job, **rest))
    assert main(arguments) == 0
    assert done == ["lexicon", "scan", "report"]


def test_what_a_look_cannot_know_is_asked_for(tmp_path, models):
    words = tmp_path / "mine.tsv"
    words.write_text("source\ttarget\na\tb\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="--pair swh-eng"):
        looking.experiment_of(models("llama").source, [str(words)])
    with pytest.raises(ConfigError, match="no such list"):
        looking.experiment_of(models("llama").source, [str(tmp_path / "swh-eng.tsv")])
    experiment = looking.experiment_of(models("llama").source, [str(words)], "swh-eng")
    assert experiment.trains_nothing and experiment.config.results.startswith("results/look/")


# --- a config without arms ------------------------------------------------------------------------------------------


def test_a_config_without_arms_needs_scan_and_report_alone(models, tmp_path):
    trial = Trial(tmp_path, replace(models("llama")), arms={})
    experiment = trial.experiment
    assert experiment.trains_nothing and experiment.runs == [] and experiment.parts("evaluate", "m", "swh-eng") == {}
    assert list(experiment.grid.columns) == tables.GRID and not len(experiment.grid)
    inputs = trial.job("report").inputs
    assert inputs["statistics"] == [] and any(path.endswith("maps-metrics.tsv") for path in inputs["scans"])
    assert "train" not in plan.text(experiment, plan.plan(experiment)).replace("trained", "")


def scan(hits: float, spelling: float, n: int = 100) -> pd.DataFrame:
    """A scan of two states, hs[1] and the output hs[2], with P@1 `hits` at the output."""
    rows = [{"hidden_state": state, "csls_p_at_1": value} for state, value in ((1, 0.6), (2, hits))]
    about = {"model": "m", "pair": "swh-eng", "split": "heldout", "pooling": "no-bos", "pool": "untrained", "n": n, "chance": 0.01}
    about |= {"pool_targets": 120, "string_p_at_1": spelling, "cosine": 0.5, "mismatched": 0.25, "normed": False}
    return pd.DataFrame(rows).assign(**about).reindex(columns=tables.SCAN)


def report(hits: float, of_map: float = 0.8, spelling: float = 0.1) -> ReportInput:
    choice = pd.DataFrame(
        {"model": "m", "pair": "swh-eng", "hidden_state": [1], "criterion": "x", "value": 0.6, "win_share": 0.7, "chosen": True}
    )
    curve = pd.DataFrame({"map": ["centring", "procrustes"], "value": [0.5, 0.9], "hidden_state": [2, 0]})
    curve = curve.assign(model="m", pair="swh-eng", chosen=True).reindex(columns=tables.MAPS)
    figures = pd.DataFrame(
        {
            "arm": ["map-centring", "map-procrustes", "map-procrustes", "map-procrustes-shuffled"],
            "hidden_state": [2, 0, 2, 0],
            "csls_p_at_1": [0.99, of_map, 0.7, 0.02],
        }
    ).assign(model="m", pair="swh-eng", split="heldout", pooling="no-bos", pool="untrained", n=100)
    others = {"maps": curve, "maps-metrics": figures.reindex(columns=tables.RUN_METRICS)}
    return ReportInput(tables=Tables(scan=scan(hits, spelling), choice=choice, others=others))


def test_the_sentences_tell_where_words_are_aligned_and_what_is_left():
    ((model, pair, text),) = alignment_sentences(report(0.3))
    assert (model, pair) == ("m", "swh-eng")
    assert "At the output, hs[2], 30 of 100 held-out words find their translation among 120 forms" in text
    assert "1.0 % by chance, 10 % by spelling alone" in text and "a pair is 0.50, of mismatched words 0.25." in text
    assert "choose hs[1], which wins in 70 % of the draws of select words: 60 % of the held-out words there." in text
    # procrustes leads on select words, although centring finds more held-out ones
    assert "the free map procrustes gives 80 % at hs[0]" in text and "(2.0 % when fitted to shuffled pairs), 70 % at the output" in text
    assert text.endswith("A training has to beat that to be worth it, and has 20 % of the words left to gain.")
    assert "not beyond chance" not in text and "no more than spelling" not in text


def test_the_sentences_say_when_there_is_nothing():
    assert "That is not beyond chance." in alignment_sentences(report(0.02))[0][2]
    assert "That is no more than spelling gives." in alignment_sentences(report(0.3, spelling=0.3))[0][2]
    assert alignment_sentences(report(0.3, of_map=0.97))[0][2].endswith("Little is left that a training could gain: 3.0 % of the words.")
    assert alignment_sentences(ReportInput()) == []


def test_the_first_screen_of_a_look_has_the_rungs_before_training():
    rungs = untrained_rungs(report(0.3, of_map=0.6), "m", "swh-eng")
    told = list(zip(rungs["rung"], rungs["name"], rungs["layer"], rungs["value"].round(6), strict=True))
    assert told == [
        ("before", "baseline", "", 0.3),
        ("spelling", "spelling", "", 0.1),
        ("map", "centring", "2", 0.99),
        ("map", "procrustes", "2", 0.7),
        ("map at its own state", "centring", "2", 0.99),
        ("map at its own state", "procrustes", "0", 0.6),
    ]
    text = answers.worth(report(0.3, of_map=0.6), "m", "swh-eng", None)
    assert text == (
        "Nothing was trained. The free map procrustes gives 60 % of the held-out words at hs[0], which the select words choose for it "
        "(95 % interval 50 to 69 %), and 70 % at the output: a training has to beat that."
    )
    low, high = confint(60, 100, method="wilson")
    of_map = rungs[(rungs["rung"] == "map at its own state") & (rungs["name"] == "procrustes")].iloc[0]
    assert (of_map["low"], of_map["high"]) == pytest.approx((low, high), abs=1e-12)
    assert untrained_rungs(ReportInput(), "m", "swh-eng").empty
    told = answers.before(report(0.3), "m", "swh-eng")
    assert "(CSLS P@1; 95 % interval 22 to 40 %; by chance 1.0 %, by spelling 10 %)" in told
    assert "There a word and its translation have a cosine of 0.50, a word and a wrong one 0.25." in told


@pytest.mark.parametrize(
    "hits, of_map, says",
    [
        (0.3, 0.8, "Aligned before training (30 % at the output); a free map reaches 80 %; 20 % left to gain"),
        (
            0.02,
            0.8,
            "Not aligned beyond chance before training (2.0 % at the output); a free map reaches 80 %; 20 % left to gain",
        ),
        (0.97, 0.8, "Aligned before training (97 % at the output); a free map reaches 80 %; little left to gain (3.0 %)"),
    ],
)
def test_the_headline_of_a_look_says_what_is_left_to_gain(hits, of_map, says):
    assert standing(report(hits, of_map), "m", "swh-eng") == says


def test_the_headline_of_a_look_without_maps_or_scan():
    without = ReportInput(tables=Tables(scan=scan(0.3, 0.1)))
    assert standing(without, "m", "swh-eng") == "Aligned before training (30 % at the output); no free map was fitted"
    assert standing(ReportInput(), "m", "swh-eng") == ""


@pytest.mark.parametrize("folder, name", [("llama-3", "llama-3"), ("demo/model", "demo-model"), ("My Model", "my-model")])
def test_a_look_calls_a_model_by_its_folder(tmp_path, folder, name):
    (tmp_path / folder).mkdir(parents=True)
    words = tmp_path / "swh-eng.tsv"
    words.write_text("source\ttarget\na\tb\n", encoding="utf-8")
    assert list(looking.experiment_of(str(tmp_path / folder), [str(words)]).config.models) == [name]
