"""What a unit of the store depends on: its digest is pinned, so that what users have finished stays found.

The digests are those of version 0.1.0. One that changes is a decision: docs/decisions/ says why, and STAGE_VERSIONS is raised.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import tiny

from tli.config import load
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import store
from tli.io.records import CheckRecord
from tli.probes.perplexity import PerplexityProbe
from tli.probes.predictions import Predictions
from tli.probes.words import WordsProbe
from tli.specs import STAGE_VERSIONS, TrainSpec, added, plain
from tli.stages.cell import unit_key
from tli.subjects import Subject, baseline

DEMO = Path(__file__).parents[2] / "config" / "config.yaml"
CHECK = CheckRecord(model="demo", identity="the model's", layers=8)


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(load(DEMO))


def train_digest(experiment: Experiment, arm: str) -> str:
    job = Job.of(experiment, "train", model="demo", pair="swh-eng", arm=arm, layer="best", rank="16")
    pairs = tiny.pairs_table()
    trained = pairs[pairs["split"] == "train"].reset_index(drop=True)
    return store.digest(unit_key(CHECK, job.model_spec, trained, job.spec, 2, 2, 3))


def test_a_trained_seed(experiment):
    found = [train_digest(experiment, arm) for arm in ("tli", "tli-placebo")]
    assert found == [
        "030fef98c6fdf71a50179426affaabacb1e46d3eeccdf60439d20e72d9806f37",
        "fd385383907c7202bc67b4831f682f078d412b3a9ca8c6734dd0db47029c9d65",
    ], "the trainings that users have finished are not found any more: is a new field of TrainSpec declared added(default)?"


def test_measured_words(experiment):
    job = Job.of(experiment, "evaluate", model="demo", pair="swh-eng", part="part-1")
    base, adapter = baseline("demo", "swh-eng", "baseline"), Subject("demo", "swh-eng", "tli", "2", "16", 1, 0, "tli/...", unit="u")
    states = {base.run: [8, 2], adapter.run: [8, 2]}
    without_maps = dataclasses.replace(job.spec, select_maps=())  # they came after 0.1.0, and are left out where none is asked for
    made = [CHECK.identity, lambda seed, fold: tiny.pairs_table(), states, frozenset({base.place})]
    probe = WordsProbe(without_maps, job.model_spec, *made)
    # docs/decisions/0003: version 2 measures two pools; with version 1 the digests are those of 0.1.0
    digests = [store.digest(probe.key(subject) | {"version": 1}) for subject in (base, adapter)]
    assert digests == [
        "70400cbdf09c748ae9b6cc45066db726544c6f849e5a07263011874dea2a2206",
        "253789255c3bd6f5d229352367ae108a608dd8db1204ce42edda27d8247db4c4",
    ]
    assert probe.key(base)["version"] == STAGE_VERSIONS["evaluate"]
    assert WordsProbe(job.spec, job.model_spec, *made).key(base) == probe.key(base) | {"select_maps": ["centring", "procrustes", "ridge"]}


def test_a_scored_task_and_a_perplexity():
    from tli.probes.scoring import Harness, TaskProbe

    depends = {"version": 1, "identity": CHECK.identity, "dtype": "float32", "harness": "0.4.13"}
    adapter = Subject("demo", "swh-eng", "tli", "2", "16", 1, 0, "tli/...", unit="u")
    sentences = PerplexityProbe(depends, "none", {"swh": ["a", "b"]}, Predictions())
    scored = depends | {"add_bos": True, "limit": 8, "num_fewshot": 0, "data": "d"}
    task = TaskProbe("copa", scored, "none", Harness(64, True), build=lambda task: None, limit=8)
    assert store.digest(sentences.key(adapter)) == "d37b67e3330c4afeefb35a5272ac3f4c18aa9a060760f40cec0ab0cb5504a1bc"
    assert store.digest(task.key(adapter)) == "adad3deda29d94e026005959247dc7ce73ea5604829a3fd629e93385f5854699"


def test_a_field_that_came_later_is_left_out_while_it_has_its_default():
    @dataclasses.dataclass(frozen=True)
    class Later(TrainSpec):
        weight: float = added(0.0)

    assert plain(Later()) == plain(TrainSpec())
    assert plain(Later(weight=1.0)) == plain(TrainSpec()) | {"weight": 1.0}


def test_the_place_of_nf4_weights_changes_no_key(experiment):
    assert "store" not in plain(dataclasses.replace(experiment.model("demo"), store=""))
    one, other = (Job.of(experiment, "check", model="demo").params for _ in range(2))
    assert one == other and "store" not in one["model"]


def test_a_digest_ignores_the_order_of_keys_but_not_of_rows():
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert store.digest({"a": 1, "b": [1, 2]}) == store.digest({"b": [1, 2], "a": 1})
    assert store.digest_table(table) == store.digest_table(table.set_axis([7, 8])) != store.digest_table(table.iloc[::-1])
