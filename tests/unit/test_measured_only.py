"""`evaluation.on` in the config, and lists that nobody trains on: how they are split, what there is of them, what is said beforehand."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tli import lexicon
from tli.cluster import costs
from tli.cluster.plan import plan
from tli.config import load, parse
from tli.errors import ConfigError
from tli.experiment import Experiment
from tli.experiment.design_warnings import foreseen
from tli.experiment.inspect import inspect
from tli.experiment.job import Job
from tli.specs import LexiconSpec, SplitSpec

ROOT = Path(__file__).parents[2]
MODEL = {"m": {"source": str(ROOT / "resources" / "demo" / "model"), "device": "cpu"}}


def write_list(folder: Path, name: str, rows: list[tuple[str, str]]) -> str:
    path = folder / f"{name}.tsv"
    pd.DataFrame(rows, columns=["source", "target"]).to_csv(path, sep="\t", index=False)
    return str(path)


def sections(pairs: dict, **more) -> dict:
    return {"models": MODEL, "pairs": pairs, "arms": {"tli": {"loss_layer": [2]}}, "seeds": 5} | more


def rows_of(language: str, numbers: range) -> list[tuple[str, str]]:
    return [(f"{language}word{i}", f"concept{i}") for i in numbers]


# --- the config ----------------------------------------------------------------------------------------------------

PAIRS = {"aa-eng": {"lexicon": "a"}, "bb-eng": {"lexicon": "b"}, "cc-eng": {"lexicon": "c"}}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("evaluation: {}", []),
        ("evaluation: {on: own}", []),
        ("evaluation: {on: all}", ["aa-eng", "bb-eng", "cc-eng"]),
        ("evaluation: {on: cc-eng}", ["cc-eng"]),
        ("evaluation:\n  on: [cc-eng, own, aa-eng]", ["aa-eng", "cc-eng"]),
        ('evaluation: {"on": [all]}', ["aa-eng", "bb-eng", "cc-eng"]),
    ],
)
def test_on_names_lists_in_the_configs_order(text, names, tmp_path):
    """In YAML 1.1 a bare `on` is the value true, as a key too."""
    (file := tmp_path / "c.yaml").write_text(yaml.safe_dump(sections(PAIRS)) + text)
    experiment = Experiment(load(file))
    assert experiment.lists_measured == names and experiment.measures_across == bool(names)
    assert experiment.config.model_dump(mode="json")["evaluation"]["on"]


@pytest.mark.parametrize(
    ("pairs", "more", "refused"),
    [
        (
            {},
            {"evaluation": {"on": ["bb-eng", "dd-eng"]}},
            r"evaluation\.on\[2\]: names 'dd-eng', which is no pair here; did you mean '..-eng'\?",
        ),
        (
            {"cc-eng": {"lexicon": "c", "train": False}},
            {},
            r"pairs\.cc-eng\.train: is false, and no adapter is measured on this list: name it",
        ),
        (
            {"cc-eng": {"lexicon": "c", "train": False, "split": {"by": "forms"}}},
            {"evaluation": {"on": "all"}},
            r"pairs\.cc-eng\.split: nobody trains on this list",
        ),
        ({pair: {"lexicon": "x", "train": False} for pair in PAIRS}, {"evaluation": {"on": "all"}}, "pairs: every pair has `train: false`"),
    ],
)
def test_what_cannot_be_meant_is_refused(pairs, more, refused):
    with pytest.raises(ConfigError, match=refused):
        parse(sections(PAIRS | pairs, **more))


def test_a_list_that_nobody_trains_on_has_no_runs_and_no_scan():
    pairs = {"cc-eng": {"lexicon": "c", "train": False}} | {name: pair for name, pair in PAIRS.items() if name != "cc-eng"}
    experiment = Experiment(parse(sections(pairs, evaluation={"on": "all"}, split={"folds": 2})))
    assert experiment.trained_pairs == ["aa-eng", "bb-eng"] and set(experiment.grid["pair"]) == {"aa-eng", "bb-eng"}
    assert [pair for _, pair in experiment.model_pairs] == ["aa-eng", "bb-eng"]
    assert experiment.lists_measured == ["cc-eng", "aa-eng", "bb-eng"]
    for kind in ("scan", "evaluate", "train"):
        names = {"arm": "tli", "layer": "2", "rank": "16"} if kind == "train" else {"part": "part-1"} if kind == "evaluate" else {}
        with pytest.raises(ConfigError, match=rf"--pair cc-eng: nobody trains on it .* no {kind}"):
            Job.of(experiment, kind, model="m", pair="cc-eng", **names)
    folds = Job.of(experiment, "folds")
    assert not any("cc-eng" in path for path in [*folds.inputs["pairs"], *folds.outputs["folds"]]) and folds.groups == [
        ["aa-eng", "bb-eng"]
    ]
    across = Job.of(experiment, "across", model="m", part="part-1")
    assert [path for path in across.inputs["lists"] if path.endswith("folds.tsv")] == [
        across.layout.lexicon(p)["folds"] for p in ("aa-eng", "bb-eng")
    ]
    assert sum(path.endswith("pairs.tsv") for path in across.inputs["lists"]) == 3
    assert len(across.inputs["trained"]) == len(experiment.runs) == 2 * 5 * 2
    assert set(across.outputs.values()) <= set(Job.of(experiment, "statistics").inputs["across"])
    read = Job.of(experiment, "lexicon", pair="cc-eng").lists
    assert list(read) == ["aa-eng", "bb-eng", "cc-eng"] and list(Job.of(experiment, "lexicon", pair="aa-eng").lists) == ["aa-eng"]


def test_statistics_wait_for_nothing_where_nothing_is_measured_across():
    assert Job.of(Experiment(parse(sections(PAIRS))), "statistics").inputs["across"] == []
    with pytest.raises(ConfigError, match=r"--part part-1: m has none: evaluation\.on names no list"):
        Job.of(Experiment(parse(sections(PAIRS))), "across", model="m", part="part-1").inputs  # noqa: B018


# --- how the lists are split ---------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(numbers=st.sets(st.integers(0, 79), min_size=20), union=st.booleans(), first=st.booleans())
def test_rows_without_a_trained_form_are_held_out_and_no_other_list_is_moved(tmp_path_factory, numbers, union, first):
    folder = tmp_path_factory.mktemp("lists")
    trained = LexiconSpec(split=SplitSpec(union=union))
    lists = {
        "aa-eng": ([write_list(folder, "a", rows_of("aa", range(40)))], trained),
        "bb-eng": ([write_list(folder, "b", rows_of("bb", range(20, 60)))], trained),
    }
    rows = [(f"ccword{i}", f"CONCEPT{i}") for i in sorted(numbers)]
    pd.DataFrame(rows, columns=["source", "target"]).assign(split="train").to_csv(folder / "c.tsv", sep="\t", index=False)
    measured = {"cc-eng": ([str(folder / "c.tsv")], LexiconSpec(train=False))}
    without = lexicon.prepare_union(lists)
    union_of_all = lexicon.Union()
    for pair, (files, spec) in (lists | measured).items():
        union_of_all.add(pair, files, spec)
        if pair == "cc-eng" and first:  # what is added after it does not see it
            union_of_all.add("dd-eng", lists["aa-eng"][0], trained)
    for pair in lists:
        pd.testing.assert_frame_equal(union_of_all.prepared(pair).pairs, without[pair].pairs)
    pairs = union_of_all.prepared("cc-eng").pairs
    seen = {lexicon.key(form) for one in without.values() for form in one.pairs.loc[one.pairs["split"] == "train", "target"]}
    assert len(pairs) == len(rows) and not len(union_of_all.prepared("cc-eng").aside)
    assert (pairs["split"] == ["train" if target.lower() in seen else "heldout" for target in pairs["target"]]).all()


def test_settling_lists():
    specs = {
        pair: LexiconSpec(train=train, split=SplitSpec(union=union))
        for pair, train, union in (("c-e", 0, 1), ("a-e", 1, 1), ("x-y", 1, 0), ("b-e", 1, 1))
    }
    assert lexicon.settling(specs, "c-e") == ["a-e", "x-y", "b-e"]
    assert lexicon.settling(specs, "b-e") == ["a-e"] and lexicon.settling(specs, "a-e") == lexicon.settling(specs, "x-y") == []


# --- before the first job ------------------------------------------------------------------------------------------


def planned(folder: Path, concepts: range, on: object = "all", **more) -> Experiment:
    pairs = {
        "cc-eng": {"lexicon": write_list(folder, "c", rows_of("cc", concepts)), "train": False},
        "aa-eng": {"lexicon": write_list(folder, "a", rows_of("aa", range(400)))},
    }
    return Experiment(parse(sections(pairs, evaluation={"on": on}, results=str(folder / "r"), **more)))


def test_the_words_of_a_column_are_counted_before_the_first_job(tmp_path):
    experiment = planned(tmp_path, range(380, 440))
    sizes = inspect(experiment)
    prepared = lexicon.prepare_union(Job.of(experiment, "lexicon", pair="cc-eng").lists)
    assert sizes["cc-eng"]["across"] == (prepared["cc-eng"].pairs["split"] == "heldout").sum() >= 40
    assert sizes["aa-eng"]["across"] == sizes["aa-eng"]["heldout"] > 0
    remarks = [(one.about, one.text) for one in foreseen(experiment, sizes)]
    assert [about for about, text in remarks if re.search("measured here on only .. words that no list trains", text)] == ["cc-eng"]
    assert not any(about == "cc-eng" and "held-out" in text for about, text in remarks)


def test_a_column_without_a_word_is_refused_before_the_first_job(tmp_path):
    prepared = lexicon.prepare_union(Job.of(planned(tmp_path, range(5)), "lexicon", pair="aa-eng").lists)["aa-eng"].pairs
    seen = prepared.loc[prepared["split"] == "train", "target"].str.removeprefix("concept").astype(int).sort_values().tolist()[:30]
    experiment = planned(tmp_path, seen)
    with pytest.raises(ConfigError, match=r"evaluation\.on: cc-eng: no word is left to measure on"):
        inspect(experiment)
    assert "across" not in inspect(planned(tmp_path, seen, split={"folds": 2}))["cc-eng"]  # with folds it is known when they are dealt


def test_the_plan_has_the_stage_and_it_grows_with_lists_and_adapters(tmp_path):
    def row(experiment: Experiment) -> pd.Series:
        return plan(experiment).set_index("stage").loc["across"]

    few = planned(tmp_path, range(300, 800))
    assert row(few)["jobs"] == 1 and 0 < row(few)["memory_mb"] < 2000
    assert "across" not in plan(Experiment(parse(sections({"aa-eng": PAIRS["aa-eng"]})))).set_index("stage").index
    assert row(planned(tmp_path, range(300, 800), seeds=60, jobs={"adapters_per_job": 20}))["jobs"] == 3
    job = Job.of(few, "across", model="m", part="part-1")
    assert costs.request(job).minutes > 10
    one, both = (costs.Cost(planned(tmp_path, range(300, 800), on=on), costs.Work.of(job)) for on in (["cc-eng"], "all"))
    assert one.seconds < both.seconds and one.memory_mb <= both.memory_mb
