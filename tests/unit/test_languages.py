"""config/languages.yaml: 20 lists of GATITOS, fetched from pinned addresses, every adapter on every list."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tli.cluster.plan import plan
from tli.config import load
from tli.experiment import Experiment
from tli.experiment.job import Job

CONFIG = Path(__file__).parents[2] / "config" / "languages.yaml"
ADDRESS = re.compile(r"https://raw\.githubusercontent\.com/google-research/url-nlp/[0-9a-f]{40}/gatitos/(en_[a-z]+\.tsv)")


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return Experiment(load(CONFIG))


def test_the_design(experiment):
    assert len(experiment.config.pairs) == len(experiment.lists_measured) == len(experiment.trained_pairs) == 20
    assert len(experiment.runs) == 20 * 2 * 5 and {run.arm for run in experiment.runs} == {"tli", "tli-placebo"}
    parts = experiment.across_parts("lugha-llama").values()
    assert sum(len(part.runs) for part in parts) == 200 and sum(bool(part.baselines) for part in parts) == 1


def test_every_list_has_an_address_of_its_own_at_a_commit(experiment):
    files = [ADDRESS.fullmatch(pair.lexicon)[1] for pair in experiment.config.pairs.values()]
    assert len(set(files)) == 20 and len({pair.sha256 for pair in experiment.config.pairs.values()}) == 20


def test_checksums_are_those_of_the_lists(experiment, test_data):
    for pair in experiment.config.pairs.values():
        file = test_data / "data" / "gatitos" / ADDRESS.fullmatch(pair.lexicon)[1]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == pair.sha256


def test_no_job_of_the_stage_is_shorter_than_its_start(experiment):
    """A job's expected time is more than twice its loading, start and reading together."""
    from tli.cluster.costs import Cost
    from tli.cluster.work import Work

    rows = plan(experiment).set_index("stage")
    assert rows.loc["across", "jobs"] == len(experiment.across_parts("lugha-llama"))
    for part in experiment.across_parts("lugha-llama"):
        cost = Cost(experiment, Work.of(Job.of(experiment, "across", model="lugha-llama", part=part)))
        assert cost.seconds > 2 * cost.loading
