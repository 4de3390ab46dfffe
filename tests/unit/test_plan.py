"""plan: its jobs are Snakemake's own, its sums are the costs of the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tli.__main__ import main
from tli.cluster import plan
from tli.cluster.costs import Cost
from tli.cluster.work import Work
from tli.config import load, parse
from tli.experiment import Experiment

ROOT = Path(__file__).parents[2]
BIG = {"source": "owner/name", "revision": "0" * 40, "parameters": 8.03e9, "quantization": "nf4"}


def made(**changes) -> Experiment:
    base = {
        "models": {"m": BIG},
        "pairs": {name: {"lexicon": "absent.tsv"} for name in ("swh-eng", "lin-eng")},
        "arms": {"tli": {"loss_layer": ["best", 2], "rank": [4, 8]}, "full": {"method": "full", "loss_layer": ["output"]}},
        "seeds": 10,
    }
    return Experiment(parse(base | changes))


def jobs_of(planned) -> dict[str, int]:
    return dict(zip(planned["stage"], planned["jobs"]))


def test_jobs_counted_by_hand():
    # 2 pairs x (2 layers x 2 ranks + 1 full) = 10 cells; evaluation: one part of adapters, one unquantised baseline, 10 full runs a pair
    assert jobs_of(plan.plan(made())) == {
        "fetch": 1,
        "lexicon": 2,
        "lists": 1,
        "check": 1,
        "scan": 2,
        "train": 10,
        "evaluate": 2 * (1 + 1 + 10),
        "statistics": 1,
        "report": 1,
        "total": 43,
    }
    cut = made(jobs={"seeds_per_job": 4, "adapters_per_job": 15})
    assert jobs_of(plan.plan(cut))["train"] == 10 * 3  # seeds 4 + 4 + 2
    assert jobs_of(plan.plan(cut))["evaluate"] == 2 * (3 + 1 + 10)  # 40 adapters in parts of 15


def test_transfer_is_counted_when_it_is_asked_for():
    asked = plan.plan(made(transfer={"tasks": ["xcopa_sw", "xnli_sw"]})).set_index("stage")
    assert asked.loc["transfer", "jobs"] > 0 and asked.loc["transfer", "gpu_hours"] > 0
    assert asked.loc["fetch", "jobs"] == 2
    fewer = plan.plan(made(transfer={"tasks": ["xcopa_sw", "xnli_sw"], "limit": 50})).set_index("stage")
    assert fewer.loc["transfer", "gpu_hours"] < asked.loc["transfer", "gpu_hours"]


def test_gpu_hours_are_the_sum_over_the_jobs():
    experiment = made()
    total = 0.0
    for pair in experiment.config.pairs:
        for part in experiment.parts("evaluate", "m", pair).values():
            whole = sum(run.is_full for run in part.runs)
            counts = dict(runs=len(part), baselines=len(part.baselines), trained_whole=whole)
            total += Cost(experiment, Work("evaluate", "m", pair, is_full=part.is_unquantised, **counts)).seconds
    assert plan.plan(experiment).set_index("stage").loc["evaluate", "gpu_hours"] == pytest.approx(total / 3600)
    two = plan.plan(made(models={"m": BIG | {"quantization": "none", "across_gpus": True}})).set_index("stage")
    one = plan.plan(made(models={"m": BIG | {"quantization": "none"}})).set_index("stage")
    assert two.loc["scan", "gpu_hours"] == pytest.approx(2 * one.loc["scan", "gpu_hours"])


def test_on_processors_hours_are_the_processors():
    experiment = made(models={"m": BIG | {"device": "cpu"}}, jobs={"threads": 4})
    table = plan.plan(experiment).set_index("stage")
    assert (table["gpu_hours"] == 0).all() and (table["gpu_memory_gb"] == 0).all()
    seconds = [Cost(experiment, Work("scan", "m", pair)).seconds for pair in ("swh-eng", "lin-eng")]
    assert table.loc["scan", "cpu_hours"] == pytest.approx(4 * sum(seconds) / 3600)
    said = plan.text(experiment, plan.plan(experiment))
    assert "cpu_hours" in said and "gpu" not in said.lower().replace("gpu_memory_gb in the profile", "")
    on_cards = plan.text(made(), plan.plan(made()))
    assert "gpu_hours" in on_cards and "cpu_hours" not in on_cards
    mixed = made(models={"m": BIG, "n": BIG | {"device": "cpu"}})
    both = plan.text(mixed, plan.plan(mixed))
    assert "gpu_hours" in both and "cpu_hours" in both


def test_disk_of_full_fine_tuning_is_that_of_its_weights_and_passes():
    table = plan.plan(made()).set_index("stage")
    below = 8.03 - 128256 * 4096 / 1e9  # without the head
    weights, checkpoint = below * 2, below * (4 + 2 * 4)  # bfloat16; float32 weights and two moments
    assert table.loc["train", "disk_while_running_gb"] == pytest.approx(
        2 * 10 * weights + 2 * 2 * checkpoint
    )  # pairs x (seeds, old and new)
    unchecked = plan.plan(made(jobs={"checkpoint_minutes": 0})).set_index("stage")
    assert unchecked.loc["train", "disk_while_running_gb"] == pytest.approx(2 * 10 * weights)
    assert table.loc["fetch", "disk_gb"] == pytest.approx(16.06)
    assert table.loc["check", "disk_gb"] == pytest.approx(6.03, abs=0.01)  # the NF4 weights that all jobs open
    only = plan.plan(made(arms={"tli": {}})).set_index("stage")
    assert only.loc["train", "disk_while_running_gb"] == 0


def test_the_command_prints_it(capsys):
    assert main(["plan", str(ROOT / "config" / "ranks.yaml")]) == 0
    said = capsys.readouterr().out
    for word in ("gpu_hours", "memory_gb", "disk_gb", "transfer", "total"):
        assert word in said


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["config.yaml", "demo-ranks.yaml", "demo-harm.yaml"])
def test_snakemake_makes_as_many_jobs(name, tmp_path):
    """The plan against a dry run of the same config into an empty folder."""
    import re

    import yaml
    from experiments import snakemake, write_config

    content = yaml.safe_load((ROOT / "config" / name).read_text()) | {"results": str(tmp_path / "results")}
    file = write_config(content, tmp_path / "config.yaml")
    dry = snakemake("--profile", "profiles/local", "--configfile", file, "-n", "-q", "rules")
    assert dry.returncode == 0, dry.stdout[-3000:]
    counted: dict[str, int] = {}
    for rule, number in re.findall(r"^(\w+) +(\d+)$", dry.stdout.split("Job stats:")[1].split("\n\n")[0], re.MULTILINE):
        stage = rule.split("_")[0]
        counted[stage] = counted.get(stage, 0) + int(number)
    planned = jobs_of(plan.plan(Experiment(load([file]))))
    assert counted.pop("total") - counted.pop("all") == planned.pop("total")
    assert counted == planned
